"""Models small enough to train in a moment, with everything that resuming must restore: batch normalisation, dropout,
noise, optimizer state; of the GAN five updates a step, singular vectors, an average; the classifier has labels."""

import numpy as np

import genmodels as gm
from genmodels import layers as L
from genmodels.training.history import TIMES

TRAINING = 103  # not a multiple of any batch size used: the last batch is short


def vae(seed=5, **changes):
    arguments = {
        "encoder": [
            L.Conv2D(4, 3, strides=2, padding="same"),
            L.BatchNorm(),
            L.LeakyReLU(0.2),
            L.Flatten(),
            L.Dense(8),
        ],
        "decoder": [
            *[L.Dense(4 * 4 * 4), L.BatchNorm(), L.ReLU(), L.Dropout(0.3), L.Reshape((4, 4, 4))],
            *[L.Conv2DTranspose(1, 3, strides=2, padding="same"), L.Sigmoid()],
        ],
        "input_shape": (8, 8, 1),
        "latent_dim": 2,
        "seed": seed,
    }
    return gm.VAE(**(arguments | changes))


def gan(seed=5, **changes):
    arguments = {
        "generator": [
            *[L.Dense(4 * 4 * 4), L.BatchNorm(), L.ReLU(), L.Dropout(0.3), L.Reshape((4, 4, 4))],
            *[L.Conv2DTranspose(1, 3, strides=2, padding="same"), L.Tanh()],
        ],
        "discriminator": [
            *[L.Conv2D(4, 3, strides=2, padding="same", spectral_norm=True), L.BatchNorm(), L.LeakyReLU(0.2)],
            *[L.Dropout(0.3), L.Flatten(), L.Dense(1)],
        ],
        "input_shape": (8, 8, 1),
        "latent_dim": 2,
        "objective": "hinge",
        "critic_steps": 5,
        "ema": 0.9,
        "discriminator_optimizer": gm.optimizers.RMSprop(1e-3, momentum=0.5),
        "seed": seed,
    }
    return gm.GAN(**(arguments | changes))


def classifier(seed=5, **changes):
    arguments = {
        "layers": [
            *[L.Conv2D(4, 3, strides=2, padding="same"), L.BatchNorm(), L.ReLU(), L.Dropout(0.3)],
            *[L.Flatten(), L.Dense(12), L.ReLU(), L.Dense(3)],
        ],
        "input_shape": (8, 8, 1),
        "num_classes": 3,
        "seed": seed,
    }
    return gm.Classifier(**(arguments | changes))


def labels(model, n=TRAINING):
    """Of a model with classes: all of them in turn; else None."""
    return np.arange(n) % model.num_classes if model.num_classes else None


def images(n=TRAINING, seed=0):
    """uint8 (n, 8, 8, 1): a bright square at a random place on a noisy ground."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 60, (n, 8, 8, 1), np.uint8)
    for image, (row, column) in zip(x, random.integers(0, 5, (n, 2)), strict=True):
        image[row : row + 4, column : column + 4] += 180
    return x


def unaligned(array):
    """The same values at an odd address, as those of a file or a record may lie."""
    array = np.ascontiguousarray(array)
    return np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)


def state(model):
    """Everything that training depends on or leaves, but the times, in a form that compares by bits."""
    tensors = {**model.weights, **model._optimizer_tensors()}
    tables = {"epoch": model.history, "step": model.history.steps}
    columns = {
        (index, name): np.array(table[name]).tobytes()
        for index, table in tables.items()
        for name in table
        if name not in TIMES
    }
    return {name: tensor.tobytes() for name, tensor in tensors.items()} | columns | {"counters": model._counters()}
