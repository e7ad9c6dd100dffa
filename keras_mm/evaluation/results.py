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
from keras_mm.evaluation.verdict import Verdict, find_verdict
from keras_mm.inference.answers import names_array
from keras_mm.metrics.classification import confusion_cells
from keras_mm.settings.heads import Head

# The name of the baseline of each kind of head; see `HeadEvaluation.baselines`.
BASELINES = {
    "multiclass": "majority",
    "binary": "majority",
    "multilabel": "frequency",
    "regression": "mean",
}
_CLASSES = ("num_rows", "accuracy", "accuracy_interval", "macro_f1")
# Scores by modality, by kind of head. The second is the main score, which the baseline has, too.
SCORES = {
    "multiclass": _CLASSES,
    "binary": _CLASSES,
    "multilabel": ("num_rows", "subset_accuracy", "subset_accuracy_interval", "macro_f1"),
    "regression": ("num_rows", "mean_absolute_error", "r2"),
}
# The name of the baseline's main score among the scores by modality.
BASELINE_SCORES = {
    "multiclass": "majority_accuracy",
    "binary": "majority_accuracy",
    "multilabel": "baseline_subset_accuracy",
    "regression": "baseline_mean_absolute_error",
}
FEW_ROWS = 20  # with fewer, the interval of a share reaches about 20 percentage points to each side
_TABLES = {"multilabel": "per_label", "regression": "per_target"}
_COUNTS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True)
class HeadEvaluation:
    """Results of one head on the rows that have a label of it.

    Attributes:
        head: The head, with its classes.
        metrics: The metrics, as returned by `keras_mm.metrics.head_metrics.head_metrics`; if
            decisions were fitted also `decisions`, as returned by
            `keras_mm.inference.decisions.measure.measure_decisions`. Empty if several heads were
            evaluated and no row has a label of this one.
        baselines: The same metrics of each baseline by name. The first is a constant prediction:
            `"majority"` predicts the training rows' most frequent class, `"frequency"` predicts
            each label with its share of the training rows as the probability, and `"mean"` predicts
            the means of the training rows' targets. The others were trained, see
            `keras_mm.evaluation.baselines.rivals.Rivals`. Empty if `metrics` is.
        modalities: Scores by modality; see
            `keras_mm.evaluation.modalities.evaluate_modalities`. Empty for a model with images only
            or texts only.
        slices: Scores of the rows with each value of a column, by column and value: `num_rows`,
            the main score with its interval and that of the baseline, further scores with
            intervals, and `small`, whether there are fewer than 20 rows. Empty without `by`.
        differences: By name of the baseline, how the model differs from it; see
            `keras_mm.evaluation.differences.score_differences`.
        methods: By name of a trained baseline, what was chosen by inner validation.

    Example:
        >>> from keras_mm.metrics.head_metrics import head_metrics
        >>> head = Head("binary", ("no", "yes"))
        >>> metrics = head_metrics(head, [0, 1, 1], [[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> HeadEvaluation(head, metrics, {}).confusion_matrix()
             no  yes
        no    1    0
        yes   1    1
    """

    head: Head
    metrics: dict
    baselines: dict[str, dict]
    modalities: dict[str, dict[str, dict]] = field(default_factory=dict)
    slices: dict[str, dict[str, dict]] = field(default_factory=dict)
    differences: dict[str, dict[str, dict]] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Whether the model is better than the best baseline, and by how much."""
        return find_verdict(self.head, self.metrics, self.baselines, self.differences)

    @property
    def baseline(self) -> dict:
        """Metrics of the head's constant baseline."""
        return self.baselines[BASELINES[self.head.kind]]

    @property
    def is_weighted(self) -> bool:
        """Whether the rows have weights, so that the metrics are sums over weights, not rows."""
        return "effective_rows" in self.metrics

    @property
    def rows(self) -> str:
        """The number of rows behind the metrics, as text."""
        count = f"{self.metrics['num_rows']} rows"
        if not self.is_weighted:
            return count
        return f"{count} (weighted, {self.metrics['effective_rows']:.4g} effective)"

    @property
    def classes(self) -> list:
        """Names of the classes, labels or targets, in order."""
        return names_array(self.head.names).tolist()

    def classification_report(self) -> pd.DataFrame:
        """Returns the scores of each class, label or target as a table.

        Returns:
            One row per class, label or target, in order. Classes have the columns `precision`,
            `recall`, `f1` and `support`. Labels of a multilabel head also have `threshold`, `tp`,
            `fp`, `fn`, `tn` and, where they are defined, `auroc` and `auprc`. Targets have errors
            and correlations. For classes and labels the rows `macro avg` and `weighted avg` follow,
            as in scikit-learn's `classification_report`; for labels also `micro avg` and
            `samples avg`. If the rows have weights, `support` is a sum of weights, and the columns
            `num_rows` and `effective_rows` are added.
        """
        scores = self.metrics[_TABLES.get(self.head.kind, "per_class")]
        averages = self.metrics.get("averages", {})  # regression has none
        table = pd.DataFrame([*scores.values(), *averages.values()], [*scores, *averages])
        if self.is_weighted:  # counts are sums of weights
            return table
        # Averages have no counts: with missing cells only `Int64` keeps the counts integers.
        return table.astype({name: "Int64" for name in _COUNTS if name in table})

    def confusion_matrix(self) -> pd.DataFrame:
        """Returns the confusion matrix as a table.

        Returns:
            Numbers of rows, or sums of weights if the rows have weights, shape
            `(num_classes, num_classes)`, with labels in the index and predictions in the columns.

        Raises:
            ValueError: for a multilabel or regression head.
        """
        if "per_class" not in self.metrics:
            raise InvalidValueError(f"A {self.head.kind} head has no confusion matrix.")
        names = [str(name) for name in self.head.names]
        labels, predictions, counts = confusion_cells(self.metrics)
        # Four bytes per cell for many classes: 10,000 classes take 400 MB.
        kinds = ("float64", "float32") if self.is_weighted else ("int64", "int32")
        matrix = np.zeros((len(names), len(names)), kinds[len(names) >= 1000])
        matrix[labels, predictions] = counts
        return pd.DataFrame(matrix, index=names, columns=names)

    def __str__(self) -> str:
        if not self.metrics:
            return "no row has a label"
        metrics, baseline = self.metrics, self.baseline
        if self.head.kind == "regression":
            return (
                f"mean absolute error {metrics['mean_absolute_error']:.4g} "
                f"(predicting the mean {baseline['mean_absolute_error']:.4g}), "
                f"R² {metrics['r2']:.4f}, {self.rows}"
            )
        score, name = "accuracy", "majority class"
        if self.head.kind == "multilabel":
            score, name = "subset_accuracy", "label frequencies"
        low, high = metrics[f"{score}_interval"]
        return (
            f"{score.replace('_', ' ')} {metrics[score]:.4f} [{low:.3f}, {high:.3f}] "
            f"({name} {baseline[score]:.4f}), "
            f"macro-F1 {metrics['macro_f1']:.4f} ({name} {baseline['macro_f1']:.4f}), "
            f"{self.rows}"
        )


@dataclass(frozen=True)
class Results:
    """Results of a classifier on labelled rows.

    Attributes:
        heads: The results of each head by name.
        predictions: A table with one line per row, in the table's order and with its index. Its
            columns are `row`, which repeats the index (a MultiIndex as tuples); `sample_weight` if
            the rows have weights; and for each head `label`, `prediction` and
            `probability_<class>`, named as in `MultimodalClassifier.predict_frame`.
        history: Metrics of the training by name, a list with a value per epoch.
        about: Facts for the report: source, preset, columns, sizes.
        monitor: The metric of `history` that chose the epoch of the model's weights.
        several: Whether the model has several heads. If so, `metrics`, `baselines`, `modalities`,
            `slices` and `classes` are dicts by head.
        skipped: Problems of the rows that `on_error="skip"` left out, in the table's order.
        num_skipped: Number of these rows; a row may have several problems.
        rows: The predicted rows, whose images and texts the report shows; `None` if it shows none.
        id_column: The column of `predictions` with the rows' ids; `None` if there is none.
        notes: Sentences on the baselines: why some are missing, or trained on fewer rows.
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
    notes: Sequence[str] = ()

    @property
    def metrics(self) -> dict:
        """The metrics of the head; with several heads, a dict by head."""
        return self._of_heads({name: head.metrics for name, head in self.heads.items()})

    @property
    def baselines(self) -> dict:
        """The metrics of the head's baselines by name; with several heads, a dict by head."""
        return self._of_heads({name: head.baselines for name, head in self.heads.items()})

    @property
    def differences(self) -> dict:
        """How the model differs from each baseline; with several heads, a dict by head."""
        return self._of_heads({name: head.differences for name, head in self.heads.items()})

    @property
    def verdict(self) -> Any:
        """The sentence on model and best baseline; with several heads, a dict by head."""
        return self._of_heads({name: head.verdict.sentence for name, head in self.heads.items()})

    @property
    def modalities(self) -> dict:
        """The scores of the head by modality; with several heads, a dict by head."""
        return self._of_heads({name: head.modalities for name, head in self.heads.items()})

    @property
    def slices(self) -> dict:
        """The scores of the head by the values of a column; with several heads, a dict by head."""
        return self._of_heads({name: head.slices for name, head in self.heads.items()})

    @property
    def classes(self) -> Any:
        """Names of the classes, labels or targets in order; with several heads, a dict by head."""
        return self._of_heads({name: head.classes for name, head in self.heads.items()})

    def _of_heads(self, by_head: dict) -> Any:
        return by_head if self.several else next(iter(by_head.values()))

    def to_dict(self) -> dict:
        """Returns the results as JSON-serialisable values.

        Returns:
            `verdict` (a sentence), `test` (the metrics), `baselines`, `differences`; `notes` on the
            baselines, if there are any; for a model with images and texts `modalities`; and
            `slices` if the rows were divided by a column. If rows were left out, also `skipped`:
            their number (`rows`), the number of all rows (`of`) and `problems`, each with `row`,
            `column` and `message`.
        """
        values: dict[str, Any] = {
            "verdict": self.verdict,
            "test": self.metrics,
            "baselines": self.baselines,
            "differences": self.differences,
        }
        if self.notes:
            values["notes"] = list(self.notes)
        if any(head.modalities for head in self.heads.values()):
            values["modalities"] = self.modalities
        if any(head.slices for head in self.heads.values()):
            values["slices"] = self.slices
        if self.num_skipped:
            problems = [
                {"row": _as_json(p.row), "column": p.column, "message": p.message}
                for p in self.skipped
            ]
            total = len(self.predictions) + self.num_skipped
            values["skipped"] = {"rows": self.num_skipped, "of": total, "problems": problems}
        return values

    @property
    def skipped_summary(self) -> str:
        """The number of rows that were left out, and of all rows, as text; empty if none were."""
        total = len(self.predictions) + self.num_skipped
        return f"{self.num_skipped} of {total} rows left out" if self.num_skipped else ""

    def __str__(self) -> str:
        if self.several:
            lines = [f"{name}: {head}" for name, head in self.heads.items()]
        else:
            lines = [str(next(iter(self.heads.values())))]
        return "\n".join([*lines, self.skipped_summary] if self.num_skipped else lines)


def _as_json(value: Any) -> Any:
    """The index of a row for JSON: integers and text are unchanged, other values become text."""
    value = label_value(value)
    return value if isinstance(value, str | int) else str(value)
