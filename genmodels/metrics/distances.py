"""How far the features of generated images are from those of real ones: two distances between distributions.

Features are (N, D), float32 or float64; every sum is in float64. Generated comes first, reference second.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .. import _core
from .. import _validate as check

LARGEST = 1e40
"""No feature may exceed this, or its powers would leave float64; that is all of float32 but its end."""
LARGEST_OF_KERNEL = 1e25
"""The same of the kernel distance, whose standard error takes twelfth powers."""


def frechet_distance(a: Any, b: Any) -> float:
    """The squared Frechet distance of two Gaussians with the features' means and covariances (Heusel et al. 2017):
    `|mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2))`, covariances with N - 1.

    a, b: features (N, D) and (M, D), generated and reference, N and M at least 2. Smaller is better; 0 is reached by
    equal moments only. It falls with N, so that only distances over equal numbers of samples compare.

    The trace of (A B)^(1/2) is the sum of the singular values of A^(1/2) B^(1/2), and those roots come from the
    eigenvalues of symmetric matrices: nothing imaginary arises and nothing is inverted, also where the covariances are
    of less than full rank.

    Raises ValueError for fewer than 2 rows, unequal D, NaN or infinity. A UserWarning tells of no more rows than
    features: the distance is then mostly that of the lack of samples.
    """
    a, b = pair(a, b)
    return frechet(moments(a), moments(b))


Moments = tuple[np.ndarray, np.ndarray]


def moments(a: np.ndarray) -> Moments:
    """Mean (D,) and covariance (D, D) of checked features."""
    mean, covariance = _core.moments(a)
    return mean, covariance.reshape(len(mean), -1)


def frechet(a: Moments, b: Moments) -> float:
    """The distance of two pairs of moments."""
    (mean_a, covariance_a), (mean_b, covariance_b) = a, b
    product = _root(covariance_a) @ _root(covariance_b)
    overlap = np.linalg.svd(product, compute_uv=False).sum()
    apart = np.square(mean_a - mean_b).sum()
    # Rounding alone can make it negative.
    return max(0.0, float(apart + np.trace(covariance_a) + np.trace(covariance_b) - 2 * overlap))


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def kernel_distance(
    a: Any, b: Any, subset_size: int | None = None, subsets: int = 100, seed: int = 0
) -> tuple[float, float]:
    """The squared maximum mean discrepancy under the kernel `(x.y / D + 1)^3`, unbiased (Binkowski et al. 2018), and
    its standard error.

    Unlike the Frechet distance its expectation does not depend on the number of samples. It may come out a little below
    zero where the two distributions are alike.

    Args:
        a, b: features (N, D) and (M, D), generated and reference, N and M at least 2.
        subset_size: None takes all samples at once. A number takes the mean over random subsets of so many rows of
            each, drawn without replacement within a subset; 2..min(N, M).
        subsets: how many of them, at least 2.
        seed: of the subsets.

    Returns:
        (value, standard error). With all samples the error is that of the U-statistic, from its structural components
        (Sen 1960): `sqrt(4 Var[g] / N + 4 Var[h] / M)`, where g is a generated sample's mean kernel with the others
        less its mean kernel with the reference, and h likewise for the reference. It is right where the distributions
        differ, and up to 1.4 times too large, never too small, where they are alike. With subsets it is the spread of
        their values over the root of their number: how well these samples' mean is known, not what other samples would
        give.

    Raises ValueError for fewer than 2 rows, unequal D, NaN, infinity or sizes out of range. A UserWarning tells of no
    more rows than features.
    """
    a, b = pair(a, b)
    if subset_size is None:
        return kernel(a, b)
    size = check.integer(subset_size, "subset_size", 2)
    if size > min(len(a), len(b)):
        raise ValueError(f"subset_size is {size}, there are {len(a)} and {len(b)} samples")
    count = check.integer(subsets, "subsets", 2)
    random = np.random.default_rng(check.seed(seed))
    values = np.empty(count)
    for i in range(count):
        some_a, some_b = (rows[random.choice(len(rows), size, replace=False)] for rows in (a, b))
        values[i] = kernel(some_a, some_b)[0]
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(count))


def kernel(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Value and standard error over all of two checked sets of features."""
    largest = max(np.abs(a).max(), np.abs(b).max())
    if largest > LARGEST_OF_KERNEL:
        raise ValueError(f"features of up to {largest:g}: the kernel distance takes {LARGEST_OF_KERNEL:g} at most")
    within_a, within_b = (_core.kernel_sums(x, x, True) / (len(x) - 1) for x in (a, b))
    a_to_b, b_to_a = _core.kernel_sums(a, b, False) / len(b), _core.kernel_sums(b, a, False) / len(a)
    value = within_a.mean() + within_b.mean() - 2 * a_to_b.mean()
    variance = 4 * ((within_a - a_to_b).var(ddof=1) / len(a) + (within_b - b_to_a).var(ddof=1) / len(b))
    return float(value), math.sqrt(variance)


def pair(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features as float64, checked; a UserWarning where there are no more rows than features."""
    a, b = rows(a, "a"), rows(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a has {a.shape[1]} features a sample, b has {b.shape[1]}: they must be of one extractor")
    warn_of_few(len(a), len(b), a.shape[1])
    return a, b


def warn_of_few(N: int, M: int, D: int) -> None:
    """A UserWarning at the caller's caller's place where the samples do not outnumber the features."""
    if min(N, M) <= D:
        warnings.warn(
            f"{N} generated and {M} reference samples for {D} features: a covariance needs more samples than features, "
            "and scores of so few say little",
            stacklevel=4,
        )


def rows(value: Any, name: str) -> np.ndarray:
    """(N, D) float64, C-contiguous and finite, N >= 2, D >= 1, of float32 or float64 features."""
    array = check.as_array(value, name)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {array.dtype}, features must be float32 or float64")
    if array.ndim != 2 or array.shape[1] < 1:
        raise ValueError(f"{name} has shape {array.shape}, features must be (N, D)")
    if len(array) < 2:
        raise ValueError(f"{name} has {len(array)} rows: at least 2 samples are needed")
    array = check.laid_out(array, np.float64)
    check.finite(array, name)
    if np.abs(array).max() > LARGEST:
        raise ValueError(f"{name} holds {np.abs(array).max():g}: features must be at most {LARGEST:g} in magnitude")
    return array
