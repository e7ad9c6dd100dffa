"""Describes the results of a head in sentences and tables, for the report and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_mm.evaluation.report.formats import listed, percent
from keras_mm.evaluation.results import BASELINE_SCORES, FEW_ROWS, SCORES, HeadEvaluation
from keras_mm.metrics.class_probabilities import TOP
from keras_mm.metrics.classification import confusion_cells

_MOST_NAMES = 10
_HELD = {
    "image_and_text": "Image and text",
    "image_only": "Image only",
    "text_only": "Text only",
}
_HIDDEN = {"images": "Image and text, images hidden", "texts": "Image and text, texts hidden"}
MODALITIES_NOTE = (
    "First the test rows by the modalities that they have. Then the rows with both, predicted once "
    "with all images hidden and once with all texts hidden. These scores show what this model "
    "predicts from one modality, not what a model trained on that modality alone would: this model "
    "has learned to predict without a modality only if training rows lacked it or modality dropout "
    "hid it."
)
INTERVALS_NOTE = (
    "Square brackets: 95% interval; of shares of rows by Wilson, of mean errors by the normal "
    "approximation, of other scores by bootstrap over the test rows."
)
_SCORE_NAMES = {
    "accuracy": "Accuracy",
    "subset_accuracy": "All labels right",
    "mean_absolute_error": "Mean absolute error",
    "macro_f1": "Macro-F1",
    "r2": "R²",
}
_PROBABILITIES = (
    ("brier_score_loss", "Brier score", "lower"),
    ("expected_calibration_error", "Expected calibration error", "lower"),
)
_METRICS = {
    "multiclass": (
        ("macro_f1", "Macro-F1", "higher"),
        ("weighted_f1", "Weighted F1", "higher"),
        ("balanced_accuracy", "Balanced accuracy", "higher"),
        *((f"top_{k}_accuracy", f"Top-{k} accuracy", "higher") for k in TOP),
        ("mcc", "Matthews correlation (MCC)", "higher"),
        ("log_loss", "Log loss (nats)", "lower"),
        *_PROBABILITIES,
        ("auroc", "Area under the ROC curve{mean}", "higher"),
        ("auprc", "Average precision{of_last}", "higher"),
    ),
    "multilabel": (
        ("macro_f1", "Macro-F1", "higher"),
        ("micro_f1", "Micro-F1", "higher"),
        ("weighted_f1", "Weighted F1", "higher"),
        ("lrap", "Label ranking average precision", "higher"),
        ("hamming_loss", "Wrong labels (Hamming loss)", "lower"),
        ("log_loss", "Log loss (nats)", "lower"),
        *_PROBABILITIES,
        ("auroc", "Area under the ROC curve, mean over labels", "higher"),
        ("auprc", "Average precision, mean over labels", "higher"),
    ),
    "regression": (
        ("median_absolute_error", "Median absolute error", "lower"),
        ("root_mean_squared_error", "Root mean squared error", "lower"),
        ("r2", "R²", "higher"),
        ("explained_variance", "Explained variance", "higher"),
        ("pearson", "Pearson correlation", "higher"),
        ("spearman", "Spearman rank correlation", "higher"),
    ),
}
_METRICS["binary"] = _METRICS["multiclass"]
_IN_UNITS = ("median_absolute_error", "root_mean_squared_error")  # of the targets


class Table(NamedTuple):
    """A table of text.

    Attributes:
        header: Names of the columns.
        rows: Rows with a cell per column.
        averages: Rows of averages, below the other rows.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    averages: Sequence[Sequence[Any]] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether a model is better than the baseline.

    Attributes:
        better: Whether the whole 95% interval of the model's score is better than the baseline's
            score.
        headline: One short sentence.
        detail: Sentences with the scores.
    """

    better: bool
    headline: str
    detail: str


def find_verdict(result: HeadEvaluation) -> Verdict:
    """Compares the main score of a head with that of its baseline.

    The main score is accuracy; of a multilabel head the subset accuracy, and of a regression head
    the mean absolute error of each target.

    Args:
        result: The results of a head.

    Returns:
        The verdict; "not better" if no row has a label of the head.
    """
    if not result.metrics:
        return Verdict(False, "Not evaluated.", "No row has a label of this head.")
    if result.head.kind == "regression":
        return _verdict_of_numbers(result)
    score = SCORES[result.head.kind][1]
    metrics, baseline = result.metrics, result.baseline[score]
    low, high = metrics[f"{score}_interval"]
    better = baseline < low
    rows = _rows(metrics["num_rows"], weighted=result.is_weighted)
    if result.head.kind == "multilabel":
        constant = "always predicting the label frequencies"
        detail = (
            f"All labels of a row are right for {_share(metrics, score)} of {rows}, against "
            f"{percent(baseline)} for {constant} of the training rows."
        )
    else:
        constant = f"always predicting “{majority_class(result)}”"
        detail = (
            f"Accuracy {_share(metrics, score)} on {rows}, against "
            f"{percent(baseline)} for {constant}, the most frequent class of the training rows."
        )
    if not better:
        detail += (
            " The baseline's score is above the interval: the model is worse."
            if baseline > high
            else " The baseline's score is inside the interval: the difference may be chance."
        )
        name, sentence = (
            ("macro_f1", " Macro-F1, in which every label counts the same, is")
            if result.head.kind == "multilabel"
            else (
                "balanced_accuracy",
                " Balanced accuracy, in which every class counts the same, is",
            )
        )
        detail += f"{sentence} {percent(metrics[name])} against {percent(result.baseline[name])}."
    detail += _stronger_constant(result)
    return Verdict(better, f"{'Better' if better else 'No better'} than {constant}.", detail)


def _verdict_of_numbers(result: HeadEvaluation) -> Verdict:
    """Better only if, for every target, the whole interval of the error is below the baseline."""
    verdicts = []
    for name, scores in result.metrics["per_target"].items():
        baseline = result.baseline["per_target"][name]["mean_absolute_error"]
        low, high = scores["mean_absolute_error_interval"]
        start = f"“{name}”: mean" if len(result.classes) > 1 else "Mean"
        sentences = (
            f"{start} absolute error {_number(scores['mean_absolute_error'])} "
            f"[{_number(low)}, {_number(high)}] on "
            f"{_rows(scores['num_rows'], weighted=result.is_weighted)}, against "
            f"{_number(baseline)} for always predicting the mean of the training rows."
        )
        if high >= baseline:
            sentences += (
                " The baseline's error is below the interval: the model is worse."
                if baseline < low
                else " The baseline's error is inside the interval: the difference may be chance."
            )
        verdicts.append((high < baseline, sentences))
    better = all(is_better for is_better, _ in verdicts)
    headline = f"{'Better' if better else 'No better'} than always predicting the mean."
    more = len(verdicts) - _MOST_NAMES
    shown = [sentences for _, sentences in verdicts[:_MOST_NAMES]]
    if more > 0:
        num_better = sum(is_better for is_better, _ in verdicts)
        shown.append(
            f"And {more} more targets. On {num_better} of all {len(verdicts)} targets the model is "
            "better than the mean."
        )
    return Verdict(better, headline, " ".join(shown))


def _stronger_constant(result: HeadEvaluation) -> str:
    """A sentence if always predicting another class may be as good, since test shares differ."""
    if "per_class" not in result.metrics:
        return ""
    labels, _, rows = confusion_cells(result.metrics)
    support = np.bincount(labels, weights=rows)
    frequent, share = result.classes[int(support.argmax())], float(support.max() / support.sum())
    majority = result.baseline["accuracy"]
    if share <= majority or share < result.metrics["accuracy_interval"][0]:
        return ""
    return (
        f" Always predicting “{frequent}”, the most frequent class of these test rows, would be "
        f"right on {percent(share)}."
    )


def baseline_name(result: HeadEvaluation) -> str:
    """Returns the name of the baseline for the header of a table.

    Args:
        result: The results of a head, with metrics.

    Returns:
        The name.
    """
    if result.head.kind == "multilabel":
        return "Label frequencies"
    return (
        "Always the mean"
        if result.head.kind == "regression"
        else f"Always “{majority_class(result)}”"
    )


def compare_metrics(result: HeadEvaluation) -> list[tuple[str, str, str, str]]:
    """Lists the metrics of a head next to those of its baseline.

    Args:
        result: The results of a head, with metrics.

    Returns:
        Rows of a table: metric, the model's value, the baseline's value, and whether `"higher"` or
        `"lower"` is better.
    """
    model, baseline, kind = result.metrics, result.baseline, result.head.kind
    score = SCORES[kind][1]
    if kind == "regression":
        error = _number(model[score])
        if f"{score}_interval" in model:
            error += " [{}, {}]".format(*map(_number, model[f"{score}_interval"]))
        rows = [(_SCORE_NAMES[score], error, _number(baseline[score]), "lower")]
    else:
        rows = [(_SCORE_NAMES[score], _share(model, score), percent(baseline[score]), "higher")]
    of_two = len(result.classes) == 2
    parts = {
        "mean": "" if of_two else ", mean over classes",
        "of_last": f" for “{result.classes[-1]}”" if of_two else ", mean over classes",
    }
    for name, text, way in _METRICS[kind]:
        if name in model:
            show = _number if name in _IN_UNITS else "{:z.3f}".format
            cell = show(model[name])
            if f"{name}_interval" in model:
                cell += " [{}, {}]".format(*map(show, model[f"{name}_interval"]))
            rows.append((text.format(**parts), cell, show(baseline[name]), way))
    return rows


def compare_modalities(result: HeadEvaluation) -> Table:
    """Lists the scores of a head by modality.

    Args:
        result: The results of a head.

    Returns:
        A table with the inputs, the number of test rows and the scores; it has no rows for a model
        with images only or texts only.
    """
    kind = result.head.kind
    main, last = SCORES[kind][1], SCORES[kind][-1]
    rows = []
    for part, names in (("held", _HELD), ("hidden", _HIDDEN)):
        for key, name in names.items():
            scores = result.modalities.get(part, {}).get(key)
            if scores:
                score, baseline = scores[main], scores[BASELINE_SCORES[kind]]
                cells = (
                    (_number(score), _number(baseline))
                    if kind == "regression"
                    else (_share(scores, main), percent(baseline))
                )
                rows.append([name, str(scores["num_rows"]), *cells, f"{scores[last]:z.3f}"])
    scored = (
        _SCORE_NAMES[main],
        baseline_name(result) if result.metrics else "",
        _SCORE_NAMES[last],
    )
    return Table(("Input", "Test rows", *scored), rows)


def find_limits(result: HeadEvaluation, about: Mapping[str, Any]) -> list[str]:
    """Lists the limits of what the metrics of a head show.

    Args:
        result: The results of a head.
        about: Facts about the training. `images` and `texts`, the names of the columns, are read.

    Returns:
        A sentence or two for each limit.
    """
    if not result.metrics:
        return ["No test row has a label of this head, so it was not evaluated."]
    kind, metrics = result.head.kind, result.metrics
    simpler = (
        "a model of only the images, or of only the texts,"
        if about.get("images") and about.get("texts")
        else "a simpler model"
    )
    baseline = {"multilabel": "label frequency", "regression": "mean"}.get(kind, "majority class")
    limits = [
        f"The {baseline} is the only baseline. Whether {simpler} would be as good was not tested."
    ]
    if result.is_weighted:
        limits.append(
            f"The test rows are weighted: {_rows(metrics['num_rows'])} count like "
            f"{metrics['effective_rows']:.4g} rows of equal weight, and the intervals are those of "
            "that many rows."
        )
    score = SCORES[kind][1]
    if kind == "regression":
        rare = [f"“{n}”" for n, s in metrics["per_target"].items() if s["num_rows"] < FEW_ROWS]
        if len(rare) > _MOST_NAMES:
            rare = [_some(rare)]
        return limits + [f"Fewer than {FEW_ROWS} test rows have {names}." for names in rare]
    low, high = metrics[f"{score}_interval"]
    name = "the accuracy" if score == "accuracy" else "the share of rows with all labels right"
    known = (
        f"With {_rows(metrics['num_rows'], weighted=result.is_weighted)}, {name} is only known to "
        f"be between {percent(low)} and {percent(high)} (95% interval)."
    )
    return [known, *limits, *_limits_of_classes(result)]


def _limits_of_classes(result: HeadEvaluation) -> list[str]:
    scores = result.metrics["per_label" if result.head.kind == "multilabel" else "per_class"]
    # If the rows have weights, the support is a sum of weights.
    per_class = (scores[str(name)] for name in result.classes)
    rows = [score.get("num_rows", score["support"]) for score in per_class]
    named, limits = list(zip(result.classes, rows, strict=True)), []
    rare = [f"“{name}” ({count})" for name, count in named if 0 < count < FEW_ROWS]
    if rare:
        limits.append(
            f"Fewer than {FEW_ROWS} test rows have the label {_some(rare)}: the scores of such "
            "a class are uncertain."
        )
    absent = [f"“{name}”" for name, count in named if count == 0]
    if absent:
        limits.append(
            f"No test row has the label {_some(absent)}: the scores of such a class are unknown."
        )
    return limits


def majority_class(result: HeadEvaluation) -> Any:
    """Returns the class that the majority baseline always predicts.

    Args:
        result: The results of a multiclass or binary head, with baselines.

    Returns:
        The name of the class.
    """
    _, predictions, _ = confusion_cells(result.baseline)
    return result.classes[predictions[0]]  # all rows have the same prediction


def _share(metrics: Mapping, score: str) -> str:
    low, high = metrics[f"{score}_interval"]
    return f"{percent(metrics[score])} [{100 * low:.1f}, {100 * high:.1f}]"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _rows(count: int, *, weighted: bool = False) -> str:
    return f"{count} {'weighted ' if weighted else ''}test row{'' if count == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    return listed(names[:_MOST_NAMES], len(names))
