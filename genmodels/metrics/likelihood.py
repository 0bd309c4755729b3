"""What a variational autoencoder is measured by: its likelihood, the terms of its bound, its codes and reconstructions.

All in nats an image, in the sense of the model x | z, z | x that the loss stands for, whatever the loss weighs: "bce"
is a Bernoulli observation, taken from the decoder's logits; "mse" is a Gaussian of variance 1/2 in the decoder's own
range ([-1, 1] where it ends in Tanh), constant included, so that its density is one. `beta` and `reduction` belong to
training and play no part here.

A Bernoulli observation is a probability of black and white images only. Of grey ones the numbers below are what papers
print as such, but no likelihood: give `binarize`, as the model was trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _validate as check
from ..binarization import binarize as binarized
from ..vae import VAE

__all__ = ["active_units", "elbo", "log_likelihood", "nll", "reconstruction_error"]

ROWS = 4096
"""Codes in one call of the core: a fraction of a second, after which Ctrl-C counts."""

PIECE = 1024
"""Images looked at at a time."""


def nll(
    model: VAE,
    x: Any,
    labels: Any = None,
    samples: int = 5000,
    binarize: str | None = None,
    seed: int = 0,
) -> float:
    """The negative log-likelihood of images, in nats an image: minus the mean of `log_likelihood`, which says more.

    It lies between the exact one and the bound of `elbo`, and falls with the number of samples.
    """
    return float(-log_likelihood(model, x, labels, samples, binarize, seed).mean())


def log_likelihood(
    model: VAE,
    x: Any,
    labels: Any = None,
    samples: int = 5000,
    binarize: str | None = None,
    seed: int = 0,
) -> np.ndarray:
    """log p(x) of every image by importance sampling (Burda, Grosse and Salakhutdinov 2016): (N,) float64, in nats.

    log p(x) = log mean_k p(x | z_k) p(z_k) / q(z_k | x) over `samples` codes z_k of the encoder's Gaussian q(z | x).
    The estimate is too low in the mean, by less the more samples there are; papers take 5,000.

    Args:
        model: a VAE, in inference mode: moving statistics, no dropout.
        x: images (N, H, W, C), uint8 or float32 in [0, 1].
        labels: (N,) integers for a conditional model, whose log p(x | label) this then is.
        samples: codes an image, at least 1. Time is that of decoding N * samples codes; memory does not grow.
        binarize: None, "fixed" or "dynamic", as `genmodels.datasets.binarize` has them, with `seed`.
        seed: of the codes and of "dynamic". An image's codes depend on it and the image's place alone, and the first
            ones not on `samples`. The same bits for any number of threads.

    Ctrl-C ends it between two pieces of the work. Raises TypeError for what is no VAE, ValueError or TypeError for
    other unfit arguments, FloatingPointError where a number is not finite because the weights are too large.
    """
    images, classes = _checked(model, x, labels)
    samples = check.integer(samples, "samples", 1)
    seed = check.seed(seed)
    images = binarized(images, binarize, seed)
    results = np.empty(len(images))
    at_once = max(1, ROWS // samples)
    for start in range(0, len(images), at_once):
        some = slice(start, start + at_once)
        results[some] = _log_means(
            model, images[some], None if classes is None else classes[some], samples, seed, start
        )
    if not np.isfinite(results).all():
        first = int(np.argmin(np.isfinite(results)))
        raise FloatingPointError(f"the log-likelihood of image {first} is {results[first]}: codes or weights too large")
    return results


def _log_means(
    model: VAE, images: np.ndarray, classes: np.ndarray | None, samples: int, seed: int, first: int
) -> np.ndarray:
    """The logarithm of the mean importance weight of each image, the first of which is number `first`: (N,)."""
    highest, total = np.full(len(images), -np.inf), np.zeros(len(images))
    for start in range(0, samples, ROWS):
        count = min(ROWS, samples - start)
        weights = model._core.log_weights(images, classes, (seed, first, start), count).reshape(-1, count)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is found by the caller
            above = np.maximum(highest, weights.max(axis=1))
            total = total * np.exp(highest - above) + np.exp(weights - above[:, None]).sum(axis=1)
            highest = above
    with np.errstate(invalid="ignore"):
        return highest + np.log(total / samples)


def elbo(model: VAE, x: Any, labels: Any = None, binarize: str | None = None, seed: int = 0) -> dict[str, float]:
    """The evidence lower bound and its terms, in nats, means over the images: {"reconstruction", "kl", "elbo"}.

    elbo = -(reconstruction + kl) <= log p(x): reconstruction = -E log p(x | z) over q(z | x), estimated by one code an
    image, and kl = KL(q(z | x) || p(z)), exact. The loss of training is the same but for `beta`, `reduction` and the
    constant of "mse". Arguments and errors as for `log_likelihood`.
    """
    images, classes = _checked(model, x, labels)
    seed = check.seed(seed)
    _, reconstruction, kl = model._core.evaluate(binarized(images, binarize, seed), classes, seed)
    pixels = math.prod(model.input_shape)
    if model.reduction == "mean":
        reconstruction *= pixels
    if model.reconstruction == "mse":
        reconstruction += 0.5 * math.log(math.pi) * pixels
    if not math.isfinite(reconstruction + kl):
        raise FloatingPointError(f"reconstruction {reconstruction}, kl {kl}: codes or weights too large")
    return {"reconstruction": reconstruction, "kl": kl, "elbo": -(reconstruction + kl)}


def reconstruction_error(model: VAE, x: Any, labels: Any = None) -> float:
    """The mean squared error of a pixel in [0, 1]: mean over images, pixels and channels of (x' - x)^2, where x' is
    the image there and back through the mean of its code (`VAE.reconstruct`).

    x (N, H, W, C), uint8 or float32 in [0, 1]; labels (N,) for a conditional model. Errors as for `log_likelihood`.
    """
    images, classes = _checked(model, x, labels)
    total = 0.0
    for some in _pieces(len(images)):
        drawn = model.reconstruct(images[some], None if classes is None else classes[some])
        wanted = images[some] / np.float32(255) if images.dtype == np.uint8 else images[some]
        total += float(np.square(drawn - wanted, dtype=np.float64).sum())
    return _finite(total / images.size, "the reconstruction error")


def active_units(model: VAE, x: Any, labels: Any = None, threshold: float = 0.01) -> tuple[int, np.ndarray]:
    """Axes of the code that the model uses (Burda, Grosse and Salakhutdinov 2016): how many, and (latent_dim,) float64,
    the variance over the images of each axis of the mean of q(z | x), with N - 1. Active are those above `threshold`.

    x (N, H, W, C), at least 2 images, uint8 or float32 in [0, 1]; labels (N,) for a conditional model; threshold >= 0.
    Errors as for `log_likelihood`.
    """
    images, classes = _checked(model, x, labels)
    threshold = check.number(threshold, "threshold", 0.0)
    if len(images) < 2:
        raise ValueError("active_units: a variance over images needs at least 2 of them, got 1")
    means, _ = model._core.encode(images, classes)
    with np.errstate(invalid="ignore"):  # what is not finite is found below
        variances = means.astype(np.float64).var(axis=0, ddof=1)
    _finite(float(variances.sum()), "the variance of the codes")
    return int((variances > threshold).sum()), variances


def _checked(model: Any, x: Any, labels: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and labels as the core takes them, all values checked."""
    if not isinstance(model, VAE):
        raise TypeError(f"model must be a VAE, which has codes of images, not {check.shown(model)}")
    return model._check_data(x, labels)


def _pieces(n: int) -> Iterator[slice]:
    return (slice(start, start + PIECE) for start in range(0, n, PIECE))


def _finite(value: float, name: str) -> float:
    if not math.isfinite(value):
        raise FloatingPointError(f"{name} is {value}: codes or weights too large")
    return value
