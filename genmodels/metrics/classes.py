"""What a classifier says of generated images: how sure and how varied, and whether they are what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _validate as check


def inception_score(probabilities: Any) -> float:
    """`exp(mean over images of KL(p(y | x) || p(y)))`, p(y) the mean over the images (Salimans et al. 2016), all images
    at once.

    probabilities: (N, K), what a classifier makes of N generated images; rows of numbers at least 0 that add up to 1
    (to 1e-3; they are divided by their sum). From 1 (all alike or all undecided) to K (every image sure, every class as
    often). Taken from a classifier of our own it is no Inception Score and not to be set beside one.

    Raises ValueError for other shapes or values, TypeError for other dtypes.
    """
    p = _checked(probabilities)
    mean = p.mean(axis=0)
    counts = (p > 0) & (mean > 0)  # the mean of probabilities near the smallest float is 0, and so are their terms
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts, p * (np.log(p) - np.log(mean)), 0.0)
    return float(np.exp(max(0.0, terms.sum(axis=1).mean())))


def class_histogram(probabilities: Any) -> list[int]:
    """How many images are most likely of each of the K classes, from probabilities (N, K).

    ValueError for another shape, an empty array, or rows that are not finite, >= 0 and of a sum of 1, to 1e-3;
    TypeError for no floats.
    """
    p = _checked(probabilities)
    return [int(count) for count in np.bincount(p.argmax(axis=1), minlength=p.shape[1])]


def label_accuracy(probabilities: Any, labels: Any) -> float:
    """The share of images that are most likely of the class that was asked for; probabilities (N, K), integer labels
    (N,) in 0..K-1.

    ValueError and TypeError for probabilities as in `class_histogram`, and for other labels.
    """
    p = _checked(probabilities)
    asked = check.labels(labels, len(p), p.shape[1])
    return float(np.mean(p.argmax(axis=1) == asked))


def _checked(probabilities: Any) -> np.ndarray:
    array = check.as_array(probabilities, "probabilities")
    if array.dtype.kind != "f":
        raise TypeError(f"probabilities have dtype {array.dtype}, must be float32 or float64")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"probabilities have shape {array.shape}, expected (N, K), none of them 0")
    p = check.finite(array.astype(np.float64), "probabilities")
    sums = p.sum(axis=1, keepdims=True)
    if p.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        raise ValueError("probabilities must be at least 0 and add up to 1 in every row")
    return np.asarray(p / sums)
