"""Scores hold between features of one extractor only: which extractor made them, and that several share it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .. import _validate as check

DIGITS = 12
"""Of a hash, the hexadecimal digits that tell extractors apart: 48 bits, which a column of floats holds exactly."""


def extractor_number(extractor: str) -> int:
    """The first 48 bits of the hash of an extractor "name:hash", as histories carry it in their column
    "fd_extractor". ValueError for a str without a hash, TypeError for another type."""
    if not isinstance(extractor, str):
        raise TypeError(f"extractor must be a str, not {check.shown(extractor)}")
    digest = extractor.rpartition(":")[2]
    try:
        return int(digest[:DIGITS], 16)
    except ValueError:
        raise ValueError(f"extractor {check.shown(extractor)} does not end in a hash") from None


def extractor_name(extractor: str | float) -> str:
    """An extractor as people read it: "mnist:f454f3fc5a1b" of its name and hash, the digits alone of a history's
    number."""
    if not isinstance(extractor, str):
        return f"{int(extractor):0{DIGITS}x}"
    name, colon, digest = extractor.rpartition(":")
    return f"{name}{colon}{digest[:DIGITS]}" if len(digest) > DIGITS else extractor


def extractors_of(scores: Any) -> list[str]:
    """The names of the extractors of a dict of `evaluate`, or of a history or dict with the column "fd_extractor"; none
    where they are not said."""
    for key in ("extractor", "fd_extractor"):
        if key in scores:
            found = scores[key]
            each = found if isinstance(found, Iterable) and not isinstance(found, str) else [found]
            return list(dict.fromkeys(extractor_name(one) for one in each if not _missing(one)))
    return []


def one_extractor(scores: Mapping[str, Any]) -> str | None:
    """The name of the one extractor of all these scores, None where none of them says its own. To be asked before
    scores come together in a table or a curve.

    scores: by what a message is to call them, dicts of `evaluate` or histories.

    ValueError, with both extractors and whose they are, where there are two: their scores do not compare.
    """
    known = [(owner, name) for owner, found in scores.items() for name in extractors_of(found)]
    for owner, name in known:
        first_owner, first = known[0]
        if _digest(name) != _digest(first):
            raise ValueError(
                f"scores of different extractors are not comparable: {first_owner} has {first}, {owner} has {name}"
            )
    return max((name for _, name in known), key=len, default=None)  # with its name, where one says it


def _digest(name: str) -> str:
    return name.rpartition(":")[2]


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
