"""What every test shares: the same examples in every run, and no display."""

import os
import signal

import pytest
from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"

# A shell's background job ignores Ctrl-C, and so would the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, in an order that does not depend on the machine's speed.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


@pytest.fixture
def threads():
    """Sets the number of threads; the number from before is back afterwards."""
    import genmodels

    before = genmodels.get_num_threads()
    yield genmodels.set_num_threads
    genmodels.set_num_threads(before)


@pytest.fixture
def same_threads(threads):
    """The number of threads is back after the test."""


@pytest.fixture(scope="module")
def few_strokes(tmp_path_factory):
    """A cache folder of the module's own, in which the strokes are kept; few test images where this process reads."""
    import genmodels as gm

    load = gm.datasets.load

    def load_few(*arguments, **options):
        train, (x, y) = load(*arguments, **options)
        return train, (x[:500], y[:500])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gm.datasets, "load", load_few)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("GENMODELS_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def small_sweeps(tmp_path_factory):
    """For sweeps over strokes: a cache folder of the module's own, and in this process what `make_small` does."""
    from small_sweep import make_small

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("GENMODELS_DATA", raising=False)
        make_small(patch)
        yield


@pytest.fixture
def one(tmp_path, small_sweeps):
    """The folder of a sweep of one trial, for a test to change."""
    from small_sweep import ONE

    from genmodels.sweep import run_sweep

    run_sweep(ONE, tmp_path / "one")
    return tmp_path / "one"
