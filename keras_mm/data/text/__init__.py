"""Texts: from strings to token ids."""
