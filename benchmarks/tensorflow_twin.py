"""The TensorFlow twin of a network, a VAE or a GAN, in Keras 3: the same architecture from the same initial weights, in
float32, or by the policy mixed_bfloat16 where the model is of precision "bf16". A whole training iteration is one
graph, a `tf.function`, and so is sampling. It comes in two forms:

- "exact": computes what the library does; a padding that TensorFlow has no word for becomes zeros added to the image
  or pixels cut off.
- "native": such a padding becomes "same" where the sizes agree, which is what TensorFlow is fastest in.
"""

from __future__ import annotations

import os
from typing import Literal

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers as K

import genmodels as gm
from genmodels import layers as L
from genmodels import optimizers

Losses = dict[str, float]
Form = Literal["exact", "native"]
Shape = tuple[int, ...]
Labels = tf.Tensor | None


# ---- Layers ----


def padding_of(layer: L.Conv2D | L.Conv2DTranspose, size: Shape, same_size: Shape, form: Form) -> str | None:
    """Keras's word for the layer's padding; None: there is none. `size` is what comes out, `same_size` what would."""
    if layer.padding in ("same", "valid"):
        return layer.padding
    if layer.padding == (0, 0):
        return "valid"
    if form == "native" and size == same_size:
        return "same"
    return None


def convolution(layer: L.Conv2D, shape: Shape, out: Shape, form: Form) -> list[K.Layer]:
    """An explicit padding is "same" as well where that pads alike: it does where its total is even."""
    same = tuple(-(-n // s) for n, s in zip(shape[:2], layer.strides, strict=True))
    word = padding_of(layer, out[:2], same, form)
    conv = K.Conv2D(layer.filters, layer.kernel_size, layer.strides, padding=word or "valid", use_bias=layer.use_bias)
    return [conv] if word else [K.ZeroPadding2D(layer.padding), conv]


def transposed_convolution(layer: L.Conv2DTranspose, shape: Shape, out: Shape, form: Form) -> list[K.Layer]:
    same = tuple(n * s for n, s in zip(shape[:2], layer.strides, strict=True))
    word = padding_of(layer, out[:2], same, form)
    if word == "valid" and layer.output_padding != (0, 0):
        word = None
    conv = K.Conv2DTranspose(
        layer.filters, layer.kernel_size, layer.strides, padding=word or "valid", use_bias=layer.use_bias
    )
    if word:
        return [conv]
    padding = (0, 0) if layer.padding == "valid" else layer.padding
    steps = zip(shape[:2], layer.strides, layer.kernel_size, strict=True)
    whole = [(n - 1) * s + max(k, s) for n, s, k in steps]
    cuts = [(p, size - p - wanted) for p, size, wanted in zip(padding, whole, out[:2], strict=True)]
    if min(map(min, cuts)) < 0:
        raise TypeError(f"no twin of {layer!r}")
    return [conv, K.Cropping2D(cuts)]


def layers_of(layer: L.Layer, shape: Shape, out: Shape, form: Form) -> list[K.Layer]:
    """For a layer with inputs and outputs of these shapes, what does its work."""
    match layer:
        case L.Dense():
            return [K.Dense(layer.units, use_bias=layer.use_bias)]
        case L.Conv2D():
            return convolution(layer, shape, out, form)
        case L.Conv2DTranspose():
            return transposed_convolution(layer, shape, out, form)
        case L.BatchNorm():
            return [K.BatchNormalization(momentum=1 - layer.momentum, epsilon=layer.epsilon)]
        case L.LSTM():
            return [K.LSTM(layer.units, return_sequences=layer.return_sequences)]
        case L.ReLU():
            return [K.ReLU()]
        case L.LeakyReLU():
            return [K.LeakyReLU(negative_slope=layer.negative_slope)]
        case L.Tanh():
            return [K.Activation("tanh")]
        case L.Sigmoid():
            return [K.Activation("sigmoid")]
        case L.Dropout():
            return [K.Dropout(layer.rate)]
        case L.Flatten():
            return [K.Flatten()]
        case L.Reshape():
            return [K.Reshape(layer.shape)]
        case L.GlobalMaxPool2D():
            return [K.GlobalMaxPooling2D()]
    raise TypeError(f"no twin of {layer!r}")


# ---- Networks ----

ORDER = ("kernel", "recurrent_kernel", "bias", "gamma", "beta", "moving_mean", "moving_var")
"""Of a layer's weights in Keras; their layouts are the library's."""


def twin_of(network: gm.Network, form: Form = "exact") -> keras.Sequential:
    """The twin of a network, with its weights as they stand."""
    keras.config.set_dtype_policy("mixed_bfloat16" if network.precision == "bf16" else "float32")
    groups, shape = [], network.input_shape
    for layer, (_, out, *_) in zip(network.layers, network._core.layers(), strict=True):
        groups.append(layers_of(layer, shape, out, form))
        shape = out
    twin = keras.Sequential([keras.Input(network.input_shape), *(layer for group in groups for layer in group)])
    for index, group in enumerate(groups):
        weights = {name: network.weights[f"{index}.{name}"] for name in ORDER if f"{index}.{name}" in network.weights}
        for layer in group:
            if layer.weights:
                layer.set_weights(list(weights.values()))
    return twin


def optimizer_of(description: optimizers.Optimizer, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
    rate = description.learning_rate
    match description:
        case optimizers.Adam():
            result = keras.optimizers.Adam(rate, description.beta1, description.beta2, description.epsilon)
        case optimizers.RMSprop():
            rho, momentum, epsilon = description.rho, description.momentum, description.epsilon
            result = keras.optimizers.RMSprop(rate, rho, momentum, epsilon)
        case optimizers.SGD():
            result = keras.optimizers.SGD(rate, description.momentum)
        case _:
            raise TypeError(f"no twin of {description!r}")
    result.build(variables)
    return result


# ---- Models ----


def cross_entropy(logits: tf.Tensor, target: float) -> tf.Tensor:
    losses = tf.nn.sigmoid_cross_entropy_with_logits(logits=logits, labels=tf.fill(tf.shape(logits), target))
    return tf.reduce_mean(losses)


class TensorFlowModel:
    """What the twins of both families share. Random numbers are TensorFlow's, of `seed`.

    Labels go in as one-hot rows (N, num_classes); None for a model without.
    """

    def __init__(self, model: gm.VAE | gm.GAN, seed: int, form: Form = "exact") -> None:
        keras.utils.set_random_seed(seed)
        self.num_classes, self.latent_dim = model.num_classes, model.latent_dim
        self.networks = {name: twin_of(network, form) for name, network in model.networks.items()}
        self.draws = "decoder" if isinstance(model, gm.VAE) else "generator"
        self.signed = isinstance(model.networks[self.draws].layers[-1], L.Tanh)
        self.iteration = tf.function(self.losses_of_iteration, autograph=False)
        self.sampling = tf.function(self.images, autograph=False)

    @property
    def parameter_count(self) -> int:
        """Trainable parameters."""
        return sum(int(np.prod(v.shape)) for net in self.networks.values() for v in net.trainable_variables)

    def batch(self, x: np.ndarray, labels: np.ndarray | None) -> tuple[tf.Tensor, Labels]:
        """x (N, H, W, C) uint8 -> float32 in the model's range; and labels (N,), one-hot."""
        unit = tf.constant(x.astype(np.float32) / 255)
        return (2 * unit - 1 if self.signed else unit), None if labels is None else tf.one_hot(labels, self.num_classes)

    def with_planes(self, images: tf.Tensor, one_hot: Labels) -> tf.Tensor:
        """The labels as constant channels after those of the images."""
        if one_hot is None:
            return images
        planes = tf.ones([*images.shape[:3], 1]) * one_hot[:, None, None, :]
        return tf.concat([images, planes], 3)

    def codes(self, n: int, one_hot: Labels) -> tf.Tensor:
        """Fresh noise, and the labels behind it."""
        z = tf.random.normal((n, self.latent_dim))
        return z if one_hot is None else tf.concat([z, one_hot], 1)

    def images(self, n: int, one_hot: Labels) -> tf.Tensor:
        images = tf.cast(self.networks[self.draws](self.codes(n, one_hot), training=False), tf.float32)
        return (images + 1) / 2 if self.signed else images

    def sample(self, n: int, one_hot: Labels = None) -> np.ndarray:
        """(N, H, W, C) float32 in [0, 1], by the moving statistics."""
        return self.sampling(n, one_hot).numpy()

    def iterate(self, x: tf.Tensor, one_hot: Labels) -> Losses:
        """A whole iteration, all of it on one batch that `batch` made."""
        return {name: float(value) for name, value in self.iteration(x, one_hot).items()}


class TensorFlowVAE(TensorFlowModel):
    """The twin of a VAE, from its weights as they stand."""

    def __init__(self, vae: gm.VAE, seed: int, form: Form = "exact") -> None:
        super().__init__(vae, seed, form)
        self.vae = vae
        decoder = self.networks["decoder"]
        inside = decoder.layers[:-1] if vae.reconstruction == "bce" else decoder.layers
        self.before_loss = keras.Sequential([keras.Input(decoder.input_shape[1:]), *inside])
        self.variables = [v for network in self.networks.values() for v in network.trainable_variables]
        self.optimizer = optimizer_of(vae.optimizer, self.variables)

    def losses(self, x: tf.Tensor, one_hot: Labels) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstruction and KL, nats an image."""
        n = x.shape[0]
        features = self.networks["encoder"](self.with_planes(x, one_hot), training=True)
        moments = tf.cast(self.networks["head"](tf.reshape(features, (n, -1)), training=True), tf.float32)
        mean, logvar = tf.split(moments, 2, axis=1)
        z = mean + tf.exp(0.5 * logvar) * tf.random.normal(mean.shape)
        made = self.before_loss(z if one_hot is None else tf.concat([z, one_hot], 1), training=True)
        kl = -0.5 * tf.reduce_sum(1 + logvar - tf.square(mean) - tf.exp(logvar)) / n
        return self.reconstruction(tf.cast(made, tf.float32), x), kl

    def reconstruction(self, made: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        if self.vae.reconstruction == "bce":
            losses = tf.nn.sigmoid_cross_entropy_with_logits(logits=made, labels=x)
        else:
            losses = tf.math.squared_difference(made, x)
        return tf.reduce_sum(losses) / (x.shape[0] if self.vae.reduction == "sum" else int(np.prod(x.shape)))

    def losses_of_iteration(self, x: tf.Tensor, one_hot: Labels) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            reconstruction, kl = self.losses(x, one_hot)
            loss = reconstruction + self.vae.beta * kl
        self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl}


class TensorFlowGAN(TensorFlowModel):
    """The twin of a GAN, from its weights as they stand."""

    def __init__(self, gan: gm.GAN, seed: int, form: Form = "exact") -> None:
        if gan.ema:
            raise TypeError("no twin of a moving average of the weights")
        super().__init__(gan, seed, form)
        self.gan = gan
        self.generator, self.discriminator = self.networks["generator"], self.networks["discriminator"]
        self.optimizer = {
            name: optimizer_of(gan.optimizers[name], network.trainable_variables)
            for name, network in self.networks.items()
        }

    # ---- Passes ----

    def draw(self, n: int, one_hot: Labels) -> tf.Tensor:
        return tf.cast(self.generator(self.codes(n, one_hot), training=True), tf.float32)

    def judge(self, images: tf.Tensor, one_hot: Labels) -> tf.Tensor:
        """(N,)"""
        return tf.cast(
            tf.reshape(self.discriminator(self.with_planes(images, one_hot), training=True), (-1,)), tf.float32
        )

    def judge_both(self, real: tf.Tensor, fake: tf.Tensor, one_hot: Labels) -> list[tf.Tensor]:
        if not self.gan.mixed_batches:
            return [self.judge(real, one_hot), self.judge(fake, one_hot)]
        twice = None if one_hot is None else tf.concat([one_hot, one_hot], 0)
        return tf.split(self.judge(tf.concat([real, fake], 0), twice), 2)

    # ---- Losses ----

    def loss_of_discriminator(self, real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
        target = 1 - self.gan.label_smoothing
        match self.gan.objective:
            case "bce":
                return cross_entropy(real, target) + cross_entropy(fake, 0.0)
            case "lsgan":
                return (tf.reduce_mean(tf.square(real - target)) + tf.reduce_mean(tf.square(fake))) / 2
            case "hinge":
                return tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))
        return tf.reduce_mean(fake) - tf.reduce_mean(real)

    def loss_of_generator(self, fake: tf.Tensor) -> tf.Tensor:
        match self.gan.objective:
            case "bce":
                return cross_entropy(fake, 1.0)
            case "lsgan":
                return tf.reduce_mean(tf.square(fake - 1))
        return -tf.reduce_mean(fake)

    def penalty(self, real: tf.Tensor, fake: tf.Tensor, one_hot: Labels) -> tf.Tensor:
        share = tf.random.uniform((real.shape[0], 1, 1, 1))
        between = share * real + (1 - share) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            outputs = tf.reduce_sum(self.judge(between, one_hot))
        squares = tf.reduce_sum(tf.square(tape.gradient(outputs, between)), axis=(1, 2, 3))
        return tf.reduce_mean(tf.square(tf.sqrt(squares) - 1))

    # ---- Steps ----

    def update(self, name: str, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        variables = self.networks[name].trainable_variables
        self.optimizer[name].apply(tape.gradient(loss, variables), variables)

    def train_discriminator(self, real: tf.Tensor, one_hot: Labels) -> tf.Tensor:
        fake = self.draw(real.shape[0], one_hot)
        with tf.GradientTape() as tape:
            loss = self.loss_of_discriminator(*self.judge_both(real, fake, one_hot))
            if self.gan.objective == "wgan-gp":
                loss += self.gan.gradient_penalty * self.penalty(real, fake, one_hot)
        self.update("discriminator", tape, loss)
        if self.gan.clip_weights:
            for weight in self.discriminator.trainable_variables:
                weight.assign(tf.clip_by_value(weight.value, -self.gan.clip_weights, self.gan.clip_weights))
        return loss

    def train_generator(self, n: int, one_hot: Labels) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.loss_of_generator(self.judge(self.draw(n, one_hot), one_hot))
        self.update("generator", tape, loss)
        return loss

    def losses_of_iteration(self, x: tf.Tensor, one_hot: Labels) -> dict[str, tf.Tensor]:
        critic = [self.train_discriminator(x, one_hot) for _ in range(self.gan.critic_steps)]
        generator = self.train_generator(x.shape[0], one_hot)
        return {"discriminator_loss": sum(critic) / len(critic), "generator_loss": generator}


def twin(model: gm.VAE | gm.GAN, seed: int = 0, form: Form = "exact") -> TensorFlowVAE | TensorFlowGAN:
    """The twin of a model of either family."""
    return (TensorFlowVAE if isinstance(model, gm.VAE) else TensorFlowGAN)(model, seed, form)
