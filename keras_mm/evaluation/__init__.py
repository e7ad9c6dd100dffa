"""Evaluates models: metrics, baselines to compare them with, and the report."""
