"""genmodels._core called directly, and where its callers may be: it raises or works, and never crashes or hangs."""

import numpy as np
import pytest

from genmodels import _core

DENSE = {"kind": "Dense", "units": 3}


def network(*layers, shape=(4,)):
    return _core.Network(layers or (DENSE,), shape, 1)


# ---- arrays -----------------------------------------------------------------------------------------


def test_an_array_of_a_dtype_without_a_number_is_refused():
    """NumPy's own example of one that others could have added."""
    scaled = np._core._multiarray_umath._get_sfloat_dtype()
    with pytest.raises(TypeError, match="x has dtype _ScaledFloatTestDType"):
        network().forward(np.ones((2, 4)).astype(scaled(1.0)), False)
