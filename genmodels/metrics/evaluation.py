"""All scores of a model at once, with what is needed to read them: extractor, sample counts, floor and ceiling."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from .. import _validate as check
from .. import datasets
from .._labels import classes_in_turn
from . import extractors
from .classes import class_histogram, inception_score, label_accuracy
from .distances import frechet, kernel, moments, rows, warn_of_few
from .neighbours import check_k, neighbour_scores, radii

LOWER_IS_BETTER = ("fd", "kd")

FEWEST = 4
"""Real images, for the floor of halves: two in each."""

NEIGHBOURS = 5
"""What `k` is unless it is given."""


def evaluate(
    model_or_images: Any,
    x_test: Any,
    n: int = 10000,
    labels: Any = None,
    extractor: Any = None,
    seed: int = 0,
    reference_train: Any = None,
    k: int = NEIGHBOURS,
) -> dict[str, Any]:
    """Every score of a model's samples, or of generated images, against real images.

    Args:
        model_or_images: a model, which draws n images; or images (N, H, W, C), of which the first n count.
        x_test: real images that the model was not trained on, of which the first n count: (M, H, W, C), uint8 or float
            in [0, 1]. Both are resized to the extractor's size where it has one, each on its own: of a model of small
            images, give them in the model's size.
        n: at least 4, and more than k. Only scores of equal n compare.
        labels: (n,) the classes asked for, of a conditional model (default: all classes in turn) or of images; of those
            that the extractor knows, where it knows any.
        extractor: see `features`; None takes the classifier of the model's recipe, or "mnist" for grey images and
            "cifar10" for colour.
        seed: of the model's noise and of the ceiling's; the model's own random streams stay as they are.
        reference_train: real training images, or a data set's name, for the floor; None takes halves of x_test.
        k: neighbours of precision, recall, density and coverage.

    Returns:
        A dict of Python values:
        `fd`, `kd`, `kd_stderr`: see `frechet_distance`, `kernel_distance` (all samples at once);
        `is`: `inception_score` by the extractor's classes;
        `precision`, `recall`, `density`, `coverage`: see `precision_recall`, `density_coverage`;
        `fd_floor`: the Frechet distance of real training images from x_test, as many as were generated where there are;
        without `reference_train` that of the first half of x_test from the second, which is larger for having half as
        many (`floor` says which: "train" or "halves");
        `fd_ceiling`: that of uniform noise;
        `label_accuracy`: the share of images that the classifier takes for the class asked for, None without labels and
        for a model of more classes than the classifier knows, unless `labels` chooses among these;
        `class_histogram`: how many images it takes for each class;
        `extractor`: name and hash; `n_generated`, `n_reference`: the sample counts.
        `is`, `label_accuracy` and `class_histogram` are None from an extractor without classes.

    Raises ValueError or TypeError for images, labels or numbers out of bounds. A UserWarning tells of no more samples
    than features.
    """
    shape = getattr(model_or_images, "input_shape", None) or np.shape(model_or_images)[1:]
    if extractor is None and len(shape) == 3:
        extractor = extractors.of_recipe(model_or_images, shape)
    reference = Reference(x_test, n, extractor, reference_train, seed, k)
    return reference.score(model_or_images, labels)


class Reference:
    """Real images that models are scored against, over and over: what depends on them alone is computed once."""

    def __init__(
        self, x_test: Any, n: Any, extractor: Any, reference_train: Any = None, seed: Any = 0, k: Any = NEIGHBOURS
    ) -> None:
        """See `evaluate`. Nothing is computed yet but that all arguments are checked."""
        self.n = check.integer(n, "n", FEWEST)
        self.seed = check.seed(seed)
        self.images = extractors.as_images(x_test, "x_test")[: self.n]
        if len(self.images) < FEWEST:
            raise ValueError(f"x_test has {len(self.images)} images, at least {FEWEST} are needed")
        self.k = check_k(k, min(self.n, len(self.images)))
        self._train = None if reference_train is None else self._training_images(reference_train)
        self._asked = extractors.default(None, self.images.shape[1:]) if extractor is None else extractor

    def by(self, extractor: Any) -> Reference:
        """The same images under another extractor: they are not read or checked again."""
        if extractor == self._asked:
            return self
        other = Reference.__new__(Reference)
        other.n, other.seed, other.images, other.k = self.n, self.seed, self.images, self.k
        other._train, other._asked = self._train, extractor
        return other

    @cached_property
    def extractor(self) -> extractors.Extractor:
        """The extractor, found when it is first needed."""
        return extractors.find(self._asked, self.images.shape[1:])

    @cached_property
    def classes(self) -> int:
        """How many the extractor knows; 0 of one without classes."""
        probabilities = extractors.classified(self.extractor, self.images[:1])
        return 0 if probabilities is None else probabilities.shape[1]

    @cached_property
    def features(self) -> np.ndarray:
        """Those of the real images."""
        return self._features(self.images, "x_test")

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        return moments(self.features)

    @cached_property
    def _radii(self) -> np.ndarray:
        return radii(self.features, self.k)

    @cached_property
    def floor(self) -> float:
        """The distance of real images from real images."""
        if self._train is not None:
            return frechet(moments(self._features(self._train, "reference_train")), self._moments)
        half = len(self.features) // 2
        return frechet(moments(self.features[:half]), moments(self.features[half:]))

    @cached_property
    def ceiling(self) -> float:
        """The distance of uniform noise from real images."""
        noise = np.random.default_rng(self.seed).random((self.n, *self.images.shape[1:]), np.float32)
        return frechet(moments(self._features(noise, "noise")), self._moments)

    def score(self, model_or_images: Any, labels: Any = None) -> dict[str, Any]:
        """The scores of a model or of generated images: see `evaluate`."""
        images, classes = self._generated(model_or_images, labels)
        check_k(self.k, len(images))
        a, b = self._features(images, "generated images"), self.features
        warn_of_few(len(a), len(b), a.shape[1])
        distance, error = kernel(a, b)
        names = ("precision", "recall", "density", "coverage")
        return {
            "fd": frechet(moments(a), self._moments),
            "kd": distance,
            "kd_stderr": error,
            **dict(zip(names, neighbour_scores(a, b, radii(a, self.k), self._radii, self.k), strict=True)),
            "fd_floor": self.floor,
            "fd_ceiling": self.ceiling,
            "floor": "halves" if self._train is None else "train",
            **self._by_class(images, classes),
            "extractor": str(self.extractor),
            "n_generated": len(a),
            "n_reference": len(b),
        }

    def checked_labels(self, labels: Any) -> np.ndarray | None:
        """The labels (N,) that a caller gave, if any. ValueError where one of the first n is of no class that the
        extractor knows."""
        if labels is None:
            return None
        array = check.as_array(labels, "labels")
        if array.ndim != 1:
            raise ValueError(f"labels have shape {array.shape}, expected (N,): one for each image")
        if self.classes:
            check.labels(array[: self.n], min(self.n, len(array)), self.classes)
        return array

    def _generated(self, source: Any, labels: Any) -> tuple[np.ndarray, Any]:
        """The images to score, and the classes that they are to be held against."""
        given = self.checked_labels(labels)
        if not hasattr(source, "sample"):
            return extractors.as_images(source, "generated images")[: self.n], given
        asked = classes_in_turn(source, self.n) if given is None else given
        images = extractors.as_images(source.sample(self.n, labels=asked, seed=self.seed), "generated images")
        return images, asked if given is not None or getattr(source, "num_classes", 0) <= self.classes else None

    def _features(self, images: np.ndarray, name: str) -> np.ndarray:
        return rows(extractors.extracted(self.extractor, images), f"features of {name}")

    def _by_class(self, images: np.ndarray, labels: Any) -> dict[str, Any]:
        probabilities = extractors.classified(self.extractor, images)
        if probabilities is None:
            return {"is": None, "label_accuracy": None, "class_histogram": None}
        return {
            "is": inception_score(probabilities),
            "label_accuracy": None if labels is None else label_accuracy(probabilities, labels[: self.n]),
            "class_histogram": class_histogram(probabilities),
        }

    def _training_images(self, given: Any) -> np.ndarray:
        """The first n real training images, in x_test's size where they are a data set's."""
        if not isinstance(given, str):
            return extractors.as_images(given, "reference_train")[: self.n]
        images = datasets.load(given)[0][0][: self.n]
        return datasets.resize(images, self.images.shape[1:3])
