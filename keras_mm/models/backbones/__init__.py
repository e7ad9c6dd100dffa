"""Backbones: the networks inside encoders."""
