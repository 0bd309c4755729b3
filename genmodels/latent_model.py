"""What the generative families share: codes that become images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _validate as check
from . import layers
from .core_model import CoreModel
from .network import PRECISIONS, Network

ROWS = 512
"""Images drawn in one call of the core, after which Ctrl-C counts: as many as it puts through a network at a time, at
most."""


class LatentModel(CoreModel):
    """A model that draws images of codes z (latent_dim,).

    Attributes:
        latent_dim: axes of the code.
    """

    latent_dim: int

    def _render(self, codes: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """The images (N, H, W, C), float32 in [0, 1], of codes (N, latent_dim) float32."""
        raise NotImplementedError

    def _drawing_network(self) -> Network:
        """The network that makes images of codes followed by one-hot labels."""
        raise NotImplementedError

    def _render_mixture(self, codes: np.ndarray, mixture: np.ndarray) -> np.ndarray:
        """The images of codes (N, latent_dim) under a mixture of classes (N, num_classes) in place of one label each,
        which is what lies between two classes."""
        network = self._drawing_network()
        drawn = network.forward(np.concatenate([codes, mixture], axis=1).astype(np.float32))
        if isinstance(network.layers[-1], layers.Tanh):
            drawn = (drawn + 1) / 2
        images: np.ndarray = np.clip(drawn, 0, 1)
        return images

    def sample(self, n: int, labels: Any = None, seed: int | None = None) -> np.ndarray:
        """n new images (n, H, W, C), float32 in [0, 1], of codes drawn from the standard normal distribution.

        labels (n,) for a conditional model, or one class for all of them. With a seed the model's own random streams
        stay untouched, and the first images do not depend on n: sample(5, seed=k) equals sample(9, seed=k)[:5]. Ctrl-C
        ends it between two pieces of the work and, as an error does, leaves the streams where they were.
        """
        n = check.integer(n, "n", 1)
        classes = self._classes(labels, n)
        seed = None if seed is None else check.seed(seed)
        return self._draw_around(0.0, 1.0, n, classes, seed)

    def _draw_around(self, mean: Any, deviation: Any, n: int, classes: Any, seed: int | None) -> np.ndarray:
        """The images of codes mean + deviation * noise (n, latent_dim). Where that fails the random streams stay."""
        before = self._core.streams
        try:
            codes = mean + deviation * self._core.prior(n, seed)
            return self._render_all(check.finite(codes, "z"), classes)
        except BaseException:
            self._core.streams = before
            raise

    def _render_all(self, codes: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """`_render`, with the same bits, in pieces."""
        if len(codes) <= ROWS:
            return self._render(codes, classes)
        size = math.prod(self.input_shape)
        if len(codes) * size > check.MAX_SIZE:
            raise OverflowError(f"images: {len(codes)} x {size} elements exceed the limit of {check.MAX_SIZE}")
        images = np.empty((len(codes), *self.input_shape), np.float32)
        for start in range(0, len(codes), ROWS):
            some = slice(start, start + ROWS)
            images[some] = self._render(codes[some], None if classes is None else classes[some])
        return images

    def _render_given(self, z: Any, labels: Any) -> np.ndarray:
        """The images of a caller's codes."""
        codes = check.finite(check.floats(z, (self.latent_dim,), "z"), "z")
        return self._render_all(codes, self._classes(labels, len(codes)))

    def _classes(self, labels: Any, n: int) -> np.ndarray | None:
        """A caller's labels (n,), or the one for all, of images to be drawn."""
        array = None if labels is None else check.as_array(labels, "labels")
        if array is not None and array.ndim == 0:
            array = np.broadcast_to(array, n)
        return check.labels(array, n, self.num_classes)

    def _set_common(self, input_shape: Any, latent_dim: Any, num_classes: Any, precision: Any) -> None:
        self.input_shape = check.shape(input_shape, "input_shape", [3])
        self.latent_dim = check.integer(latent_dim, "latent_dim", 1)
        self.num_classes = check.integer(num_classes, "num_classes", 0)
        self.precision = check.choice(precision, "precision", PRECISIONS)
