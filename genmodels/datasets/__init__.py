"""Data sets as NumPy arrays: MNIST, Fashion-MNIST, CIFAR-10, strokes, digits that the library draws itself, and images
of one's own.

>>> (x_train, y_train), (x_test, y_test) = load("mnist")  # doctest: +SKIP
>>> x, y = join(*load("mnist"))  # train and test together  # doctest: +SKIP
>>> x = resize(x, 32)  # doctest: +SKIP
>>> x = binarize(x, "dynamic", seed=0)  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .. import _validate as check
from .._files import file_name, replacing
from ..binarization import binarize
from . import cache, idx, own, reading, search, strokes
from .reading import Split
from .resizing import resize
from .sources import SOURCES, STROKES, Source

__all__ = ["binarize", "info", "join", "load", "names", "resize", "strokes"]


def load(
    name: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, download: bool = True, verify: bool = True
) -> tuple[Split, Split]:
    """Load a data set, from disk if it is there.

    The files may be gzipped or plain, under any of their usual names, in ``<root>/<name>/`` or in ``root`` itself.
    Without ``root`` the folder named by the environment variable GENMODELS_DATA is searched, which is never written to,
    then the user's cache folder (``$XDG_CACHE_HOME/genmodels``, else ``~/.cache/genmodels``, on macOS
    ``~/Library/Caches/genmodels``, on Windows ``%LOCALAPPDATA%\\genmodels``). A set that is nowhere is downloaded into
    ``root`` or the cache folder, as ``<name>/``. ``strokes`` needs no network: it is drawn, and kept there.

    Args:
        name: ``mnist``, ``fashion_mnist``, ``cifar10`` (the binary version; pickles are never read) or ``strokes``; or
            the path of an ``.npz`` file of your own, which the other arguments do not concern: ``x_train``
            (N, H, W, C), uint8, square, of 1 or 3 channels, and as far as there are any ``y_train`` (N,), integers,
            ``x_test`` and ``y_test``. Without ``x_test`` the last tenth of ``x_train`` is held out; without labels all
            are 0.
        root: a folder with the files.
        download: get what is missing from the set's mirrors; ``False`` never touches the network.
        verify: hold the files' content against the published SHA-256; ``False`` takes any file of the right layout.
            What is downloaded is always verified.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images ``(N, H, W, C)`` uint8 and labels ``(N,)`` uint8, fresh arrays.

    Raises:
        TypeError: ``name`` is no string or path, ``root`` no path, ``download`` or ``verify`` neither True nor False.
        ValueError: an unknown name; a file that is damaged, foreign, or not the published one.
        OSError: files missing (FileNotFoundError), unreadable, or a download that every mirror failed (its message
            gives the reasons).
    """
    download, verify = check.flag(download, "download"), check.flag(verify, "verify")
    if own.is_named(name):
        return own.read(name)
    source = _source(name)
    places = search.places(root)
    if source is STROKES:
        return _strokes(places, root is not None, download, verify)
    found = next(_complete(source, places), None)
    if found is None:
        search.refuse_pickles(source, places)
        if places.written is None:
            raise FileNotFoundError(search.not_found(source, places))
        if not download:
            raise FileNotFoundError(search.not_found(source, places) + "; download=True fetches it")
        found = _downloaded(source, places, places.written / source.name)
    return reading.read(source, found, verify)


def join(*splits: Split) -> Split:
    """The images and labels of several splits one after the other: fresh arrays (N, H, W, C) and (N,).

    ValueError for splits whose images differ in shape, or none at all.
    """
    images, labels = zip(*splits, strict=True) if splits else ((), ())
    return np.concatenate(images), np.concatenate(labels)


def names() -> list[str]:
    """The names `load` takes."""
    return list(SOURCES)


def info(name: str | os.PathLike[str]) -> dict[str, Any]:
    """What a data set is: a dict with ``name, title, image_shape, train, test, classes, homepage, licence``.

    ``image_shape`` is (height, width, channels), ``train`` and ``test`` are numbers of images, ``classes`` the labels'
    names in the order of their numbers. A file of your own is read for it, with the errors of `load`.
    """
    if own.is_named(name):
        return own.info(name)
    source = _source(name)
    counts = [file.items for file in source.files if "labels" not in file.name]
    return {
        "name": source.name,
        "title": source.title,
        "image_shape": source.image_shape,
        "train": sum(counts[:-1]),
        "test": counts[-1],
        "classes": source.classes,
        "homepage": source.homepage,
        "licence": source.licence,
    }


def check_name(name: Any) -> str:
    """A name that `load` takes, whether or not the files are there; TypeError or ValueError for anything else."""
    if own.is_named(name):
        return file_name(name)
    if not isinstance(name, str):
        raise TypeError(f"the name of a data set must be a string or a path, not {type(name).__name__}")
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; there are {', '.join(SOURCES)}, and files named *{own.SUFFIX}")
    return name


def _source(name: Any) -> Source:
    return SOURCES[check_name(name)]


def _complete(source: Source, places: search.Places) -> Iterator[dict[str, Path]]:
    """The files of each place that has them all, in the order of the places."""
    for place in places.searched:
        found = search.find(source, place)
        if not search.missing(source, found):
            yield found


def _downloaded(source: Source, places: search.Places, folder: Path) -> dict[str, Path]:
    """Fetch what is missing, unless another process has done it while we waited for the lock."""
    from . import download

    try:
        with cache.locked(folder):
            missing = search.missing(source, search.find(source, folder.parent))
            if missing:
                download.fetch(source, missing, folder)
    except download.DownloadError as error:
        raise download.DownloadError(f"{search.not_found(source, places)}; {error}") from None
    return search.find(source, folder.parent)


def _strokes(places: search.Places, own: bool, keep: bool, verify: bool) -> tuple[Split, Split]:
    """From disk, or drawn now and kept. A damaged copy in the user's cache is drawn again, any other one refused."""
    found = next((found for found in _complete(STROKES, places) if not verify or _are_strokes(found)), None)
    if found is not None:
        cache_folder = None if own else places.written
        cached = cache_folder is not None and all(path.is_relative_to(cache_folder) for path in found.values())
        try:
            return reading.read(STROKES, found, verify)
        except (ValueError, OSError):
            if not cached:
                raise
    images, labels = strokes.generate(sum(file.items for file in STROKES.files[::2]))
    train = STROKES.files[0].items
    splits = (images[:train], labels[:train]), (images[train:], labels[train:])
    if keep and places.written is not None:
        with suppress(OSError):  # a cache that cannot be written costs the next caller a few seconds
            _keep(splits, places.written / STROKES.name)
    return splits


def _are_strokes(found: dict[str, Path]) -> bool:
    """False for another set's files of the same names, which its labels tell: strokes are then drawn, not refused."""
    labels = STROKES.files[1]
    path = found[labels.name]
    if path.parent.name == STROKES.name:
        return True
    with suppress(ValueError, OSError):
        return idx.read(path, (), labels.items)[1] == labels.sha256
    return False


def _keep(splits: tuple[Split, Split], folder: Path) -> None:
    arrays = [array.reshape(array.shape[:3]) if array.ndim == 4 else array for split in splits for array in split]
    with cache.locked(folder):
        for file, array in zip(STROKES.files, arrays, strict=True):
            with replacing(folder / file.name) as stream:
                stream.write(idx.header(array.shape))
                stream.write(array.tobytes())
