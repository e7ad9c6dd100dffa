"""Scores that are functions of sums over rows, so that many resamples are scored at once."""
