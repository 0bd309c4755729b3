"""The classifier of images, whose features the scores of the generative models are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from . import _core
from . import _validate as check
from .core_model import CoreModel, as_optimizer
from .layers import Layer
from .network import PRECISIONS, as_layers
from .optimizers import Adam, Optimizer

__all__ = ["Classifier"]


class Classifier(CoreModel):
    """One network from an image to a logit a class, trained by softmax cross-entropy.

    loss = -log softmax(logits)[label], in nats, averaged over the images; accuracy is the part of them whose largest
    logit is that of their label (the first of equal ones). The network's last layer is Dense(num_classes), and what
    enters it are an image's features (D,).

    Images are (N, H, W, C), uint8 or float32 in [0, 1], and reach the network in [0, 1]. Any N: they are worked on
    in pieces.

    Args:
        layers: from (H, W, C) to (num_classes,); the last is Dense(num_classes).
        input_shape: (H, W, C).
        num_classes: labels are 0..num_classes-1; at least 2.
        optimizer: an object of `genmodels.optimizers`; Adam(1e-3) unless given.
        precision: of the operands of products, "float32", "bf16" or "high": see `Network`.
        seed: of weights and data order, 0..2^64-1. The same seed gives the same bits for any number of threads.

    Raises ValueError for values out of bounds and a network that does not fit, TypeError for wrong kinds of values,
    OverflowError or MemoryError for sizes beyond the machine.
    """

    family = "Classifier"
    generative = False
    _layer_lists: ClassVar[Mapping[str, str]] = {"layers": "network"}
    _optimizers: ClassVar[Mapping[str, str]] = {"network": "optimizer"}
    _core: _core.Classifier
    _fixed = CoreModel._fixed | {"input_shape", "num_classes", "optimizer", "precision"}

    def __init__(
        self,
        *,
        layers: Iterable[Layer],
        input_shape: tuple[int, int, int],
        num_classes: int,
        optimizer: Optimizer | None = None,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        self.input_shape = check.shape(input_shape, "input_shape", [3])
        self.num_classes = check.integer(num_classes, "num_classes", 2)
        self.optimizer = as_optimizer(optimizer, "optimizer", Adam())
        self.precision = check.choice(precision, "precision", PRECISIONS)
        seed = check.seed(seed)
        network = self._named_network("layers", as_layers(layers, "layers"), self.input_shape, seed, 0)
        super().__init__({"network": network}, seed)
        config = {"image": self.input_shape, "num_classes": self.num_classes, "optimizer": self.optimizer.to_dict()}
        self._core = _core.Classifier(network._core, config)

    # ---- training ---------------------------------------------------------------------------------

    def train_step(self, x: Any, labels: Any = None) -> dict[str, float]:
        """One optimizer step on a batch: {"loss", "accuracy"}, before the step.

        x (N, H, W, C); labels (N,) integers. Any N: a larger one than before makes room first, the others allocate
        nothing.

        Raises ValueError or TypeError for unfit input, MemoryError or OverflowError for a batch too large, and
        FloatingPointError when the loss or a gradient is not finite. The model then stays as it was.
        """
        return _losses(self._core.train_step(*self._labelled(x, labels)))

    def evaluate(self, x: Any, labels: Any = None) -> dict[str, float]:
        """{"loss", "accuracy"} of held-out images (N, H, W, C) with labels (N,), in inference mode."""
        return _losses(self._core.evaluate(*self._labelled(x, labels)))

    def _labelled(self, x: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        images, classes = self._batch(x, labels)
        assert classes is not None  # there are at least 2
        return images, classes

    # ---- what it makes of images --------------------------------------------------------------------

    def predict(self, x: Any) -> np.ndarray:
        """The most likely classes (N,), int64, of images (N, H, W, C)."""
        classes: np.ndarray = np.argmax(self.logits(x), axis=1).astype(np.int64, copy=False)
        return classes

    def predict_proba(self, x: Any) -> np.ndarray:
        """The probabilities (N, num_classes), float32, of the classes of images (N, H, W, C): each row sums to 1."""
        return self._core.probabilities(check.pixels(x, self.input_shape))

    def logits(self, x: Any) -> np.ndarray:
        """The network's outputs (N, num_classes), float32, for images (N, H, W, C): log-probabilities up to a constant
        an image."""
        return self._core.logits(check.pixels(x, self.input_shape))

    def features(self, x: Any) -> np.ndarray:
        """What enters the last layer for images (N, H, W, C): (N, D), float32. An image's features do not depend on
        the images beside it."""
        return self._core.features(check.pixels(x, self.input_shape))


def _losses(values: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("loss", "accuracy"), values, strict=True))
