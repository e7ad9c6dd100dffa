"""Exports a saved model; `MultimodalModel.export` runs this module in a process on TensorFlow."""

from __future__ import annotations

import sys

from keras_mm.models.loading import load_model


def export(file: str, target: str, format: str) -> None:
    """Exports the model of a `.keras` file.

    Args:
        file: Path of the `.keras` file.
        target: Path of the exported folder or file.
        format: As in `keras.Model.export`.
    """
    load_model(file, compile=False).export(target, format=format, verbose=False)


if __name__ == "__main__":
    export(*sys.argv[1:4])
