"""fit for a model whose step takes several batches: what each step gets, and that resuming changes nothing."""

import os

import numpy as np
import pytest
import small
from stand_in import StandIn, images

import genmodels as gm
from genmodels import _core
from genmodels.callbacks import Callback, Checkpoint


def numbers(x):
    """The images' numbers, and that each is whole."""
    assert (x == x[..., :1, :1, :]).all()
    return x[..., 0, 0, 0]


@pytest.mark.parametrize(
    ("n", "batch_size", "K", "shapes"),
    [
        (30, 5, 3, [(3, 5), (3, 5)]),
        (31, 5, 3, [(3, 5), (3, 5), (3, 1)]),
        (38, 5, 3, [(3, 5), (3, 5), (3, 3)]),
        (7, 100, 5, [(5, 2)]),
        (2, 4, 5, [(5, 1)]),
        (9, 4, 1, [(4,), (4,), (1,)]),
    ],
)
def test_every_image_is_seen_once_and_what_is_missing_is_the_beginning(n, batch_size, K, shapes):
    model = StandIn(critic_steps=K)
    model.fit(images(n), np.arange(n), epochs=2, batch_size=batch_size)
    assert [x.shape for x, _ in model.seen] == 2 * [(*shape, 2, 2, 1) for shape in shapes]
    assert all(labels.shape == x.shape[:-3] for x, labels in model.seen)
    for epoch in range(2):
        steps = model.seen[epoch * len(shapes) : (epoch + 1) * len(shapes)]
        shown = np.concatenate([numbers(x).ravel() for x, _ in steps])
        order = _core.permutation(model.seed, epoch, n)
        assert len(shown) < n + K
        assert np.array_equal(shown, np.resize(order, len(shown)))
        assert np.array_equal(shown, np.concatenate([labels.ravel() for _, labels in steps]))


def test_an_epochs_loss_weighs_a_step_by_its_fresh_images():
    model = StandIn(critic_steps=3)
    history = model.fit(images(38), batch_size=5)
    assert len(history.steps) == 3
    assert history["loss"][0] == pytest.approx(np.dot(history.steps["loss"], [15, 15, 8]) / 38)
    assert history["seconds"][0] * history["images_per_second"][0] == pytest.approx(38)


@pytest.mark.parametrize("K", [1, 3])
def test_resumed_at_any_step_it_gets_the_same(K, tmp_path):
    x, y, held_out = images(38), np.arange(38), images(4)
    undisturbed = StandIn(critic_steps=K)
    keep = Checkpoint(tmp_path / "{step}-{epoch}.safetensors", every_steps=1)
    undisturbed.fit(x, y, 3, 5, (held_out, None), keep)
    names = os.listdir(tmp_path)
    assert len(names) == len(undisturbed.history.steps) + len(undisturbed.history)
    for name in names:
        model = gm.load(tmp_path / name)
        model.fit(x, y, validation_data=(held_out, None), resume=True)
        assert small.state(model) == small.state(undisturbed), name
        for now, then in zip(model.seen[::-1], undisturbed.seen[::-1], strict=False):
            assert np.array_equal(now[0], then[0])
            assert np.array_equal(now[1], then[1])


def test_other_critic_steps_than_before_are_refused():
    class Stop(Callback):
        def on_step_end(self, model, step, losses):
            model.stop_training = True

    model = StandIn(critic_steps=3)
    model.fit(images(38), batch_size=5, callbacks=Stop())
    model.critic_steps = 2
    with pytest.raises(ValueError, match="critic_steps=3, this one has critic_steps=2"):
        model.fit(images(38), batch_size=5, resume=True)
    assert len(model.seen) == 1
