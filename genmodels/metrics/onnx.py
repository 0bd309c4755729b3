"""Networks in ONNX files as extractors, run by onnxruntime: who owns a file of Inception-v3 gets the published FID."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np

from .. import _validate as check
from .._files import file_name
from .._json import parse_json
from .extractors import fitted

LAYOUTS = {"NCHW": (0, 3, 1, 2), "NHWC": (0, 1, 2, 3)}
METHODS = ("area", "bilinear", "bicubic")


class OnnxExtractor:
    """The network in an ONNX file as a function from images (N, H, W, C), float32 in [0, 1], to features (N, D).

    Attributes:
        name: the file's name without its folder.
        hash: SHA-256 over the file and all that is done to an image before it.
        size: rows and columns of the network's images; layout: "NCHW" or "NHWC"; range: what black and white are to
            it; channels: how many it takes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int | tuple[int, int] | None = None,
        range: tuple[float, float] | None = None,
        layout: str | None = None,
        method: str = "bicubic",
        output: str | None = None,
    ) -> None:
        """
        Args:
            path: the file. It must take float images and give features with one row an image.
            size: rows and columns of the images it takes, or one number for both; read from the file where it says so.
            range: the values of black and white; None reads "genmodels.range" from the file's metadata, as JSON, and
                takes (0, 1) where there is none.
            layout: "NCHW" or "NHWC"; None reads it from the file, where the axis of 1 or 3 is the channels'.
            method: how images become of its size: "bicubic" as clean-fid does, "bilinear" or "area", all antialiased
                (`genmodels.datasets.resize`).
            output: name of the output with the features; None takes the first.

        What the network gives with more axes than two is flattened.

        Raises ImportError, naming the extra, without onnxruntime; OSError where the file cannot be read; ValueError for
        a file that is none or that leaves open what was not given; TypeError for arguments of other types.
        """
        self._session, content = _open(file_name(path))
        self.name = os.path.basename(file_name(path))
        entry = self._session.get_inputs()[0]
        self._input, self._output = entry.name, self._output_name(output)
        if entry.type != "tensor(float)" or len(entry.shape) != 4:
            raise ValueError(f"{self.name} takes {entry.type} {entry.shape}, must take float images of four axes")
        self.layout = _layout(layout, entry.shape, self.name)
        axes = dict(zip(self.layout, entry.shape, strict=True))
        self.channels = _channels(axes["C"], self.name)
        self.size = _size(size, (axes["H"], axes["W"]), self.name)
        self.range = _range(range, self._session.get_modelmeta().custom_metadata_map)
        self.method = check.choice(method, "method", METHODS)
        settings = [self.layout, self.channels, self.size, self.range, self.method, self._output]
        self.hash = hashlib.sha256(content + json.dumps(settings).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"OnnxExtractor({self.name}, size={self.size}, range={self.range}, layout={self.layout!r})"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The features (N, D), float32."""
        low, high = self.range
        x = fitted(images, self.size, self.channels, self.method, self.name) * np.float32(high - low) + np.float32(low)
        x = np.ascontiguousarray(x.transpose(LAYOUTS[self.layout]), dtype=np.float32)
        made = self._run(x)
        return np.asarray(made, np.float32).reshape(len(images), -1)

    def _run(self, x: np.ndarray) -> Any:
        try:
            return self._session.run([self._output], {self._input: x})[0]
        except Exception as error:  # onnxruntime has many kinds, none of them ours
            raise ValueError(f"{self.name} refused images {x.shape}: {' '.join(str(error).split())}") from None

    def _output_name(self, asked: str | None) -> str:
        names = [output.name for output in self._session.get_outputs()]
        return names[0] if asked is None else check.choice(asked, "output", names)


def _open(path: str) -> tuple[Any, bytes]:
    """A session of onnxruntime, and the file's bytes."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("an ONNX file needs onnxruntime: pip install 'genmodels[onnx]'") from error
    with open(path, "rb") as file:
        content = file.read()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]), content
    except Exception as error:
        raise ValueError(f"{path} is no ONNX file that onnxruntime runs: {' '.join(str(error).split())}") from None


def _layout(asked: Any, shape: list[Any], name: str) -> str:
    if asked is not None:
        return check.choice(asked, "layout", LAYOUTS)
    found = [layout for layout, axis in (("NCHW", 1), ("NHWC", 3)) if shape[axis] in (1, 3)]
    if len(found) != 1:
        raise ValueError(f"{name} takes images {shape}: give layout='NCHW' or 'NHWC'")
    return found[0]


def _channels(found: Any, name: str) -> int:
    if found not in (1, 3):
        raise ValueError(f"{name} takes {found} channels in that layout, must take 1 or 3")
    return int(found)


def _size(asked: Any, found: tuple[Any, Any], name: str) -> tuple[int, int]:
    fixed = all(isinstance(side, int) and side > 0 for side in found)
    if asked is None:
        if not fixed:
            raise ValueError(f"{name} takes images of any size: give size=")
        return found
    size = check.pair(asked, "size", 1, 2**15)
    if fixed and size != found:
        raise ValueError(f"size is {size}, {name} takes {found}")
    return size


def _range(asked: Any, metadata: dict[str, str]) -> tuple[float, float]:
    if asked is None:
        try:
            asked = parse_json(metadata.get("genmodels.range", "[0, 1]"))
        except ValueError:
            raise ValueError(
                f"genmodels.range in the file's metadata is {check.shown(metadata['genmodels.range'])}"
            ) from None
    if not isinstance(asked, tuple | list) or len(asked) != 2:
        raise TypeError(f"range must be a pair, the values of black and white, not {check.shown(asked)}")
    low, high = (check.number(value, "range", -1e6, 1e6) for value in asked)
    if low >= high:
        raise ValueError(f"range is {(low, high)}, black must be below white")
    return low, high
