"""Scores of generative models."""
