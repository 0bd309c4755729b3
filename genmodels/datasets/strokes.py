"""Handwriting that the library draws itself: labelled 28x28 digits from stroke skeletons.

Every digit has a few skeletons: control points in a unit box and the strokes that join them, as smooth (Catmull-Rom)
curves. An image is one skeleton whose points are wobbled, then slanted, turned, stretched, fitted into a box of about
20x20 pixels, shifted, and inked by the distance of each pixel to the nearest piece of stroke.

The same seed gives the same bytes on every machine: the random bits are NumPy's raw Philox words, and the arithmetic is
additions, multiplications, divisions and square roots of one element at a time, which IEEE 754 fixes to the last bit.
Sines, exponentials, matrix products and sums over an axis, which it does not fix, are not used.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIZE = 28
BLOCK = 10  # each block of ten images holds every digit once, in random order
CHUNK = 128  # images drawn at once: the working arrays stay in the second-level cache
DRAW = 4000  # images whose random numbers are drawn at once; a multiple of BLOCK
WORDS = 16  # 64-bit random words an image: four uniform numbers of 16 bits in each
WOBBLE = 0.07  # how far a control point strays, as a part of the digit's height
EDGE = 1.15  # pixels from black to white across a stroke's edge, for as many grey pixels as MNIST has
PIECES = 4  # straight pieces between two control points of a curve

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Skeleton:
    """One way to write a digit: points (x right, y down, in a unit box) and strokes as lists of their indices."""

    weight: int  # how often, against the digit's other skeletons
    points: tuple[tuple[float, float], ...]
    strokes: tuple[tuple[int, ...], ...]


def _skeleton(weight: int, *strokes: str) -> Skeleton:
    """From strokes as "x,y x,y ..." in hundredths. Strokes that share a point stay joined there."""
    paths = [[_point(text) for text in stroke.split()] for stroke in strokes]
    points = tuple(dict.fromkeys(point for path in paths for point in path))
    return Skeleton(weight, points, tuple(tuple(points.index(point) for point in path) for path in paths))


def _point(text: str) -> tuple[float, float]:
    x, y = text.split(",")
    return int(x) / 100, int(y) / 100


SKELETONS: tuple[tuple[Skeleton, ...], ...] = (
    (  # 0: closed, and with an open or crossing end
        _skeleton(3, "48,0 18,14 6,50 18,87 47,100 78,86 90,48 78,13 48,0"),
        _skeleton(1, "62,4 30,10 8,50 20,90 50,100 80,80 88,40 70,10 40,0"),
    ),
    (  # 1: a bar; with a flag; with a flag and a foot
        _skeleton(7, "50,0 50,50 50,100"),
        _skeleton(2, "30,20 54,0", "54,0 53,50 52,100"),
        _skeleton(1, "28,22 52,0", "52,0 52,100", "22,100 52,100 84,99"),
    ),
    (  # 2: an angle at the foot; a loop there
        _skeleton(1, "8,24 34,1 72,6 82,32 52,66 5,98", "5,98 50,95 97,98"),
        _skeleton(1, "10,20 38,0 72,10 74,40 48,74 16,95 6,84 26,76 60,90 98,94"),
    ),
    (  # 3: two bowls; a flat roof
        _skeleton(3, "12,12 45,0 80,14 74,36 40,47", "40,47 78,56 88,78 62,97 30,100 5,88"),
        _skeleton(1, "12,3 50,2 84,2", "84,2 42,40", "42,40 76,48 88,72 64,96 30,100 5,88"),
    ),
    (  # 4: open; closed
        _skeleton(3, "20,2 10,30 8,55", "8,55 45,56 90,50", "80,2 74,50 70,100"),
        _skeleton(1, "64,0 4,62", "4,62 94,60", "64,0 65,50 64,100"),
    ),
    (  # 5: angular; in one sweep
        _skeleton(3, "88,2 58,3 27,3", "27,3 20,42", "20,42 54,38 84,56 82,84 50,100 8,92"),
        _skeleton(1, "95,0 62,4 36,12 26,34 50,48 76,64 70,90 40,100 8,92"),
    ),
    (  # 6: a bent stem; a straight one
        _skeleton(2, "70,0 36,20 13,58 20,90 50,100 80,84 76,60 48,54 16,74"),
        _skeleton(1, "50,0 28,32 14,66 26,95 58,98 78,76 58,57 20,72"),
    ),
    (  # 7: plain; with a bar; with a hook
        _skeleton(3, "6,8 50,4 90,4", "90,4 66,46 46,100"),
        _skeleton(1, "6,6 50,4 90,3", "90,3 62,46 42,100", "30,50 88,47"),
        _skeleton(1, "8,24 10,4", "10,4 50,4 90,3", "90,3 64,50 56,100"),
    ),
    (  # 8: one crossing stroke; two rings
        _skeleton(2, "74,8 44,0 20,18 44,44 76,70 50,100 16,80 46,50 78,24 74,8"),
        _skeleton(1, "50,45 24,24 50,0 76,22 50,45", "50,45 16,74 50,100 84,72 50,45"),
    ),
    (  # 9: a straight tail; a curled one
        _skeleton(3, "80,14 48,0 16,22 30,46 62,40 80,14", "80,14 76,50 64,100"),
        _skeleton(1, "80,16 50,0 18,20 30,46 62,42 80,16", "80,16 82,55 66,90 26,98"),
    ),
)


def generate(n: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw ``n`` handwritten digits.

    The first k images do not depend on ``n``, and every ten in a row hold each digit once, in random order.

    Args:
        n: how many, at least 1.
        seed: which handwriting, 0 to 2**64 - 1. The same seed gives the same bytes on every machine.

    Returns:
        ``images (n, 28, 28, 1)`` uint8, ink 255 on 0, and ``labels (n,)`` uint8 in 0..9.

    Raises:
        TypeError: ``n`` or ``seed`` is no integer.
        ValueError: ``n`` is below 1, or ``seed`` is outside its range.
        MemoryError: ``n`` images do not fit into memory.
    """
    n, seed = _integer(n, "n", 1, 2**40), _integer(seed, "seed", 0, 2**64 - 1)
    images, labels = np.empty((n, SIZE, SIZE, 1), np.uint8), np.empty(n, np.uint8)
    for start in range(0, n, DRAW):
        count = min(DRAW, n - start)
        uniform = _uniforms(seed, start, -(-count // BLOCK) * BLOCK)
        digits = _shuffled_digits(uniform)[:count]
        labels[start : start + count] = digits
        _draw_all(digits, uniform[:count], images[start : start + count, :, :, 0])
    return images, labels


def _integer(value: int, name: str, low: int, high: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {number}")
    return number


def _uniforms(seed: int, start: int, count: int) -> Floats:
    """(count, 4 * WORDS) numbers in [0, 1) with 16 bits each; row i depends on (seed, start + i) alone."""
    raw = np.random.Philox(key=seed, counter=start * WORDS // 4).random_raw(count * WORDS).reshape(count, WORDS)
    parts = [(raw >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48)]
    return np.concatenate(parts, axis=1).astype(np.float64) * 2.0**-16


def _shuffled_digits(uniform: Floats) -> NDArray[np.uint8]:
    """A permutation of 0..9 for every ten rows, from 48 bits a row (equal keys keep their order)."""
    keys = (uniform[:, 0] + uniform[:, 1] * 2.0**-16) + uniform[:, 2] * 2.0**-32
    return np.argsort(keys.reshape(-1, BLOCK), axis=1, kind="stable").reshape(-1).astype(np.uint8)


def _draw_all(digits: NDArray[np.uint8], uniform: Floats, images: NDArray[np.uint8]) -> None:
    """Images are drawn skeleton by skeleton, so that a chunk's curves have one shape."""
    for digit, skeletons in enumerate(SKELETONS):
        rows = np.flatnonzero(digits == digit)
        bounds = np.cumsum([0] + [s.weight for s in skeletons])
        choice = uniform[rows, 3] * bounds[-1]
        for low, high, skeleton in zip(bounds[:-1], bounds[1:], skeletons, strict=True):
            chosen = rows[(choice >= low) & (choice < high)]
            for start in range(0, len(chosen), CHUNK):
                part = chosen[start : start + CHUNK]
                images[part] = _draw(skeleton, uniform[part, 4:])


def _draw(skeleton: Skeleton, uniform: Floats) -> NDArray[np.uint8]:
    """(n, 28, 28) images of one skeleton from (n, 4 * WORDS - 4) uniform numbers: 10 for the pen, 4 a point."""
    pen, wobble = uniform[:, :10], uniform[:, 10:]
    width = 1.9 + 1.6 * _bell(pen[:, 0], pen[:, 1])  # pixels, 1.9 to 3.5 and mostly about 2.7
    x, y = _wobbled(skeleton, wobble)
    x, y = _written(x, y, pen)
    x, y = _curves(skeleton, x, y)
    x, y = _fitted(x, y, width, pen)
    return _inked(skeleton, x.astype(np.float32), y.astype(np.float32), width.astype(np.float32))


def _bell(u: Floats, v: Floats) -> Floats:
    """A triangular bump on (0, 1) about 0.5."""
    return (u + v) * 0.5


def _wobbled(skeleton: Skeleton, uniform: Floats) -> tuple[Floats, Floats]:
    """The control points, each moved a little: x and y (n, points)."""
    k = len(skeleton.points)
    points = np.array(skeleton.points)
    x = points[:, 0] + WOBBLE * (uniform[:, :k] + uniform[:, k : 2 * k] - 1.0)
    y = points[:, 1] + WOBBLE * (uniform[:, 2 * k : 3 * k] + uniform[:, 3 * k : 4 * k] - 1.0)
    return x, y


def _written(x: Floats, y: Floats, pen: Floats) -> tuple[Floats, Floats]:
    """Stretched, slanted (to the right more often than to the left) and turned by up to about 12 degrees."""
    x, y = x - 0.5, y - 0.5
    stretch = (0.5 + 0.45 * _bell(pen[:, 2], pen[:, 3]))[:, None]
    slant = (0.75 * _bell(pen[:, 4], pen[:, 5]) - 0.27)[:, None]
    x = x * stretch - y * slant
    t = (0.2 * (pen[:, 6] - 0.5))[:, None]  # the tangent of half the angle: a turn without sine and cosine
    cosine, sine = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
    return x * cosine - y * sine, x * sine + y * cosine


@cache
def _catmull_rom(pieces: int) -> Floats:
    """(pieces, 4) weights of the four points round a span, at the start of each of its pieces."""
    t = np.arange(pieces) / pieces
    t2, t3 = t * t, t * t * t
    return 0.5 * np.stack([2 * t2 - t - t3, 2 - 5 * t2 + 3 * t3, t + 4 * t2 - 3 * t3, t3 - t2], axis=1)


def _curves(skeleton: Skeleton, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(n, vertices) of all strokes, one after the other; `_stroke_lengths` says where each ends."""
    columns = [_curve(stroke, axis) for axis in (x, y) for stroke in skeleton.strokes]
    half = len(columns) // 2
    return np.concatenate(columns[:half], axis=1), np.concatenate(columns[half:], axis=1)


def _curve(stroke: tuple[int, ...], axis: Floats) -> Floats:
    """One coordinate of a curve through the stroke's points: (n, vertices). Ends where it began: a closed curve."""
    if len(stroke) == 2:
        return axis[:, list(stroke)]
    closed = stroke[0] == stroke[-1]
    path = (stroke[-2] if closed else stroke[0], *stroke, stroke[1] if closed else stroke[-1])
    columns = []
    for a, b, c, d in zip(path, path[1:], path[2:], path[3:], strict=False):
        for wa, wb, wc, wd in _catmull_rom(PIECES):
            columns.append(axis[:, a] * wa + axis[:, b] * wb + axis[:, c] * wc + axis[:, d] * wd)
    return np.stack([*columns, axis[:, stroke[-1]]], axis=1)


def _stroke_lengths(skeleton: Skeleton) -> list[int]:
    return [2 if len(stroke) == 2 else (len(stroke) - 1) * PIECES + 1 for stroke in skeleton.strokes]


def _fitted(x: Floats, y: Floats, width: Floats, pen: Floats) -> tuple[Floats, Floats]:
    """In pixels: the longer side of the inked digit is 19 to 21 pixels, its box's middle within one of the image's."""
    left, right, top, bottom = x.min(axis=1), x.max(axis=1), y.min(axis=1), y.max(axis=1)
    target = 19.0 + 2.0 * pen[:, 7] - width
    scale = (target / np.maximum(right - left, bottom - top))[:, None]
    middle = SIZE / 2 - 0.5
    shift_x, shift_y = 1.8 * (pen[:, 8] - 0.5), 1.8 * (pen[:, 9] - 0.5)
    x = (x - ((left + right) * 0.5)[:, None]) * scale + (middle + shift_x)[:, None]
    y = (y - ((top + bottom) * 0.5)[:, None]) * scale + (middle + shift_y)[:, None]
    return x, y


def _inked(
    skeleton: Skeleton, x: NDArray[np.float32], y: NDArray[np.float32], width: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """(n, 28, 28) grey levels from the distance of each pixel to the nearest piece of stroke."""
    nearest = np.full((len(x), SIZE, SIZE), 1e9, np.float32)
    buffers = [np.empty_like(nearest) for _ in range(3)]
    start = 0
    for length in _stroke_lengths(skeleton):
        for i in range(start, start + length - 1):
            _nearer(nearest, buffers, x[:, i], y[:, i], x[:, i + 1], y[:, i + 1])
        start += length
    distance = np.sqrt(nearest, out=nearest)
    ink = (0.5 * width[:, None, None] - distance) * np.float32(1 / EDGE) + np.float32(0.5)
    grey: NDArray[np.float32] = np.clip(ink, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)
    return grey.astype(np.uint8)


def _nearer(
    nearest: NDArray[np.float32],
    buffers: list[NDArray[np.float32]],
    ax: NDArray[np.float32],
    ay: NDArray[np.float32],
    bx: NDArray[np.float32],
    by: NDArray[np.float32],
) -> None:
    """nearest = min(nearest, squared distance of every pixel to the segment a-b); all in place."""
    along, across, other = buffers
    pixel = np.arange(SIZE, dtype=np.float32)
    dx, dy = (pixel - ax[:, None])[:, None, :], (pixel - ay[:, None])[:, :, None]
    vx, vy = (bx - ax)[:, None, None], (by - ay)[:, None, None]
    squared = np.maximum(vx * vx + vy * vy, np.float32(1e-12))
    np.add(dx * (vx / squared), dy * (vy / squared), out=along)  # the foot's place on a-b: 0 at a, 1 at b
    np.clip(along, 0.0, 1.0, out=along)
    np.multiply(along, vx, out=across)
    np.subtract(dx, across, out=across)
    np.multiply(across, across, out=across)
    np.multiply(along, vy, out=other)
    np.subtract(dy, other, out=other)
    np.multiply(other, other, out=other)
    np.add(across, other, out=across)
    np.minimum(nearest, across, out=nearest)
