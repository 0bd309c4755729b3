"""Scores of generative models."""

from .likelihood import active_units, elbo, log_likelihood, nll, reconstruction_error

__all__ = ["active_units", "elbo", "log_likelihood", "nll", "reconstruction_error"]
