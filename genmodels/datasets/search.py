"""Where the files of a data set may lie, and what to say when they do not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .._files import file_name
from . import cache
from .sources import File, Source

PICKLES = ("cifar-10-batches-py", "cifar-10-python.tar.gz", "data_batch_1")  # CIFAR-10's other layout


@dataclass(frozen=True)
class Places:
    """The folders to search, in order, and the one of them that is written to, if there is one."""

    searched: list[Path]
    written: Path | None


def places(root: str | os.PathLike[str] | None) -> Places:
    """``root`` alone, or else GENMODELS_DATA (if set), which is only read, and the user's cache folder (if known)."""
    if root is not None:
        folder = _folder(file_name(root), "root")
        return Places([folder], folder)
    variable, kept = os.environ.get("GENMODELS_DATA"), cache.user_folder()
    given = _folder(variable, "GENMODELS_DATA") if variable else None
    return Places([folder for folder in (given, kept) if folder is not None], kept)


def find(source: Source, place: Path) -> dict[str, Path]:
    """The data set's files that lie below a place, by name; the archive alone if it is there and the files are not."""
    found = {file.name: path for file in source.files if (path := _first(source, place, _spellings(file.name)))}
    if source.archive is not None and len(found) < len(source.files):
        archive = _first(source, place, (source.archive.name, source.archive.name.removesuffix(".gz")))
        return {source.archive.name: archive} if archive else found
    return found


def missing(source: Source, found: dict[str, Path]) -> list[File]:
    """The files still to be had."""
    if source.archive is not None and source.archive.name in found:
        return []
    return [file for file in source.files if file.name not in found]


def refuse_pickles(source: Source, candidates: Places) -> None:
    """ValueError if a place holds CIFAR-10 as Python pickles (where the binary files were not found)."""
    if source.archive is None:
        return
    for place in candidates.searched:
        found = _first(source, place, PICKLES)
        if found:
            raise ValueError(
                f"{found} holds Python pickles, which are never read (unpickling runs code): "
                f"put {source.archive.name} of {source.homepage} or its .bin files there instead"
            )


def not_found(source: Source, candidates: Places) -> str:
    """What was looked for, where, and what lies there."""
    names = [file.name for file in source.files]
    spelling = f"or {source.archive.name}" if source.archive else "gzipped or plain, - or . before idx"
    where = [f"{place} ({_listing(source, place)})" for place in candidates.searched]
    if candidates.written is None:
        where.append("no cache, as the home folder is unknown: set GENMODELS_DATA or XDG_CACHE_HOME, or give root=")
    return f"{source.name} not found: looked for {', '.join(names)} ({spelling}) in {'; '.join(where)}"


def _folder(path: str, what: str) -> Path:
    folder = Path(os.path.expanduser(path))
    if os.path.lexists(folder) and not folder.is_dir():  # a link that leads nowhere is none either
        raise NotADirectoryError(f"{what}={path} is not a folder")
    return folder


def _spellings(name: str) -> tuple[str, ...]:
    plain = (name, name.replace("-idx", ".idx")) if "-idx" in name else (name,)
    return tuple(spelling + packed for spelling in plain for packed in ("", ".gz"))


def _first(source: Source, place: Path, names: tuple[str, ...]) -> Path | None:
    paths = [place / folder / name for folder in source.folders for name in names]
    present = [path for path in paths if path.exists()]
    return next((path for path in present if path.is_file()), present[0] if present else None)


def _listing(source: Source, place: Path) -> str:
    folder = place / source.name if (place / source.name).is_dir() else place
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    more = ", ..." if len(names) > 6 else ""
    return f"{folder} holds {', '.join(names[:6])}{more}" if names else f"{folder} is empty"
