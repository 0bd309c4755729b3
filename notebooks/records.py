"""What is kept of the runs behind docs/results.md, for the notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def record(name: str) -> dict[str, Any]:
    """Of one run, by the name that its command gives it ("cgan-keras-1-pytorch")."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_bytes())
    return found


def curve(name: str) -> dict[str, Any]:
    """Its Fréchet distances on the way, for `gm.plot.fid`."""
    kept = record(name)
    fds = kept["curve"]
    return {"fd_epoch": [int(k) for k in fds], "fd": list(fds.values()), "extractor": kept["scores"]["extractor"]}
