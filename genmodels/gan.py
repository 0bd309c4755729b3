"""The generative adversarial network, plain and conditional, for every objective."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from . import _core
from . import _validate as check
from .core_model import as_optimizer
from .latent_model import LatentModel
from .layers import Layer
from .network import Network, as_layers
from .optimizers import Adam, Optimizer

__all__ = ["GAN"]

OBJECTIVES = ("bce", "lsgan", "wgan", "wgan-gp", "hinge")
WASSERSTEIN = ("wgan", "wgan-gp")
MAX_CRITIC_STEPS = 1000
DEFAULT_PENALTY = 10.0
NO_LOSS = 1e-3
"""A discriminator whose loss stays below has nothing left to tell its generator."""
NO_SPREAD = 1e-3
"""Images that differ by less in every pixel are the same image."""


class GAN(LatentModel):
    """Generative adversarial network (Goodfellow et al. 2014), conditional where num_classes > 0 (Mirza and Osindero
    2014): a generator draws images, a discriminator (or critic) tells them from real ones, each learns from the other.

    With r and f the discriminator's outputs on real and generated images, s the label smoothing, and means over the
    batch, the losses of discriminator and generator are
    - "bce" (non-saturating, from logits): BCE(r, 1 - s) + BCE(f, 0), the sum and not half of it; BCE(f, 1);
    - "lsgan" (Mao et al. 2017): (mean (r - (1 - s))^2 + mean f^2) / 2; mean (f - 1)^2;
    - "wgan" (Arjovsky, Chintala and Bottou 2017): mean f - mean r; -mean f;
    - "wgan-gp" (Gulrajani et al. 2017): that of "wgan" + gradient_penalty * mean (|gradient| - 1)^2; -mean f. The
      gradient is that of the critic's output for the image, at e * real + (1 - e) * generated, e uniform, one a sample;
      the penalty is exact, so the critic must be linear between kinks: no BatchNorm, LayerNorm, Tanh, Sigmoid, LSTM;
    - "hinge" (Lim and Ye 2017): mean max(0, 1 - r) + mean max(0, 1 + f); -mean f.

    Images are (N, H, W, C), uint8 or float32 in [0, 1], whatever the generator's range: one that ends in Tanh makes the
    model map x to 2x - 1 inside. Images come back as float32 in [0, 1]; those of a generator that ends in neither Tanh
    nor Sigmoid are clipped to it, though the discriminator has seen them as they were.

    Args:
        generator: layers from (latent_dim + num_classes,) to (H, W, C).
        discriminator: layers from (H, W, C + num_classes) to one value; for "bce" and "hinge" without a last Sigmoid.
        input_shape: (H, W, C), without label channels.
        latent_dim: axes of the code, at least 1.
        objective: "bce", "lsgan", "wgan", "wgan-gp" or "hinge".
        num_classes: with classes, labels 0..num_classes-1 join as one-hot channels after the image's, and after z;
            generated images take the labels of the real batch.
        generator_optimizer, discriminator_optimizer: objects of `genmodels.optimizers`; Adam(2e-4, beta1=0.5) unless
            given (Radford, Metz and Chintala 2016).
        critic_steps: updates of the discriminator before each of the generator, 1..1000.
        label_smoothing: s above, one-sided, 0..1; of "bce" and "lsgan".
        clip_weights: bound of the critic's parameters, held to after each of its updates; None: none; of "wgan", whose
            losses estimate a distance only where the critic's slope is bounded: by this (0.01 in the paper, with 5
            critic_steps and RMSprop(5e-5)), or by layers of spectral norm.
        gradient_penalty: weight of the penalty, >= 0; None: 10; of "wgan-gp".
        mixed_batches: the N real and N generated images go through the discriminator in one pass instead of two.
        ema: decay of an exponential moving average of the generator's weights, which begins at the initial ones and is
            what `sample` and `generate` use; 0..1, 0: none.
        precision: of the operands of products, "float32", "bf16" or "high": see `Network`.
        seed: of weights, noise and data order, 0..2^64-1. The same seed gives the same bits for any number of threads.

    Raises ValueError for values out of bounds and networks that do not fit, TypeError for wrong kinds of values,
    OverflowError or MemoryError for sizes beyond the machine.
    """

    family = "GAN"
    _layer_lists: ClassVar[Mapping[str, str]] = {"generator": "generator", "discriminator": "discriminator"}
    _optimizers: ClassVar[Mapping[str, str]] = {
        "generator": "generator_optimizer",
        "discriminator": "discriminator_optimizer",
    }
    _core: _core.GAN
    _streams = ("noise", "sample", "mix")
    _fixed = LatentModel._fixed | {
        *("input_shape", "latent_dim", "objective", "num_classes", "generator_optimizer", "discriminator_optimizer"),
        *("critic_steps", "label_smoothing", "clip_weights", "gradient_penalty", "mixed_batches", "ema", "precision"),
    }

    def __init__(
        self,
        *,
        generator: Iterable[Layer],
        discriminator: Iterable[Layer],
        input_shape: tuple[int, int, int],
        latent_dim: int,
        objective: str = "bce",
        num_classes: int = 0,
        generator_optimizer: Optimizer | None = None,
        discriminator_optimizer: Optimizer | None = None,
        critic_steps: int = 1,
        label_smoothing: float = 0.0,
        clip_weights: float | None = None,
        gradient_penalty: float | None = None,
        mixed_batches: bool = False,
        ema: float = 0.0,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        self._set_common(input_shape, latent_dim, num_classes, precision)
        self.objective = check.choice(objective, "objective", OBJECTIVES)
        default = Adam(2e-4, beta1=0.5)
        self.generator_optimizer = as_optimizer(generator_optimizer, "generator_optimizer", default)
        self.discriminator_optimizer = as_optimizer(discriminator_optimizer, "discriminator_optimizer", default)
        self.critic_steps = check.integer(critic_steps, "critic_steps", 1, MAX_CRITIC_STEPS)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0.0, 1.0)
        self.clip_weights = None if clip_weights is None else check.number(clip_weights, "clip_weights", 1e-30, 1e30)
        self.gradient_penalty = self._penalty(gradient_penalty)
        self.mixed_batches = check.flag(mixed_batches, "mixed_batches")
        self.ema = check.number(ema, "ema", 0.0, 1.0, open_high=True)
        self._check_objective()
        seed = check.seed(seed)
        draws, judges = as_layers(generator, "generator"), as_layers(discriminator, "discriminator")
        height, width, channels = self.input_shape
        latent = (self.latent_dim + self.num_classes,)
        networks = {
            "generator": self._named_network("generator", draws, latent, seed, 0),
            "discriminator": self._named_network(
                "discriminator", judges, (height, width, channels + self.num_classes), seed, 1
            ),
        }
        # From the same seed and stream: it begins at the generator's initial weights.
        self._average = self._named_network("generator", draws, latent, seed, 0) if self.ema else None
        super().__init__(networks, seed)
        average = None if self._average is None else self._average._core
        self._core = _core.GAN(
            networks["generator"]._core, networks["discriminator"]._core, average, self._core_config()
        )

    def _penalty(self, value: Any) -> float | None:
        if value is None:
            return DEFAULT_PENALTY if self.objective == "wgan-gp" else None
        return check.number(value, "gradient_penalty", 0.0, 1e30)

    def _check_objective(self) -> None:
        """Options that would do nothing are errors."""
        if self.label_smoothing and self.objective not in ("bce", "lsgan"):
            raise ValueError(f'label_smoothing goes with objective="bce" or "lsgan", not "{self.objective}"')
        if self.clip_weights is not None and self.objective != "wgan":
            raise ValueError(f'clip_weights goes with objective="wgan", not "{self.objective}": leave it None')
        if self.gradient_penalty is not None and self.objective != "wgan-gp":
            raise ValueError(f'gradient_penalty goes with objective="wgan-gp", not "{self.objective}": leave it None')

    def _core_config(self) -> dict[str, Any]:
        same = (
            "latent_dim",
            "num_classes",
            "objective",
            "critic_steps",
            "label_smoothing",
            "mixed_batches",
            "ema",
            "seed",
        )
        return {
            **{name: getattr(self, name) for name in same},
            "image": self.input_shape,
            "clip_weights": self.clip_weights or 0.0,
            "gradient_penalty": self.gradient_penalty or 0.0,
            "generator_optimizer": self.generator_optimizer.to_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.to_dict(),
        }

    # ---- training ---------------------------------------------------------------------------------

    def train_step(self, x: Any, labels: Any = None, noise: Any = None, mix: Any = None) -> dict[str, float]:
        """`critic_steps` updates of the discriminator, then one of the generator through the updated discriminator:
        {"discriminator_loss", "generator_loss"}, the first with the penalty and averaged over its updates, both from
        before the update; "gradient_penalty" for "wgan-gp", unweighted; "wasserstein", mean r - mean f, for both
        Wasserstein objectives.

        x (N, H, W, C) serves every update of the discriminator, (critic_steps, N, H, W, C) gives each its own; labels
        of a conditional model alike, (N,) or (critic_steps, N), and generated images take those of their real batch, in
        the generator's update those of the last. noise (N, latent_dim) or (critic_steps + 1, N, latent_dim), the
        generator's last, replaces the draws; mix (N,) or (critic_steps, N) in [0, 1] replaces the penalty's e.

        Raises ValueError or TypeError for unfit input, MemoryError or OverflowError for a batch too large, and
        FloatingPointError when a loss or a gradient is not finite: that update is not made, nor those behind it, and
        moving statistics and random streams stay where the last update before it, if any, left them.
        """
        images, shape = self._stacked(x)
        parts, n = len(images) // shape[-1], shape[-1]
        classes = check.labels(self._flat_labels(labels, shape), len(images), self.num_classes)
        draws = None if noise is None else self._each("noise", noise, (n, self.latent_dim), self.critic_steps + 1)
        places = None if mix is None else self._each("mix", mix, (n,), self.critic_steps)
        if places is not None and not (places.min() >= 0 and places.max() <= 1):
            raise ValueError(f"mix reaches from {places.min()} to {places.max()}, must be in [0, 1]")
        apart = map(self._apart, (classes, draws, places))
        return self._losses(self._core.train_step(self._apart(images), parts, *apart))

    def _stacked(self, x: Any) -> tuple[np.ndarray, tuple[int, ...]]:
        """The images of all parts one behind the other, and how they were given: (N,) or (critic_steps, N)."""
        array = check.as_array(x, "x")
        if array.ndim != 5:
            images = check.pixels(array, self.input_shape)
            return images, (len(images),)
        if array.shape[2:] != self.input_shape or len(array) != self.critic_steps:
            sizes = ", ".join(map(str, self.input_shape))
            raise ValueError(f"x has shape {array.shape}, expected (N, {sizes}) or ({self.critic_steps}, N, {sizes})")
        return check.pixels(array.reshape(-1, *self.input_shape), self.input_shape), array.shape[:2]

    def _flat_labels(self, labels: Any, shape: tuple[int, ...]) -> Any:
        """Labels of stacked images one behind the other."""
        if labels is None or not self.num_classes:
            return labels
        array = check.as_array(labels, "labels")
        if array.shape != shape:
            raise ValueError(f"labels have shape {array.shape}, expected {shape}: one for each image of x")
        return array.reshape(-1)

    def _each(self, name: str, value: Any, shape: tuple[int, ...], parts: int) -> np.ndarray:
        """Floats for every update alike, `shape`, or for each, (parts, *shape); one row a sample."""
        array = check.as_array(value, name)
        if array.shape not in (shape, (parts, *shape)):
            raise ValueError(f"{name} has shape {array.shape}, expected {shape} or {(parts, *shape)}")
        rows = array.reshape(-1, *shape[1:])
        return check.finite(check.floats(rows, shape[1:], name), name)

    def evaluate(self, x: Any, labels: Any = None) -> dict[str, float]:
        """The losses on held-out images (N, H, W, C), any N, in inference mode and without the gradient penalty:
        {"discriminator_loss", "generator_loss"}, and "wasserstein" where it applies.

        The noise depends on the model's seed and an image's place alone, so the same images give the same numbers.

        labels (N,), integers, belong to a conditional model, which needs them. ValueError or TypeError for unfit input.
        """
        images, classes = self._batch(x, labels)
        losses = self._losses(self._core.evaluate(images, classes, self.seed))
        losses.pop("gradient_penalty", None)
        return losses

    def _losses(self, values: tuple[float, float, float, float]) -> dict[str, float]:
        discriminator, generator, penalty, wasserstein = values
        losses = {"discriminator_loss": discriminator, "generator_loss": generator}
        if self.objective == "wgan-gp":
            losses["gradient_penalty"] = penalty
        if self.objective in WASSERSTEIN:
            losses["wasserstein"] = wasserstein
        return losses

    def _symptoms(self, losses: Mapping[str, float]) -> list[str]:
        found = []
        if self.objective not in WASSERSTEIN and losses["discriminator_loss"] < NO_LOSS:
            found.append(
                f"the discriminator's loss was {losses['discriminator_loss']:.2g} over the epoch: it tells all images "
                "apart, and its generator learns nothing any more; try a lower learning rate for the discriminator, "
                'label_smoothing, Dropout in it, or objective="wgan-gp"'
            )
        labels = np.zeros(16, np.int64) if self.num_classes else None
        if np.ptp(self.sample(16, labels=labels, seed=0), axis=0).max() < NO_SPREAD:
            found.append(
                "the generator draws the same image for every code: it has collapsed; go back to an earlier checkpoint "
                "or begin anew with a lower learning rate, BatchNorm in the generator, or another objective"
            )
        return found

    # ---- images -----------------------------------------------------------------------------------

    def generate(self, z: Any, labels: Any = None) -> np.ndarray:
        """The images (N, H, W, C), float32 in [0, 1], of codes z (N, latent_dim), float32 or float64, finite.

        In inference mode, so one code always gives one image; by the average of the weights where ema > 0.

        labels as in `sample`: a conditional model needs them. ValueError or TypeError for unfit input.
        """
        return self._render_given(z, labels)

    def discriminate(self, x: Any, labels: Any = None) -> np.ndarray:
        """The discriminator's outputs (N,), float32, on images (N, H, W, C), in inference mode: logits for "bce"; for
        "lsgan" values drawn to 1 on real and to 0 on generated images; for "hinge" scores pushed above 1 on real and
        below -1 on generated images; for the Wasserstein objectives a critic's values, larger on real images.

        labels (N,), integers, belong to a conditional model, which needs them. ValueError or TypeError for unfit input.
        """
        return self._core.discriminate(*self._batch(x, labels))

    def _render(self, codes: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        return self._core.generate(codes, classes)

    def _drawing_network(self) -> Network:
        return self._average or self.networks["generator"]

    # ---- saving -----------------------------------------------------------------------------------

    def _optimizer_tensors(self) -> dict[str, np.ndarray]:
        average = {} if self._average is None else self._average.weights
        return super()._optimizer_tensors() | {f"average.{name}": view for name, view in average.items()}
