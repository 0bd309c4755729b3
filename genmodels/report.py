"""Self-contained HTML pages: pictures inside, no script, nothing fetched. The page about a training run, and the pieces
that other pages are made of."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ._files import replacing
from .metrics.comparable import extractors_of
from .plot.curves import label

# Columns of a history that a table of the epochs goes without: what counts its rows, and a hash as a number.
_NOT_SHOWN = ("epoch", "fd_epoch", "fd_extractor")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }}
img {{ max-width: 100%; height: auto; }}
figure {{ margin: 1.5em 0; }}
figcaption {{ color: #444; }}
table {{ border-collapse: collapse; margin: 1em 0; }}
th, td {{ padding: 0.2em 0.8em; border-bottom: 1px solid #ccc; text-align: right; }}
td {{ white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
.wide, pre {{ overflow-x: auto; }}
.row {{ display: flex; gap: 1em; }}
.row figure {{ flex: 0 1 25%; margin: 0.5em 0; }}
.row img {{ width: 100%; image-rendering: pixelated; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def write_report(path: str | os.PathLike[str], title: str, pictures: Mapping[str, Path], **parts: Any) -> None:
    """Writes the page about one run: its pictures by caption (PNG files, embedded) and `run_parts`. Raises OSError when
    a picture cannot be read or the page cannot be written."""
    write_page(path, title, run_parts({caption: file.read_bytes() for caption, file in pictures.items()}, **parts))


def run_parts(
    pictures: Mapping[str, bytes],
    settings: Mapping[str, Any],
    test: Mapping[str, float],
    epochs: Mapping[str, Sequence[float]],
    summary: str,
    warnings: Sequence[str] = (),
    level: int = 2,
) -> list[str]:
    """What a page says of a run, under headings of the level: pictures by caption (PNG or GIF), the warnings, the test
    losses (none: no such part), the table of epochs, the settings and the model's summary."""
    parts = [figure(caption, picture) for caption, picture in pictures.items()]
    if warnings:
        parts += [heading(level, "Warnings"), *(paragraph(warning) for warning in warnings)]
    if test:
        rows = ((label(name), number(value)) for name, value in test.items())
        parts += [heading(level, "Test losses"), table(("term", "value"), rows)]
    parts += [heading(level, "Epochs"), *_epoch_parts(epochs)]
    parts += [heading(level, "Settings"), table(("setting", "value"), settings.items())]
    parts += [heading(level, "Model"), f"<pre>{escape(summary)}</pre>"]
    return parts


def write_page(path: str | os.PathLike[str], title: str, parts: Iterable[str]) -> None:
    """Writes a page of these pieces of HTML under its title, in one piece. What no encoding has, as in names of files
    that are not text, is escaped."""
    page = _PAGE.format(title=escape(title), body="\n".join(parts))
    with replacing(path) as file:
        file.write(page.encode(errors="backslashreplace"))


def table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """An HTML table; every cell is escaped."""
    lines = [_row("th", head), *(_row("td", row) for row in rows)]
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def figure(caption: str, picture: bytes) -> str:
    """A picture, PNG or GIF, with its caption below."""
    data, text = base64.b64encode(picture).decode("ascii"), escape(caption)
    kind = "gif" if picture.startswith(b"GIF8") else "png"
    return f'<figure><img alt="{text}" src="data:image/{kind};base64,{data}"><figcaption>{text}</figcaption></figure>'


def row(figures: Iterable[str]) -> str:
    """Figures side by side, small."""
    return f'<div class="row">{"".join(figures)}</div>'


def heading(level: int, text: str) -> str:
    """A heading, of level 2 for the largest below the title."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def number(value: float) -> str:
    """A number for people: three decimals, whole numbers without."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3f}"


def _row(tag: str, cells: Iterable[Any]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def _epoch_parts(epochs: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """The table of the epochs, empty where one lacks a value, and below it what the scores among them are made with."""
    columns = {name: list(values) for name, values in epochs.items() if name not in _NOT_SHOWN}
    count = max((len(values) for values in columns.values()), default=0)
    rows = [
        [epoch + 1, *("" if math.isnan(values[epoch]) else number(values[epoch]) for values in columns.values())]
        for epoch in range(count)
    ]
    yield table(["epoch", *(name.replace("_", " ") for name in columns)], rows)
    for extractor in extractors_of(epochs):
        yield paragraph(f"The scores are on features of the extractor {extractor}.")
