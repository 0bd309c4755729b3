"""How many generated images look real, and how much of the real ones they cover: scores by nearest neighbours.

Every sample has a ball round it that reaches to the k-th nearest other sample of its own set. Distances are Euclidean,
in float64; a sample on a ball's surface is in it. Generated comes first, reference second.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .. import _validate as check
from .distances import pair


def precision_recall(a: Any, b: Any, k: int = 5) -> tuple[float, float]:
    """The share of generated samples in the ball of some reference sample, and the share of reference samples in the
    ball of some generated one (Kynkaanniemi et al. 2019).

    a, b: features (N, D) and (M, D), generated and reference; k: 1..min(N, M) - 1. Both lie in [0, 1], 1 is best.
    Raises ValueError for fewer than 2 rows, k out of range, unequal D, NaN or infinity. A UserWarning tells of no more
    rows than features.
    """
    a, b = pair(a, b)
    number = check_k(k, min(len(a), len(b)))
    return neighbour_scores(a, b, radii(a, number), radii(b, number), number)[:2]


def density_coverage(a: Any, b: Any, k: int = 5) -> tuple[float, float]:
    """In how many balls of reference samples a generated one lies, over k, and the share of reference samples with a
    generated one in their ball (Naeem et al. 2020).

    a, b: features (N, D) and (M, D), generated and reference; k: 1..min(N, M) - 1. Density is about 1 for samples of
    the reference's own distribution and has no upper bound; coverage lies in [0, 1]. Raises and warns as
    `precision_recall`.
    """
    a, b = pair(a, b)
    radii_b, nothing = radii(b, check_k(k, min(len(a), len(b)))), np.zeros(len(a))
    _, balls_round_a = _core.neighbour_counts(a, b, nothing, radii_b)
    inside_b, _ = _core.neighbour_counts(b, a, radii_b, nothing)
    return float(balls_round_a.sum() / (k * len(a))), float(np.mean(inside_b > 0))


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared radii (N,) of the balls round checked features."""
    return _core.neighbour_radii(x, k)


def neighbour_scores(
    a: np.ndarray, b: np.ndarray, radii_a: np.ndarray, radii_b: np.ndarray, k: int
) -> tuple[float, float, float, float]:
    """Precision, recall, density, coverage of checked features with their squared radii."""
    _, balls_round_a = _core.neighbour_counts(a, b, radii_a, radii_b)
    inside_b, balls_round_b = _core.neighbour_counts(b, a, radii_b, radii_a)
    precision, recall = np.mean(balls_round_a > 0), np.mean(balls_round_b > 0)
    density, coverage = balls_round_a.sum() / (k * len(a)), np.mean(inside_b > 0)
    return float(precision), float(recall), float(density), float(coverage)


def check_k(k: Any, samples: int) -> int:
    """k as an int in 1..samples - 1."""
    number = check.integer(k, "k", 1)
    if number >= samples:
        raise ValueError(f"k is {number}, must be below the number of samples, {samples}")
    return number
