"""Evaluation of a model: metrics compared with baselines, and the report."""
