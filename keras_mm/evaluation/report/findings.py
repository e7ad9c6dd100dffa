"""Findings about a head in sentences and tables, for the report and the model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from keras_mm.evaluation.results import BASELINE_SCORES, SCORES, HeadEvaluation
from keras_mm.metrics.classification import confusion_cells

_FEW_ROWS = 20  # with fewer rows a class's recall is only known to about 20 points
_MOST_NAMES = 10
_MOST_ITEMS = 20  # shown of a setting that is a list or a dict
_HELD = {
    "image_and_text": "Image and text",
    "image_only": "Image only",
    "text_only": "Text only",
}
_HIDDEN = {"images": "Image and text, images hidden", "texts": "Image and text, texts hidden"}
MODALITIES_NOTE = (
    "Rows by the modalities that they have; then the rows with both, answered once with all images "
    "hidden and once with all texts hidden. The latter show what this model can do with one side, "
    "not what a model of that side alone could do: this model has learned to do without one only "
    "if training rows lacked it, or modality dropout hid it."
)
_SCORE_NAMES = {
    "accuracy": "Accuracy",
    "subset_accuracy": "All labels right",
    "mean_absolute_error": "Mean absolute error",
    "macro_f1": "Macro-F1",
    "r2": "R²",
}
_METRICS = {
    "multiclass": (
        ("macro_f1", "Macro-F1", "higher"),
        ("balanced_accuracy", "Balanced accuracy", "higher"),
        ("log_loss", "Log loss (nats)", "lower"),
        ("mcc", "Matthews correlation (MCC)", "higher"),
        ("auroc", "Area under the ROC curve", "higher"),
        ("auprc", "Average precision for “{last}”", "higher"),
    ),
    "multilabel": (
        ("macro_f1", "Macro-F1", "higher"),
        ("micro_f1", "Micro-F1", "higher"),
        ("lrap", "Label ranking average precision", "higher"),
        ("hamming_loss", "Labels answered wrong (Hamming loss)", "lower"),
        ("log_loss", "Log loss (nats)", "lower"),
        ("auroc", "Area under the ROC curve, mean of the labels", "higher"),
        ("auprc", "Average precision, mean of the labels", "higher"),
    ),
    "regression": (
        ("root_mean_squared_error", "Root mean squared error", "lower"),
        ("r2", "R²", "higher"),
        ("pearson", "Pearson's correlation", "higher"),
        ("spearman", "Spearman's rank correlation", "higher"),
    ),
}
_METRICS["binary"] = _METRICS["multiclass"]


class Table(NamedTuple):
    """A table of text: its header, rows as long as it, and rows of averages below them."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    averages: Sequence[Sequence[Any]] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether a model is better than the baseline.

    Attributes:
        better: Whether the baseline's score is worse than the interval of the model's score.
        headline: One short sentence.
        detail: The scores.
    """

    better: bool
    headline: str
    detail: str


def find_verdict(one: HeadEvaluation) -> Verdict:
    """Compares a head's first score with the baseline's.

    Args:
        one: The results of a head.

    Returns:
        Whether the head is better, in sentences.
    """
    if not one.metrics:
        return Verdict(False, "Not measured.", "No row has a label of this head.")
    if one.head.kind == "regression":
        return _verdict_of_numbers(one)
    score = SCORES[one.head.kind][1]
    metrics, baseline = one.metrics, one.baseline[score]
    low, high = metrics[f"{score}_interval"]
    better = baseline < low
    rows = _rows(metrics["num_rows"], weighted=one.is_weighted)
    if one.head.kind == "multilabel":
        answer = "always answering by the labels' frequencies"
        detail = (
            f"All labels of a row are right for {_share(metrics, score)} of {rows}, against "
            f"{percent(baseline)} for {answer} in the training rows."
        )
    else:
        answer = f"always answering “{majority_class(one)}”"
        detail = (
            f"Accuracy {_share(metrics, score)} on {rows}, against "
            f"{percent(baseline)} for {answer}, the most frequent class of the training rows."
        )
    if not better:
        detail += (
            " That lies above the interval: the model is worse."
            if baseline > high
            else " That lies inside the interval: the difference may be chance."
        )
        name, words = (
            ("macro_f1", " Macro-F1, which counts every label alike, is")
            if one.head.kind == "multilabel"
            else ("balanced_accuracy", " Balanced accuracy, which counts every class alike, is")
        )
        detail += f"{words} {percent(metrics[name])} against {percent(one.baseline[name])}."
    detail += _stronger_constant(one)
    return Verdict(better, f"{'Better' if better else 'No better'} than {answer}.", detail)


def _verdict_of_numbers(one: HeadEvaluation) -> Verdict:
    """Better only if the interval of each target's error is below the error of the mean."""
    judged = []
    for name, scores in one.metrics["per_target"].items():
        baseline = one.baseline["per_target"][name]["mean_absolute_error"]
        low, high = scores["mean_absolute_error_interval"]
        about = f"“{name}”: mean" if len(one.classes) > 1 else "Mean"
        words = (
            f"{about} absolute error {_number(scores['mean_absolute_error'])} "
            f"[{_number(low)}, {_number(high)}] on "
            f"{_rows(scores['num_rows'], weighted=one.is_weighted)}, against "
            f"{_number(baseline)} for always answering the mean of the training rows."
        )
        if high >= baseline:
            words += (
                " That lies below the interval: the model is worse."
                if baseline < low
                else " That lies inside the interval: the difference may be chance."
            )
        judged.append((high < baseline, words))
    better = all(good for good, _ in judged)
    headline = f"{'Better' if better else 'No better'} than always answering the mean."
    more = len(judged) - _MOST_NAMES
    shown = [words for _, words in judged[:_MOST_NAMES]]
    if more > 0:
        good = sum(good for good, _ in judged)
        shown.append(
            f"And {more} more targets; {good} of {len(judged)} are better than their mean."
        )
    return Verdict(better, headline, " ".join(shown))


def _stronger_constant(one: HeadEvaluation) -> str:
    """A sentence if another constant prediction does as well: the test rows have other shares."""
    if "per_class" not in one.metrics:
        return ""
    labels, _, rows = confusion_cells(one.metrics)
    support = np.bincount(labels, weights=rows)
    first, share = one.classes[int(support.argmax())], float(support.max() / support.sum())
    majority = one.baseline["accuracy"]
    if share <= majority or share < one.metrics["accuracy_interval"][0]:
        return ""
    return (
        f" Always answering “{first}”, the most frequent class of these test rows, would be "
        f"right on {percent(share)}."
    )


def baseline_name(one: HeadEvaluation) -> str:
    """The baseline's name in the header of a table.

    Args:
        one: The results of a head, with metrics.

    Returns:
        The name.
    """
    if one.head.kind == "multilabel":
        return "Labels' frequencies"
    return "Always the mean" if one.head.kind == "regression" else f"Always “{majority_class(one)}”"


def compare_metrics(one: HeadEvaluation) -> list[tuple[str, str, str, str]]:
    """The head's metrics beside the baseline's.

    Args:
        one: The results of a head, with metrics.

    Returns:
        Rows of a table: metric, the model's value, the baseline's value, and whether `"higher"` or
        `"lower"` is better.
    """
    model, baseline, kind = one.metrics, one.baseline, one.head.kind
    first = SCORES[kind][1]
    if kind == "regression":
        error = _number(model[first])
        if f"{first}_interval" in model:
            error += " [{}, {}]".format(*map(_number, model[f"{first}_interval"]))
        rows = [(_SCORE_NAMES[first], error, _number(baseline[first]), "lower")]
    else:
        rows = [(_SCORE_NAMES[first], _share(model, first), percent(baseline[first]), "higher")]
    for name, text, way in _METRICS[kind]:
        if name in model:
            words = text.format(last=one.classes[-1])
            # The root mean squared error has the targets' unit; all other scores have none.
            show = _number if name == "root_mean_squared_error" else "{:z.3f}".format
            rows.append((words, show(model[name]), show(baseline[name]), way))
    return rows


def compare_modalities(one: HeadEvaluation) -> Table:
    """Scores by modality.

    Args:
        one: The results of a head.

    Returns:
        A table of inputs, numbers of test rows, and scores; without rows for a model with images
        only or texts only.
    """
    kind = one.head.kind
    first, last = SCORES[kind][1], SCORES[kind][-1]
    rows = []
    for part, names in (("held", _HELD), ("hidden", _HIDDEN)):
        for key, name in names.items():
            scores = one.modalities.get(part, {}).get(key)
            if scores:
                mine, its = scores[first], scores[BASELINE_SCORES[kind]]
                shown = (
                    (_number(mine), _number(its))
                    if kind == "regression"
                    else (_share(scores, first), percent(its))
                )
                rows.append([name, str(scores["num_rows"]), *shown, f"{scores[last]:z.3f}"])
    scored = (_SCORE_NAMES[first], baseline_name(one) if one.metrics else "", _SCORE_NAMES[last])
    return Table(("What the model is given", "Test rows", *scored), rows)


def find_limits(one: HeadEvaluation, about: Mapping[str, Any]) -> list[str]:
    """What the metrics of a head do not show.

    Args:
        one: The results of a head.
        about: Facts about the training; `images` and `texts` are read.

    Returns:
        A sentence for each limit.
    """
    if not one.metrics:
        return ["No test row has a label of this head: nothing is known about it."]
    kind, metrics = one.head.kind, one.metrics
    simpler = (
        "a model of the images alone, or of the texts alone,"
        if about.get("images") and about.get("texts")
        else "a simpler model"
    )
    baseline = {"multilabel": "labels' frequency", "regression": "mean"}.get(kind, "majority class")
    limits = [
        f"The {baseline} is the only baseline: whether {simpler} would do as well was not measured."
    ]
    if one.is_weighted:
        limits.append(
            f"The test rows are weighted: {_rows(metrics['num_rows'])} count like "
            f"{metrics['effective_rows']:.4g} rows of equal weight, and the intervals are those of "
            "so many rows."
        )
    score = SCORES[kind][1]
    if kind == "regression":
        few = [f"“{n}”" for n, s in metrics["per_target"].items() if s["num_rows"] < _FEW_ROWS]
        if len(few) > _MOST_NAMES:
            few = [_some(few)]
        return limits + [f"Fewer than {_FEW_ROWS} test rows have {names}." for names in few]
    low, high = metrics[f"{score}_interval"]
    what = "the accuracy" if score == "accuracy" else "the share of rows with all labels right"
    known = (
        f"From {_rows(metrics['num_rows'], weighted=one.is_weighted)} {what} is only known to lie "
        f"between {percent(low)} and {percent(high)} (95% interval)."
    )
    return [known, *limits, *_limits_of_classes(one)]


def _limits_of_classes(one: HeadEvaluation) -> list[str]:
    scores = one.metrics["per_label" if one.head.kind == "multilabel" else "per_class"]
    # With weights the support is no number of rows.
    counts = (scores[str(name)] for name in one.classes)
    rows = [found.get("num_rows", found["support"]) for found in counts]
    named, limits = list(zip(one.classes, rows, strict=True)), []
    few = [f"“{name}” ({count})" for name, count in named if 0 < count < _FEW_ROWS]
    if few:
        limits.append(
            f"Fewer than {_FEW_ROWS} test rows have the label {_some(few)}: the figures of such "
            "a class are rough."
        )
    none = [f"“{name}”" for name, count in named if count == 0]
    if none:
        limits.append(f"No test row has the label {_some(none)}: nothing is known about it.")
    return limits


def majority_class(one: HeadEvaluation) -> Any:
    """The class that the majority baseline always predicts.

    Args:
        one: The results of a multiclass or binary head, with baselines.

    Returns:
        The class's name.
    """
    _, answers, _ = confusion_cells(one.baseline)
    return one.classes[answers[0]]  # all rows have the same prediction


def percent(share: float) -> str:
    """A share in percent with one decimal.

    Args:
        share: In [0, 1].

    Returns:
        Text; only 1 is `100.0%` and only 0 is `0.0%`.
    """
    text = f"{share:.1%}"
    if text == "100.0%" and share < 1:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and share > 0 else text


def amount(value: float) -> int | float:
    """A number of rows, or a sum of weights, as it is shown.

    Args:
        value: The number, >= 0.

    Returns:
        An integer where the number is whole, else a number of six digits.
    """
    shown = value if value == int(value) else float(f"{value:.6g}")
    return int(shown) if shown == int(shown) else shown


def plain(value: Any) -> str:
    """A fact or setting as readable text.

    Args:
        value: Any value of a setting.

    Returns:
        Text; of long lists and dicts only the first items.
    """
    if isinstance(value, Mapping):
        items = [(name, plain(item)) for name, item in islice(value.items(), _MOST_ITEMS)]
        return _listed([f"{name}: {item}" for name, item in items], len(value)) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = list(value)
        return _listed([plain(item) for item in value[:_MOST_ITEMS]], len(value)) or "none"
    return "none" if value is None else str(getattr(value, "name", value))


def _share(metrics: Mapping, score: str) -> str:
    low, high = metrics[f"{score}_interval"]
    return f"{percent(metrics[score])} [{100 * low:.1f}, {100 * high:.1f}]"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _rows(count: int, *, weighted: bool = False) -> str:
    return f"{count} {'weighted ' if weighted else ''}test row{'' if count == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    return _listed(names[:_MOST_NAMES], len(names))


def _listed(shown: Sequence[str], total: int) -> str:
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
