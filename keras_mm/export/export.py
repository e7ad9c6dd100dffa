"""Exports a model: one process writes the artefact with TensorFlow, and a second one checks it."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_mm.checks import unknown_name
from keras_mm.data.images.cells import open_image
from keras_mm.data.images.files import read_file
from keras_mm.data.tables.labels import label_value
from keras_mm.data.tables.rows import Rows
from keras_mm.errors import ChildError, ExportError, InvalidValueError
from keras_mm.export.decision_parity import decision_difference
from keras_mm.files import check_vacant, new_folder
from keras_mm.inference.answers import label_cells, predictions
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.by_head import head_prefixes
from keras_mm.settings.heads import Head
from keras_mm.settings.image_columns import image_counts
from keras_mm.subprocesses import FAULT_HANDLER, run, run_on_tensorflow

FORMATS = ("tf_saved_model",)
TOLERANCE = 1e-4  # largest allowed difference of probabilities, or of standardised predictions
_BATCH_SIZES = (1, 7, 32)  # predictions must not depend on the batch size
_NUM_SAMPLE_ROWS = 32
_OUTPUTS = (
    *("probabilities", "prediction", "label"),
    *("calibrated_probabilities", "set", "answered", "threshold_label", "interval"),
)


def export_model(
    predictor: Predictor,
    save: Callable[[Path], None],
    folder: str | os.PathLike,
    *,
    format: str = "tf_saved_model",
    data: Any = None,
    image_dir: str | os.PathLike | None = None,
    on_error: str = "raise",
) -> dict:
    """Writes the artefact and compares its predictions with those of the model.

    Args:
        predictor: The trained model.
        save: Saves the model to a folder, in this package's format.
        folder: As in `MultimodalClassifier.export`.
        format: As in `MultimodalClassifier.export`.
        data: As in `MultimodalClassifier.export`.
        image_dir: As in `MultimodalClassifier.export`.
        on_error: As in `MultimodalClassifier.export`.

    Returns:
        A JSON-serialisable report: `format`, `rows`, `batch_sizes`, `max_difference` of the
        predictions, `labels_equal` and `backend`.

    Raises:
        ValueError: for an unknown format, or data that cannot be used.
        FileExistsError: if the folder exists and is not empty.
        ExportError: if the artefact cannot be written or run, or its predictions differ. The
            artefact is then removed.
    """
    if format not in FORMATS:
        raise InvalidValueError(unknown_name("format", format, FORMATS))
    check_vacant(folder)
    if data is None:
        rows = _sample_rows(predictor)
    else:
        rows = predictor.rows(data, image_dir, on_error=on_error)
    expected = predictor.logits(rows)
    with tempfile.TemporaryDirectory() as scratch, new_folder(folder) as target:
        bundle = Path(scratch, "bundle")
        save(bundle)
        try:
            run_on_tensorflow(
                "keras_mm.export.saved_model", bundle, target, doing="writing the SavedModel"
            )
            outputs = _run_artefact(target, rows, predictor, Path(scratch))
        except ChildError as error:
            raise ExportError(str(error)) from None
        return _compare(outputs, expected, predictor, len(rows))


def _run_artefact(target: Path, rows: Rows, predictor: Predictor, scratch: Path) -> list[dict]:
    """The artefact's outputs for each batch size, from a new process that cannot use keras_mm."""
    preprocessor = predictor.preprocessor
    columns = {
        **dict(zip(preprocessor.image_names, rows.images, strict=True)),
        **dict(zip(preprocessor.text_names, rows.texts, strict=True)),
    }
    encoded = {name: [_base64(cell, name) for cell in cells] for name, cells in columns.items()}
    request, response = scratch / "request.json", scratch / "response.json"
    request.write_text(json.dumps({"columns": encoded, "batch_sizes": _BATCH_SIZES}))
    script = Path(__file__).with_name("check_saved_model.py")
    options = [*FAULT_HANDLER, "-I"]  # -I: the script's folder is not on the import path
    command = [sys.executable, *options, str(script), str(target), str(request), str(response)]
    run(command, "running the SavedModel in a new process")
    return json.loads(response.read_text())


def _base64(cell: Any, name: str) -> str:
    if cell is None:
        return ""
    data = cell.encode() if name.startswith("text_") else _image_bytes(cell)
    return base64.b64encode(data).decode()


def _image_bytes(cell: Any) -> bytes:
    """The encoded file of an image cell; pixels without a file become a PNG."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell["path"]
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, str | os.PathLike):
        return read_file(cell)
    buffer = io.BytesIO()
    open_image(cell).save(buffer, "PNG")
    return buffer.getvalue()


def _compare(outputs: list[dict], expected: dict, predictor: Predictor, num_rows: int) -> dict:
    """Compares the artefact's outputs with the model's logits; returns the report."""
    heads, decisions = predictor.heads, predictor.decisions
    difference, wrong = 0.0, set[int]()
    for name, prefix in head_prefixes(heads).items():
        head, logits = heads[name], expected[name]
        for output in outputs:
            of_head = {key: output.get(prefix + key) for key in _OUTPUTS}
            found = [_difference(head, logits, of_head)]
            if name in decisions:
                found.append(decision_difference(head, decisions[name], logits, of_head, TOLERANCE))
            for largest, rows in found:
                difference, wrong = max(difference, largest), wrong | rows
    if not difference <= TOLERANCE or wrong:  # the first is also true for NaN
        raise ExportError(
            f"The SavedModel's predictions differ from the model's by up to {difference:.2g} "
            f"(allowed: {TOLERANCE:g}), and {len(wrong)} of {num_rows} rows have other labels "
            f"(row positions from 0: {sorted(wrong)[:5]}). The export was removed."
        )
    return {
        "format": "tf_saved_model",
        "rows": num_rows,
        "batch_sizes": list(_BATCH_SIZES),
        "max_difference": difference,
        "labels_equal": True,
        "backend": keras.backend.backend(),
    }


def _difference(head: Head, logits: np.ndarray, outputs: dict) -> tuple[float, set[int]]:
    """The largest difference of a head's outputs, and the rows whose labels differ.

    For regression, the difference is in standard deviations of the predictions.
    """
    if head.kind == "regression":
        numbers = np.asarray(logits, "float64")
        # Predictions that are all equal are compared relative to their size.
        unit = np.maximum(numbers.std(axis=0), 1e-6 * np.maximum(np.abs(numbers).max(axis=0), 1))
        return float(np.abs((np.asarray(outputs["prediction"]) - numbers) / unit).max()), set()
    expected = probabilities(logits, head.kind)
    labels: list
    actual: list
    if head.kind == "multilabel":
        labels = [[str(n) for n in cell] for cell in label_cells(head, predictions(head, logits))]
        actual = [[name for name in names if name] for names in outputs["label"]]
    else:
        labels = [str(label) for label in predictions(head, logits)]
        actual = [str(label_value(label)) for label in outputs["label"]]
    rows = {row for row, (a, b) in enumerate(zip(labels, actual, strict=True)) if a != b}
    return float(np.abs(np.asarray(outputs["probabilities"]) - expected).max()), rows


def _sample_rows(predictor: Predictor) -> Rows:
    """Rows of the sample data with this model's column names, for an export without a table."""
    from keras_mm.data.samples import load_sample_data

    table = load_sample_data()[1][:_NUM_SAMPLE_ROWS]
    sources = {
        **{name: f"image_{i % 2 + 1}" for i, name in enumerate(predictor.images)},
        **{name: f"text_{i % 2 + 1}" for i, name in enumerate(predictor.texts)},
    }
    drawn = {name: table[source].to_numpy(object) for name, source in sources.items()}
    for name, count in image_counts(predictor.images):
        if count is not None and count > 1:
            pairs = zip(table["image_1"], table["image_2"], strict=True)
            drawn[name] = pd.Series(map(list, pairs), dtype=object).to_numpy()
    frame = table[[]].assign(**drawn)
    return replace(predictor, progress=False).rows(frame)
