"""The reference itself: what it adds to PyTorch does what its definition says."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import Reference, double, lstm_steps, margin, pool, relative_error, same_padding

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


@pytest.mark.parametrize("strides", [None, 2, (1, 3)])
@pytest.mark.parametrize("padding", [0, 1, (2, 1)])
def test_means_leave_padding_out(padding: int | tuple[int, int], strides: int | tuple[int, int] | None) -> None:
    x = double(np.random.default_rng(2).standard_normal((2, 9, 8, 3)))
    expected = F.avg_pool2d(x.permute(0, 3, 1, 2), (4, 3), strides, padding, count_include_pad=False)
    ours = pool(L.AvgPool2D((4, 3), strides, padding), x)
    assert relative_error(ours.permute(0, 3, 1, 2).numpy(), expected.numpy()) < 1e-14


def test_margin_is_of_the_two_largest_values_of_a_window() -> None:
    x = double(np.array([[1.0, 4.0, 3.75], [0.0, 0.0, -8.0]])).reshape(1, 2, 3, 1)
    assert margin(L.MaxPool2D((2, 3)), x) == 0.25 / 8
    assert margin(L.MaxPool2D((1, 2), 1), x) == 0.25 / 8  # 0 and 0 are equal: either may be the largest
    assert margin(L.MaxPool2D(1), x) == np.inf


@pytest.mark.parametrize(("inputs", "units"), [(3, 5), (1, 1), (28, 20)])
def test_lstm_steps_are_pytorchs(inputs: int, units: int) -> None:
    """Outputs and every gradient of torch.nn.LSTM, which has a second bias."""
    torch.manual_seed(1)
    theirs = torch.nn.LSTM(inputs, units, batch_first=True, dtype=torch.float64)
    x = torch.randn(4, 7, inputs, dtype=torch.float64, requires_grad=True)
    w_x, w_h, b_x, b_h = theirs.parameters()
    dy = torch.randn(4, 7, units, dtype=torch.float64)
    results = [theirs(x)[0], lstm_steps(x, w_x.T, w_h.T, b_x + b_h)]
    both = [[y, *torch.autograd.grad(y, [x, *theirs.parameters()], dy)] for y in results]
    for ours, expected in zip(*both, strict=True):
        assert relative_error(ours.detach().numpy(), expected.detach().numpy()) < 1e-12
