"""Labels and logits of rows that a model was not trained on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from keras_mm.data.tables.load import load_table
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.weights import with_weights
from keras_mm.inference.held_out import HeldOut
from keras_mm.inference.predictor import Predictor
from keras_mm.settings.heads import Head
from keras_mm.training.callbacks import ValidationResult

# Held-out logits are kept in memory with the model up to this size.
_MOST_BYTES = 2**26


def held_out_rows(
    predictor: Predictor,
    data: Any,
    heads: Mapping[str, Head],
    *,
    sample_weight: Any = None,
    image_dir: str | os.PathLike | None = None,
    on_error: str = "raise",
) -> HeldOut:
    """Reads and predicts labelled rows that the user passes.

    Args:
        predictor: Predicts the rows.
        data: What `keras_mm.load_table` takes.
        heads: The heads whose labels are read, by name.
        sample_weight: A column of weights, or a weight for each row; `None` if all rows count 1.
        image_dir: Folder that image paths are relative to.
        on_error: `"raise"`, or `"skip"` to leave out rows with problems.

    Returns:
        Labels of `heads`, and logits of all heads.

    Raises:
        TableError: listing every row that cannot be used.
    """
    table, weights = with_weights(load_table(data, image_dir=image_dir), sample_weight)
    rows = predictor.rows(table, image_dir, heads=heads, sample_weight=weights, on_error=on_error)
    return HeldOut("rows", rows.numbers, rows.labels, predictor.logits(rows), rows.sample_weight)


def validation_logits(rows: Rows | None, result: ValidationResult | None) -> HeldOut | None:
    """The logits of the validation rows, which training has computed with the weights that it kept.

    Args:
        rows: The validation rows of the training.
        result: Their evaluation; `None` if it is not known.

    Returns:
        Labels and logits; `None` without an evaluation, or if the logits take more than 64 MiB.
    """
    if rows is None or result is None:
        return None
    if sum(logits.nbytes for logits in result.logits.values()) > _MOST_BYTES:
        return None
    labels = {name: rows.labels[name] for name in result.logits}
    return HeldOut("validation", rows.numbers, labels, result.logits, rows.sample_weight)
