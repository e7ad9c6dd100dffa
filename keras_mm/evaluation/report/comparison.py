"""Tables and sentences that set a model beside its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_mm.evaluation.differences import COMPARED
from keras_mm.evaluation.report.formats import Table, number, percent, share
from keras_mm.evaluation.results import SCORES, HeadEvaluation
from keras_mm.metrics.class_probabilities import TOP
from keras_mm.metrics.classification import confusion_cells, lower_is_better

SCORE_NAMES = {
    "accuracy": "Accuracy",
    "subset_accuracy": "All labels right",
    "mean_absolute_error": "Mean absolute error",
    "macro_f1": "Macro-F1",
    "r2": "R²",
    "log_loss": "Log loss",
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
_LABELS = {
    "lexical": "Lexical",
    "linear": "Linear",
    "image_only": "Images only",
    "text_only": "Texts only",
    "linear_probe": "Linear probe",
    "image_probe": "Image probe",
    "text_probe": "Text probe",
}
_ABOUT = {
    "lexical": "a model of the words, characters and lengths of the texts, and of what a pair of "
    "texts has in common",
    "linear": "logistic (for numbers ridge) regression on the vectors of the frozen encoders",
    "image_only": "the same kind of model with the same settings, trained on the images alone",
    "text_only": "the same kind of model with the same settings, trained on the texts alone",
    "linear_probe": "a linear model on the vectors of this model's encoders, which were trained "
    "with it",
    "image_probe": "the same on the vectors of the images alone",
    "text_probe": "the same on the vectors of the texts alone",
}


def constant_name(result: HeadEvaluation) -> str:
    """Returns the name of the constant baseline for the header of a table.

    Args:
        result: The results of a head, with metrics.

    Returns:
        The name.
    """
    if result.head.kind == "multilabel":
        return "Label frequencies"
    if result.head.kind == "regression":
        return "Always the mean"
    _, predictions, _ = confusion_cells(result.baseline)
    return f"Always “{result.classes[predictions[0]]}”"  # all rows have the same prediction


def compare_metrics(result: HeadEvaluation) -> Table:
    """Lists the metrics of a head next to those of its constant baseline.

    Args:
        result: The results of a head, with metrics.

    Returns:
        A table with the metric, the values of the model and of the baseline, and whether `"higher"`
        or `"lower"` is better.
    """
    kind, values = result.head.kind, (result.metrics, result.baseline)
    main = SCORES[kind][1]
    way = "lower" if kind == "regression" else "higher"
    rows = [[SCORE_NAMES[main], *(_cell(main, metrics) for metrics in values), way]]
    of_two = len(result.classes) == 2
    parts = {
        "mean": "" if of_two else ", mean over classes",
        "of_last": f" for “{result.classes[-1]}”" if of_two else ", mean over classes",
    }
    for name, text, way in _METRICS[kind]:
        if name in result.metrics:
            rows.append([text.format(**parts), *(_cell(name, m) for m in values), way])
    return Table(("Metric", "Model", constant_name(result), "Better is"), rows)


def compare_baselines(result: HeadEvaluation) -> Table:
    """Lists the model and its baselines by some scores, and how much better the model is.

    Args:
        result: The results of a head, with metrics and differences.

    Returns:
        A table with a row for the model and for each baseline: the scores, and after those of
        `keras_mm.evaluation.differences.COMPARED` how much better the model is, with the 95%
        interval; below 0 it is worse.
    """
    main, second = COMPARED[result.head.kind]
    also = [] if result.head.kind == "regression" else ["macro_f1"]
    rows = []
    for name, metrics in {"": result.metrics, **result.baselines}.items():
        ahead = [_ahead(s, result.differences[name][s]) if name else "" for s in (main, second)]
        scores = [_cell(score, metrics) for score in (main, *also, second)]
        title = _LABELS.get(name, constant_name(result)) if name else "Model"
        rows.append([title, scores[0], ahead[0], *scores[1:], ahead[1]])
    unit = " (points)" if main.endswith("accuracy") else ""
    names = [SCORE_NAMES[score] for score in (main, *also, second)]
    return Table(("", names[0], f"Model ahead{unit}", *names[1:], "Model ahead"), rows)


def compare_briefly(result: HeadEvaluation) -> Table:
    """Lists the baselines of a head by two scores, for a terminal.

    Args:
        result: The results of a head, with metrics and differences.

    Returns:
        A table with a row for each baseline: the two scores, and after each how much better the
        model is, with the 95% interval.
    """
    scores = COMPARED[result.head.kind]
    titles = (SCORE_NAMES[score] for score in scores)
    rows = []
    for name, metrics in result.baselines.items():
        row = [name]
        for score in scores:
            shown = (
                percent(metrics[score]) if score.endswith("accuracy") else number(metrics[score])
            )
            row += [shown, _ahead(score, result.differences[name][score])]
        rows.append(row)
    return Table(("Baseline", *(cell for title in titles for cell in (title, "model ahead"))), rows)


def describe_baselines(result: HeadEvaluation) -> list[str]:
    """Says what the trained baselines of a head are.

    Args:
        result: The results of a head.

    Returns:
        A phrase for each, such as "Linear: ...".
    """
    described = []
    for name in result.baselines:
        if name in _ABOUT:
            method = result.methods.get(name)
            described.append(f"{_LABELS[name]}: {_ABOUT[name]}{f' ({method})' if method else ''}.")
    return described


def _cell(name: str, metrics: Mapping[str, Any]) -> str:
    """A score with its interval, if it has one."""
    if name in ("accuracy", "subset_accuracy"):
        return share(metrics, name)
    show = number if name in (*_IN_UNITS, "mean_absolute_error") else "{:z.3f}".format
    if f"{name}_interval" not in metrics:
        return show(metrics[name])
    return "{} [{}, {}]".format(*map(show, (metrics[name], *metrics[f"{name}_interval"])))


def _ahead(score: str, difference: Mapping[str, Any]) -> str:
    """How much better the model is, with the interval."""
    sign = -1 if lower_is_better(score) else 1
    low, high = sorted(sign * end for end in difference["interval"])
    values = (sign * difference["difference"], low, high)
    if score.endswith("accuracy"):
        return "{:+.1f} [{:.1f}, {:.1f}]".format(*(100 * value for value in values))
    if score == "mean_absolute_error":
        return "{:+.4g} [{:.4g}, {:.4g}]".format(*values)
    return "{:+.3f} [{:.3f}, {:.3f}]".format(*values)
