"""One run of `keras-mm train`: the rows of each split, the training, and the run folder."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from keras_mm.bundle import check_vacant, new_folder
from keras_mm.config import ConfigError, RunSettings, Settings, as_names, to_toml
from keras_mm.data.columns import missing_columns
from keras_mm.data.labels import find_classes, is_missing
from keras_mm.data.rows import Problem, TableError, check_table
from keras_mm.data.samples import load_sample_data
from keras_mm.data.splits import stratified_split
from keras_mm.data.tables import guess_columns, load_table, table_name
from keras_mm.presets import unknown_name

_log = logging.getLogger("keras_mm")
_PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "dev": "val",
          "validation": "val", "test": "test"}  # fmt: skip


def train_run(settings: RunSettings, *, quiet: bool = False) -> dict:
    """Trains, evaluates and writes the run folder, whole or not at all.

    Returns:
        `metrics.json`'s content, with the folder (`output`) and a `summary`.

    Raises:
        ConfigError, TableError: listing every problem, before any work.
        FileExistsError: if the output folder is not empty.
    """
    settings, splits = _prepared(settings)
    output = Path(settings.output or f"runs/{time.strftime('%Y%m%d-%H%M%S')}-{settings.preset}")
    check_vacant(output)
    import keras

    from keras_mm.classifier import MultimodalClassifier

    with new_folder(output) as folder, _logging(folder / "train.log", quiet):
        estimator = settings.estimator()
        _log.info(
            "keras %s on %s, seed %d", keras.__version__, keras.backend.backend(), settings.seed
        )
        for name, table in splits.items():
            _log.info("%s: %d rows of %s", name, len(table), table_name(table))
        classifier = MultimodalClassifier(
            **{**_keywords(estimator), "verbose": 0 if quiet else estimator.verbose}
        )
        classifier.fit(
            splits["train"],
            validation_data=splits.get("val"),
            validation_split=0,
            image_dir=settings.image_dir,
            on_error=settings.on_error,
            callbacks=[_epoch_log()],
        )
        evaluation = classifier.evaluate(
            splits["test"], image_dir=settings.image_dir, on_error=settings.on_error
        )
        _log.info("test: %s", evaluation)
        _write(folder, replace(settings, output=str(output)), classifier, evaluation)
    _log.info("written to %s", output)
    return {
        **evaluation.to_dict(),
        "output": str(output),
        "summary": f"test {evaluation}\nreport: {output / 'report.html'}",
    }


def dry_run(settings: RunSettings) -> dict:
    """Checks settings and all rows, and says what would be trained; writes nothing."""
    settings, splits = _prepared(settings)
    if settings.output:
        check_vacant(settings.output)
    problems = [
        problem
        for table in splits.values()
        for problem in _problems(settings, table, find_classes(splits["train"][settings.labels]))
    ]
    if problems and settings.on_error == "raise":
        raise TableError(problems)
    counts = {name: len(table) for name, table in splits.items()}
    config = to_toml(_resolved(settings))
    rows = ", ".join(f"{name} {count}" for name, count in counts.items())
    return {"rows": counts, "config": config, "summary": f"{config}\n# rows: {rows}"}


def check_run(settings: RunSettings) -> list[Problem]:
    """Everything that is wrong with the rows of `settings.data`."""
    if settings.data is None:
        raise ConfigError(["`data` is needed: the table to check"])
    table = load_table(settings.data, image_dir=settings.image_dir)
    settings = _with_columns(settings, table)
    classes = None if settings.classes is None else list(settings.classes)
    return _problems(settings, table, classes)


def _problems(settings: RunSettings, table: pd.DataFrame, classes: list | None) -> list[Problem]:
    return check_table(
        table,
        images=settings.images,
        texts=settings.texts,
        labels=settings.labels,
        classes=classes,
        image_dir=settings.image_dir,
    )


def _prepared(settings: RunSettings) -> tuple[RunSettings, dict[str, pd.DataFrame]]:
    """Settings with their columns, and the tables `train`, `test` and, where asked for, `val`."""
    settings.resolved()
    test = None
    if settings.data is None:
        table, test = load_sample_data()
    else:
        table = load_table(settings.data, image_dir=settings.image_dir)
    settings = _with_columns(settings, table)
    if settings.test_data:
        test = load_table(settings.test_data, image_dir=settings.image_dir)
    given = {"test": test}
    if settings.validation_data:
        given["val"] = load_table(settings.validation_data, image_dir=settings.image_dir)
    if settings.split_column:
        return settings, _by_column(table, settings.split_column)
    return settings, _split(settings, table, {k: v for k, v in given.items() if v is not None})


def _split(settings: RunSettings, table: pd.DataFrame, given: dict) -> dict[str, pd.DataFrame]:
    """The tables that are given, and the rest drawn from `table`, stratified by label."""
    train, val, test = stratified_split(
        table,
        settings.labels,
        val_size=0.0 if "val" in given else settings.validation_size,
        test_size=0.0 if "test" in given else settings.test_size,
        groups=settings.group_column,
        seed=settings.seed,
    )
    drawn = {"train": train, "val": val, "test": test}
    splits = {**{name: part for name, part in drawn.items() if len(part)}, **given}
    if "test" not in splits:
        raise ConfigError(["there are no test rows: give `test_data`, or a `test_size` above 0"])
    return splits


def _by_column(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    absent = missing_columns(table, [column])
    if absent:
        raise ConfigError([f"`split_column`: {absent[0]}"])
    values = [None if is_missing(v) else str(v).lower() for v in table[column]]
    unknown = sorted({str(v) for v in values} - _PARTS.keys())
    if unknown:
        sentences = [unknown_name("split", value, ("train", "val", "test")) for value in unknown]
        raise ConfigError([f"`split_column` {column!r}: {text}" for text in sentences])
    names = pd.Series([_PARTS[v] for v in values], index=table.index)
    splits = {name: table[(names == name).to_numpy()] for name in ("train", "val", "test")}
    for name in ("train", "test"):
        if not len(splits[name]):
            raise ConfigError([f"`split_column` {column!r} has no {name!r} row"])
    return {name: part for name, part in splits.items() if len(part)}


def _with_columns(settings: RunSettings, table: pd.DataFrame) -> RunSettings:
    """Settings with the columns of `table` where none are named, all of them checked."""
    images, texts = as_names(settings.images), as_names(settings.texts)
    if not images and not texts:
        images, texts = guess_columns(table)
    names = [*images, *texts, settings.labels]
    absent = missing_columns(table, [*names, *filter(None, [settings.group_column])])
    if absent:
        raise ConfigError([f"{table_name(table)}: {sentence}" for sentence in absent])
    return replace(settings, images=images, texts=texts)


def _resolved(settings: RunSettings) -> RunSettings:
    resolved = settings.estimator().resolved()
    return replace(settings, **_keywords(resolved))


def _keywords(settings: Settings) -> dict:
    return {f.name: getattr(settings, f.name) for f in fields(Settings)}


def _write(folder: Path, settings: RunSettings, classifier: Any, evaluation: Any) -> None:
    """Everything of the run folder but the log."""
    from keras_mm.evidence.model_card import render_model_card

    (folder / "config.toml").write_text(to_toml(_resolved(settings)), encoding="utf-8")
    history = pd.DataFrame(classifier.history_)
    history.insert(0, "epoch", range(1, len(history) + 1))
    history.to_csv(folder / "history.csv", index=False)
    metrics = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False)
    (folder / "metrics.json").write_text(metrics + "\n", encoding="utf-8")
    evaluation.predictions.to_csv(folder / "predictions.csv", index=False)
    evaluation.save(folder / "report.html")
    classifier.save(folder / "model")
    card = render_model_card(evaluation, asdict(_resolved(settings)))
    (folder / "README.md").write_text(card, encoding="utf-8")


@contextmanager
def _logging(path: Path, quiet: bool) -> Iterator[None]:
    """Sends the package's log to a file and, unless quiet, to stderr."""
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handlers: list[logging.Handler] = [file]
    if not quiet:
        handlers.append(logging.StreamHandler(sys.stderr))
        # The progress bar has already shown the epochs there.
        handlers[-1].addFilter(lambda record: record.name == _log.name)
    level = _log.level
    _log.setLevel(logging.INFO)
    for handler in handlers:
        _log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            _log.removeHandler(handler)
            handler.close()
        _log.setLevel(level)


def _epoch_log() -> Any:
    """A callback that writes each epoch's metrics to the log's file; stderr has the bar's line."""
    import keras

    file_log = _log.getChild("epochs")

    class EpochLog(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            words = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
            file_log.info("epoch %d  %s", epoch + 1, words)

    return EpochLog()
