"""Runs notebooks from the top, each in a fresh kernel, and ends with an error where a cell does.

    python notebooks/execute.py [--write] [--pictures FOLDER] NOTEBOOK...

With --write the outputs are kept in the files, without what differs from machine to machine and says nothing (times of
the cells and places of files), their pictures in the fewest bytes. With --pictures the picture of each cell that has
the tag "picture:NAME" is written to FOLDER/NAME.png, for the README. The kernels see the environment,
GENMODELS_NOTEBOOKS and GENMODELS_DATA in it.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

# A warning names the file that a kernel made of its cell, or one of the package.
PLACES = ((re.compile(r"\S*ipykernel_\d+/\d+\.py"), "cell"), (re.compile(r"/\S*/(genmodels|site-packages)/"), r"\1/"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Run notebooks from the top.")
    parser.add_argument("--write", action="store_true", help="keep the outputs")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write the pictures with a name there")
    parser.add_argument("notebooks", nargs="+", type=Path)
    arguments = parser.parse_args()
    failed = []
    for path in arguments.notebooks:
        began = time.monotonic()
        notebook = nbformat.read(path, as_version=4)
        try:
            execute(notebook, path.parent)
        except CellExecutionError as error:
            failed.append(path)
            print(f"{path}: FAILED\n{error}", file=sys.stderr)
            continue
        print(f"{path}: {time.monotonic() - began:.0f} s", flush=True)
        if arguments.write:
            nbformat.write(notebook, path)
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            for name, picture in named_pictures(notebook):
                (arguments.pictures / f"{name}.png").write_bytes(picture)
    return len(failed) > 0


def execute(notebook: Any, folder: Path) -> None:
    """Fills the notebook's outputs. CellExecutionError, with the cell and its traceback, where one fails."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=None, record_timing=False, resources=resources).execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                for place, name in PLACES:
                    output.text = place.sub(name, output.text)
            if "image/png" in output.get("data", {}):
                picture = base64.b64decode(output.data["image/png"])
                output.data["image/png"] = base64.b64encode(smallest(picture)).decode()


def smallest(png: bytes) -> bytes:
    """The same pixels as a PNG without an opaque alpha channel, and in grey where all are grey, if that is smaller."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    if picture.getextrema()[3] == (255, 255):
        picture = picture.convert("RGB")
        red, green, blue = picture.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            picture = red
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return min(png, file.getvalue(), key=len)


def named_pictures(notebook: Any) -> Iterator[tuple[str, bytes]]:
    """Name and PNG of each cell that has the tag "picture:NAME"."""
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", ()):
            if tag.startswith("picture:"):
                encoded = next(o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
                yield tag.removeprefix("picture:"), base64.b64decode(encoded)


if __name__ == "__main__":
    sys.exit(main())
