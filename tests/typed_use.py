"""What users' programs write, as a type checker must let it pass: `make lint` checks this file, nothing runs it."""

from typing import assert_type

import numpy as np

import genmodels as gm


def built(x: np.ndarray, name: str) -> None:
    assert_type(gm.zoo.build("vae-keras"), gm.VAE)
    assert_type(gm.zoo.build("wgan-16", latent_dim=20, ema=0.9), gm.GAN)
    gm.zoo.build("vae-keras").encode(x)
    gm.zoo.build("dcgan-tf").discriminate(x)
    gm.zoo.build(name).sample(gm.zoo.build(name).latent_dim)


def loaded(x: np.ndarray) -> None:
    vae: gm.VAE = gm.load("vae.safetensors")
    vae.fit(x, resume=True)
    gm.load("gan.safetensors").discriminate(x)
    gm.metrics.nll(gm.load("vae.safetensors"), x)
