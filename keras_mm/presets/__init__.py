"""Presets: backbones and their combinations, as plain data. Loads no backend."""
