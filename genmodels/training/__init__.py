"""The training loop, its history and its callbacks."""

from .history import History

__all__ = ["History"]
