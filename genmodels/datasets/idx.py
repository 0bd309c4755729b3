"""The idx format of MNIST: a magic number, big-endian sizes, then the bytes (http://yann.lecun.com/exdb/mnist/)."""

from __future__ import annotations

import hashlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import content

UBYTE = 0x08


def header(shape: tuple[int, ...]) -> bytes:
    """Two zero bytes, the element type, the number of sizes, and each size in four bytes."""
    return bytes((0, 0, UBYTE, len(shape))) + b"".join(size.to_bytes(4, "big") for size in shape)


def read(path: Path, item_shape: tuple[int, ...], limit: int) -> tuple[NDArray[np.uint8], str]:
    """Read an idx file of at most ``limit`` items, gzipped or plain.

    Args:
        path: the file.
        item_shape: the expected sizes after the first: ``(28, 28)`` for images, ``()`` for labels.
        limit: the most items to accept; no more than that is ever unpacked.

    Returns:
        The array ``(items, *item_shape)`` uint8 and the SHA-256 of the whole content in hexadecimal digits.

    Raises:
        ValueError: not such an idx file; the message says what is wrong with it.
        OSError: missing or unreadable.
    """
    with content.opened(path) as stream:
        head = stream.read(4 + 4 * (1 + len(item_shape)))
        items = _items(path, head, item_shape, limit)
        size = items * prod(item_shape)
        body = stream.read(size + 1)
    content.check_length(path, len(head) + len(body), len(head) + size, f"the header says {items} items")
    digest = hashlib.sha256(head + body).hexdigest()
    return np.frombuffer(body, np.uint8).reshape(items, *item_shape).copy(), digest


def _items(path: Path, head: bytes, item_shape: tuple[int, ...], limit: int) -> int:
    """The checked number of items in a header."""
    rank = 1 + len(item_shape)
    magic = bytes((0, 0, UBYTE, rank))
    if head[:4] != magic:
        raise ValueError(f"{path} is not an idx file: magic number {head[:4].hex()}, expected {magic.hex()}")
    content.check_length(path, len(head), 4 + 4 * rank, "the header")
    items, *rest = (int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4))
    if tuple(rest) != item_shape:
        raise ValueError(f"{path} holds items of {tuple(rest)}, expected {item_shape}")
    if not 1 <= items <= limit:
        raise ValueError(f"{path} says it holds {items} items, expected 1 to {limit}")
    return items
