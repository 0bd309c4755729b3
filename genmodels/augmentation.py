"""Light augmentation: training images shifted and mirrored, anew in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import _core
from . import _validate as check

__all__ = ["Augmentation"]

STREAM = 7  # GM_STREAM_AUGMENT of csrc/base/random.h; the epoch goes into its upper half
MAX_SHIFT = 2**15


@dataclass(frozen=True)
class Augmentation:
    """What `fit(augmentation=...)` does to an image whenever it comes up for training.

    shift: up to so many pixels up or down and, independently, to the left or right, all shifts equally likely; black
        comes in. At least 0, and below the images' height and width.
    flip: mirror an image, left to right, with probability 1/2. Mirrored digits and letters are none.

    The draws are a function of the model's seed, the epoch and the image's place in it. Validation data stay as they
    are. ValueError or TypeError for other values.
    """

    shift: int = 2
    flip: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shift", check.integer(self.shift, "Augmentation: shift", 0, MAX_SHIFT))
        object.__setattr__(self, "flip", check.flag(self.flip, "Augmentation: flip"))

    def _check_size(self, height: int, width: int) -> None:
        if self.shift >= min(height, width):
            raise ValueError(
                f"augmentation: shift is {self.shift}, must be below the images' {height} rows and {width} columns"
            )

    def _draws(self, seed: int, epoch: int, n: int) -> np.ndarray:
        """An epoch's draws for its n places: (n, 3), shift of rows, of columns, flip; uniform in [0, 1)."""
        return _core.uniform(seed, STREAM | epoch << 32, 3 * n).reshape(n, 3)

    def _apply(self, images: np.ndarray, draws: np.ndarray) -> None:
        """Change images (n, H, W, C) in place by draws (n, 3)."""
        n, H, W, _ = images.shape
        if self.shift:
            margin = (self.shift, self.shift)
            framed = np.pad(images, ((0, 0), margin, margin, (0, 0)))
            corners = (draws[:, :2].astype(np.float64) * (2 * self.shift + 1)).astype(np.int64)
            # windows[i, row, column] is the image i as seen from this corner of its frame.
            windows = np.moveaxis(sliding_window_view(framed, (H, W), axis=(1, 2)), 3, -1)
            images[...] = windows[np.arange(n), corners[:, 0], corners[:, 1]]
        if self.flip:
            chosen = draws[:, 2] < 0.5
            images[chosen] = images[chosen, :, ::-1]
