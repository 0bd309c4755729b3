"""ONNX files as extractors: a small convolutional network made here, beside the same network computed by NumPy."""

import json
import sys

import numpy as np
import pytest

from genmodels import metrics
from genmodels.datasets import resize

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIDE, FILTERS = 12, 5


def network(path, layout="NCHW", channels=1, side=SIDE, metadata=()):
    """conv 3x3 valid, relu, mean over the image; returns the kernel (FILTERS, channels, 3, 3) and bias."""
    random = np.random.default_rng(0)
    kernel = random.normal(size=(FILTERS, channels, 3, 3)).astype(np.float32)
    bias = random.normal(size=FILTERS).astype(np.float32)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    axes = {"N": "N", "C": channels, "H": side, "W": side}
    entry = helper.make_tensor_value_info("images", kind, [axes[axis] for axis in layout])
    result = helper.make_tensor_value_info("features", kind, ["N", FILTERS, 1, 1])
    turn = [] if layout == "NCHW" else [helper.make_node("Transpose", ["images"], ["x"], perm=[0, 3, 1, 2])]
    nodes = [
        *turn,
        helper.make_node("Conv", ["x" if turn else "images", "kernel", "bias"], ["y"]),
        helper.make_node("Relu", ["y"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["features"]),
    ]
    values = [onnx.numpy_helper.from_array(kernel, "kernel"), onnx.numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph(nodes, "net", [entry], [result], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)
    return kernel, bias


def by_numpy(x, kernel, bias):
    """x (N, H, W, C) float64."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    made = np.einsum("nijckl,fckl->nijf", windows, kernel.astype(np.float64)) + bias
    return np.maximum(made, 0).mean(axis=(1, 2))


def images(n=7, side=SIDE, channels=1):
    return np.random.default_rng(1).random((n, side, side, channels), np.float32)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_the_networks(tmp_path, layout, channels):
    kernel, bias = network(tmp_path / "net.onnx", layout, channels)
    x = images(channels=channels)
    found = metrics.features(x, tmp_path / "net.onnx")
    assert abs(found - by_numpy(x.astype(float), kernel, bias)).max() < 1e-5
    assert np.array_equal(metrics.features(x, str(tmp_path / "net.onnx")), found)


def test_size_range_and_channels_are_made_to_fit(tmp_path):
    kernel, bias = network(tmp_path / "net.onnx", channels=3)
    x = images(side=28)
    extractor = metrics.OnnxExtractor(tmp_path / "net.onnx", range=(-1, 1))
    expected = by_numpy(2 * resize(x, SIDE, "bicubic").astype(float).repeat(3, axis=3) - 1, kernel, bias)
    assert abs(metrics.features(x, extractor) - expected).max() < 1e-5
    assert (extractor.size, extractor.layout, extractor.channels) == ((SIDE, SIDE), "NCHW", 3)


def test_what_the_file_says_is_read(tmp_path):
    network(tmp_path / "net.onnx", metadata={"genmodels.range": json.dumps([0, 255])})
    assert metrics.OnnxExtractor(tmp_path / "net.onnx").range == (0, 255)
    for damaged in ("[0, 255", "[" * 100_000):
        network(tmp_path / "net.onnx", metadata={"genmodels.range": damaged})
        with pytest.raises(ValueError, match=r"genmodels\.range in the file's metadata is"):
            metrics.OnnxExtractor(tmp_path / "net.onnx")
    network(tmp_path / "any.onnx", side="S")
    with pytest.raises(ValueError, match="any size: give size="):
        metrics.OnnxExtractor(tmp_path / "any.onnx")
    assert metrics.features(images(side=9), metrics.OnnxExtractor(tmp_path / "any.onnx", size=16)).shape == (7, FILTERS)


def test_the_hash_is_of_file_and_settings(tmp_path):
    network(tmp_path / "net.onnx")
    network(tmp_path / "other.onnx", channels=3)
    made = [
        metrics.OnnxExtractor(tmp_path / "net.onnx"),
        metrics.OnnxExtractor(tmp_path / "net.onnx", range=(-1, 1)),
        metrics.OnnxExtractor(tmp_path / "net.onnx", method="bilinear"),
        metrics.OnnxExtractor(tmp_path / "other.onnx"),
    ]
    assert len({one.hash for one in made}) == 4
    assert metrics.OnnxExtractor(tmp_path / "net.onnx").hash == made[0].hash
    found = metrics.evaluate(images(20, 28), images(30, 28), extractor=made[0])
    assert found["extractor"] == f"net.onnx:{made[0].hash}"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 13}, ValueError, r"size is \(13, 13\)"),
        ({"range": (1, 0)}, ValueError, "black must be below white"),
        ({"range": 5}, TypeError, "range must be a pair"),
        ({"layout": "NWHC"}, ValueError, "layout is 'NWHC'"),
        ({"layout": "NHWC"}, ValueError, "takes 12 channels"),
        ({"method": "nearest"}, ValueError, "method is 'nearest'"),
        ({"output": "logits"}, ValueError, "output is 'logits'"),
    ],
)
def test_bad_arguments(tmp_path, arguments, error, message):
    network(tmp_path / "net.onnx")
    with pytest.raises(error, match=message):
        metrics.OnnxExtractor(tmp_path / "net.onnx", **arguments)


def test_what_is_no_onnx_file(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="no ONNX file"):
        metrics.OnnxExtractor(tmp_path / "no.onnx")
    with pytest.raises(FileNotFoundError):
        metrics.OnnxExtractor(tmp_path / "none.onnx")


def test_onnxruntime_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"genmodels\[onnx\]"):
        metrics.OnnxExtractor(tmp_path / "net.onnx")
