"""One run of `keras-mm train`: the rows of each split, the training, and the run folder."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from keras_mm.checks import unknown_name
from keras_mm.data.samples import load_sample_data
from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import load_beside, load_table, table_name
from keras_mm.data.tables.partition import read_parts
from keras_mm.data.tables.rows import Rows, check_table
from keras_mm.data.tables.run_columns import find_heads, has_pair, label_heads, with_columns
from keras_mm.errors import ConfigError, Problem
from keras_mm.files import check_vacant, new_folder
from keras_mm.inference.answers import written_frame
from keras_mm.presets.backbones import BACKBONES
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import RunSettings, Settings, to_toml

_log = logging.getLogger("keras_mm")
_file_log = logging.getLogger("keras_mm.file")  # does not reach stderr
_SMALL_NETWORK = 150_000  # weights
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
    _use_threads(settings.resolved())
    output = Path(settings.output or f"runs/{time.strftime('%Y%m%d-%H%M%S')}-{settings.preset}")
    check_vacant(output)
    quiet = quiet or not settings.verbose
    settings, run = _prepared(settings, progress=not quiet)
    from keras_mm.estimator.classifier import MultimodalClassifier

    estimator = settings.estimator()
    classifier = MultimodalClassifier(
        **{**_keywords(estimator), "verbose": 0 if quiet else estimator.verbose}
    )
    try:
        with new_folder(output) as folder, _logging(folder / "train.log", quiet, output):
            evaluation = _train(classifier, run)
            _write(folder, replace(settings, output=str(output)), classifier, evaluation)
    except BaseException:
        _keep_model(classifier, output)
        raise
    _log.info("written to %s", output)
    return {
        **evaluation.to_dict(),
        "output": str(output),
        "summary": f"test {evaluation}\nreport: {output / 'report.html'}",
    }


def _use_threads(settings: Settings) -> None:
    """Runs each TensorFlow operation of a small network in one thread.

    TensorFlow splits operations among threads. In small networks the split costs more than it
    saves: half a thousand waits a step for `tiny`. Operations still run side by side. It is an
    environment variable because TensorFlow reads it once, when it is loaded.

    Args:
        settings: Resolved settings.
    """
    names = (settings.vision_backbone, settings.text_backbone)
    used = [BACKBONES.get(name) for name in names if isinstance(name, str)]
    small = bool(used) and all(
        known is not None and known.parameters <= _SMALL_NETWORK for known in used
    )
    if small and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


def _train(classifier: Any, run: _Prepared) -> Any:
    """Trains the classifier; its evaluation on the test rows."""
    import keras

    _log.info(
        "keras %s on %s, seed %d", keras.__version__, keras.backend.backend(), classifier.seed
    )
    for name, rows in run.parts.items():
        _log.info("%s: %d rows of %s", name, len(rows), run.sources[name])
    classifier.fit_rows(
        run.parts["train"], run.parts.get("val"), heads=run.heads, callbacks=[_epoch_log()]
    )
    evaluation = classifier.evaluate_rows(run.parts["test"], run.sources["test"])
    _log.info("test: %s", evaluation)
    return evaluation


def _keep_model(classifier: Any, output: Path) -> None:
    """Saves what a run that does not come to its end has trained so far, beside its folder."""
    if not hasattr(classifier, "model_"):
        return
    with new_folder(output.with_name(f"{output.name}-interrupted"), overwrite=True) as folder:
        classifier.save(folder / "model")
        pd.DataFrame(classifier.history_).to_csv(folder / "history.csv", index=False)
    _log.warning("the model as far as it was trained is in %s", f"{output}-interrupted")


def dry_run(settings: RunSettings, *, quiet: bool = False) -> dict:
    """Checks settings and all rows, and says what would be trained; writes nothing."""
    settings.resolved()
    if settings.output:
        check_vacant(settings.output)
    settings, run = _prepared(settings, progress=not quiet and bool(settings.verbose))
    counts = {name: len(rows) for name, rows in run.parts.items()}
    config = to_toml(_resolved(settings))
    rows = ", ".join(f"{name} {count}" for name, count in counts.items())
    return {"rows": counts, "config": config, "summary": f"{config}\n# rows: {rows}"}


def check_run(settings: RunSettings, *, quiet: bool = False) -> list[Problem]:
    """Everything that is wrong with the rows of `settings.data`."""
    if settings.data is None:
        raise ConfigError(["`data` is needed: the table to check"])
    table = load_table(settings.data, image_dir=settings.image_dir)
    settings = with_columns(settings, table)
    return check_table(
        table,
        images=settings.images,
        texts=settings.texts,
        labels=label_heads(settings),
        image_dir=settings.image_dir,
        progress=not quiet and bool(settings.verbose),
    )


@dataclass(frozen=True)
class _Prepared:
    """Checked rows, and the name of the table they are from, by part; the heads."""

    parts: dict[str, Rows]
    sources: dict[str, str]
    heads: dict[str, Head]


def _prepared(settings: RunSettings, *, progress: bool) -> tuple[RunSettings, _Prepared]:
    """Settings with their columns, and the parts `train`, `test` and, where asked for, `val`."""
    given = {}
    if settings.data is None:
        table, given["test"] = load_sample_data()
    else:
        table = load_table(settings.data, image_dir=settings.image_dir)
    columns = (settings.split_column, settings.group_column)
    settings = with_columns(settings, table, also=[name for name in columns if name is not None])
    for name, path in (("val", settings.validation_data), ("test", settings.test_data)):
        if path:
            given[name] = load_beside(path, settings.image_dir, settings.images)
    if settings.split_column:
        tables = _by_column(table, settings.split_column)
        val_size = test_size = 0.0
    else:
        tables = {"train": table, **given}
        val_size = 0.0 if "val" in given else settings.validation_size
        test_size = 0.0 if "test" in given else settings.test_size
        if "test" not in given and not test_size:
            raise ConfigError(
                ["there are no test rows: give `test_data`, or a `test_size` above 0"]
            )
    heads = find_heads(settings, tables["train"])
    parts = read_parts(
        tables,
        images=settings.images,
        texts=settings.texts,
        labels=heads,
        val_size=val_size,
        test_size=test_size,
        groups=settings.group_column if val_size or test_size else None,
        seed=settings.seed,
        on_error=settings.on_error,
        progress=progress,
    )
    sources = {name: table_name(tables.get(name, table)) for name in parts}
    return settings, _Prepared(parts, sources, heads)


def _by_column(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
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


def _resolved(settings: RunSettings) -> RunSettings:
    resolved = settings.estimator().resolved()
    # The preset's wish, where there is no pair, would be an error of the next run.
    resolved = replace(resolved, compare=resolved.compare and has_pair(resolved))
    return replace(settings, **_keywords(resolved))


def _keywords(settings: Settings) -> dict:
    return {f.name: getattr(settings, f.name) for f in fields(Settings)}


def _write(folder: Path, settings: RunSettings, classifier: Any, evaluation: Any) -> None:
    """Everything of the run folder but the log."""
    from keras_mm.evaluation.report.model_card import render_model_card

    (folder / "config.toml").write_text(to_toml(_resolved(settings)), encoding="utf-8")
    history = pd.DataFrame(classifier.history_)
    history.insert(0, "epoch", range(1, len(history) + 1))
    history.to_csv(folder / "history.csv", index=False)
    metrics = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False)
    (folder / "metrics.json").write_text(metrics + "\n", encoding="utf-8")
    predictions = written_frame(evaluation.predictions, classifier.heads_)
    predictions.to_csv(folder / "predictions.csv", index=False)
    evaluation.save(folder / "report.html")
    classifier.save(folder / "model")
    card = render_model_card(evaluation, asdict(_resolved(settings)))
    (folder / "README.md").write_text(card, encoding="utf-8")


@contextmanager
def _logging(path: Path, quiet: bool, output: Path) -> Iterator[None]:
    """Sends the package's log to a file and, unless quiet, to stderr.

    Args:
        path: The log file, in a folder that vanishes if the run fails.
        quiet: Whether stderr gets warnings only.
        output: The run folder; the log of a run that fails is kept beside it, with the traceback.
    """
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
    except Exception:
        _file_log.exception("the run failed")
        shutil.copyfile(path, f"{output}-failed.log")
        _log.warning("the log, with the traceback, is in %s", f"{output}-failed.log")
        raise
    finally:
        for handler in handlers:
            _log.removeHandler(handler)
            handler.close()
        _log.setLevel(level)


def _epoch_log() -> Any:
    """A callback that writes each epoch's metrics to the log's file; stderr has the bar's line."""
    import keras

    class EpochLog(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            words = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
            _file_log.info("epoch %d  %s", epoch + 1, words)

    return EpochLog()
