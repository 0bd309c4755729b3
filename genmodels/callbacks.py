"""Callbacks of `fit`: see `genmodels.training.callbacks`."""

from .training.callbacks import Callback, Checkpoint, TimeLimit

__all__ = ["Callback", "Checkpoint", "TimeLimit"]
