"""Describes the results of a head in sentences and tables, for the report and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mm.evaluation.report.comparison import SCORE_NAMES, constant_name
from keras_mm.evaluation.report.formats import Table, listed, number, percent, share
from keras_mm.evaluation.results import BASELINE_SCORES, BASELINES, FEW_ROWS, SCORES, HeadEvaluation
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


def find_remarks(result: HeadEvaluation) -> str:
    """Says what the verdict on a head leaves out.

    Args:
        result: The results of a head, with metrics.

    Returns:
        Sentences: on rare classes, if the model is not better than the best baseline; on the most
        frequent class of the test rows, if it is not that of the training rows; on single targets,
        if there are several. Empty if there is nothing to say.
    """
    if result.head.kind == "regression":
        return _targets_ahead(result)
    remarks = [_stronger_constant(result)]
    if not result.verdict.better:
        name, what = (
            ("macro_f1", "Macro-F1, in which every label counts the same,")
            if result.head.kind == "multilabel"
            else ("balanced_accuracy", "Balanced accuracy, in which every class counts the same,")
        )
        constant = percent(result.baseline[name])
        model = percent(result.metrics[name])
        remarks.insert(0, f"{what} is {model}, and {constant} for {constant_name(result)}.")
    return " ".join(filter(None, remarks))


def _targets_ahead(result: HeadEvaluation) -> str:
    """On how many targets the whole interval of the error is below the error of the mean."""
    scores, means = result.metrics["per_target"], result.baseline["per_target"]
    if len(scores) < 2:
        return ""
    better = sum(
        score["mean_absolute_error_interval"][1] < means[name]["mean_absolute_error"]
        for name, score in scores.items()
    )
    return (
        f"On {better} of {len(scores)} targets the model's error, with its whole 95% interval, is "
        "below that of always predicting the mean."
    )


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
        f"Always predicting “{frequent}”, the most frequent class of these test rows, would be "
        f"right on {percent(share)}."
    )


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
                    (number(score), number(baseline))
                    if kind == "regression"
                    else (share(scores, main), percent(baseline))
                )
                rows.append([name, str(scores["num_rows"]), *cells, f"{scores[last]:z.3f}"])
    scored = (
        SCORE_NAMES[main],
        constant_name(result) if result.metrics else "",
        SCORE_NAMES[last],
    )
    return Table(("Input", "Test rows", *scored), rows)


def find_limits(
    result: HeadEvaluation, about: Mapping[str, Any], notes: Sequence[str] = ()
) -> list[str]:
    """Lists the limits of what the metrics of a head show.

    Args:
        result: The results of a head.
        about: Facts about the training. `images` and `texts`, the names of the columns, are read.
        notes: Sentences on the baselines.

    Returns:
        A sentence or two for each limit.
    """
    if not result.metrics:
        return ["No test row has a label of this head, so it was not evaluated."]
    kind, metrics = result.head.kind, result.metrics
    limits = [*_missing_baselines(result, about), *notes]
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


def _missing_baselines(result: HeadEvaluation, about: Mapping[str, Any]) -> list[str]:
    """A sentence if the model was only compared with a constant prediction."""
    if set(result.baselines) - set(BASELINES.values()):
        return []
    simpler = (
        "a model of only the images, or of only the texts,"
        if about.get("images") and about.get("texts")
        else "a simpler model"
    )
    constant = {"multilabel": "label frequency", "regression": "mean"}
    name = constant.get(result.head.kind, "majority class")
    return [f"The {name} is the only baseline. Whether {simpler} would be as good was not tested."]


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


def _rows(count: int, *, weighted: bool = False) -> str:
    return f"{count} {'weighted ' if weighted else ''}test row{'' if count == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    return listed(names[:_MOST_NAMES], len(names))
