"""What every model family shares: named weights, fit, save."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np

from ._html import Markup, folded, line, table
from ._tensors import Fixed, Tensors
from ._thread_lock import ThreadLock
from .training.history import History

if TYPE_CHECKING:
    from .augmentation import Augmentation
    from .network import Network
    from .training.callbacks import Callback
    from .training.loop import Data
    from .training.position import Position

FAMILIES: dict[str, type[Model]] = {}
"""The model families by name, for `genmodels.load`. Defining a class with a `family` of its own enters it; a subclass
of that is of the same family, and its files are."""


class CollapseWarning(UserWarning):
    """A model has stopped learning, or learns nothing of use, though all its numbers are finite. The text says what was
    seen and what to try."""


class Networks(Fixed["Network"]):
    """The networks of a model by name."""

    _advice = "the networks of a model are fixed when it is built: build another one"


class Model:
    """Base class of the models; a family adds its networks, its training step and what it does with images.

    Attributes:
        family: name of the family, as saved files carry it ("VAE").
        generative: whether it draws new images, with `sample`.
        networks: the networks by name, in the order of the data's way through them.
        seed: the seed of initial weights, data order and noise.
        history: losses of all fits so far; it is saved with the model.
        recipe: the published training settings of a zoo model (data, epochs, batch_size, image_size), else None.
        critic_steps: batches of fresh images that a training step takes; above 1, `train_step` gets x
            (critic_steps, N, H, W, C) and labels (critic_steps, N).
        stop_training: a callback sets it to True to interrupt the fit after the step in hand; `fit(resume=True)` goes
            on. See `finish_training` too.
    """

    family: ClassVar[str] = ""
    generative: ClassVar[bool] = True
    critic_steps: int = 1
    _fixed: ClassVar[frozenset[str]] = frozenset({"networks", "seed"})  # attributes that only building sets
    _kept: ClassVar[frozenset[str]] = frozenset({"history", "recipe", "stop_training"})  # that may be set, not deleted

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "family" in cls.__dict__:
            FAMILIES[cls.family] = cls

    def __init__(self, networks: Mapping[str, Network], seed: int) -> None:
        self.networks: dict[str, Network] = Networks(networks)
        self.seed = seed
        self.history = History()
        self.recipe: dict[str, Any] | None = None
        self.stop_training = False
        self._position: Position | None = None
        self._fitting = ThreadLock()  # held by a fit: two at once would mix their places and histories

    def __setattr__(self, name: str, value: Any) -> None:
        """TypeError for what the model was built with: a change would be saved, but never reach the core. And for a
        recipe or history that no file could hold."""
        if name in self._fixed and name in self.__dict__:
            raise TypeError(f"{name} is fixed when a {self.family} is built: build another one")
        if name == "recipe" and not (value is None or isinstance(value, dict)):
            raise TypeError(f"recipe must be a dict or None, not {type(value).__name__}")
        if name == "history" and not isinstance(value, History):
            raise TypeError(f"history must be a History, not {type(value).__name__}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        """TypeError for what every model has; a user's own attributes may go."""
        if name in self._fixed | self._kept:
            raise TypeError(f"{name} is part of every {self.family} and cannot be deleted")
        super().__delattr__(name)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"a {self.family} cannot be copied or pickled: save(path) it and genmodels.load(path) the copy")

    # ---- what a family provides -------------------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values; layers as `{"kind": "Conv2D", **fields}`."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of `config`: a new model with fresh weights. ValueError or TypeError for an unfit config."""
        raise NotImplementedError

    def train_step(self, x: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float]:
        """One optimizer step (or round of steps) on a batch; the losses before it, averaged over the batch."""
        raise NotImplementedError

    def evaluate(self, x: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float]:
        """The losses on held-out images, in inference mode."""
        raise NotImplementedError

    def sample(self, n: int, labels: np.ndarray | None = None, seed: int | None = None) -> np.ndarray:
        """New images (n, H, W, C), float32 in [0, 1]. TypeError from a model that is not generative."""
        if not self.generative:
            raise TypeError(f"a {self.family} draws no images: it has nothing to sample")
        raise NotImplementedError

    def _check_data(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """x and y as train_step wants them, every value checked; raises and changes nothing where they are unfit."""
        raise NotImplementedError

    def _optimizer_tensors(self) -> dict[str, np.ndarray]:
        """Live views of what training keeps beside the weights: the optimizers' "optimizer.encoder.m" and so on."""
        raise NotImplementedError

    def _counters(self) -> dict[str, int]:
        """Optimizer steps, positions of the random streams, clocks of the networks: all that resuming needs."""
        raise NotImplementedError

    def _set_counters(self, counters: Mapping[str, int]) -> None:
        """The inverse of `_counters`. ValueError for missing, unknown or impossible counters."""
        raise NotImplementedError

    def _set_learning_rates(self, factor: float) -> None:
        """Let every optimizer go on with its own learning rate times `factor`, >= 0. Not part of the model's state: a
        fit begins and ends with 1."""

    def _symptoms(self, losses: Mapping[str, float]) -> list[str]:
        """What in an epoch's row of the history tells of a model that fails, each with what to try; usually none."""
        return []

    # ---- shared -------------------------------------------------------------------------------------------------

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """Live, writable float32 views of all weights and moving statistics: "encoder.0.kernel" and so on."""
        return Tensors(
            (f"{network_name}.{name}", view)
            for network_name, network in self.networks.items()
            for name, view in network.weights.items()
        )

    @property
    def parameter_count(self) -> int:
        """Trainable parameters of all networks together."""
        return sum(network.parameter_count for network in self.networks.values())

    @property
    def interrupted(self) -> bool:
        """Whether a fit was begun and not finished, so that `fit(resume=True)` has something to do."""
        return self._position is not None and not self._position.finished

    def summary(self) -> str:
        """A table of every network's layers, output shapes and parameter counts."""
        parts = [f"{name}\n{network.summary()}" for name, network in self.networks.items()]
        return "\n\n".join([*parts, f"{self.family}: {self.parameter_count:,} trainable parameters in all"])

    def _repr_html_(self) -> str:
        """For notebooks: the networks and, folded, their layers."""
        trained = f"{len(self.history)} epochs trained" if len(self.history.steps) else "not trained yet"
        rows = []
        for name, network in self.networks.items():
            shapes, count = (str(network.input_shape), str(network.output_shape)), f"{network.parameter_count:,}"
            rows.append((name, *shapes, len(network.layers), count))
        parts = [
            line(self.family, f"{self.parameter_count:,} parameters, {trained}"),
            table(("network", "input", "output", "layers", "parameters"), rows),
            *(folded(f"layers of {name}", Markup(network._repr_html_())) for name, network in self.networks.items()),
        ]
        return "".join(parts)

    def fit(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        epochs: int = 1,
        batch_size: int = 128,
        validation_data: Data | None = None,
        callbacks: Iterable[Callback] | Callback = (),
        verbose: str = "auto",
        resume: bool = False,
        augmentation: Augmentation | None = None,
        binarize: str | None = None,
    ) -> History:
        """Train for `epochs` more epochs and return the history of the model.

        The whole of x, y and the validation data is checked before the first step. Every epoch visits every image
        once, in an order drawn from the model's seed; the last batch of an epoch may be a short one. With
        `critic_steps` K above 1 a step takes K batches, each of fresh images, and the last step K short ones of equal
        size, filled up with the epoch's first images. The same seed, data and calls give the same weights, bit for
        bit, for any number of threads.

        Args:
            x: images (N, H, W, C), uint8 or float32 in [0, 1].
            y: integer labels (N,) of a conditional model.
            epochs: number of passes over x, at least 1.
            batch_size: images a step, at least 1; more than N means one step an epoch.
            validation_data: images, or a pair (images, labels); evaluated after every epoch, as "val_" losses.
            callbacks: see `genmodels.callbacks`.
            verbose: "progress" (a tqdm bar), "log" (a line an epoch to the logger "genmodels", level INFO, which Python
                shows after `logging.basicConfig(level=logging.INFO)`), "silent", or "auto": a bar where tqdm is
                installed and stderr is a terminal or a notebook, else "log".
            resume: finish the fit that was interrupted, with its epochs and batch size, in this model or in the one a
                checkpoint was loaded from. The result has the bits of a fit never interrupted. `epochs` and
                `batch_size` are left at their defaults or given as they were; x, y, validation_data, augmentation and
                binarize are the same as then, and so are learning-rate schedules among the callbacks. A fit that was
                already finished returns at once. Without resume an interrupted fit is given up.
            augmentation: a `genmodels.Augmentation`: images are shifted and flipped on their way into a batch.
            binarize: None, or how images are made black and white on their way into a batch, behind any augmentation:
                "dynamic" draws every pixel anew in every epoch, with the probability of its grey, from the model's
                seed; "fixed" is white above 1/2. Validation data are binarized in the same way, but once, so that
                their losses do not jump: as `genmodels.datasets.binarize(x, binarize, seed=model.seed)`.

        Ctrl-C ends the fit after the step in hand: the history comes back with `interrupted` set, the half epoch is
        not in it, and `fit(resume=True)` goes on. A second Ctrl-C raises KeyboardInterrupt at once; that fit can
        only be resumed from an earlier checkpoint.

        Returns:
            `self.history`, of all fits so far; its epochs are numbered on.

        Raises:
            ValueError: values, shapes or labels out of range; resume=True without a fit to resume or with other
                settings or data; or a fit of this model is running.
            TypeError: wrong dtypes.
            FloatingPointError: a loss or gradient became NaN or infinite. The weights stay the last finite ones, and
                nothing of the step is recorded.

        A `CollapseWarning` after an epoch tells of a model that fails with finite numbers.
        """
        from .training.loop import fit

        options = (validation_data, callbacks, verbose, resume, augmentation, binarize)
        return fit(self, x, y, epochs, batch_size, *options)

    def finish_training(self) -> None:
        """Called by a callback: end the fit with the epoch in hand, as if no more had been asked for. At the end of an
        epoch, or between two, none follows. Unlike `stop_training`, this leaves a finished fit: `fit(resume=True)`
        has nothing to do. ValueError where no fit is running."""
        if self._position is None or not self._fitting.locked():
            raise ValueError("finish_training: no fit is running")
        self._position.ended = True

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file in the safetensors format, from which `genmodels.load` restores all of it:
        weights, optimizer, random streams, history and the place in an interrupted fit.

        The file appears under its name only when it is complete; a failure leaves what was there before.
        Not while another thread trains the model: the file could hold parts of two steps.
        OSError where it cannot be written, ValueError where a weight is not finite or a moving variance negative,
        ValueError or TypeError where the recipe is no JSON.
        """
        from .checkpoint import save

        save(self, path)
