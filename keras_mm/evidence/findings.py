"""What an evaluation shows of a head, in words and tables: for the report and the model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_mm.evidence.modalities import BASELINE_SCORES, SCORES
from keras_mm.metrics.intervals import wilson_interval

if TYPE_CHECKING:
    from keras_mm.evidence.evaluate import HeadEvaluation

_FEW_ROWS = 20  # below it a class's recall is known to about 20 points at best
_MOST_NAMES = 10
_HELD = {
    "image_and_text": "Image and text",
    "image_only": "Image only",
    "text_only": "Text only",
}
_HIDDEN = {"images": "Image and text, images hidden", "texts": "Image and text, texts hidden"}
MODALITIES_NOTE = (
    "Rows by what they hold; then those that hold both, answered once with all their images hidden "
    "and once with all their texts. The latter show what this model makes of one side, not what a "
    "model of that side alone could: this one has learned to do without a side only if training "
    "rows lacked it, or modality dropout hid it."
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
    """A table of text: its header, and rows as long as it."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Verdict:
    """Whether a model beats the answer that sees no input, in plain words.

    Attributes:
        better: Whether the baseline lies outside the interval of the model's score, on the worse
            side.
        headline: One short sentence.
        detail: The figures behind it.
    """

    better: bool
    headline: str
    detail: str


def find_verdict(one: HeadEvaluation) -> Verdict:
    """Compares a head's first score, by its interval, with the answer that sees no input."""
    if not one.metrics:
        return Verdict(False, "Not measured.", "No row has a label of this head.")
    if one.head.kind == "regression":
        return _verdict_of_numbers(one)
    score = SCORES[one.head.kind][1]
    metrics, baseline = one.metrics, one.baseline[score]
    low, high = metrics[f"{score}_interval"]
    better = baseline < low
    rows = _rows(metrics["num_rows"])
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
    """Better only if each target's error lies, with its interval, below that of its mean."""
    judged = []
    for name, scores in one.metrics["per_target"].items():
        baseline = one.baseline["per_target"][name]["mean_absolute_error"]
        low, high = scores["mean_absolute_error_interval"]
        about = f"“{name}”: mean" if len(one.classes) > 1 else "Mean"
        words = (
            f"{about} absolute error {_number(scores['mean_absolute_error'])} "
            f"[{_number(low)}, {_number(high)}] on {_rows(scores['num_rows'])}, against "
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
    return Verdict(better, headline, " ".join(words for _, words in judged))


def _stronger_constant(one: HeadEvaluation) -> str:
    """A sentence where another constant answer does as well: test rows unlike training rows."""
    if "confusion_matrix" not in one.metrics:
        return ""
    support = np.sum(one.metrics["confusion_matrix"], axis=1)
    first, share = one.classes[int(support.argmax())], float(support.max() / support.sum())
    majority = one.baseline["accuracy"]
    if share <= majority or share < one.metrics["accuracy_interval"][0]:
        return ""
    return (
        f" Always answering “{first}”, the most frequent class of these test rows, would be "
        f"right on {percent(share)}."
    )


def baseline_name(one: HeadEvaluation) -> str:
    """What the answer that sees no input is called at the head of a column."""
    if one.head.kind == "multilabel":
        return "Labels' frequencies"
    return "Always the mean" if one.head.kind == "regression" else f"Always “{majority_class(one)}”"


def compare_metrics(one: HeadEvaluation) -> list[tuple[str, str, str, str]]:
    """Rows of a table: metric, model, baseline, which way is better."""
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
            # As the labels' own, of the means' unit; all others are numbers without one.
            show = _number if name == "root_mean_squared_error" else "{:z.3f}".format
            rows.append((words, show(model[name]), show(baseline[name]), way))
    return rows


def scores_by_class(one: HeadEvaluation) -> Table:
    """Scores of each class, label or target, as text.

    What has no row to be measured on is a dash, not 0.
    """
    if one.head.kind == "regression":
        return _scores_by_target(one)
    if one.head.kind == "multilabel":
        return _scores_by_label(one)
    matrix = np.asarray(one.metrics["confusion_matrix"])
    answered, rows = matrix.sum(axis=0), []
    for i, name in enumerate(one.classes):
        scores = one.metrics["per_class"][str(name)]
        rows.append([name, *_class_scores(scores, int(matrix[i, i]), int(answered[i]))])
    return Table(("Class", "Precision", "Recall", "F1", "Test rows"), rows)


def _scores_by_label(one: HeadEvaluation) -> Table:
    rows = []
    for name, scores in one.metrics["per_label"].items():
        answered = scores["tp"] + scores["fp"]
        auroc = f"{scores['auroc']:.3f}" if "auroc" in scores else "–"
        found = _class_scores(scores, scores["tp"], answered)
        rows.append([name, *found, str(answered), f"{scores['threshold']:.2f}", auroc])
    more = ("Answered", "Threshold", "ROC area")
    return Table(("Label", "Precision", "Recall", "F1", "Test rows", *more), rows)


def _scores_by_target(one: HeadEvaluation) -> Table:
    rows = []
    for name, scores in one.metrics["per_target"].items():
        low, high = map(_number, scores["mean_absolute_error_interval"])
        mean = one.baseline["per_target"][name]["mean_absolute_error"]
        error = f"{_number(scores['mean_absolute_error'])} [{low}, {high}]"
        rows.append([name, error, _number(mean), f"{scores['r2']:z.3f}", str(scores["num_rows"])])
    header = ("Target", "Mean absolute error", "Always the mean", "R²", "Test rows")
    return Table(header, rows)


def _class_scores(scores: Mapping, correct: int, answered: int) -> list[str]:
    """Precision, recall with its interval, F1 and rows of one class."""
    support = scores["support"]
    recall = "–"
    if support:
        low, high = wilson_interval(correct, support)
        recall = f"{scores['recall']:.3f} [{low:.2f}, {high:.2f}]"
    precision = f"{scores['precision']:.3f}" if answered else "–"
    f1 = f"{scores['f1']:.3f}" if support + answered else "–"
    return [precision, recall, f1, str(support)]


def compare_modalities(one: HeadEvaluation) -> Table:
    """What is there, test rows, and scores; no rows for a model of one side."""
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
    """What the figures of a head do not show, a sentence each.

    Args:
        one: The head's evaluation.
        about: Facts of the run; whether it has `images` and `texts` is read.
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
    score = SCORES[kind][1]
    if kind == "regression":
        few = [n for n, s in metrics["per_target"].items() if s["num_rows"] < _FEW_ROWS]
        return limits + [f"Fewer than {_FEW_ROWS} test rows tell “{name}”." for name in few]
    low, high = metrics[f"{score}_interval"]
    what = "the accuracy" if score == "accuracy" else "the share of rows with all labels right"
    known = (
        f"From {_rows(metrics['num_rows'])} {what} is only known to lie between "
        f"{percent(low)} and {percent(high)} (95% interval)."
    )
    return [known, *limits, *_limits_of_classes(one)]


def _limits_of_classes(one: HeadEvaluation) -> list[str]:
    scores = one.metrics["per_label" if one.head.kind == "multilabel" else "per_class"]
    named, limits = [(name, scores[str(name)]["support"]) for name in one.classes], []
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
    """The class that the majority baseline always answers."""
    matrix = np.asarray(one.baseline["confusion_matrix"])
    return one.classes[int(matrix.sum(axis=0).argmax())]


def percent(share: float) -> str:
    """A share with one decimal; only a whole is 100.0%, only nothing is 0.0%."""
    text = f"{share:.1%}"
    if text == "100.0%" and share < 1:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and share > 0 else text


def plain(value: Any) -> str:
    """A fact or setting as a reader wants it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {plain(item)}" for name, item in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(plain(item) for item in value) or "none"
    return "none" if value is None else str(getattr(value, "name", value))


def _share(metrics: Mapping, score: str) -> str:
    low, high = metrics[f"{score}_interval"]
    return f"{percent(metrics[score])} [{100 * low:.1f}, {100 * high:.1f}]"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _rows(count: int) -> str:
    return f"{count} test row{'' if count == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
