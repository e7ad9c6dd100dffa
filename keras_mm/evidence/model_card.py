"""The model card: a run folder's README, in the form of the Hugging Face Hub."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import keras_mm
from keras_mm.evidence.report import (
    MODALITIES_NOTE,
    compare_metrics,
    compare_modalities,
    find_limits,
    find_verdict,
    majority_class,
    plain,
    scores_by_class,
)
from keras_mm.zoo import BACKBONES

if TYPE_CHECKING:
    from keras_mm.evidence.evaluate import Evaluation

_USE = """\
Install `keras_mm`, then in this folder:

```python
import keras_mm

classifier = keras_mm.MultimodalClassifier.load("model")
classifier.predict("rows.csv")  # a label for each row
classifier.predict_frame("rows.csv")  # and a probability for each class
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
)
_UNTESTED = (
    "Only rows like the test rows were looked at: other sources, languages and cameras, and "
    "differences between groups of people, were not."
)
_MOST_CLASSES = 30
_IN_MEMORY = "<table>"  # what a table is called that came from no file


def render_model_card(evaluation: Evaluation, settings: Mapping[str, Any]) -> str:
    """A model card in Markdown, with the front matter of the Hugging Face Hub.

    Of paths only the last part is written: a card is made to be published.

    Args:
        evaluation: The run's evaluation on its test rows.
        settings: Settings of the run by name, as in `keras_mm.config.RunSettings`; what is not
            there is left out.

    Returns:
        The text of a `README.md` that lies beside the folder `model`.
    """
    facts = {**settings, **evaluation.about}
    verdict = find_verdict(evaluation)
    limits = [*map(_text, find_limits(evaluation)), _UNTESTED]
    sections = {
        "What it is": _what(evaluation, facts),
        "How to use it": _USE,
        "Data and columns": _data(facts),
        "Training": _training(evaluation, facts),
        "Results": _results(evaluation),
        "Limits": _bullets(limits),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    title = "Classifier of images and texts" if _sides(facts) == 2 else "Classifier"
    return (
        f"{_front_matter(facts)}\n\n# {title}\n\n"
        f"**{_text(verdict.headline)}** {_text(verdict.detail)}\n\n{body}\n"
    )


def _front_matter(facts: Mapping) -> str:
    tags = ["keras", "keras_mm"]
    tags += ["multimodal"] if _sides(facts) == 2 else []
    tags += ["image-classification"] if facts.get("images") else []
    tags += ["text-classification"] if facts.get("texts") else []
    metrics = ["accuracy", "f1", "matthews_correlation"]
    lines = ["---", "library_name: keras", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join([*lines, "metrics:", *(f"- {metric}" for metric in metrics), "---"])


def _what(evaluation: Evaluation, facts: Mapping) -> str:
    classes = [f"“{name}”" for name in evaluation.classes[:_MOST_CLASSES]]
    more = len(evaluation.classes) - len(classes)
    names = ", ".join(classes) + (f" and {more} more" if more > 0 else "")
    lines = [f"Answers one of {len(evaluation.classes)} classes: {_text(names)}."]
    for side in ("vision", "text"):
        name = facts.get(side, facts.get(f"{side}_backbone"))
        if name is not None:
            lines.append(_encoder(side, name, facts))
    if facts.get("fusion"):
        lines.append(f"Fusion: {_text(plain(facts['fusion']))}.")
    if facts.get("preset"):
        lines.append(f"Preset: {_code(facts['preset'])} of keras_mm {keras_mm.__version__}.")
    return _bullets(lines)


def _encoder(side: str, backbone: Any, facts: Mapping) -> str:
    name, weights = plain(backbone), facts.get(f"{side}_weights")
    if name not in BACKBONES and "://" not in name:
        name = PurePath(name).name
    known = BACKBONES.get(name)
    line = f"{side.capitalize()} encoder: {_code(name)}"
    if not isinstance(backbone, str):
        line += ", a Keras model given by the user"
    elif weights == "pretrained":
        source = known and f" ({_text(known.handle)}; licence {known.license})"
        line += f", pretrained{source or ''}"
    elif weights is not None:
        line += ", random weights at the start" if weights == "random" else ", weights from a file"
    trainable = facts.get(f"{side}_trainable")
    if trainable is not None:
        line += ", trained" if trainable else ", frozen"
    return line + "."


def _data(facts: Mapping) -> str:
    lines = [
        f"{title}: {', '.join(map(_code, _as_list(facts[name])))}"
        for name, title in (("images", "Image columns"), ("texts", "Text columns"))
        if facts.get(name)
    ]
    lines.append(f"Label column: {_code(facts.get('labels', 'label'))} (not needed to predict)")
    for name, title in (
        ("data", "Training table"),
        ("validation_data", "Validation table"),
        ("source", "Test table"),
    ):
        if facts.get(name) and facts[name] != _IN_MEMORY:
            lines.append(f"{title}: {_code(PurePath(str(facts[name])).name)}")
    for name, title in (("training_rows", "Training rows"), ("test_rows", "Test rows")):
        if name in facts:
            lines.append(f"{title}: {facts[name]}")
    return _bullets(lines)


def _training(evaluation: Evaluation, facts: Mapping) -> str:
    lines = [f"{title}: {_text(plain(facts[name]))}" for name, title in _TRAINING if name in facts]
    epochs = max((len(values) for values in evaluation.history.values()), default=0)
    return _bullets([*lines, f"Epochs: {epochs}"] if epochs else lines)


def _results(evaluation: Evaluation) -> str:
    rows = [(name, model, majority) for name, model, majority, _ in compare_metrics(evaluation)]
    text = _table(("Metric", "Model", f"Always “{majority_class(evaluation)}”"), rows)
    text += "\n\nSquare brackets: 95% Wilson interval. A dash: no row to measure it on.\n\n"
    columns = ("name", "precision", "recall", "f1", "support")
    by_class = [[row[column] for column in columns] for row in scores_by_class(evaluation)]
    text += _table(("Class", "Precision", "Recall", "F1", "Test rows"), by_class)
    return text + _modalities(evaluation)


def _modalities(evaluation: Evaluation) -> str:
    rows = compare_modalities(evaluation)
    if not rows:
        return ""
    always = f"Always “{majority_class(evaluation)}”"
    header = ("What the model is given", "Test rows", "Accuracy", always, "Macro-F1")
    return f"\n\n{_table(header, rows)}\n\n{MODALITIES_NOTE}"


def _table(header: Iterable, rows: Iterable[Iterable]) -> str:
    header = list(header)
    lines = [header, *rows]
    text = ["| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines]
    return "\n".join([text[0], "|---|" + "---:|" * (len(header) - 1), *text[1:]])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _sides(facts: Mapping) -> int:
    return bool(facts.get("images")) + bool(facts.get("texts"))


def _as_list(value: Any) -> list:
    return [value] if isinstance(value, str) else list(value)


def _text(value: Any) -> str:
    """Text on one line in which nothing is taken for Markdown or HTML."""
    line = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"[\\`*|~]|(?<!\w)_|_(?!\w)|(?<=\])\(", r"\\\g<0>", line)


def _code(value: Any) -> str:
    line = " ".join(str(value).split())
    return _text(line) if "`" in line else f"`{line}`"
