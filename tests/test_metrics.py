"""The scores of gm.metrics on features, beside SciPy's and scikit-learn's forms of them and the papers' definitions."""

import math
import warnings

import numpy as np
import pytest
import small
from scipy import linalg
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

import genmodels as gm
from genmodels import metrics

EVERY = [
    metrics.frechet_distance,
    metrics.kernel_distance,
    lambda a, b: metrics.precision_recall(a, b, k=1),
    lambda a, b: metrics.density_coverage(a, b, k=1),
]


def gaussian(n, d, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)) @ random.normal(size=(d, d)) / math.sqrt(d) + shift


def with_covariance(mean, covariance, n=40):
    """n rows (n even) whose sample mean and covariance (N - 1) are these, but for rounding."""
    d = len(mean)
    x = np.random.default_rng(1).normal(size=(n, d))
    x -= x.mean(0)
    whitened = np.linalg.qr(x)[0] * math.sqrt(n - 1)
    return whitened @ np.linalg.cholesky(covariance).T + mean


# ---- Frechet distance -----------------------------------------------------------------------------------------------


def by_square_root(a, b):
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    with threadpool_limits(1):  # many small products: threads of a busy machine wait for one another
        root = linalg.sqrtm(cov_a @ cov_b).real
    return np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root)


@pytest.mark.parametrize("d", [64, 512])
def test_fd_is_scipys_matrix_square_root(d):
    a, b = gaussian(2 * d + 3, d, 1, 0.1), gaussian(3 * d, d, 2)
    assert metrics.frechet_distance(a, b) == pytest.approx(by_square_root(a, b), rel=1e-6)


def test_fd_of_diagonal_gaussians_is_the_closed_form():
    random = np.random.default_rng(0)
    means, variances = random.normal(size=(2, 12)), random.random((2, 12)) + 0.1
    a, b = (with_covariance(m, np.diag(v)) for m, v in zip(means, variances, strict=True))
    expected = np.square(means[0] - means[1]).sum() + np.square(np.sqrt(variances[0]) - np.sqrt(variances[1])).sum()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_fd_is_zero_of_itself_symmetric_and_blind_to_order():
    a, b = gaussian(300, 20, 1), gaussian(400, 20, 2, 0.5)
    assert metrics.frechet_distance(a, a[::-1]) < 1e-10
    assert metrics.frechet_distance(a, b) == pytest.approx(metrics.frechet_distance(b, a), rel=1e-12)


@pytest.mark.parametrize("n", [2, 5, 64])
def test_fd_of_few_samples_is_a_number_with_a_warning(n):
    a, b = gaussian(n, 64, 1), gaussian(n, 64, 2)
    with pytest.warns(UserWarning, match=f"{n} generated and {n} reference samples for 64 features"):
        distance = metrics.frechet_distance(a, b)
    # Rank n - 1 on either side: in a basis of both, SciPy's form would be the same.
    root_a, root_b = ((x - x.mean(0)) / math.sqrt(n - 1) for x in (a, b))
    overlap = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.square(root_a).sum() + np.square(root_b).sum() - 2 * overlap
    assert distance == pytest.approx(expected, rel=1e-6)


def test_fd_of_constant_features():
    a, b = np.full((9, 3), 2.0), np.full((7, 3), 3.0)
    assert metrics.frechet_distance(a, b) == 3.0
    assert metrics.frechet_distance(a, a) == 0.0


# ---- kernel distance ------------------------------------------------------------------------------------------------


def by_definition(a, b):
    d = a.shape[1]
    within_a, within_b, between = (
        polynomial_kernel(x, y, degree=3, gamma=1 / d, coef0=1) for x, y in ((a, a), (b, b), (a, b))
    )
    np.fill_diagonal(within_a, 0)
    np.fill_diagonal(within_b, 0)
    m, n = len(a), len(b)
    return within_a.sum() / (m * (m - 1)) + within_b.sum() / (n * (n - 1)) - 2 * between.mean()


def test_kd_is_the_unbiased_estimate():
    a, b = gaussian(203, 16, 1, 0.2), gaussian(150, 16, 2)
    assert metrics.kernel_distance(a, b)[0] == pytest.approx(by_definition(a, b), rel=1e-10)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_kd_error_is_about_the_spread(scale):
    random = np.random.default_rng(0)
    found = np.array(
        [metrics.kernel_distance(scale * random.normal(size=(120, 4)), random.normal(size=(90, 4))) for _ in range(300)]
    )
    spread, error = found[:, 0].std(ddof=1), math.sqrt(np.square(found[:, 1]).mean())
    assert 0.85 * spread < error < 1.65 * spread
    if scale == 1.0:  # unbiased
        assert abs(found[:, 0].mean()) < 4 * spread / math.sqrt(300)


def test_kd_by_subsets():
    a, b = gaussian(203, 16, 1, 0.2), gaussian(150, 16, 2)
    value, error = metrics.kernel_distance(a, b, subset_size=60, subsets=80, seed=3)
    assert abs(value - by_definition(a, b)) < 5 * error
    assert (value, error) == metrics.kernel_distance(a, b, subset_size=60, subsets=80, seed=3)
    assert value != metrics.kernel_distance(a, b, subset_size=60, subsets=80, seed=4)[0]
    for arguments, message in (
        ({"subset_size": 151}, "subset_size is 151, there are 203 and 150"),
        ({"subset_size": 1}, "subset_size is 1"),
        ({"subset_size": 5, "subsets": 1}, "subsets is 1"),
    ):
        with pytest.raises(ValueError, match=message):
            metrics.kernel_distance(a, b, **arguments)


# ---- neighbours -----------------------------------------------------------------------------------------------------


def by_neighbours(a, b, k):
    """Precision, recall, density, coverage from scikit-learn's exact distances, ties and bounds included."""

    def radii(x):
        return NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(x).kneighbors(x)[0][:, k]

    distances = np.sqrt(np.square(a[:, None] - b[None]).sum(-1))
    in_b, in_a = distances <= radii(b)[None, :], distances <= radii(a)[:, None]
    return in_b.any(1).mean(), in_a.any(0).mean(), in_b.sum() / (k * len(a)), in_b.any(0).mean()


@pytest.mark.parametrize("k", [1, 3, 5, 40])
def test_neighbour_scores_are_the_papers(k):
    a, b = gaussian(101, 6, 1, 0.4), gaussian(140, 6, 2)
    found = (*metrics.precision_recall(a, b, k=k), *metrics.density_coverage(a, b, k=k))
    assert found == pytest.approx(by_neighbours(a, b, k), abs=1e-12)
    assert all(type(value) is float for value in found)


def test_neighbour_scores_on_a_line():
    """Worked by hand: reference 0, 1, 3 with k = 1 has radii 1, 1, 2; generated 1, 2, 9 has 1, 1, 7."""
    a, b = np.array([[1.0], [2.0], [9.0]]), np.array([[0.0], [1.0], [3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.precision_recall(a, b, k=1) == (2 / 3, 1.0)
        assert metrics.density_coverage(a, b, k=1) == (5 / 3, 1.0)


def test_order_is_generated_then_reference():
    real = np.random.default_rng(0).normal(size=(400, 4))
    one_mode, two_modes = real[200:], np.concatenate([real[:100], real[100:200] + 50])
    precision, recall = metrics.precision_recall(one_mode, two_modes)
    assert precision > 0.8
    assert recall < 0.6
    assert metrics.density_coverage(one_mode, two_modes)[1] < 0.6


def test_duplicates_lie_in_balls_of_radius_zero():
    a = np.repeat(gaussian(10, 4), 8, axis=0)
    assert metrics.precision_recall(a, a, k=5) == (1.0, 1.0)
    assert metrics.density_coverage(a, a, k=5) == (8 / 5, 1.0)


@pytest.mark.parametrize("k", [0, 5, 7])
def test_k_out_of_range(k):
    a = gaussian(5, 3)
    for score in (metrics.precision_recall, metrics.density_coverage):
        with pytest.raises(ValueError, match=f"k is {k}, must be"):
            score(a, gaussian(9, 3), k=k)


# ---- all of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", EVERY)
def test_bad_features(score):
    good = gaussian(9, 3)
    hole, huge = good.copy(), good.copy()
    hole[2, 1], huge[2, 1] = np.nan, 1e200
    for bad, error, message in (
        (good[:1], ValueError, "1 rows: at least 2"),
        (good[:0], ValueError, "0 rows: at least 2"),
        (good[:, :0], ValueError, r"shape \(9, 0\)"),
        (good[:, :2], ValueError, "2 features a sample|3 features a sample"),
        (good[0], ValueError, r"shape \(3,\)"),
        (hole, ValueError, r"\[2, 1\] is nan"),
        (huge, ValueError, "1e.200"),
        (good.astype(int), TypeError, "int64"),
        ("features", TypeError, "dtype"),
    ):
        for pair in ((bad, good), (good, bad)):
            with pytest.raises(error, match=message):
                score(*pair)


@pytest.mark.parametrize("score", EVERY)
def test_few_samples_are_told_and_give_numbers(score):
    with pytest.warns(UserWarning, match="for 64 features") as told:
        values = np.atleast_1d(score(gaussian(5, 64, 1), gaussian(5, 64, 2)))
    assert np.isfinite(values).all()
    assert [warning.filename for warning in told] == [__file__]


@pytest.mark.parametrize("score", EVERY)
def test_float32_and_layout_do_not_matter(score):
    a, b = gaussian(60, 7, 1).astype(np.float32), gaussian(70, 7, 2).astype(np.float32)
    expected = score(a.astype(np.float64), b.astype(np.float64))
    assert score(a, b) == expected
    assert score(np.asfortranarray(a), b[::1]) == expected
    assert score(small.unaligned(a.astype(np.float64)), small.unaligned(b)) == expected


def test_threads_give_the_same_bits(threads):
    a, b = gaussian(1500, 33, 1, 0.1), gaussian(1300, 33, 2)

    def core():
        radii = gm._core.neighbour_radii(a, 5), gm._core.neighbour_radii(b, 5)
        counts = gm._core.neighbour_counts(a, b, *radii)
        sums = gm._core.kernel_sums(a, b, False), gm._core.kernel_sums(a, a, True)
        return [array.tobytes() for array in (*radii, *counts, *sums, *gm._core.moments(a))]

    threads(1)
    expected = core(), metrics.kernel_distance(a, b)
    for count in (2, 3, 7):
        threads(count)
        assert (core(), metrics.kernel_distance(a, b)) == expected


# ---- classes --------------------------------------------------------------------------------------------------------


def test_inception_score_is_its_definition():
    p = np.random.default_rng(0).dirichlet(np.ones(10) * 0.2, 500)
    mean = p.mean(0)
    expected = np.exp(np.mean([np.sum(row * (np.log(row) - np.log(mean)), where=row > 0) for row in p]))
    assert metrics.inception_score(p) == pytest.approx(expected, rel=1e-10)


def test_inception_score_ends():
    assert metrics.inception_score(np.eye(10)[np.arange(50) % 10]) == pytest.approx(10)
    assert metrics.inception_score(np.eye(10)[np.zeros(50, int)]) == 1.0
    assert metrics.inception_score(np.full((50, 10), 0.1, np.float32)) == pytest.approx(1.0)


def test_inception_score_of_a_class_whose_mean_is_below_the_smallest_float():
    p = np.array([[1.0, 0.0]] * 9 + [[1.0, 5e-324]])
    assert metrics.inception_score(p) == 1.0


def test_classes_are_counted():
    p = np.eye(4)[[0, 1, 1, 3]]
    assert metrics.class_histogram(p) == [1, 2, 0, 1]
    assert metrics.label_accuracy(p, [0, 1, 2, 3]) == 0.75


@pytest.mark.parametrize(
    ("p", "error", "message"),
    [
        (np.zeros((0, 4)), ValueError, "none of them 0"),
        (np.full((3, 4), 0.3), ValueError, "add up to 1"),
        (np.array([[1.5, -0.5]]), ValueError, "at least 0"),
        (np.array([[np.nan, 1.0]]), ValueError, "nan"),
        (np.eye(3, dtype=int), TypeError, "int64"),
    ],
)
def test_bad_probabilities(p, error, message):
    for function in (metrics.inception_score, metrics.class_histogram):
        with pytest.raises(error, match=message):
            function(p)


def test_an_extractors_number_is_of_its_hash():
    assert metrics.extractor_number("mnist:0000000000ff00") == 255
    with pytest.raises(ValueError, match="does not end in a hash"):
        metrics.extractor_number("mnist")
    for wrong in (None, 255.0):
        with pytest.raises(TypeError, match=f"extractor must be a str, not {wrong}"):
            metrics.extractor_number(wrong)


def test_the_kernel_distance_refuses_features_whose_powers_leave_float64():
    a, b = (np.random.default_rng(seed).standard_normal((9, 2)) for seed in (0, 1))
    assert np.isfinite(metrics.kernel_distance(a * 1e24, b)).all()
    with pytest.raises(ValueError, match=r"the kernel distance takes 1e\+25 at most"):
        metrics.kernel_distance(a * 1e30, b)
