"""genmodels: small generative image models, trained fast on an ordinary CPU.

>>> import genmodels as gm
>>> (x, y), test = gm.datasets.load("strokes")  # doctest: +SKIP
>>> vae = gm.zoo.build("vae-keras")
>>> vae.fit(x, epochs=2)  # doctest: +SKIP
>>> gm.plot.image_grid(vae.sample(25, seed=1))  # doctest: +SKIP

Submodules that most programs do not need (`datasets`, `plot`, `zoo`, `callbacks`, `metrics`, `sweep`) are loaded on
first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import layers, optimizers
from ._system import check_environment, cpu_info, get_num_threads, set_num_threads
from .augmentation import Augmentation
from .checkpoint import load
from .classifier import Classifier
from .gan import GAN
from .model import CollapseWarning, Model
from .network import Network
from .profiling import profile
from .training import loop as _loop  # noqa: F401 - with the package: in the child of a fork an import may wait for ever
from .vae import VAE

if TYPE_CHECKING:
    from . import callbacks, datasets, metrics, plot, sweep, zoo

__version__ = "0.1.0"

check_environment()

_LAZY = ("callbacks", "datasets", "metrics", "plot", "sweep", "zoo")

__all__ = [
    "GAN",
    "VAE",
    "Augmentation",
    "Classifier",
    "CollapseWarning",
    "Model",
    "Network",
    "callbacks",
    "cpu_info",
    "datasets",
    "get_num_threads",
    "layers",
    "load",
    "metrics",
    "optimizers",
    "plot",
    "profile",
    "set_num_threads",
    "sweep",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
