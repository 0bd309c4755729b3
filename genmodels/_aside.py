"""Files that give way to others, and come back where these do not come to stay."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

PLACE = ".replaced"


class Aside:
    """Puts files of a folder out of the way, into `.replaced` in it, until they come back or are dropped.

    The files are those of these names, and in each of these folders below it those whose names the pattern matches.
    All others stay; folders that are left empty go.
    """

    def __init__(self, folder: Path, names: Iterable[str], folders: Mapping[str, re.Pattern[str]]) -> None:
        self._folder, self._names, self._folders = folder, tuple(names), dict(folders)
        self._place = folder / PLACE
        self._out = False

    def files(self) -> list[Path]:
        """Those that are in their places."""
        found = [self._folder / name for name in self._names]
        for name, written in self._folders.items():
            found += [path for path in (self._folder / name).glob("*") if written.fullmatch(path.name)]
        return [path for path in found if path.is_file() or path.is_symlink()]

    def put(self) -> None:
        """Puts the files out of the way. OSError, and all of them are where they were, if one cannot be moved."""
        self.drop()  # what a killed process left there
        try:
            for path in self.files():
                _move(path, self._place / path.relative_to(self._folder))
        except BaseException:
            self._return()
            raise
        self._out = True
        self._prune()

    def back(self) -> None:
        """Removes what has come in the files' places and puts them back there, unless they were dropped."""
        if not self._out:
            return
        for path in self.files():
            path.unlink()
        self._return()
        self._prune()

    def drop(self) -> None:
        """Removes the files that are out of the way, for good."""
        self._out = False
        if self._place.exists():
            shutil.rmtree(self._place)

    def _return(self) -> None:
        for path in sorted(self._place.rglob("*")):
            if not path.is_dir() or path.is_symlink():
                _move(path, self._folder / path.relative_to(self._place))
        self.drop()

    def _prune(self) -> None:
        for name in self._folders:
            with suppress(OSError):  # none there, or something in it
                (self._folder / name).rmdir()


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    path.replace(to)
