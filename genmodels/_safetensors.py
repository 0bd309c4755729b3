"""The safetensors format, with a checksum.

A file is the header's length (8 bytes, little-endian), the header (JSON, padded with spaces to a multiple of 8) and the
tensors, end to end. The header maps names to {"dtype", "shape", "data_offsets"} and "__metadata__" to strings; see
https://github.com/huggingface/safetensors. Any reader of that format reads our files.

Ours begin with the metadata entry "sha256", at a fixed place: the SHA-256 of the whole file, in hexadecimal digits,
computed with 64 zeros in place of these digits. Any changed bit shows, and only files of ours are taken.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._files import file_name, replacing

DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
HEADER_LIMIT = 100_000_000
"""Bytes of a header: the bound of the format's own reader."""

_START = b'{"__metadata__":{"sha256":"'
_DIGITS = slice(8 + len(_START), 8 + len(_START) + 64)
_ZEROS = b"0" * 64


def write(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write float32 and float64 tensors in one piece: the file is there when it is complete. OSError otherwise."""
    codes = {dtype.newbyteorder("="): code for code, dtype in DTYPES.items()}
    ordered = sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)  # keeps every tensor aligned
    entries: dict[str, Any] = {"__metadata__": {"sha256": _ZEROS.decode(), **metadata}}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.nbytes
        entries[name] = {"dtype": codes[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    head = bytearray(len(header).to_bytes(8, "little") + header)
    # Copies: another thread may be training, and the checksum must be that of what is written.
    contents = [tensor.astype(DTYPES[codes[tensor.dtype]]).tobytes() for _, tensor in ordered]
    head[_DIGITS] = _digest(head, *contents)
    with replacing(path) as file:
        file.writelines([head, *contents])


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors (read-only views of the file's contents) and the metadata of a file that `write` wrote.

    ValueError, which names the file and what is wrong, for every other content; OSError where it cannot be read.
    """
    name = file_name(path)
    contents = _contents(name)
    try:
        length = int.from_bytes(contents[:8], "little")
        tensors, metadata = _parse(contents[8 : 8 + length])
        return _views(tensors, contents[8 + length :]), metadata
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from None


def _digest(*pieces: Any) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest().encode()


def _contents(name: str) -> memoryview:
    """All bytes of the file, once they are known to be ours and whole. A foreign file is not read beyond its start."""
    if not stat.S_ISREG(os.stat(name).st_mode):
        if os.path.isdir(name):
            raise IsADirectoryError(errno.EISDIR, "a model file was expected, this is a folder", name)
        raise ValueError(f"{name}: a model file was expected, this is not a regular file")
    with open(name, "rb") as file:
        start = file.read(_DIGITS.stop)
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(start[:8], "little")
        if start[8 : _DIGITS.start] != _START or len(start) < _DIGITS.stop:
            raise ValueError(f"{name}: not a genmodels model file, or one cut off in its first {_DIGITS.stop} bytes")
        if length > min(HEADER_LIMIT, size - 8):
            bound = f"at most {HEADER_LIMIT} and within the file's {size} bytes"
            raise ValueError(f"{name}: damaged or cut off: its header has {length} bytes, expected {bound}")
        file.seek(0)
        contents = memoryview(file.read())
    stated = bytes(contents[_DIGITS]).decode("ascii", "replace")
    found = _digest(contents[: _DIGITS.start], _ZEROS, contents[_DIGITS.stop :]).decode()
    if found != stated:
        raise ValueError(f"{name}: damaged or cut off: its SHA-256 is {found}, it states {stated}")
    return contents


def _parse(header: memoryview) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        entries = json.loads(bytes(header).decode("utf-8"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise ValueError(f"the header is not UTF-8: {error}") from None
    metadata = entries.pop("__metadata__")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("the header's metadata must map names to strings")
    return entries, metadata


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("the header holds a name twice")
    return found


def _views(entries: Mapping[str, Any], data: memoryview) -> dict[str, np.ndarray]:
    """The tensors, which must cover the data in the header's order, end to end."""
    tensors = {}
    end = 0
    for name, entry in entries.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"tensor {name!r}: expected dtype, shape and data_offsets")
        dtype, shape, offsets = DTYPES.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
        if dtype is None:
            raise ValueError(f"tensor {name!r}: dtype {entry['dtype']!r} is none of {', '.join(DTYPES)}")
        if not _are_sizes(shape) or len(shape) > 8:
            raise ValueError(f"tensor {name!r}: {shape!r} is not a shape")
        start, end = end, end + math.prod(shape) * dtype.itemsize
        if not _are_sizes(offsets) or offsets != [start, end] or end > len(data):
            raise ValueError(f"tensor {name!r}: data_offsets {offsets!r}, expected [{start}, {end}] of {len(data)}")
        tensors[name] = np.frombuffer(data[start:end], dtype).reshape(shape) if end > start else np.empty(shape, dtype)
    if end != len(data):
        raise ValueError(f"the tensors take {end} bytes, the file has {len(data)} for them")
    return tensors


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)
