"""Searches the best model of a table within a time limit, and says honestly how good it is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from keras_mm.checks import check_whole, is_number, require
from keras_mm.data.tables.folds import draw_folds
from keras_mm.data.tables.load import load_table
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.run_columns import find_heads, with_columns
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.choice.choose import Budget
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.estimator.prepare import prepare
from keras_mm.experiments.comparison_files import Page, save_page
from keras_mm.experiments.search_score import score_logits
from keras_mm.experiments.store import table_digest
from keras_mm.experiments.trial_store import FolderOfTrials
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings, settings_from
from keras_mm.training.blend import check_metric
from keras_mm.version import __version__

_OUTER = 5  # one of so many folds is held out
_VAL_SIZE = 0.1  # of the rows outside a fold, for early stopping
_AGAIN = 1.35  # time of a training on all rows, as a multiple of the one without the held-out rows
_FEW_ROWS = 50


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        best: The fitted classifier.
        leaderboard: The members that were tried, the best first, as
            `MultimodalClassifier.trials_`.
        metric: The metric of `score`.
        score: The metric on the rows that no choice saw; with several heads the mean over those
            that have the metric.
        interval: Its 95% interval by bootstrap over these rows or their groups; NaN if the metric
            has none, or there are several heads.
        optimistic: The metric on the out-of-fold rows that the members and their weights were
            chosen by.
        settings: The settings that were chosen, for `MultimodalClassifier`.
        remarks: Sentences about what was chosen, and what the score is worth.
        about: Number of rows, held-out rows and folds, and the seconds that it took.
    """

    best: MultimodalClassifier
    leaderboard: pd.DataFrame
    metric: str
    score: float
    interval: tuple[float, float]
    optimistic: float
    settings: Mapping[str, Any]
    remarks: tuple[str, ...]
    about: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """One sentence: the score on new rows, and that of the rows it was chosen by."""
        low, high = self.interval
        between = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
        return (
            f"{self.metric.replace('_', ' ')} {self.score:.3f}{between} on "
            f"{self.about['held_out']} rows that no choice saw ({self.optimistic:.3f} on the "
            f"out-of-fold rows that it was chosen by); {len(self.leaderboard)} members tried"
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes the leaderboard as a file, whole or not at all.

        Args:
            path: The file; its ending is `.md`, `.csv`, `.json`, `.html` or `.tex`.

        Raises:
            ValueError: for another ending.
        """
        note = (
            f"{self.about['rows']} rows, {self.about['folds']} folds. Score: what the members were "
            "ranked by, higher is better. Scores are of out-of-fold rows. Weight: share in the "
            "prediction."
        )
        note = " ".join([note, *(f"{text[0].upper()}{text[1:]}." for text in self.remarks)])
        save_page(Page(self.leaderboard, self.summary, note, self.to_dict()), path)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-serialisable values.

        Returns:
            The attributes but the classifier, the sentence `result`, and `leaderboard`, a list.
        """
        return {
            "metric": self.metric,
            "score": self.score,
            "interval": [None if np.isnan(end) else end for end in self.interval],
            "optimistic": self.optimistic,
            "result": self.summary,
            "remarks": list(self.remarks),
            "settings": dict(self.settings),
            "about": dict(self.about),
            "leaderboard": self.leaderboard.to_dict(orient="records"),
        }

    def __str__(self) -> str:
        shown = self.leaderboard.to_string(index=False, float_format=lambda value: f"{value:.4g}")
        return "\n".join([shown, *self.remarks, self.summary])


def search(
    table: Any,
    *,
    labels: Any = "label",
    images: Sequence[str] | Mapping[str, int] = (),
    texts: Sequence[str] = (),
    time_limit: float = 300,
    metric: str | None = None,
    groups: Any = None,
    folds: int = 5,
    seed: int = 0,
    test_data: Any = None,
    sample_weight: str | None = None,
    image_dir: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    **settings: Any,
) -> SearchResult:
    """Searches the members of a model for a table.

    Frozen encoders run once. Then members of all kinds and with many settings are trained on the
    same folds until the time is up, and weighted by their out-of-fold predictions. The result is
    scored on rows that took no part in it: a fifth of the rows, or `test_data`. Without
    `test_data`, the chosen members are trained once more on all rows.

    Args:
        table: The rows, as in `MultimodalClassifier.fit`.
        labels: As in `MultimodalClassifier`.
        images: As in `MultimodalClassifier`.
        texts: As in `MultimodalClassifier`.
        time_limit: Seconds for everything, with the encoding, > 0. At least one member is trained,
            however long it takes.
        metric: Metric to make best, as `blend_metric` of `MultimodalClassifier`. By default
            macro-F1 for classes, mean average precision (`auprc`) for labels and R2 for numbers are
            reported, and members are weighted as `blend_metric=None` says.
        groups: Column name, or array of shape `(num_rows,)`: rows of a group are in one fold, and
            are held out together.
        folds: Number of folds, >= 2.
        seed: Seed of the held-out rows, folds, weights and draws of members.
        test_data: Rows to score the model on, with labels; by default a fifth of `table`. With
            them, the model is not trained on all rows again.
        sample_weight: Column with the weights of the rows; `None` if all rows count 1.
        image_dir: Folder that image paths are relative to.
        output: Folder in which each finished trial is kept at once. A search with the same folder
            goes on with the next one; the time of the kept trials counts.
        **settings: Other settings, as in `MultimodalClassifier`: `preset`, `fusion`, ...

    Returns:
        The result.

    Raises:
        ConfigError: listing every setting that is wrong; or if `output` holds a search of other
            rows or settings.
        TableError: listing every row that cannot be used.
        ValueError: if there are too few rows to hold some out and to draw folds, or no head has the
            metric.

    Example:
        >>> import keras_mm
        >>> train, _ = keras_mm.load_sample_data()
        >>> found = search(
        ...     train[:120], texts=["text_2"], preset="tiny", text_trainable=False, epochs=1,
        ...     folds=2, time_limit=1, verbose=0,
        ... )
        >>> found.metric, found.about["held_out"]
        ('macro_f1', 24)
    """
    begun = time.perf_counter()
    if not (is_number(time_limit) and time_limit > 0):
        raise InvalidValueError(f"`time_limit` must be a number > 0. Received: {time_limit!r}")
    check_whole(folds=folds, low=2)
    if "members" in settings:
        raise InvalidValueError("`members` is what a search chooses. Remove it.")
    values = {**settings, "labels": labels, "images": images, "texts": texts, "seed": seed}
    values |= {"members": "search", "blend_metric": metric, "folds": folds}
    frame = load_table(table, image_dir=image_dir)
    also = [name for name in (groups, sample_weight) if isinstance(name, str)]
    base = with_columns(settings_from(values, Settings), frame, also=also)
    heads = find_heads(base, frame)
    tables = {"train": frame}
    if test_data is not None:
        tables["test"] = load_table(test_data, image_dir=image_dir)
    parts = prepare(
        base,
        tables,
        heads,
        groups=groups,
        weights={} if sample_weight is None else {"train": sample_weight},
        progress=bool(base.verbose),
    ).parts
    check_metric(metric, heads, parts["train"].labels)
    known, held_out = _split(parts, heads, seed)
    store = None if output is None else FolderOfTrials(output, _facts(base, heads, known, held_out))
    budget = Budget(time_limit, begun, _AGAIN if test_data is None else 0.0, store)
    classifier = MultimodalClassifier(**vars(base))
    drawn = draw_folds(known, heads, folds, val_size=_VAL_SIZE, seed=seed)
    classifier.fit_rows(known, heads=heads, folds=drawn, budget=budget)
    logits = classifier.predictor_.logits(_read(classifier.choice_, held_out))
    score = score_logits(heads, held_out, logits, metric)
    out_of_fold = require(classifier.held_out_, "held_out_").logits
    chosen_by = score_logits(heads, known, out_of_fold, metric, interval=False)
    leaderboard, choice, remarks = classifier.trials_, classifier.choice_, classifier.remarks_
    count = len(parts["train"])
    if count < _FEW_ROWS:
        remarks += (f"{count} rows are few: the score of {len(held_out)} of them says little",)
    if test_data is None:
        classifier = _on_all_rows(classifier, choice, parts["train"], heads)
    about = {
        "rows": count,
        "held_out": len(held_out),
        "folds": folds,
        "seconds": round(time.perf_counter() - begun, 1),
    }
    return SearchResult(
        classifier,
        leaderboard,
        score.metric,
        score.value,
        score.interval,
        chosen_by.value,
        choice,
        remarks,
        about,
    )


def _split(parts: Mapping[str, Rows], heads: Mapping[str, Head], seed: int) -> tuple[Rows, Rows]:
    """The rows that the members are chosen by, and those that no choice sees."""
    rows = parts["train"]
    if "test" in parts:
        return rows, parts["test"]
    outer = draw_folds(rows, heads, _OUTER, val_size=0.0, seed=seed)[0]
    return rows.take(outer.train.tolist()), rows.take(outer.held_out.tolist())


def _read(choice: Mapping[str, Any], rows: Rows) -> Rows:
    """The rows without a modality that was left out."""
    rows = rows if choice["images"] else rows.one_side("text")
    return rows if choice["texts"] else rows.one_side("vision")


def _on_all_rows(
    classifier: MultimodalClassifier,
    choice: Mapping[str, Any],
    rows: Rows,
    heads: Mapping[str, Head],
) -> MultimodalClassifier:
    """Trains the chosen members on all rows."""
    rows = _read(choice, rows)
    again = clone(classifier).set_params(**choice)  # shares encoders and compiled steps
    folds = draw_folds(
        rows, heads, require(again.folds, "folds"), val_size=_VAL_SIZE, seed=again.seed
    )
    return again.fit_rows(rows, heads=heads, folds=folds)


def _facts(
    settings: Settings, heads: Mapping[str, Head], known: Rows, held_out: Rows
) -> dict[str, Any]:
    """What must not change when a search goes on."""
    import keras

    values = {f.name: getattr(settings, f.name) for f in fields(Settings)}
    for name in ("cache", "verbose"):  # without influence
        del values[name]
    return {
        "rows": len(known),
        "content of the rows": table_digest(known),
        "held-out rows": table_digest(held_out),
        "classes": {name: [str(value) for value in head.names] for name, head in heads.items()},
        "settings": {name: repr(value) for name, value in values.items()},
        "backend": keras.backend.backend(),
        "version of keras_mm": __version__,
    }
