"""Runs a SavedModel on raw rows with only TensorFlow and tensorflow_text; does not import keras_mm.

    python -I check_saved_model.py FOLDER REQUEST.json RESPONSE.json

The request holds the batch sizes, and by input name the images and texts of all rows in base64. The
response holds the outputs for all rows by name, once for each batch size.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from types import ModuleType
from typing import Any


def main(folder: str, request: str, response: str) -> None:
    """Loads a SavedModel and runs it on the rows of a request, with each batch size.

    Args:
        folder: The SavedModel.
        request: Path of the request.
        response: Path that the response is written to.
    """
    # The SavedModel must run where these are not installed, so an import of them must fail.
    for name in ("keras_hub", "keras_mm"):
        sys.modules[name] = None  # type: ignore[assignment]
    # TensorFlow imports Keras, which must not load the caller's backend: the process would crash if
    # PyTorch's CUDA build was loaded after TensorFlow.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (its ops are in the graph)

    with open(request, encoding="utf-8") as file:
        rows = json.load(file)
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    columns = {
        name: [base64.b64decode(cell) for cell in cells] for name, cells in rows["columns"].items()
    }
    outputs = [_outputs(tf, serve, columns, size) for size in rows["batch_sizes"]]
    with open(response, "w", encoding="utf-8") as file:
        json.dump(outputs, file)


def _outputs(tf: ModuleType, serve: Any, columns: dict, size: int) -> dict:
    """The outputs for all rows by name, computed in batches of one size."""
    num_rows = len(next(iter(columns.values())))
    outputs: dict = {}
    for start in range(0, num_rows, size):
        batch = {n: tf.constant(cells[start : start + size]) for n, cells in columns.items()}
        for name, values in serve(**batch).items():
            outputs.setdefault(name, []).extend(_text(values.numpy().tolist()))
    return outputs


def _text(value: Any) -> Any:
    """Decodes the bytes in nested lists."""
    if isinstance(value, list):
        return [_text(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    main(*sys.argv[1:4])
