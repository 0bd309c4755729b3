"""The shipped extractors as files: classifiers with their weights and moving statistics, and nothing of training.

Each is a safetensors file of the package's own form (`genmodels._safetensors`), whose SHA-256 over header and tensors
names the extractor wherever a score is reported.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from .. import _safetensors
from .. import _validate as check
from ..checkpoint import build, check_like, check_values
from ..classifier import Classifier

FOLDER = Path(__file__).parent / "data"

_loaded: dict[str, tuple[Classifier, str]] = {}
_loading = threading.Lock()


def names() -> list[str]:
    """The names `load` takes: those of the data sets whose extractors the package holds."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def load(name: str) -> tuple[Classifier, str]:
    """The extractor trained on the data set `name`, and its hash, 64 hexadecimal digits.

    Read and checked once a process: every caller gets the same object, from any thread, and leaves its weights as
    they are. An image's features do not depend on the number of threads.

    ValueError for a name there is none for (TypeError for no string), or a file that is not the one written.
    """
    check.choice(name, "extractor", names())
    with _loading:
        if name not in _loaded:
            _loaded[name] = read(FOLDER / f"{name}.safetensors")
        return _loaded[name]


def read(path: str | os.PathLike[str]) -> tuple[Classifier, str]:
    """The classifier that `save` wrote to `path`, and the file's hash, which is verified.

    ValueError for a file that is damaged or not one of these; OSError where it cannot be read.
    """
    tensors, metadata = _safetensors.read(path)
    try:
        if metadata.get("kind") != "extractor":
            raise ValueError(f"of kind {metadata.get('kind')!r}, expected 'extractor'")
        check_values(tensors)
        model = build(Classifier, json.loads(metadata.get("config", "null")), tensors)
        check_like(tensors, model.weights)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)}: no extractor: {error}") from error
    for name, view in model.weights.items():
        view[...] = tensors[name]
    return model, metadata["sha256"]


def save(model: Classifier, path: str | os.PathLike[str], made: Mapping[str, str]) -> None:
    """Write the weights and moving statistics, and in the metadata the config (with layers, optimizer and seed) and
    `made`: what the network learned from, how well it knows the test images, and what made the file.

    OSError where it cannot be written, ValueError where a weight is not finite or a variance negative."""
    check_values(model.weights)
    metadata = {"kind": "extractor", "seed": str(model.seed), "config": json.dumps(model.config), **made}
    _safetensors.write(path, model.weights, metadata)
