"""Results of an evaluation, by head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.labels import label_value
from keras_mm.data.tables.rows import Rows
from keras_mm.errors import InvalidValueError, Problem
from keras_mm.inference.answers import names_array
from keras_mm.metrics.classification import confusion_cells
from keras_mm.settings.heads import Head

# The baseline of each kind of head: what it always predicts.
BASELINES = {
    "multiclass": "majority",
    "binary": "majority",
    "multilabel": "frequency",
    "regression": "mean",
}
_CLASSES = ("num_rows", "accuracy", "accuracy_interval", "macro_f1")
# Scores by modality, by kind of head; the first after the count is also scored for the baseline.
SCORES = {
    "multiclass": _CLASSES,
    "binary": _CLASSES,
    "multilabel": ("num_rows", "subset_accuracy", "subset_accuracy_interval", "macro_f1"),
    "regression": ("num_rows", "mean_absolute_error", "r2"),
}
# Names of the baseline's score.
BASELINE_SCORES = {
    "multiclass": "majority_accuracy",
    "binary": "majority_accuracy",
    "multilabel": "baseline_subset_accuracy",
    "regression": "baseline_mean_absolute_error",
}
_TABLES = {"multilabel": "per_label", "regression": "per_target"}
_COUNTS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True)
class HeadEvaluation:
    """Results of one head on the rows that have its labels.

    Attributes:
        head: The head, with its classes.
        metrics: What `keras_mm.metrics.head_metrics.head_metrics` returned; empty if the model has
            several heads and no row has a label of this one.
        baselines: The same metrics of a constant prediction: `"majority"`, the training rows' most
            frequent class; `"frequency"`, each label's share of the training rows; or `"mean"`, the
            targets' means.
        modalities: Scores by modality; see
            `keras_mm.evaluation.modalities.evaluate_modalities`. Empty for a model with images only
            or texts only.
    """

    head: Head
    metrics: dict
    baselines: dict[str, dict]
    modalities: dict[str, dict[str, dict]] = field(default_factory=dict)

    @property
    def baseline(self) -> dict:
        """Metrics of the head's baseline."""
        return self.baselines[BASELINES[self.head.kind]]

    @property
    def is_weighted(self) -> bool:
        """Whether the rows have weights, so that metrics count weights, not rows."""
        return "effective_rows" in self.metrics

    @property
    def rows(self) -> str:
        """The number of rows that were measured, as text."""
        count = f"{self.metrics['num_rows']} rows"
        if not self.is_weighted:
            return count
        return f"{count} (weighted, {self.metrics['effective_rows']:.4g} effective)"

    @property
    def classes(self) -> list:
        """Label names, or names of targets, in order."""
        return names_array(self.head.names).tolist()

    def classification_report(self) -> pd.DataFrame:
        """Scores of each class, label or target as a table.

        Returns:
            A row for each, in order: `precision recall f1 support`; for labels of a multilabel head
            also `threshold tp fp fn tn` and, where they are defined, `auroc auprc`; for targets
            errors and correlations. Then, for classes and labels, the rows `macro avg` and
            `weighted avg` of scikit-learn's `classification_report`; for labels also `micro avg`
            and `samples avg`. With weights supports are sums of weights, and `num_rows` and
            `effective_rows` are added.
        """
        scores = self.metrics[_TABLES.get(self.head.kind, "per_class")]
        averages = self.metrics.get("averages", {})  # numbers have none
        table = pd.DataFrame([*scores.values(), *averages.values()], [*scores, *averages])
        if self.is_weighted:  # counts are sums of weights
            return table
        # Averages have no counts, which without this would become floats.
        return table.astype({name: "Int64" for name in _COUNTS if name in table})

    def confusion_matrix(self) -> pd.DataFrame:
        """The confusion matrix as a table.

        Returns:
            Numbers of rows, with weights sums of weights, shape `(num_classes, num_classes)`:
            labels in the index, predictions in the columns.

        Raises:
            ValueError: for a head without classes.
        """
        if "per_class" not in self.metrics:
            raise InvalidValueError(f"A {self.head.kind} head has no confusion matrix.")
        names = [str(name) for name in self.head.names]
        labels, answers, counts = confusion_cells(self.metrics)
        # 10,000 classes take 400 MB.
        kinds = ("float64", "float32") if self.is_weighted else ("int64", "int32")
        matrix = np.zeros((len(names), len(names)), kinds[len(names) >= 1000])
        matrix[labels, answers] = counts
        return pd.DataFrame(matrix, index=names, columns=names)

    def __str__(self) -> str:
        if not self.metrics:
            return "no row has a label"
        mine, its = self.metrics, self.baseline
        if self.head.kind == "regression":
            return (
                f"mean absolute error {mine['mean_absolute_error']:.4g} "
                f"(always the mean {its['mean_absolute_error']:.4g}), R² {mine['r2']:.4f}, "
                f"{self.rows}"
            )
        first, words = "accuracy", "majority class"
        if self.head.kind == "multilabel":
            first, words = "subset_accuracy", "labels' frequencies"
        low, high = mine[f"{first}_interval"]
        return (
            f"{first.replace('_', ' ')} {mine[first]:.4f} [{low:.3f}, {high:.3f}] "
            f"({words} {its[first]:.4f}), "
            f"macro-F1 {mine['macro_f1']:.4f} ({words} {its['macro_f1']:.4f}), "
            f"{self.rows}"
        )


@dataclass(frozen=True)
class Results:
    """Results of a classifier on labelled rows.

    Attributes:
        heads: The results of each head by name.
        predictions: A table with the index of the rows: `row`, the index as a column (an index of
            several levels as tuples); `sample_weight` if the rows have weights; and for each head
            `label`, `prediction` and `probability_<class>`, named as in
            `MultimodalClassifier.predict_frame`.
        history: Metrics of the training by name, a list over the epochs.
        about: Facts for the report: source, preset, columns, sizes.
        monitor: The metric of `history` by which the epoch was chosen.
        several: Whether the model has several heads; then `metrics`, `baselines`, `modalities` and
            `classes` are dicts by head.
        skipped: Problems of the rows that `on_error="skip"` left out, in the table's order.
        num_skipped: Number of these rows; a row may have several problems.
        rows: The rows that were predicted, for the report; `None` if they are not at hand.
        id_column: The column of `predictions` with the rows' ids; `None` without one.
    """

    heads: dict[str, HeadEvaluation]
    predictions: pd.DataFrame
    history: dict[str, list] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    monitor: str = "val_loss"
    several: bool = False
    skipped: Sequence[Problem] = ()
    num_skipped: int = 0
    rows: Rows | None = field(default=None, repr=False, compare=False)
    id_column: str | None = None

    @property
    def metrics(self) -> dict:
        """The head's metrics; with several heads a dict by head."""
        return self._of_heads({name: head.metrics for name, head in self.heads.items()})

    @property
    def baselines(self) -> dict:
        """The head's baselines; with several heads a dict by head."""
        return self._of_heads({name: head.baselines for name, head in self.heads.items()})

    @property
    def modalities(self) -> dict:
        """The head's scores by modality; with several heads a dict by head."""
        return self._of_heads({name: head.modalities for name, head in self.heads.items()})

    @property
    def classes(self) -> Any:
        """Label names in order; with several heads a dict by head."""
        return self._of_heads({name: head.classes for name, head in self.heads.items()})

    def _of_heads(self, found: dict) -> Any:
        return found if self.several else next(iter(found.values()))

    def to_dict(self) -> dict:
        """The results as JSON-serialisable values.

        Returns:
            `test` (the metrics), `baselines` and, for a model with images and texts, `modalities`.
            If rows were left out, also `skipped`: their number (`rows`), the number of all rows
            (`of`) and `problems`, each with `row`, `column` and `message`.
        """
        found: dict[str, Any] = {"test": self.metrics, "baselines": self.baselines}
        if any(head.modalities for head in self.heads.values()):
            found["modalities"] = self.modalities
        if self.num_skipped:
            problems = [
                {"row": _as_json(p.row), "column": p.column, "message": p.message}
                for p in self.skipped
            ]
            total = len(self.predictions) + self.num_skipped
            found["skipped"] = {"rows": self.num_skipped, "of": total, "problems": problems}
        return found

    @property
    def skipped_summary(self) -> str:
        """How many rows of how many were left out, as text; empty if none were."""
        total = len(self.predictions) + self.num_skipped
        return f"{self.num_skipped} of {total} rows left out" if self.num_skipped else ""

    def __str__(self) -> str:
        if self.several:
            lines = [f"{name}: {head}" for name, head in self.heads.items()]
        else:
            lines = [str(next(iter(self.heads.values())))]
        return "\n".join([*lines, self.skipped_summary] if self.num_skipped else lines)


def _as_json(value: Any) -> Any:
    """A row's index for JSON: an integer or text as it is, anything else as text."""
    value = label_value(value)
    return value if isinstance(value, str | int) else str(value)
