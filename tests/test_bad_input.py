"""Bad input to networks and VAEs: a clear exception, and everything as it was before."""

import numpy as np
import pytest

import genmodels as gm
from genmodels import _core
from genmodels import layers as L

SHAPE = (8, 8, 1)
ENCODER = [L.Flatten(), L.Dense(16), L.BatchNorm(), L.ReLU(), L.Dropout(0.2)]
DECODER = [L.Dense(64), L.Reshape(SHAPE), L.Sigmoid()]


def build(**changes):
    options = {"encoder": ENCODER, "decoder": DECODER, "input_shape": SHAPE, "latent_dim": 2}
    return gm.VAE(**{**options, **changes})


def snapshot(vae):
    tensors = {**vae.weights, **vae._optimizer_tensors()}
    return {name: view.tobytes() for name, view in tensors.items()}, vae._counters(), repr(vae.history.__dict__)


@pytest.fixture(scope="module")
def plain():
    vae = build()
    vae.train_step(np.zeros((3, *SHAPE), np.uint8))
    return vae


@pytest.fixture(scope="module")
def conditional():
    vae = build(num_classes=4)
    vae.train_step(np.zeros((3, *SHAPE), np.uint8), [0, 1, 2])
    return vae


def pixels(value=0.5, n=3):
    return np.full((n, *SHAPE), value, np.float32)


def spoiled(value):
    x = pixels()
    x[1, 2, 3, 0] = value
    return x


IMAGES = [
    (pixels()[0], ValueError, r"shape \(8, 8, 1\), expected \(N, 8, 8, 1\)"),
    (pixels()[..., 0], ValueError, r"shape \(3, 8, 8\), expected \(N, 8, 8, 1\)"),
    (pixels()[None], ValueError, r"shape \(1, 3, 8, 8, 1\)"),
    (np.float32(0.5), ValueError, r"shape \(\)"),
    (np.zeros((3, 8, 8, 3), np.uint8), ValueError, r"shape \(3, 8, 8, 3\)"),
    (np.zeros((3, 8, 7, 1), np.uint8), ValueError, r"shape \(3, 8, 7, 1\), .*datasets.resize\(x, \(8, 8\)\)"),
    (np.zeros((3, 9, 9, 3), np.uint8), ValueError, r"expected \(N, 8, 8, 1\)$"),  # which no size alone makes right
    (np.zeros((0, 8, 8, 1), np.uint8), ValueError, "empty"),
    (pixels().astype(np.float16), TypeError, "float16"),
    (pixels().astype(np.longdouble), TypeError, "must be uint8, float32 or float64"),
    (np.zeros((3, *SHAPE), np.int64), TypeError, "int64"),
    (np.zeros((3, *SHAPE), bool), TypeError, "bool"),
    (np.zeros((3, *SHAPE), complex), TypeError, "complex128"),
    (np.zeros((3, *SHAPE), object), TypeError, "object"),
    (np.full((3, *SHAPE), "a"), TypeError, "dtype"),
    (None, TypeError, "object"),
    ("images", TypeError, "dtype"),
    ([[1.0], [1.0, 2.0]], ValueError, "cannot be made an array"),
    (spoiled(np.nan), ValueError, "nan"),
    (spoiled(np.inf), ValueError, "inf"),
    (spoiled(-np.inf), ValueError, "inf"),
    (spoiled(1.1), ValueError, r"1\.1"),
    (spoiled(-0.01), ValueError, r"-0\.01"),
    (spoiled(1.0).astype(np.float64) * 1e300, ValueError, "inf"),
    (spoiled(1.5), ValueError, r"is 1\.5, must be in \[0, 1\]$"),
    (255 * pixels(1.0), ValueError, r"is 255, must be in \[0, 1\]: bytes are divided by 255, or given as uint8"),
    (13 * pixels(1.0), ValueError, r"is 13, must be in \[0, 1\]: bytes are divided by 255"),
]


@pytest.mark.parametrize(("x", "error", "words"), IMAGES)
@pytest.mark.parametrize("call", ["train_step", "evaluate", "encode", "reconstruct", "_check_data", "fit"])
def test_unfit_images(plain, call, x, error, words):
    before = snapshot(plain)
    arguments = (x, None) if call == "_check_data" else (x,)
    with pytest.raises(error, match=words):
        getattr(plain, call)(*arguments)
    assert snapshot(plain) == before


def test_pixels_within_the_tolerance_are_taken(plain):
    plain.encode(pixels(1 + 5e-7))
    plain.encode(pixels(-5e-7))
    with pytest.raises(ValueError, match=r"is 1\.00000"):  # and not "is 1, must be in [0, 1]"
        plain.encode(pixels(1 + 3e-6))


LABELS = [
    (None, ValueError, "labels are needed"),
    ([0, 1], ValueError, r"shape \(2,\), expected \(3,\)"),
    ([[0, 1, 2]], ValueError, r"shape \(1, 3\)"),
    ([0, 1, 4], ValueError, r"labels\[2\] is 4, must be in 0..3"),
    ([0, -1, 2], ValueError, r"labels\[1\] is -1"),
    (np.array([0, 1, 2**64 - 1], np.uint64), ValueError, r"labels\[2\]"),
    ([0.0, 1.0, 2.0], TypeError, "float64"),
    ([True, False, True], TypeError, "bool"),
    (["a", "b", "c"], TypeError, "dtype"),
    (np.array([None] * 3), TypeError, "object"),
]


@pytest.mark.parametrize(("labels", "error", "words"), LABELS)
@pytest.mark.parametrize("call", ["train_step", "evaluate", "encode", "reconstruct", "decode", "sample", "fit"])
def test_unfit_labels(conditional, call, labels, error, words):
    before = snapshot(conditional)
    first = {"decode": np.zeros((3, 2), np.float32), "sample": 3}.get(call, pixels())
    with pytest.raises(error, match=words):
        getattr(conditional, call)(first, labels)
    assert snapshot(conditional) == before


@pytest.mark.parametrize("call", ["train_step", "evaluate", "encode", "decode", "sample", "fit"])
def test_labels_for_an_unconditional_model(plain, call):
    before = snapshot(plain)
    first = {"decode": np.zeros((3, 2), np.float32), "sample": 3}.get(call, pixels())
    with pytest.raises(ValueError, match="num_classes=0"):
        getattr(plain, call)(first, [0, 0, 0])
    assert snapshot(plain) == before


@pytest.mark.parametrize(
    ("z", "error", "words"),
    [
        (np.zeros((3, 3), np.float32), ValueError, r"z has shape \(3, 3\), expected \(N, 2\)"),
        (np.zeros(2, np.float32), ValueError, r"z has shape \(2,\)"),
        (np.zeros((0, 2), np.float32), ValueError, "z is empty"),
        (np.zeros((3, 2), int), TypeError, "z has dtype int64"),
        (np.array([[0, np.nan]], np.float32), ValueError, r"z\[0, 1\] is nan"),
        (np.array([[1e300, 0]]), ValueError, r"z\[0, 0\] is inf"),
        (None, TypeError, "z has dtype object"),
    ],
)
def test_unfit_codes_and_noise(plain, z, error, words):
    before = snapshot(plain)
    with pytest.raises(error, match=words):
        plain.decode(z)
    if z is not None:
        with pytest.raises(error, match=words.replace("z", "noise", 1)):
            plain.train_step(pixels(), noise=z)
    assert snapshot(plain) == before


def test_noise_for_another_number_of_images(plain):
    before = snapshot(plain)
    with pytest.raises(ValueError, match="noise has 2 rows, x has 3 images"):
        plain.train_step(pixels(), noise=np.zeros((2, 2), np.float32))
    assert snapshot(plain) == before


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0,), ValueError, "n is 0, must be at least 1"),
        ((-1,), ValueError, "n is -1"),
        ((2.0,), TypeError, "n must be an int"),
        ((True,), TypeError, "n must be an int"),
        ((None,), TypeError, "n must be an int"),
        ((10**30,), OverflowError, "n is 1000"),
        ((2**40,), OverflowError, "exceed the limit"),
        ((3, None, -1), ValueError, "seed is -1"),
        ((3, None, 2**64), ValueError, "seed is 18446744073709551616"),
        ((3, None, 1.5), TypeError, "seed must be an int"),
    ],
)
def test_unfit_sample_arguments(plain, arguments, error, words):
    before = snapshot(plain)
    with pytest.raises(error, match=words):
        plain.sample(*arguments)
    assert snapshot(plain) == before


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n": 0}, ValueError, "n is 0"),
        ({"spread": -1.0}, ValueError, "spread is -1"),
        ({"spread": "1"}, TypeError, "spread must be a number"),
        ({"seed": -1}, ValueError, "seed"),
        ({"labels": [0, 1]}, ValueError, "labels were given"),
        ({"x": np.zeros((2, 3, 3, 1))}, ValueError, "x has shape"),
    ],
)
def test_unfit_sample_near_arguments(plain, arguments, error, words):
    x = np.zeros((2, *plain.input_shape), np.uint8)
    with pytest.raises(error, match=words):
        plain.sample_near(**({"x": x} | arguments))


def test_a_sample_too_large_leaves_the_streams():
    """The codes fit, the images do not: the model's stream has not moved."""
    decoder = [L.Dense(2**20), L.Reshape((2**10, 2**10, 1)), L.Sigmoid()]
    vae = build(encoder=[L.Flatten(), L.Dense(1)], decoder=decoder, input_shape=(2**10, 2**10, 1), latent_dim=1)
    before = vae._counters()
    with pytest.raises(OverflowError, match="exceed the limit"):
        vae.sample(2**20 + 1)
    assert vae._counters() == before


# Activations of 2^22 samples: 40 times 4 TiB, more than there are addresses; the weights are a few megabytes.
WIDE = [L.Dense(2**18), *[L.Dropout(0.5)] * 40, L.Dense(1)]


def test_a_batch_too_large_for_memory_leaves_the_model():
    vae = build(
        encoder=[L.Flatten(), *WIDE], decoder=[L.Dense(1), L.Reshape((1, 1, 1)), L.Sigmoid()], input_shape=(1, 1, 1)
    )
    vae.train_step(np.zeros((2, 1, 1, 1), np.uint8))
    before = snapshot(vae)
    for n, error in ((2**22, MemoryError), (2**22 + 1, OverflowError)):
        with pytest.raises(error):
            vae.train_step(np.zeros((n, 1, 1, 1), np.uint8))
    assert snapshot(vae) == before
    vae.train_step(np.zeros((3, 1, 1, 1), np.uint8))


def test_a_batch_too_large_for_memory_leaves_the_network():
    net = gm.Network(WIDE, (1,))
    before = state(net)
    for n, error in ((2**22, MemoryError), (2**22 + 1, OverflowError)):
        with pytest.raises(error):
            net.forward(np.zeros((n, 1), np.float32), training=True)
    assert state(net) == before
    assert net.forward(np.zeros((3, 1), np.float32), training=True).shape == (3, 1)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"latent_dim": 0}, ValueError, "latent_dim is 0, must be at least 1"),
        ({"latent_dim": 2.0}, TypeError, "latent_dim must be an int"),
        ({"latent_dim": 2**39}, OverflowError, "head"),
        ({"num_classes": -1}, ValueError, "num_classes is -1"),
        ({"num_classes": None}, TypeError, "num_classes must be an int"),
        ({"beta": -1}, ValueError, r"beta is -1\.0"),
        ({"beta": float("nan")}, ValueError, "beta is nan, must be finite"),
        ({"beta": "1"}, TypeError, "beta must be a number"),
        ({"reconstruction": "l1"}, ValueError, "must be one of 'bce', 'mse'"),
        ({"reconstruction": None}, TypeError, "reconstruction must be a str"),
        ({"reduction": "none"}, ValueError, "must be one of 'sum', 'mean'"),
        ({"precision": "float16"}, ValueError, "must be one of 'float32', 'bf16', 'high'"),
        ({"optimizer": "adam"}, TypeError, "optimizer must be one of genmodels.optimizers"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"input_shape": (8, 8)}, ValueError, r"input_shape is \(8, 8\), must have 3 axes"),
        ({"input_shape": (8, 0, 1)}, ValueError, "input_shape is 0"),
        ({"input_shape": 8}, TypeError, "input_shape must be a tuple"),
        ({"input_shape": (2**20, 2**20, 2**20)}, OverflowError, "exceed the limit"),
        ({"input_shape": (2**62, 1, 1)}, OverflowError, "input_shape is"),
        ({"encoder": [L.Dense(3)]}, ValueError, r"encoder: layer 0 \(Dense\)"),
        ({"encoder": [L.Flatten(), L.Conv2D(3, 3)]}, ValueError, r"encoder: layer 1 \(Conv2D\)"),
        ({"encoder": [L.Conv2D(3, 9), L.Flatten()]}, ValueError, r"encoder: layer 0 \(Conv2D\)"),
        ({"encoder": [L.Flatten]}, TypeError, "call it"),
        ({"encoder": ["Flatten"]}, TypeError, r"encoder\[0\] is 'Flatten', not a layer"),
        ({"encoder": L.Flatten()}, TypeError, "encoder must be a list of layers"),
        ({"encoder": None}, TypeError, "encoder must be a list of layers"),
        ({"decoder": [L.Dense(64), L.Sigmoid()]}, ValueError, "decoder"),
        ({"decoder": [L.Dense(64), L.Reshape((8, 9, 1)), L.Sigmoid()]}, ValueError, r"decoder: layer 1 \(Reshape\)"),
        ({"decoder": [L.Dense(81), L.Reshape((9, 9, 1)), L.Sigmoid()]}, ValueError, "decoder"),
        ({"decoder": DECODER[:2]}, ValueError, "Sigmoid"),
        ({"decoder": [*DECODER[:2], L.Tanh()]}, ValueError, "Sigmoid"),
    ],
)
def test_unfit_models(changes, error, words):
    with pytest.raises(error, match=words):
        build(**changes)


@pytest.mark.parametrize("make", [lambda x: build(seed=x), lambda x: build(encoder=x), L.Dense, gm.zoo.build])
def test_messages_do_not_list_whole_arrays(make):
    with pytest.raises(TypeError) as caught:
        make(np.zeros((10, 8, 8)))
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_arguments_are_keywords():
    with pytest.raises(TypeError):
        gm.VAE(ENCODER, DECODER, SHAPE, 2)
    with pytest.raises(TypeError, match="latent"):
        build(latent=3)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"latent": 2}, ValueError, "missing or unknown: latent"),
        ({"encoder": "Dense"}, TypeError, "encoder must be a list"),
        ({"encoder": [{"kind": "Magic"}]}, ValueError, "Magic"),
        ({"optimizer": {"kind": "Adam", "gamma": 1}}, ValueError, "has no field gamma"),
        ({"input_shape": "abc"}, TypeError, "input_shape"),
        ({"latent_dim": None}, TypeError, "latent_dim"),
    ],
)
def test_unfit_configs(change, error, words):
    with pytest.raises(error, match=words):
        gm.VAE.from_config({**build().config, **change})


@pytest.mark.parametrize(
    ("name", "value"),
    [("encoder.1.kernel", np.nan), ("decoder.0.kernel", 3e38), ("head.0.bias", 200), ("decoder.0.bias", -np.inf)],
)
def test_a_step_that_diverges_leaves_the_model(name, value):
    """A loss that overflows stops the step: FloatingPointError, and nothing of the model has moved."""
    vae = build()
    vae.train_step(pixels())
    vae.weights[name][...] = value
    before = snapshot(vae)
    with pytest.raises(FloatingPointError):
        vae.train_step(np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32))
    assert snapshot(vae) == before


# ---- networks -------------------------------------------------------------------------------------


@pytest.fixture
def net():
    return gm.Network([L.Dense(4), L.BatchNorm()], input_shape=(3,))


def state(net):
    return [view.tobytes() for view in (*net.weights.values(), *net.gradients.values())], net._core.clock


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.zeros((2, 4), np.float32), ValueError, r"x has shape \(2, 4\), expected \(N, 3\)"),
        (np.zeros(3, np.float32), ValueError, r"x has shape \(3,\)"),
        (np.zeros((0, 3), np.float32), ValueError, "x is empty"),
        (np.zeros((2, 3), np.uint8), TypeError, "uint8"),
        (np.zeros((2, 3), np.float16), TypeError, "float16"),
        (None, TypeError, "object"),
        (np.broadcast_to(np.float32(0), (2**50, 3)), (MemoryError, OverflowError, ValueError), None),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_unfit_network_input(net, x, error, words, training):
    before = state(net)
    with pytest.raises(error, match=words):
        net.forward(x, training)
    assert state(net) == before


def test_training_must_be_a_bool(net):
    with pytest.raises(TypeError, match="training must be True or False"):
        net.forward(np.zeros((2, 3), np.float32), training=1)


def test_backward_needs_its_forward(net):
    x, dy = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
    with pytest.raises(ValueError, match="no forward"):
        net.backward(dy)
    net.forward(x)
    with pytest.raises(ValueError, match="no forward"):
        net.backward(dy)
    net.forward(x, training=True)
    before = state(net)
    for unfit, error in ((dy[:1], ValueError), (dy[:, :3], ValueError), (dy.astype(int), TypeError), (None, TypeError)):
        with pytest.raises(error):
            net.backward(unfit)
    assert state(net) == before
    assert net.backward(dy).shape == (2, 3)
    with pytest.raises(ValueError, match="once"):
        net.backward(dy)


def test_inference_and_training_steps_end_the_wait_for_backward(plain):
    net = plain.networks["decoder"]
    dy = np.zeros((2, *SHAPE), np.float32)
    z = np.zeros((2, 2), np.float32)
    for between in (lambda: net.forward(z), lambda: plain.train_step(pixels())):
        net.forward(z, training=True)
        between()
        with pytest.raises(ValueError, match="no forward"):
            net.backward(dy)


@pytest.mark.parametrize(
    ("layers", "shape", "error", "words"),
    [
        ([L.Dense(3)], (4, 4, 1), ValueError, r"layer 0 \(Dense\)"),
        ([L.Dense(3), L.Conv2D(3, 3)], (4,), ValueError, r"layer 1 \(Conv2D\)"),
        ([L.Conv2D(3, 5)], (4, 4, 1), ValueError, r"layer 0 \(Conv2D\)"),
        ([L.Conv2DTranspose(3, 1, padding=4)], (4, 4, 1), ValueError, r"layer 0 \(Conv2DTranspose\)"),
        ([L.Reshape((5,))], (4,), ValueError, r"layer 0 \(Reshape\)"),
        ([L.LSTM(3)], (4, 4, 1), ValueError, r"layer 0 \(LSTM\): input \(4, 4, 1\) .*\(add Reshape\(\(steps, features"),
        ([L.LSTM(3)], (4,), ValueError, r"layer 0 \(LSTM\)"),
        ([L.LSTM(2**39)], (4, 4), OverflowError, "exceed the limit"),
        ([L.LSTM(2**20)], (4, 4), OverflowError, "exceed the limit"),
        ([L.MaxPool2D()], (4,), ValueError, r"layer 0 \(MaxPool2D\): input \(4,\) must have 3 dimensions"),
        ([L.AvgPool2D(5)], (4, 4, 1), ValueError, r"the window \(5, 5\) exceeds the padded input \(4, 4\)"),
        ([L.MaxPool2D(2**21)], (4, 4, 1), ValueError, r"pool_size \(2097152, 2097152\) must be 1 to 1048576"),
        ([L.GlobalAvgPool2D()], (4, 4), ValueError, r"layer 0 \(GlobalAvgPool2D\)"),
        ([L.GlobalMaxPool2D()], (2**16, 2**15, 1), OverflowError, "2147483648 pixels, at most 2147483647"),
        ([L.UpSampling2D()], (4,), ValueError, r"layer 0 \(UpSampling2D\)"),
        ([L.UpSampling2D(2**20)], (4, 4, 1), OverflowError, "exceed the limit"),
        ([L.UpSampling2D(2**40)], (4, 4, 1), OverflowError, "exceed the limit"),
        ([L.Dense(2**39)], (4,), OverflowError, "exceed the limit"),
        ([L.Dense(2**39), L.Dense(2**39)], (1,), OverflowError, "exceed the limit"),
        ([], (2**30, 2**30), OverflowError, "exceed the limit"),
        ([], (), ValueError, "input_shape is"),
        ([], (1,) * 5, ValueError, "input_shape is"),
        ([], (3.0,), TypeError, "input_shape must be an int"),
        ([L.Dense(3), None], (4,), TypeError, r"layers\[1\] is None, not a layer"),
        (L.Dense(3), (4,), TypeError, "layers must be a list"),
    ],
)
def test_unfit_networks(layers, shape, error, words):
    with pytest.raises(error, match=words):
        gm.Network(layers, shape)


@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), (257, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), (10**30, ValueError)],
)
def test_unfit_thread_counts(n, error):
    before = gm.get_num_threads()
    with pytest.raises(error, match="threads"):
        gm.set_num_threads(n)
    assert gm.get_num_threads() == before


# ---- the core itself ------------------------------------------------------------------------------


X32 = np.zeros((2, 3), np.float32)
POOL = {"kind": "MaxPool2D", "kernel_size": (2, 2), "strides": (1, 1)}
DENSE = {"kind": "Dense", "units": 4, "use_bias": True, "kernel_initializer": "glorot_uniform"}


@pytest.mark.parametrize(
    "call",
    [
        lambda: _core.Network(),
        lambda: _core.Network([{}], (3,), 0),
        lambda: _core.Network([{"kind": 5}], (3,), 0),
        lambda: _core.Network([{"kind": "Dense\0"}], (3,), 0),
        lambda: _core.Network([{"kind": "\ud800"}], (3,), 0),
        lambda: _core.Network([{**DENSE, "unit": 4}], (3,), 0),
        lambda: _core.Network([{**DENSE, "units": "4"}], (3,), 0),
        lambda: _core.Network([{**DENSE, "units": 2**70}], (3,), 0),
        lambda: _core.Network([{**DENSE, "units": -1}], (3,), 0),
        lambda: _core.Network([{"kind": "Reshape", "shape": (1,) * 9}], (3,), 0),
        lambda: _core.Network([{"kind": "Conv2D", "filters": 1, "kernel_size": (1,)}], (3, 3, 1), 0),
        lambda: _core.Network([{"kind": "Conv2D", "filters": 1, "kernel_size": (1, 1)}], (3, 3, 1), 0),
        lambda: _core.Network([{"kind": "MaxPool2D", "kernel_size": (0, 2), "strides": (1, 1)}], (3, 3, 1), 0),
        lambda: _core.Network([{"kind": "AvgPool2D", "kernel_size": (2, 2), "strides": (1, 0)}], (3, 3, 1), 0),
        lambda: _core.Network([{**POOL, "padding": "explicit", "pad": (1, 2)}], (3, 3, 1), 0),
        lambda: _core.Network([{**POOL, "padding": "explicit", "pad": (-1, 0)}], (3, 3, 1), 0),
        lambda: _core.Network([{"kind": "UpSampling2D", "size": (0, 1)}], (3, 3, 1), 0),
        lambda: _core.Network([{"kind": "LSTM", "units": 0}], (3, 3), 0),
        lambda: _core.Network([{"kind": "LSTM", "units": 2**62}], (3, 3), 0),
        lambda: _core.Network([{"kind": "LayerNorm"}], (3, 3, 1), 0),
        lambda: _core.Network([DENSE], (-3,), 0),
        lambda: _core.Network([DENSE], (3,), -1),
        lambda: _core.Network([DENSE], (3,), 2**64),
        lambda: _core.Network([DENSE], "abc", 0),
        lambda: _core.Network(5, (3,), 0),
        lambda: _core.Network([5], (3,), 0),
        lambda: _core.Network([DENSE], (3,), 0).forward(X32[::2, ::1].T, False),
        lambda: _core.Network([DENSE], (3,), 0).forward(np.zeros((4, 3), np.float32)[::2], False),
        lambda: _core.Network([DENSE], (3,), 0).forward(X32.astype(">f4"), False),
        lambda: _core.Network([DENSE], (3,), 0).forward(X32.astype(np.float64), False),
        lambda: _core.Network([DENSE], (3,), 0).forward(np.zeros((1,) * 9, np.float32), False),
        lambda: _core.Network([DENSE], (3,), 0).forward([[1, 2, 3]], False),
        lambda: _core.VAE(None, None, None, {}),
        lambda: _core.VAE(*[_core.Network([], (3,), 0)] * 3, {}),
        lambda: _core.VAE(*[_core.Network([], (3,), 0) for _ in range(3)], {}),
        lambda: _core.VAE(*[_core.Network([], (3,), 0) for _ in range(3)], {"image": (0, 0, 0), "latent_dim": 0}),
        lambda: _core.VAE(*[_core.Network([], (3,), 0) for _ in range(3)], {"optimizer": {"kind": "Magic"}}),
        lambda: _core.permutation(0, 0, -1),
        lambda: _core.permutation(0, 2**32, 1),
        lambda: _core.permutation(-1, 0, 1),
        lambda: _core.permutation("0", 0, 1),
        lambda: _core.permutation(0, 0, 2**60),
        lambda: _core.normal(0, 0, 2**41),
        lambda: _core.check_images(X32, (3,) * 9),
        lambda: _core.set_num_threads("2"),
    ],
)
def test_the_core_checks_for_itself(call):
    """Whatever it is given, it raises; it does not crash."""
    with pytest.raises((ValueError, TypeError, OverflowError, MemoryError)):
        call()
