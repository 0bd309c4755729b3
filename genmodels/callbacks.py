"""Callbacks of `fit`: see `genmodels.training.callbacks` and, for learning rates, `genmodels.training.schedules`."""

from .training.callbacks import Callback, EarlyStopping, TimeLimit
from .training.checkpoints import Checkpoint
from .training.live import LivePlot
from .training.samples import Samples
from .training.schedules import ConstantRate, CosineDecay, LinearDecay, ReduceOnPlateau, Schedule, StepDecay
from .training.scores import Scores

__all__ = [
    "Callback",
    "Checkpoint",
    "ConstantRate",
    "CosineDecay",
    "EarlyStopping",
    "LinearDecay",
    "LivePlot",
    "ReduceOnPlateau",
    "Samples",
    "Schedule",
    "Scores",
    "StepDecay",
    "TimeLimit",
]
