"""JSON from files, in which anything may stand."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes, **options: Any) -> Any:
    """`json.loads`, whose one error is ValueError: also for what is nested deeper than Python follows."""
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None
