"""Callbacks of `fit`: see `genmodels.training.callbacks` and, for learning rates, `genmodels.training.schedules`."""

from .training.callbacks import Callback, Checkpoint, TimeLimit
from .training.schedules import ConstantRate, CosineDecay, LinearDecay, ReduceOnPlateau, Schedule, StepDecay

__all__ = [
    "Callback",
    "Checkpoint",
    "ConstantRate",
    "CosineDecay",
    "LinearDecay",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "TimeLimit",
]
