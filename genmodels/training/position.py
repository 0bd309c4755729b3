"""Where a fit stands, so that a saved model can go on with it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..augmentation import Augmentation
from ..binarization import CHOICES


@dataclasses.dataclass
class Position:
    """The place of a fit in its data order, kept up to date between steps.

    What was asked for: `epochs` passes over `images` images, `critic_steps` batches of `batch_size` a step, on the
    data of `fingerprint`, which `augmentation` and `binarize` change on the way. What is done: `epoch` whole epochs and
    `step` steps of the next, whose losses, each weighted by its images, add up to `sums`, in `seconds`. An `ended` fit
    closes the epoch it is in and begins no other.
    """

    epochs: int
    batch_size: int
    images: int
    fingerprint: str
    critic_steps: int = 1
    augmentation: Augmentation | None = None
    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    ended: bool = False
    binarize: str | None = None

    @property
    def finished(self) -> bool:
        return self.epoch >= self.epochs or (self.ended and self.step == 0)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.images // (self.critic_steps * self.batch_size))

    def add(self, losses: Mapping[str, float], seconds: float) -> None:
        """Count a step. Its losses weigh as many images as the epoch had not seen before it."""
        step_images = self.critic_steps * self.batch_size
        images = min(step_images, self.images - self.step * step_images)
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * images
        self.seconds += seconds
        self.step += 1

    def close_epoch(self, held_out: Mapping[str, float]) -> dict[str, float]:
        """Count the epoch whose steps are all done; its mean losses, those of held-out data, and its times."""
        row = {name: total / self.images for name, total in self.sums.items()} | dict(held_out)
        row |= {"seconds": self.seconds, "images_per_second": self.images / max(self.seconds, 1e-9)}
        self.epoch, self.step, self.sums, self.seconds = self.epoch + 1, 0, {}, 0.0
        return row

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Position:
        """The inverse of to_dict. ValueError for anything that no fit could have left."""
        if isinstance(values, dict):
            values = _NEWER_FIELDS | values
        if not isinstance(values, dict) or set(values) != {field.name for field in dataclasses.fields(cls)}:
            raise ValueError(f"place in the fit: expected an object with its fields, got {str(values)[:80]!r}")
        _check_fields(values)
        augmentation = values["augmentation"]
        position = cls(**values | {"augmentation": None if augmentation is None else Augmentation(**augmentation)})
        if position.epoch > position.epochs or position.step > (0 if position.finished else position.steps_per_epoch):
            raise ValueError(f"place in the fit: epoch {position.epoch}, step {position.step} is behind its end")
        return position


def _check_fields(values: Mapping[str, Any]) -> None:
    bounds = {"epochs": 1, "batch_size": 1, "images": 1, "critic_steps": 1, "epoch": 0, "step": 0}
    for name, least in bounds.items():
        if type(values[name]) is not int or not least <= values[name] < 2**63:
            raise ValueError(f"place in the fit: {name} is {values[name]!r}, expected an integer >= {least}")
    kinds = {"fingerprint": (str,), "sums": (dict,), "ended": (bool,), "augmentation": (dict, type(None))}
    for name, kind in kinds.items():
        if not isinstance(values[name], kind):
            raise ValueError(f"place in the fit: {name} of a wrong type: {str(values[name])[:80]!r}")
    if values["binarize"] not in (None, *CHOICES):
        raise ValueError(f"place in the fit: binarize is {str(values['binarize'])[:80]!r}")
    numbers = [values["seconds"], *values["sums"].values()]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise ValueError("place in the fit: seconds and sums must be finite numbers")


_NEWER_FIELDS = {"critic_steps": 1, "augmentation": None, "ended": False, "binarize": None}
"""What fits were before there were these fields, for files of that time."""


def fingerprint(*arrays: np.ndarray | None) -> str:
    """SHA-256 over types, shapes and all bytes, by which a resumed fit knows its data again."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none;")
            continue
        digest.update(f"{array.dtype.str}{array.shape};".encode())
        for start in range(0, len(array), 4096):  # in pieces: no second copy of strided data
            digest.update(np.ascontiguousarray(array[start : start + 4096]).data)
    return digest.hexdigest()
