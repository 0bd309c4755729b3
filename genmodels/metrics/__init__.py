"""Scores of generative models.

>>> scores = evaluate(model, x_test)  # all of them, with extractor, floor and ceiling  # doctest: +SKIP
>>> frechet_distance(features(images), features(x_test))  # doctest: +SKIP

Order is (generated, reference) everywhere, features are (N, D), sums are in float64 and results Python floats.
"""

from .classes import class_histogram, inception_score, label_accuracy
from .comparable import extractor_name, extractor_number, one_extractor
from .distances import frechet_distance, kernel_distance
from .evaluation import evaluate
from .extractors import Extractor, features
from .likelihood import active_units, elbo, log_likelihood, nll, reconstruction_error
from .neighbours import density_coverage, precision_recall
from .onnx import OnnxExtractor

__all__ = [
    "Extractor",
    "OnnxExtractor",
    "active_units",
    "class_histogram",
    "density_coverage",
    "elbo",
    "evaluate",
    "extractor_name",
    "extractor_number",
    "features",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "label_accuracy",
    "log_likelihood",
    "nll",
    "one_extractor",
    "precision_recall",
    "reconstruction_error",
]
