"""The reference itself: what it adds to PyTorch does what its definition says."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import Reference, double, relative_error, same_padding

from genmodels import layers as L


def test_relative_error_is_of_the_largest_value() -> None:
    assert relative_error(np.array([1.0, 4.5]), np.array([1.25, 4.0])) == 0.125
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.full(2, 1e-30), np.zeros(2)) == np.inf


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(28, 3, 2, (0, 1)), (28, 3, 1, (1, 1)), (7, 3, 2, (1, 1)), (28, 5, 2, (1, 2)), (7, 2, 3, (0, 1))],
)
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    """tf.nn.conv2d(padding="SAME") puts the odd zero behind."""
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_same_transposed_convolution_is_the_gradient_of_the_convolution(kernel: int, stride: int) -> None:
    layer = L.Conv2DTranspose(2, kernel, stride, "same", use_bias=False)
    rng = np.random.default_rng(1)
    weights = double(rng.standard_normal((kernel, kernel, 2, 3)))
    small = double(rng.standard_normal((1, 4, 5, 3)))
    ours = Reference([layer], {"0.kernel": weights.numpy()}).forward(small)
    image = torch.zeros(1, 2, 4 * stride, 5 * stride, dtype=torch.float64, requires_grad=True)
    (top, bottom), (left, right) = (same_padding(size, kernel, stride) for size in image.shape[2:])
    map_ = F.conv2d(F.pad(image, (left, right, top, bottom)), weights.permute(3, 2, 0, 1), stride=stride)
    map_.backward(small.permute(0, 3, 1, 2))
    assert relative_error(ours.detach().permute(0, 3, 1, 2).numpy(), image.grad.numpy()) < 1e-14
