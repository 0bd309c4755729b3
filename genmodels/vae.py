"""The variational autoencoder, plain and conditional."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from . import _core
from . import _validate as check
from .core_model import as_optimizer
from .latent_model import LatentModel
from .layers import Dense, Layer
from .network import Network, as_layers
from .optimizers import Adam, Optimizer

__all__ = ["VAE"]

NETWORKS = ("encoder", "head", "decoder")
RECONSTRUCTIONS = ("bce", "mse")
REDUCTIONS = ("sum", "mean")


class VAE(LatentModel):
    """Variational autoencoder (Kingma and Welling 2014), conditional where num_classes > 0 (Sohn, Lee and Yan 2015).

    The encoder makes features of an image, the head, one Dense(2 * latent_dim), makes of these the mean and the
    logarithm of the variance of a Gaussian over codes z, and the decoder makes an image of a code.
    loss = reconstruction + beta * kl, in nats, averaged over the batch; z = mean + exp(logvar / 2) * noise.

    Images are (N, H, W, C), uint8 or float32 in [0, 1], whatever the decoder's range: one that ends in Tanh makes the
    model map x to 2x - 1 inside. Images come back as float32 in [0, 1].

    Args:
        encoder: layers from (H, W, C + num_classes) to features of any shape, which the head sees flattened.
        decoder: layers from (latent_dim + num_classes,) to (H, W, C); it ends in Sigmoid for "bce".
        input_shape: (H, W, C), without label channels.
        latent_dim: axes of the code, at least 1.
        reconstruction: "bce", binary cross-entropy; or "mse", the squared error without 1/2, in the decoder's range:
            a Gaussian observation of variance 1/2.
        reduction: "sum" over pixels, or "mean", which leaves the KL term alone.
        beta: weight of the KL term, >= 0 (Higgins et al. 2017).
        num_classes: with classes, labels 0..num_classes-1 join as one-hot channels after the image's, and after z.
        optimizer: an object of `genmodels.optimizers`; Adam(1e-3) unless given.
        precision: of the operands of products, "float32", "bf16" or "high": see `Network`.
        seed: of weights, noise and data order, 0..2^64-1. The same seed gives the same bits for any number of threads.

    Raises ValueError for values out of bounds and networks that do not fit, TypeError for wrong kinds of values,
    OverflowError or MemoryError for sizes beyond the machine.
    """

    family = "VAE"
    _layer_lists: ClassVar[Mapping[str, str]] = {"encoder": "encoder", "decoder": "decoder"}
    _optimizers = dict.fromkeys(NETWORKS, "optimizer")
    _streams = ("noise", "sample")
    _core: _core.VAE
    _fixed = LatentModel._fixed | {
        *("input_shape", "latent_dim", "reconstruction", "reduction", "beta", "num_classes", "optimizer", "precision"),
    }

    def __init__(
        self,
        *,
        encoder: Iterable[Layer],
        decoder: Iterable[Layer],
        input_shape: tuple[int, int, int],
        latent_dim: int,
        reconstruction: str = "bce",
        reduction: str = "sum",
        beta: float = 1.0,
        num_classes: int = 0,
        optimizer: Optimizer | None = None,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        self._set_common(input_shape, latent_dim, num_classes, precision)
        self.reconstruction = check.choice(reconstruction, "reconstruction", RECONSTRUCTIONS)
        self.reduction = check.choice(reduction, "reduction", REDUCTIONS)
        self.beta = check.number(beta, "beta", 0.0, 1e6)
        self.optimizer = as_optimizer(optimizer, "optimizer", Adam())
        seed = check.seed(seed)
        super().__init__(self._build(as_layers(encoder, "encoder"), as_layers(decoder, "decoder"), seed), seed)
        encoder_core, head_core, decoder_core = (self.networks[name]._core for name in NETWORKS)
        self._core = _core.VAE(encoder_core, head_core, decoder_core, self._core_config())

    def _build(self, encoder: tuple[Layer, ...], decoder: tuple[Layer, ...], seed: int) -> dict[str, Network]:
        """The three networks; a message about a layer says whose it is."""
        height, width, channels = self.input_shape
        image = (height, width, channels + self.num_classes)
        networks = {"encoder": self._named_network("encoder", encoder, image, seed, 0)}
        features = (math.prod(networks["encoder"].output_shape),)
        networks["head"] = self._named_network("head", (Dense(2 * self.latent_dim),), features, seed, 1)
        networks["decoder"] = self._named_network("decoder", decoder, (self.latent_dim + self.num_classes,), seed, 2)
        return networks

    def _core_config(self) -> dict[str, Any]:
        return {
            "image": self.input_shape,
            "latent_dim": self.latent_dim,
            "num_classes": self.num_classes,
            "reconstruction": self.reconstruction,
            "reduction": self.reduction,
            "beta": self.beta,
            "optimizer": self.optimizer.to_dict(),
            "seed": self.seed,
        }

    # ---- training ---------------------------------------------------------------------------------

    def train_step(self, x: Any, labels: Any = None, noise: Any = None) -> dict[str, float]:
        """One optimizer step on a batch: {"loss", "reconstruction", "kl"}, before the step, in nats an image.

        x (N, H, W, C); labels (N,) integers for a conditional model; noise (N, latent_dim) replaces the draw from the
        standard normal distribution. Any N: a larger one than before makes room first, the others allocate nothing.

        Raises ValueError or TypeError for unfit input, MemoryError or OverflowError for a batch too large, and
        FloatingPointError when the loss or a gradient is not finite. The model then stays as it was.
        """
        images, classes = self._batch(x, labels)
        if noise is not None:
            noise = self._apart(check.finite(check.floats(noise, (self.latent_dim,), "noise"), "noise"))
        return _losses(self._core.train_step(images, classes, noise))

    def evaluate(self, x: Any, labels: Any = None) -> dict[str, float]:
        """The losses of held-out images (N, H, W, C), any N, in inference mode: {"loss", "reconstruction", "kl"}.

        The noise depends on the model's seed and an image's place alone, so the same images give the same numbers.

        labels (N,), integers, belong to a conditional model, which needs them. ValueError or TypeError for unfit input.
        """
        images, classes = self._batch(x, labels)
        return _losses(self._core.evaluate(images, classes, self.seed))

    # ---- codes and images -------------------------------------------------------------------------

    def encode(self, x: Any, labels: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and log-variance of the codes of images (N, H, W, C): two arrays (N, latent_dim), float32.

        labels (N,), integers, belong to a conditional model, which needs them. ValueError or TypeError for unfit input.
        """
        images, classes = self._batch(x, labels)
        return self._core.encode(images, classes)

    def decode(self, z: Any, labels: Any = None) -> np.ndarray:
        """The images (N, H, W, C), float32 in [0, 1], of codes z (N, latent_dim), float32 or float64, finite.

        labels as in `sample`: a conditional model needs them. ValueError or TypeError for unfit input.
        """
        return self._render_given(z, labels)

    def _render(self, codes: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        return self._core.decode(codes, classes)

    def _drawing_network(self) -> Network:
        return self.networks["decoder"]

    def reconstruct(self, x: Any, labels: Any = None) -> np.ndarray:
        """Images (N, H, W, C) there and back through the mean of their codes: (N, H, W, C), float32 in [0, 1].

        labels (N,), integers, belong to a conditional model, which needs them. ValueError or TypeError for unfit input.
        """
        images, classes = self._batch(x, labels)
        mean, _ = self._core.encode(images, classes)
        return self._core.decode(mean, classes)

    def sample_near(
        self, x: Any, n: int | None = None, labels: Any = None, spread: float = 1.0, seed: int | None = None
    ) -> np.ndarray:
        """n new images (n, H, W, C), float32 in [0, 1], of codes drawn around the encodings of given images.

        x (N, H, W, C) is gone through in turn, once where n is None: z = mean + spread * exp(logvar / 2) * noise. With
        images of one class this is how one draws that class with a VAE that knows no labels. labels (N,), those of x,
        for a conditional model. spread >= 0: 1 draws from the encoder's own Gaussian, 0 gives reconstructions.

        seed as in `sample`, and with it the first images do not depend on n. ValueError where a code is not finite.
        """
        images, classes = self._batch(x, labels)
        n = len(images) if n is None else check.integer(n, "n", 1)
        spread = check.number(spread, "spread", 0.0)
        seed = None if seed is None else check.seed(seed)
        mean, logvar = self._core.encode(images[:n], None if classes is None else classes[:n])
        turn = np.arange(n) % len(images)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found among the codes
            deviation = np.float32(spread) * np.exp(logvar / 2)
        return self._draw_around(mean[turn], deviation[turn], n, None if classes is None else classes[turn], seed)


def _losses(values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("loss", "reconstruction", "kl"), values, strict=True))
