"""Files that are put aside for others: they come back, or they are gone for good."""

import os
import re
from pathlib import Path

import pytest
from small_data import tree

from genmodels._aside import PLACE, Aside


@pytest.fixture
def folder(tmp_path):
    """With a run's files, in it and below it, and those of others."""
    for name in ("model", "notes.txt", "kept/1", "kept/mine", "pictures/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"old {name}")
    return tmp_path


@pytest.fixture
def aside(folder):
    return Aside(folder, ["model", "history"], {name: re.compile(r"\d") for name in ("kept", "pictures")})


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_dropped_they_are_gone_and_nothing_else_is(folder, aside):
    aside.put()
    assert names(folder) >= {"notes.txt", "kept/mine"}
    assert not (folder / "pictures").exists()
    aside.drop()
    assert names(folder) == {"notes.txt", "kept/mine"}
    aside.back()
    assert names(folder) == {"notes.txt", "kept/mine"}


def test_back_they_are_as_they_were_and_what_came_in_their_place_is_gone(folder, aside):
    before = tree(folder)
    aside.put()
    for name in ("history", "kept/2", "pictures/1"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("new")
    aside.back()
    assert tree(folder) == before


def test_back_without_put_leaves_them(folder, aside):
    before = tree(folder)
    aside.back()
    assert tree(folder) == before


def test_all_are_put_aside_or_none(folder, aside, monkeypatch):
    before, replace = tree(folder), Path.replace

    def refuse(self, target):
        if self == folder / "pictures" / "1":
            raise PermissionError("read-only")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError, match="read-only"):
        aside.put()
    aside.back()
    assert tree(folder) == before


def test_what_a_killed_process_left_aside_does_not_come_back(folder, aside):
    os.mkdir(folder / PLACE)
    (folder / PLACE / "history").write_text("older")
    aside.put()
    aside.back()
    assert not (folder / "history").exists()
    assert not (folder / PLACE).exists()


def test_a_folder_of_the_users_by_such_a_name_stays(folder, aside):
    (folder / "history").mkdir()
    aside.put()
    aside.drop()
    assert (folder / "history").is_dir()
