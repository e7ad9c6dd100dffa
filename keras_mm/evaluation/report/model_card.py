"""Writes the model card: the README of a run folder, in the format of the Hugging Face Hub."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from keras_mm.data.tables.run_columns import label_columns
from keras_mm.evaluation.report.classes import class_table
from keras_mm.evaluation.report.comparison import (
    compare_baselines,
    compare_metrics,
    describe_baselines,
)
from keras_mm.evaluation.report.curves import count_epochs
from keras_mm.evaluation.report.decisions import decision_note, decision_table
from keras_mm.evaluation.report.findings import (
    INTERVALS_NOTE,
    MODALITIES_NOTE,
    compare_modalities,
    find_limits,
    find_remarks,
)
from keras_mm.evaluation.report.formats import Table, plain
from keras_mm.evaluation.results import HeadEvaluation, Results
from keras_mm.presets.backbones import BACKBONES
from keras_mm.version import __version__

_USE = """\
Install `keras_mm`, then in this folder:

```python
import keras_mm

classifier = keras_mm.MultimodalClassifier.load("model")
classifier.predict("rows.csv")  # a prediction per row; with several heads, a dict by head
classifier.predict_frame("rows.csv")  # also the probability of each class
```

```bash
keras-mm predict --model model --data rows.csv
```"""

_TRAINING = (
    ("loss", "Loss"),
    ("class_weight", "Class weights"),
    ("optimizer", "Optimizer"),
    ("learning_rate", "Learning rate"),
    ("batch_size", "Batch size"),
    ("precision", "Precision"),
    ("seed", "Seed"),
    ("backend", "Backend"),
    ("members", "Weights of the members"),
    ("choice", "Modalities"),
)
_UNTESTED = (
    "The model was only tested on rows like the test rows, not on other sources, languages or "
    "cameras, and not for differences between groups of people."
)
_MOST_CLASSES = 30
_CLASS_METRICS = ("accuracy", "f1", "matthews_correlation")
_HUB_METRICS = {
    "multiclass": _CLASS_METRICS,
    "binary": _CLASS_METRICS,
    "multilabel": ("f1",),
    "regression": ("mae", "mse", "r_squared"),
}
_PREDICTIONS = {
    "multiclass": "one of {} classes",
    "binary": "one of {} classes",
    "multilabel": "any of {} labels",
    "regression": "{} number(s)",
}
_IN_MEMORY = "<table>"  # name of a table that was not loaded from a file


def render_model_card(evaluation: Results, settings: Mapping[str, Any]) -> str:
    """Writes a model card in Markdown, with the front matter of the Hugging Face Hub.

    Of paths the card has only the last part, because cards are published.

    Args:
        evaluation: The results of the run on its test rows.
        settings: Settings of the run by name, as in `keras_mm.settings.settings.RunSettings`. The
            card leaves out what is missing.

    Returns:
        The text of the file `README.md` in a run folder, next to the folder `model`.
    """
    asked = {name: value for name, value in settings.items() if name != "members"}
    facts = {**asked, **evaluation.about}
    limits = [*_limits(evaluation), _UNTESTED]
    sections = {
        "What it is": _what(evaluation, facts),
        "How to use it": _USE,
        "Data and columns": _data(evaluation, facts),
        "Training": _training(evaluation, facts),
        "Results": _results(evaluation),
        "Limits": _bullets(limits),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    title = "Classifier of images and texts" if _sides(facts) == 2 else "Classifier"
    front = _front_matter(evaluation, facts)
    return f"{front}\n\n# {title}\n\n{_verdicts(evaluation)}\n\n{body}\n"


def _verdicts(evaluation: Results) -> str:
    """The verdict on each head, a paragraph each."""
    paragraphs = []
    for name, result in evaluation.heads.items():
        verdict = result.verdict
        remarks = find_remarks(result) if result.metrics else ""
        head = f"{_code(name)}: " if evaluation.several else ""
        detail = _text(f"{verdict.sentence} {remarks}".strip())
        paragraphs.append(f"{head}**{_text(verdict.headline)}** {detail}")
    return "\n\n".join(paragraphs)


def _limits(evaluation: Results) -> list[str]:
    several = evaluation.several
    return [
        (f"{_code(name)}: " if several else "") + _text(limit)
        for name, result in evaluation.heads.items()
        for limit in find_limits(result, evaluation.about, evaluation.notes)
    ]


def _front_matter(evaluation: Results, facts: Mapping) -> str:
    tags = ["keras", "keras_mm"]
    tags += ["multimodal"] if _sides(facts) == 2 else []
    tags += ["image-classification"] if facts.get("images") else []
    tags += ["text-classification"] if facts.get("texts") else []
    kinds = [result.head.kind for result in evaluation.heads.values()]
    metrics = list(dict.fromkeys(name for kind in kinds for name in _HUB_METRICS[kind]))
    lines = ["---", "library_name: keras", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join([*lines, "metrics:", *(f"- {metric}" for metric in metrics), "---"])


def _what(evaluation: Results, facts: Mapping) -> str:
    lines = [_predictions(evaluation, name, result) for name, result in evaluation.heads.items()]
    for side in ("vision", "text"):
        name = facts.get(side, facts.get(f"{side}_backbone"))
        if name is not None:
            lines.append(_encoder(side, name, facts))
    if facts.get("fusion"):
        lines.append(f"Fusion: {_text(plain(facts['fusion']))}.")
    if facts.get("preset"):
        lines.append(f"Preset: {_code(facts['preset'])} of keras_mm {__version__}.")
    return _bullets(lines)


def _predictions(evaluation: Results, head: str, result: HeadEvaluation) -> str:
    classes = [f"“{name}”" for name in result.classes[:_MOST_CLASSES]]
    more = len(result.classes) - len(classes)
    names = ", ".join(classes) + (f" and {more} more" if more > 0 else "")
    kind = _PREDICTIONS[result.head.kind].format(len(result.classes))
    before = f"Head {_code(head)}: predicts" if evaluation.several else "Predicts"
    return f"{before} {kind}: {_text(names)}."


def _encoder(side: str, backbone: Any, facts: Mapping) -> str:
    name, weights = plain(backbone), facts.get(f"{side}_weights")
    if name not in BACKBONES and "://" not in name:
        name = PurePath(name).name
    known = BACKBONES.get(name)
    line = f"{side.capitalize()} encoder: {_code(name)}"
    if not isinstance(backbone, str):
        line += ", a Keras model of the user"
    elif weights == "pretrained":
        source = known and f" ({_text(known.handle)}; licence {known.license})"
        line += f", pretrained{source or ''}"
    elif weights is not None:
        line += ", random initial weights" if weights == "random" else ", weights from a file"
    trainable = facts.get(f"{side}_trainable")
    if trainable is not None:
        line += ", trained" if trainable else ", frozen"
    return line + "."


def _data(evaluation: Results, facts: Mapping) -> str:
    lines = [
        f"{title}: {', '.join(map(_code, _as_list(facts[name])))}"
        for name, title in (("images", "Image columns"), ("texts", "Text columns"))
        if facts.get(name)
    ]
    columns = label_columns({name: result.head for name, result in evaluation.heads.items()})
    title = "Label column" if len(columns) == 1 else "Label columns"
    more = len(columns) - _MOST_CLASSES
    names = ", ".join(map(_code, columns[:_MOST_CLASSES])) + (f" and {more} more" * (more > 0))
    lines.append(f"{title}: {names} (not needed to predict)")
    if facts.get("weight_column"):
        lines.append(f"Weight column: {_code(facts['weight_column'])} (not needed to predict)")
    for name, title in (
        ("data", "Training table"),
        ("validation_data", "Validation table"),
        ("source", "Test table"),
    ):
        if facts.get(name) and facts[name] != _IN_MEMORY:
            lines.append(f"{title}: {_code(PurePath(str(facts[name])).name)}")
    counts = {"training_rows": "Training rows", "test_rows": "Test rows"}
    counts["skipped_rows"] = "Rows of the test table that were left out because of errors"
    lines += [f"{title}: {facts[name]}" for name, title in counts.items() if name in facts]
    return _bullets(lines)


def _training(evaluation: Results, facts: Mapping) -> str:
    lines = [f"{title}: {_text(plain(facts[name]))}" for name, title in _TRAINING if name in facts]
    for name, result in evaluation.heads.items():
        for field, title in (("loss", "loss"), ("class_weight", "class weights")):
            if getattr(result.head, field) is not None:
                value = _text(plain(getattr(result.head, field)))
                lines.append(f"{title.capitalize()} of {_code(name)}: {value}")
    epochs = count_epochs(evaluation.history)
    return _bullets([*lines, f"Trained for {epochs}"] if epochs else lines)


def _results(evaluation: Results) -> str:
    paragraphs = []
    for name, result in evaluation.heads.items():
        title = [f"### {_code(name)}"] if evaluation.several else []
        paragraphs += [*title, *(_results_of(result) if result.metrics else ["Not evaluated."])]
    return "\n\n".join(paragraphs)


def _results_of(result: HeadEvaluation) -> list[str]:
    compared = compare_metrics(result)
    rows = [row[:-1] for row in compared.rows]  # without the direction
    classes, note = class_table(result)
    paragraphs = [
        _table(compare_baselines(result)),
        "Model ahead: by how much it is better, below 0 worse.",
        *([_bullets(map(_text, described))] if (described := describe_baselines(result)) else []),
        _table(Table(compared.header[:-1], rows)),
        f"{INTERVALS_NOTE} A dash: no row to compute it on.",
        _table(classes),
        *([note] if note else []),
    ]
    decisions = decision_table(result)
    if decisions.rows:
        paragraphs += [_table(decisions), _text(decision_note(result))]
    modalities = compare_modalities(result)
    return [*paragraphs, _table(modalities), MODALITIES_NOTE] if modalities.rows else paragraphs


def _table(table: Table) -> str:
    lines = (table.header, *table.rows, *table.averages)
    text = ["| " + " | ".join(map(_text, line)) + " |" for line in lines]
    return "\n".join([text[0], "|---|" + "---:|" * (len(table.header) - 1), *text[1:]])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _sides(facts: Mapping) -> int:
    return bool(facts.get("images")) + bool(facts.get("texts"))


def _as_list(value: Any) -> list:
    return [value] if isinstance(value, str) else list(value)


def _text(value: Any) -> str:
    """Escapes Markdown and HTML, and puts the text on one line."""
    line = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"[\\`*|~]|(?<!\w)_|_(?!\w)|(?<=\])\(", r"\\\g<0>", line)


def _code(value: Any) -> str:
    line = " ".join(str(value).split())
    return _text(line) if "`" in line else f"`{line}`"
