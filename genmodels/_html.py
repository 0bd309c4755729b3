"""What notebooks show of models, networks and histories: small pieces of HTML without scripts and without colours of
their own, so that they are read on a dark page as on a light one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Any

MOST_ROWS = 16
"""Rows of a table, about: of a longer one the middle is left out."""

# A sparkline's size in pixels, and the most points it has: of more values, means over equal stretches are drawn.
_WIDTH, _HEIGHT, _POINTS = 90, 22, 60


class Markup(str):
    """HTML that is not to be escaped any more."""


def table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Markup:
    """A table; every cell that is no `Markup` is escaped."""
    lines = [f"<thead>{_row('th', head)}</thead>", "<tbody>", *(_row("td", row) for row in rows), "</tbody>"]
    return Markup("<table>" + "\n".join(lines) + "</table>")


def line(strong: str, rest: str) -> Markup:
    """A line of text above a table, its first words bold."""
    return Markup(f"<div><b>{escape(strong)}</b> {escape(rest)}</div>")


def folded(title: str, body: Markup) -> Markup:
    """What a click on its title unfolds."""
    return Markup(f"<details><summary>{escape(title)}</summary>{body}</details>")


def shortened(rows: Sequence[Sequence[Any]], what: str, where: str) -> list[Sequence[Any]]:
    """The rows, or of many the first and the last with a row between that counts the others and says where they are."""
    left_out = len(rows) - MOST_ROWS
    if left_out <= 1:
        return list(rows)
    half = MOST_ROWS // 2
    note = [f"... {left_out} more {what}: {where}", *[""] * (len(rows[0]) - 1)]
    return [*rows[:half], note, *rows[len(rows) - half :]]


def number(value: float) -> str:
    """Six digits; nothing for NaN."""
    return "" if math.isnan(value) else f"{value:.6g}"


def sparkline(values: Sequence[float]) -> Markup:
    """A line of the finite values in the text's own colour; nothing where there are fewer than two."""
    points = [(float(place), value) for place, value in enumerate(values) if math.isfinite(value)]
    if len(points) < 2:
        return Markup()
    if len(points) > _POINTS:
        bounds = [len(points) * part // _POINTS for part in range(_POINTS + 1)]
        points = [_middle(points[low:high]) for low, high in pairwise(bounds)]
    low, high = min(value for _, value in points), max(value for _, value in points)
    last = max(len(values) - 1, 1)
    across = ((_WIDTH - 2) * place / last + 1 for place, _ in points)
    # Halved before the difference is taken: it may be beyond what a float can hold.
    down = (
        _HEIGHT - 2 - (_HEIGHT - 4) * ((value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5)
        for _, value in points
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return Markup(
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="course">'
        f'<polyline points="{path}" fill="none" stroke="currentColor"/></svg>'
    )


def _middle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean place and value."""
    count = len(points)
    return sum(place for place, _ in points) / count, sum(value / count for _, value in points)


def _row(tag: str, cells: Iterable[Any]) -> str:
    texts = (cell if isinstance(cell, Markup) else escape(str(cell)) for cell in cells)
    return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"
