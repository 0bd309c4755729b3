"""From files to arrays, with the content held against the published checksums."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import cifar, idx
from .sources import SOURCES, File, Source

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]

UNVERIFIED_LIMIT = 1_000_000  # items of a file that need not be the published one


class OtherContentError(ValueError):
    """A file of the right layout that is not the published one."""


def read(source: Source, found: dict[str, Path], verify: bool) -> tuple[Split, Split]:
    """All of a data set from its files, by name (or its archive, by the archive's name).

    Raises:
        ValueError: a file that is damaged, of another layout, or (``verify``) not the published one.
        OSError: missing or unreadable.
    """
    try:
        train, test = _splits(source, found, verify)
    except OtherContentError as error:
        raise ValueError(f"{error}; verify=False (on the command line --no-verify) takes it all the same") from None
    for part, where in ((train, "training"), (test, "test")):
        _check_split(source, part, f"{next(iter(found.values())).parent}: the {where} part of {source.name}")
    return train, test


def _splits(source: Source, found: dict[str, Path], verify: bool) -> tuple[Split, Split]:
    if source.archive is None:
        arrays = [read_idx(source, file, found[file.name], verify) for file in source.files]
        return (arrays[0][..., None], arrays[1]), (arrays[2][..., None], arrays[3])
    parts = [cifar.split(data) for data in _read_batches(source, found, verify)]
    images, labels = np.concatenate([p[0] for p in parts[:-1]]), np.concatenate([p[1] for p in parts[:-1]])
    return (images, labels), parts[-1]


def content_size(source: Source, file: File) -> int:
    """Bytes of a published idx file's content."""
    shape = _item_shape(source, file)
    return len(idx.header((0, *shape))) + file.items * prod(shape)


def read_idx(source: Source, file: File, path: Path, verify: bool) -> NDArray[np.uint8]:
    """One idx file: images (N, H, W) or labels (N,)."""
    limit = file.items if verify else UNVERIFIED_LIMIT
    array, digest = idx.read(path, _item_shape(source, file), limit)
    if verify:
        _check_digest(source, file, path, digest)
    return array


def read_archive(source: Source, path: Path, verify: bool) -> dict[str, bytes]:
    """The batch files of CIFAR-10's archive, by name."""
    names = tuple(file.name for file in source.files)
    batches = cifar.read_archive(path, names, source.files[0].items)
    if verify:
        for file in source.files:
            _check_digest(source, file, path / file.name, batches[file.name][1])
    return {name: data for name, (data, _) in batches.items()}


def _read_batches(source: Source, found: dict[str, Path], verify: bool) -> list[bytes]:
    if source.archive is not None and source.archive.name in found:
        return list(read_archive(source, found[source.archive.name], verify).values())
    batches = []
    for file in source.files:
        data, digest = cifar.read(found[file.name], file.items)
        if verify:
            _check_digest(source, file, found[file.name], digest)
        batches.append(data)
    return batches


def _item_shape(source: Source, file: File) -> tuple[int, ...]:
    return source.image_shape[:2] if "images" in file.name else ()


def _check_digest(source: Source, file: File, path: Path, digest: str) -> None:
    if digest == file.sha256:
        return
    known = [f"{other.name} of {name}" for name, s in SOURCES.items() for other in s.files if other.sha256 == digest]
    what = f" (it is the published {known[0]})" if known else ""
    raise OtherContentError(
        f"{path} has other content than the published {file.name} of {source.name}{what}: "
        f"its SHA-256 is {digest}, the published one {file.sha256}"
    )


def _check_split(source: Source, split: Split, where: str) -> None:
    images, labels = split
    if len(images) != len(labels):
        raise ValueError(f"{where} has {len(images)} images but {len(labels)} labels")
    highest = int(labels.max())
    if highest >= len(source.classes):
        at = int(labels.argmax())
        raise ValueError(f"{where}: label {at} is {highest}, outside 0 to {len(source.classes) - 1}")
