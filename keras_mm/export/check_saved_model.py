"""Runs a SavedModel on raw rows with TensorFlow and tensorflow_text only; does not import keras_mm.

    python -I check_saved_model.py FOLDER REQUEST.json ANSWER.json

The request holds rows of base64 images and texts by input name, and batch sizes. The answer holds
the outputs for all rows by name, once for each batch size.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from types import ModuleType
from typing import Any


def main(folder: str, request: str, answer: str) -> None:
    """Loads a SavedModel and runs it on the rows of a request, in each batch size.

    Args:
        folder: The SavedModel.
        request: Path of the request.
        answer: Path that the answer is written to.
    """
    for name in ("keras_hub", "keras_mm"):
        sys.modules[name] = None  # type: ignore[assignment]  # an import of these must fail
    # TensorFlow imports Keras, although nothing here uses it. It must not import the caller's
    # backend: PyTorch's CUDA build crashes the process if it is loaded after TensorFlow.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (its ops are in the graph)

    with open(request, encoding="utf-8") as file:
        asked = json.load(file)
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    columns = {
        name: [base64.b64decode(cell) for cell in cells] for name, cells in asked["columns"].items()
    }
    answers = [_answer(tf, serve, columns, size) for size in asked["batch_sizes"]]
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(answers, file)


def _answer(tf: ModuleType, serve: Any, columns: dict, size: int) -> dict:
    num_rows = len(next(iter(columns.values())))
    found: dict = {}
    for start in range(0, num_rows, size):
        batch = {n: tf.constant(cells[start : start + size]) for n, cells in columns.items()}
        for name, values in serve(**batch).items():
            found.setdefault(name, []).extend(_text(values.numpy().tolist()))
    return found


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    main(*sys.argv[1:4])
