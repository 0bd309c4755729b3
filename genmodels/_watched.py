"""Whether somebody looks on, for whom a progress bar is drawn."""

from __future__ import annotations

import sys


def watched() -> bool:
    """Whether stderr is a terminal, or this is a notebook's kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # no stderr, or closed
        return False
