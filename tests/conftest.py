"""What every test shares: the same examples in every run, and no display."""

import os

import pytest
from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"

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
