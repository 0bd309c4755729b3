"""What a model is by its class: files of subclasses, and attributes that only building sets."""

import os
import signal
import threading

import numpy as np
import pytest
import small

import genmodels as gm
from genmodels import layers as L


class TestSubclasses:
    """A class derived from a family is of that family: its files are, and those of the family are not its."""

    def test_they_do_not_take_the_family_over(self, tmp_path):
        class Unchanged(gm.VAE):
            pass

        small.vae().save(tmp_path / "plain.safetensors")
        assert type(gm.load(tmp_path / "plain.safetensors")) is gm.VAE

    def test_a_constructor_of_their_own_is_no_part_of_the_file(self, tmp_path):
        class Own(gm.VAE):
            def __init__(self, width):
                super().__init__(
                    encoder=[L.Flatten(), L.Dense(width)],
                    decoder=[L.Dense(16), L.Reshape((4, 4, 1)), L.Sigmoid()],
                    input_shape=(4, 4, 1),
                    latent_dim=2,
                )

        own = Own(3)
        assert repr(own).startswith("VAE(")
        own.save(tmp_path / "own.safetensors")
        loaded = gm.load(tmp_path / "own.safetensors")
        assert type(loaded) is gm.VAE
        np.testing.assert_array_equal(loaded.sample(3, seed=0), own.sample(3, seed=0))


def test_recipes_that_no_file_could_hold_are_refused():
    model = small.vae()
    with pytest.raises(TypeError, match="recipe must be a dict or None, not str"):
        model.recipe = "mnist"
    assert model.recipe is None


def test_networks_are_fixed():
    model = small.vae()
    with pytest.raises(TypeError, match="fixed when it is built"):
        model.networks["decoder"] = model.networks["encoder"]
    with pytest.raises(ValueError, match="there is no 'nope'; there are encoder, head, decoder"):
        model.networks["nope"]


def test_histories_that_no_file_could_hold_are_refused():
    model = small.vae()
    with pytest.raises(TypeError, match="history must be a History, not NoneType"):
        model.history = None


@pytest.mark.parametrize("name", ["networks", "seed", "latent_dim", "history", "recipe", "stop_training"])
def test_what_every_model_has_cannot_be_deleted(name, tmp_path):
    model = small.gan()
    with pytest.raises(TypeError, match=f"{name} is part of every GAN and cannot be deleted"):
        delattr(model, name)
    model.save(tmp_path / "model.safetensors")
    model.remark = "a user's own"
    del model.remark
    assert not hasattr(model, "remark")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a shape or dtype that is set in place
def test_the_form_of_an_array_is_changed_for_its_holder_alone(tmp_path):
    model, path = small.vae(), tmp_path / "model.safetensors"
    before = small.state(model)
    for network in model.networks.values():
        for array in (*network.weights.values(), *network.gradients.values()):
            array.shape = (1, -1)
            array.dtype = np.int32
    model.save(path)
    assert small.state(model) == before == small.state(gm.load(path))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_may_use_a_model_that_a_thread_was_training():
    """The child has no such thread, which would never give the model's lock back."""
    model = small.vae()
    stop = threading.Event()

    def train():
        while not stop.is_set():
            model.train_step(small.images(40))

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        codes = [run_forked(lambda: model.sample(2, seed=1)) for _ in range(20)]
    finally:
        stop.set()
        trainer.join()
    assert codes == [0] * 20


class Wait(gm.callbacks.Callback):
    """Holds a fit at its first step."""

    def __init__(self):
        self.there, self.go_on = threading.Event(), threading.Event()

    def on_step_end(self, model, step, losses):
        self.there.set()
        self.go_on.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_may_fit_a_model_that_a_thread_was_fitting():
    model, wait = small.vae(), Wait()
    fit = threading.Thread(target=model.fit, args=(small.images(),), kwargs={"callbacks": wait, "verbose": "silent"})
    fit.start()
    try:
        wait.there.wait()
        code = run_forked(lambda: model.fit(small.images(), verbose="silent"))
        with pytest.raises(ValueError, match="in a fit already"):  # here that thread still is
            model.fit(small.images())
    finally:
        wait.go_on.set()
        fit.join()
    assert code == 0


class Fork(gm.callbacks.Callback):
    def on_step_end(self, model, step, losses):
        self.code = run_forked(model.finish_training)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fit_that_forks_goes_on_in_the_child():
    model, fork = small.vae(), Fork()
    model.fit(small.images(), batch_size=128, callbacks=fork, verbose="silent")
    assert fork.code == 0


def run_forked(work):
    """The exit code of a child that does it; it is ended after 20 seconds, by a signal."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(20)
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
