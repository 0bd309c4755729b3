"""Likelihood, bound, codes and reconstructions of a VAE, against exact integrals where there are any."""

import itertools
import math
import signal

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import layers as L
from genmodels.metrics import active_units, elbo, likelihood, log_likelihood, nll, reconstruction_error

SHAPE = (3, 4, 1)
PIXELS = 12


def vae(*decoder, latent=2, **changes):
    """An encoder that is linear but for its Flatten; a decoder that is so but for what is given."""
    options = {
        "encoder": [L.Flatten()],
        "decoder": [L.Dense(PIXELS), L.Reshape(SHAPE), *decoder],
        "input_shape": SHAPE,
        "latent_dim": latent,
        "reconstruction": "bce" if L.Sigmoid() in decoder else "mse",
    }
    return gm.VAE(**(options | changes))


def set_weights(model, seed=0, scale=1.0):
    """Random ones. The encoder's Gaussians are wide enough to be drawn from for any posterior, and differ by image."""
    random = np.random.default_rng(seed)
    for name, view in model.weights.items():
        spread = 0.2 if name.startswith("head") else scale
        view[...] = spread * random.normal(size=view.shape) / math.sqrt(len(view))
    return model


def images(n=6, seed=1):
    return np.random.default_rng(seed).random((n, *SHAPE), dtype=np.float32)


def decoder_of(model):
    return (model.weights[f"decoder.0.{name}"].astype(np.float64) for name in ("kernel", "bias"))


def grid(latent, step):
    """Nodes of the trapezoidal rule over [-8, 8]^latent: (nodes, latent), and the logarithm of weight * prior."""
    axis = np.arange(-8, 8 + step / 2, step)
    nodes = np.array(list(itertools.product(axis, repeat=latent)))
    prior = -0.5 * (nodes**2).sum(1) - latent / 2 * math.log(2 * math.pi)
    return nodes, prior + latent * math.log(step)


def log_sum_exp(values):
    top = values.max(0)
    return top + np.log(np.exp(values - top).sum(0))


def linear_marginal(model, x):
    """log p(x) of x = W z + b + noise of variance 1/2, exactly: a Gaussian."""
    kernel, bias = decoder_of(model)
    covariance = kernel.T @ kernel + np.eye(PIXELS) / 2
    error = x.reshape(len(x), -1) - bias
    distance = (error * np.linalg.solve(covariance, error.T).T).sum(1)
    return -0.5 * (distance + np.linalg.slogdet(covariance)[1] + PIXELS * math.log(2 * math.pi))


# ---- the likelihood -----------------------------------------------------------------------------------------------


def test_linear_vae_with_its_exact_posterior_needs_one_sample():
    model, x = set_weights(vae()), images()
    kernel, bias = decoder_of(model)
    kernel[1] -= kernel[0] * (kernel[0] @ kernel[1]) / (kernel[0] @ kernel[0])  # the posterior's axes are independent
    variances = 1 / (1 + 2 * (kernel**2).sum(1))
    for name, values in {
        "decoder.0.kernel": kernel,
        "head.0.kernel": np.hstack([2 * kernel.T * variances, np.zeros((PIXELS, 2))]),
        "head.0.bias": np.concatenate([-2 * kernel @ bias * variances, np.log(variances)]),
    }.items():
        model.weights[name][...] = values
    np.testing.assert_allclose(log_likelihood(model, x, samples=1), linear_marginal(model, x), atol=2e-5)
    assert nll(model, x, samples=1) == pytest.approx(-linear_marginal(model, x).mean(), abs=1e-5)
    assert elbo(model, x)["elbo"] < -nll(model, x, samples=1) + 3  # one draw of a quantity that is equal in the mean


@pytest.mark.parametrize("seed", range(3))
def test_linear_vae_with_any_encoder_comes_close_to_the_exact_marginal(seed):
    model, x = set_weights(vae(), seed, 0.7), images(seed=seed)
    exact = linear_marginal(model, x)
    found = log_likelihood(model, x, samples=20000, seed=seed)
    np.testing.assert_allclose(found, exact, atol=0.05)
    assert nll(model, x, samples=20000, seed=seed) == pytest.approx(-exact.mean(), abs=0.02)


@pytest.mark.parametrize(("latent", "step"), [(1, 0.01), (2, 0.05)])
def test_bernoulli_vae_against_quadrature(latent, step):
    model = set_weights(vae(L.Sigmoid(), latent=latent), 3, 1.5)
    x = gm.datasets.binarize(images(), "dynamic")
    kernel, bias = decoder_of(model)
    nodes, weight = grid(latent, step)
    logits = nodes @ kernel + bias
    flat = x.reshape(len(x), 1, -1)
    densities = -(np.logaddexp(0, logits) - flat * logits).sum(2).T  # (nodes, images)
    exact = log_sum_exp(densities + weight[:, None])
    np.testing.assert_allclose(log_likelihood(model, x, samples=20000), exact, atol=0.05)


def test_tanh_decoder_is_measured_in_its_own_range():
    model, x = set_weights(vae(L.Tanh(), latent=1), 4), images()
    kernel, bias = decoder_of(model)
    nodes, weight = grid(1, 0.01)
    drawn = np.tanh(nodes @ kernel + bias)
    signal_ = 2 * x.reshape(len(x), 1, -1).astype(np.float64) - 1
    densities = -((drawn - signal_) ** 2).sum(2).T - PIXELS / 2 * math.log(math.pi)
    exact = log_sum_exp(densities + weight[:, None])
    np.testing.assert_allclose(log_likelihood(model, x, samples=20000), exact, atol=0.05)


def without_codes(model, bias):
    """The code plays no part: log p(x) = log p(x | anything), and q is the prior."""
    for view in model.weights.values():
        view[...] = 0
    model.weights["decoder.0.bias"][...] = bias
    return model


def test_logits_are_used_and_not_rounded_probabilities():
    model = without_codes(vae(L.Sigmoid()), 200.0)
    black = np.zeros((2, *SHAPE), np.uint8)
    assert log_likelihood(model, black, samples=3) == pytest.approx([-200.0 * PIXELS] * 2, rel=1e-6)
    assert log_likelihood(model, black + 255, samples=3) == pytest.approx([0.0, 0.0], abs=1e-6)


def test_conditional_likelihood_is_that_of_the_label():
    model = without_codes(vae(L.Sigmoid(), num_classes=3, encoder=[L.Flatten(), L.Dense(4)]), 0.0)
    logits = np.array([-1.0, 0.5, 2.0], np.float32)
    model.weights["decoder.0.kernel"][2:] = logits[:, None]
    labels = np.array([2, 0, 1, 1, 0])
    x = gm.datasets.binarize(images(5), "fixed")
    white = x.reshape(5, -1).sum(1)
    chosen = logits[labels].astype(np.float64)
    exact = white * chosen - PIXELS * np.logaddexp(0, chosen)
    np.testing.assert_allclose(log_likelihood(model, x, labels, samples=700), exact, atol=1e-5)


def test_more_samples_come_closer_from_below():
    model, x = set_weights(vae(L.Sigmoid()), 3, 1.5), gm.datasets.binarize(images(200), "dynamic")
    bound = -elbo(model, x)["elbo"]
    values = [nll(model, x, samples=samples) for samples in (1, 3, 30)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(bound, abs=0.5)
    assert values[0] - values[-1] > 0.5


def test_a_trained_network_with_batch_normalisation_and_dropout_keeps_everything():
    model, x = small.vae(), small.images(5)
    model.fit(small.images(), epochs=1, batch_size=25, verbose="silent")
    before = small.state(model)
    found = log_likelihood(model, x, samples=50)
    assert np.array_equal(found, log_likelihood(model, x, samples=50))
    for score in (elbo, reconstruction_error, active_units):
        score(model, x)
    assert small.state(model) == before


def test_the_same_bits_for_any_number_of_threads(threads):
    model, x = small.vae(), small.images(7)
    found = []
    for n in (1, 3):
        threads(n)
        found.append(log_likelihood(model, x, samples=300, binarize="dynamic"))
    assert np.array_equal(*found)


def test_an_image_is_estimated_from_its_place_and_the_seed_alone():
    model, x = small.vae(), small.images(150)
    found = log_likelihood(model, x, samples=9, seed=4)
    assert np.array_equal(found[:3], log_likelihood(model, x[:3], samples=9, seed=4))
    assert not np.array_equal(found, log_likelihood(model, x, samples=9, seed=5))
    twice = log_likelihood(model, np.repeat(x[:1], 2, axis=0), samples=9)
    assert twice[0] != twice[1]


def test_first_draws_are_those_of_fewer_draws():
    model, x = small.vae(), small.images(3)
    all_of_them = model._core.log_weights(x, None, (1, 0, 0), 200).reshape(3, 200)
    assert np.array_equal(model._core.log_weights(x, None, (1, 0, 0), 50).reshape(3, 50), all_of_them[:, :50])
    assert np.array_equal(model._core.log_weights(x[1:], None, (1, 1, 50), 150).reshape(2, 150), all_of_them[1:, 50:])


def test_pieces_do_not_matter(monkeypatch):
    model, x = small.vae(), small.images(5)
    whole = log_likelihood(model, x, samples=100)
    monkeypatch.setattr(likelihood, "ROWS", 7)
    np.testing.assert_allclose(log_likelihood(model, x, samples=100), whole, rtol=1e-13)


def test_binarization_is_that_of_the_data_sets():
    model, x = small.vae(), small.images(20)
    for how in ("fixed", "dynamic"):
        black_and_white = gm.datasets.binarize(x, how, seed=3)
        assert nll(model, x, samples=5, binarize=how, seed=3) == nll(model, black_and_white, samples=5, seed=3)
        assert elbo(model, x, binarize=how, seed=3) == elbo(model, black_and_white, seed=3)
    assert nll(model, x, samples=5, binarize="dynamic", seed=3) != nll(model, x, samples=5, seed=3)


class Interrupting:
    """The core, with a Ctrl-C in its first call."""

    def __init__(self, core):
        self.core, self.rows = core, []

    def log_weights(self, x, labels, place, draws):
        self.rows.append(len(x) * draws)
        weights = self.core.log_weights(x, labels, place, draws)
        signal.raise_signal(signal.SIGINT)
        return weights


@pytest.mark.parametrize("samples", [1, 100, 10**6])
def test_ctrl_c_counts_after_a_piece(samples):
    model = small.vae()
    model._core = Interrupting(model._core)
    with pytest.raises(KeyboardInterrupt):
        nll(model, np.repeat(small.images(), 80, axis=0), samples=samples)
    assert len(model._core.rows) == 1
    assert likelihood.ROWS / 2 < model._core.rows[0] <= likelihood.ROWS


# ---- the bound, reconstructions, codes ------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [L.Sigmoid(), L.Tanh()])
def test_bound_leaves_out_what_training_weighs(last):
    x = images(300)
    plain = set_weights(vae(last))
    weighted = set_weights(vae(last, beta=4.0, reduction="mean"))
    assert elbo(plain, x) == pytest.approx(elbo(weighted, x), rel=1e-6)
    parts, losses = elbo(plain, x), plain.evaluate(x)
    constant = 0 if last == L.Sigmoid() else PIXELS / 2 * math.log(math.pi)
    assert parts["reconstruction"] == pytest.approx(losses["reconstruction"] + constant, rel=1e-9)
    assert parts["kl"] == losses["kl"]
    assert parts["elbo"] == -(parts["reconstruction"] + parts["kl"])


def test_seed_draws_other_codes():
    model, x = set_weights(vae(L.Sigmoid())), images(5)
    first, second = elbo(model, x, seed=1), elbo(model, x, seed=2)
    assert first["kl"] == second["kl"]
    assert first["reconstruction"] != second["reconstruction"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("last", [L.Sigmoid(), L.Tanh()])
def test_reconstruction_error_is_the_mean_square_of_a_pixel(last, dtype, monkeypatch):
    monkeypatch.setattr(likelihood, "PIECE", 4)
    model, x = set_weights(vae(last)), images(11)
    x = (x * 255).astype(np.uint8) if dtype == np.uint8 else x
    wanted = x / 255 if dtype == np.uint8 else x
    expected = np.mean((model.reconstruct(x).astype(np.float64) - wanted) ** 2)
    assert reconstruction_error(model, x) == pytest.approx(expected, rel=1e-6)


def test_reconstruction_error_of_black_for_white_is_one():
    model = without_codes(vae(L.Sigmoid()), -200.0)
    assert reconstruction_error(model, np.full((3, *SHAPE), 255, np.uint8)) == 1.0


def test_active_units_are_axes_whose_mean_varies():
    model, x = set_weights(vae(L.Sigmoid(), latent=3)), images(50)
    model.weights["head.0.kernel"][:, 0] *= 5
    model.weights["head.0.kernel"][:, 1] = 0  # always the same mean: the axis tells nothing
    model.weights["head.0.kernel"][:, 2] *= 0.1
    count, variances = active_units(model, x)
    mean, _ = model.encode(x)
    np.testing.assert_allclose(variances, mean.astype(np.float64).var(axis=0, ddof=1))
    assert count == 1
    assert variances[1] == 0 < variances[2] < 0.01 < variances[0]
    assert active_units(model, x, threshold=0.0)[0] == 2
    assert active_units(model, x, threshold=1e3)[0] == 0


def test_labels_reach_all_of_them():
    model, x = set_weights(vae(L.Sigmoid(), num_classes=2, encoder=[L.Flatten(), L.Dense(4)])), images(6)
    ones, zeros = np.ones(6, int), np.zeros(6, int)
    for score in (elbo, reconstruction_error, lambda *a: active_units(*a)[1].sum()):
        assert score(model, x, ones) == score(model, x, ones)
        assert score(model, x, ones) != score(model, x, zeros)
        with pytest.raises(ValueError, match="labels are needed"):
            score(model, x)


# ---- bad input ----------------------------------------------------------------------------------------------------

SCORES = [nll, log_likelihood, elbo, reconstruction_error, active_units]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((0, *SHAPE), np.uint8), ValueError, "empty"),
        (np.zeros((2, 4, 3, 1), np.uint8), ValueError, r"expected \(N, 3, 4, 1\)"),
        (np.full((2, *SHAPE), np.nan, np.float32), ValueError, "is nan, must be in"),
        (np.full((2, *SHAPE), 1.5), ValueError, "1.5"),
        (np.zeros((2, *SHAPE), int), TypeError, "int64"),
        ("picture", TypeError, "dtype"),
    ],
)
def test_unfit_images_are_refused(score, x, error, message):
    with pytest.raises(error, match=message):
        score(vae(L.Sigmoid()), x)


@pytest.mark.parametrize("score", SCORES)
def test_other_models_and_labels_of_none_are_refused(score):
    with pytest.raises(TypeError, match="model must be a VAE"):
        score(small.gan(), small.images(2))
    with pytest.raises(ValueError, match="the model has none"):
        score(vae(L.Sigmoid()), images(2), np.zeros(2, int))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"samples": 0}, ValueError, "samples is 0, must be at least 1"),
        ({"samples": 2.5}, TypeError, "samples"),
        ({"samples": 2**50}, OverflowError, "samples"),
        ({"seed": -1}, ValueError, "seed"),
        ({"binarize": "always"}, ValueError, "binarize is 'always', must be one of 'fixed', 'dynamic'"),
        ({"binarize": True}, TypeError, "binarize"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        nll(vae(L.Sigmoid()), images(2), **arguments)


def test_bad_threshold_and_a_single_image():
    with pytest.raises(ValueError, match="threshold"):
        active_units(vae(), images(2), threshold=-1)
    with pytest.raises(ValueError, match="at least 2"):
        active_units(vae(), images(1))


def test_numbers_that_are_not_finite_are_an_error():
    model = vae(L.Sigmoid())
    model.weights["head.0.bias"][:2] = 3e38
    model.weights["head.0.bias"][2:] = 3000
    for score in (nll, log_likelihood, elbo):
        with pytest.raises(FloatingPointError, match="weights too large"):
            score(model, images(2))
    model.weights["head.0.bias"][...] = np.inf
    for score in (reconstruction_error, active_units):
        with pytest.raises(FloatingPointError, match="weights too large"):
            score(model, images(2))


def test_core_refuses_what_the_stream_has_no_room_for():
    core, x = small.vae()._core, small.images(2)
    for place, draws, error in [
        ((0, 2**32 - 1, 0), 5, OverflowError),
        ((0, 0, 2**40), 5, OverflowError),
        ((0, 0, 0), 0, ValueError),
        ((0, 0, 0), -3, ValueError),
        ((0, 0, 0), 2**40, OverflowError),
        ((0, 0), 5, TypeError),
    ]:
        with pytest.raises(error):
            core.log_weights(x, None, place, draws)
