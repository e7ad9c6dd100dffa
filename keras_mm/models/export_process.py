"""Exports a saved model; runs in a new process, on TensorFlow."""

from __future__ import annotations

import sys

from keras_mm.models.loading import load_model


def export(file: str, target: str, format: str) -> None:
    """Exports the model of a `.keras` file.

    Args:
        file: The `.keras` file.
        target: What is written.
        format: As for `keras.Model.export`.
    """
    load_model(file, compile=False).export(target, format=format, verbose=False)


if __name__ == "__main__":
    export(*sys.argv[1:4])
