"""Backbones: the networks that encoders are built on."""
