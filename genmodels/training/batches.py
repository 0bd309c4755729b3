"""The batches of an epoch."""

from __future__ import annotations

import numpy as np

from .. import _core, binarization
from .position import Position


class Batches:
    """What the training steps of one epoch get: a pure function of the model's seed, the epoch and the step.

    A step takes K batches of fresh images where the critic takes K updates a step. The last step of an epoch shares
    out what is left; where that does not divide by K, the epoch's first images come again.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray | None, place: Position, seed: int, epoch: int) -> None:
        """x (N, H, W, C) and y (N,); `epoch` counts those of the model from 0. The memory for the images of a step is
        taken here."""
        self._x, self._y = x, y
        self._sets = place.critic_steps
        order = _core.permutation(seed, epoch, place.images)
        self._order = np.resize(order, -(-place.images // self._sets) * self._sets)  # goes round
        self._binarize, self._seed, self._epoch = place.binarize, seed, epoch
        self._augmentation = place.augmentation
        if self._augmentation is not None:
            self._draws = self._augmentation._draws(seed, epoch, len(self._order))
        self._step_images = place.batch_size * self._sets
        self._buffer = np.empty((min(self._step_images, len(self._order)), *x.shape[1:]), x.dtype)

    def take(self, step: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and labels of a step, counted from 0: (n, H, W, C) and (n,), or (K, n, H, W, C) and (K, n) where K
        is above 1. The images are valid until the next call."""
        start = step * self._step_images
        indices = self._order[start : start + self._step_images]
        images = self._buffer[: len(indices)]
        np.take(self._x, indices, axis=0, out=images, mode="clip")  # "raise" would go through a copy
        if self._augmentation is not None:
            self._augmentation._apply(images, self._draws[start : start + len(indices)])
        if self._binarize is not None:
            binarization.apply(images, self._binarize, self._seed, self._epoch, start)
        labels = None if self._y is None else self._y[indices]
        if self._sets == 1:
            return images, labels
        sets = (self._sets, len(indices) // self._sets)
        return images.reshape(*sets, *images.shape[1:]), None if labels is None else labels.reshape(sets)
