"""The runs of `keras-mm train`: training, evaluation and the run folder."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_mm.cli.run_log import run_log
from keras_mm.cli.run_rows import prepare_run
from keras_mm.cli.threads import use_threads
from keras_mm.data.tables.ids import with_ids
from keras_mm.data.tables.run_columns import has_pair
from keras_mm.estimator.prepare import Prepared
from keras_mm.files import check_vacant, new_folder
from keras_mm.settings.baselines import chosen_baselines
from keras_mm.settings.settings import RunSettings, Settings
from keras_mm.settings.toml import to_toml

if TYPE_CHECKING:
    import pandas as pd

    from keras_mm.estimator.classifier import MultimodalClassifier
    from keras_mm.evaluation.evaluate import Evaluation

_log = logging.getLogger("keras_mm")
_file_log = logging.getLogger("keras_mm.file")  # does not reach stderr


def train_run(settings: RunSettings, *, quiet: bool = False) -> dict:
    """Trains and evaluates a model, and writes the run folder, completely or not at all.

    Args:
        settings: Settings of the run.
        quiet: Whether to write only errors and warnings to stderr.

    Returns:
        The content of `metrics.json`, the path of the run folder as `output`, and a text as
        `summary`.

    Raises:
        ConfigError: listing every problem of the settings, before training.
        TableError: listing every problem of the rows, before training.
        FileExistsError: if the output folder is not empty.
    """
    resolved = settings.resolved()
    use_threads((resolved.vision_backbone, resolved.text_backbone))
    output = Path(settings.output or f"runs/{time.strftime('%Y%m%d-%H%M%S')}-{settings.preset}")
    check_vacant(output)
    quiet = quiet or not settings.verbose
    settings, run = prepare_run(settings, progress=not quiet)
    from keras_mm.estimator.classifier import MultimodalClassifier
    from keras_mm.evaluation.report.terminal import render_baselines

    estimator = settings.estimator()
    classifier = MultimodalClassifier(
        **{**_keywords(estimator), "verbose": 0 if quiet else estimator.verbose}
    )
    try:
        with new_folder(output) as folder, run_log(folder / "train.log", quiet, output):
            evaluation = _train(classifier, run, settings)
            resolved = replace(settings, output=str(output))
            _write(folder, resolved, classifier, evaluation, run.ids.get("train"))
    except BaseException:
        _keep_model(classifier, output)
        raise
    _log.info("written to %s", output)
    return {
        **evaluation.to_dict(),
        "output": str(output),
        "summary": f"test {evaluation}\n{render_baselines(evaluation)}\n"
        f"report: {output / 'report.html'}",
    }


def _train(classifier: MultimodalClassifier, run: Prepared, settings: RunSettings) -> Evaluation:
    """Trains the classifier and evaluates it on the test rows."""
    import keras

    from keras_mm.estimator.baselines import BaselineRows
    from keras_mm.evaluation.report.terminal import render_baselines

    weight_column = settings.weight_column
    _log.info(
        "keras %s on %s, seed %d", keras.__version__, keras.backend.backend(), classifier.seed
    )
    parts = (f"{name}: {len(rows)} rows of {run.sources[name]}" for name, rows in run.parts.items())
    by = "" if weight_column is None else f"; weighted by {weight_column!r}"
    _log.info("%s%s", "; ".join(parts), by)
    classifier.fit_rows(run.rows, run.validation, heads=run.heads, folds=run.folds)
    evaluation = classifier.evaluate_rows(
        run.parts["test"],
        run.sources["test"],
        baselines=BaselineRows(chosen_baselines(settings.baselines), run),
    )
    if "test" in run.ids:
        predictions, name = with_ids(evaluation.predictions, run.ids["test"])
        evaluation = replace(evaluation, predictions=predictions, id_column=name)
    # stdout gets this as part of the summary.
    _file_log.info("test: %s\n%s", evaluation, render_baselines(evaluation))
    return evaluation


def _keep_model(classifier: MultimodalClassifier, output: Path) -> None:
    """Saves the partly trained model of a run that did not finish, beside the run folder."""
    if not hasattr(classifier, "model_"):
        return
    import pandas as pd

    try:
        with new_folder(output.with_name(f"{output.name}-interrupted"), overwrite=True) as folder:
            classifier.save(folder / "model")
            pd.DataFrame(classifier.history_).to_csv(folder / "history.csv", index=False)
    except OSError as error:  # the error that ended the run is more important
        _log.warning("the partly trained model cannot be saved: %s", error)
    else:
        _log.warning("the partly trained model is in %s", f"{output}-interrupted")


def dry_run(settings: RunSettings, *, quiet: bool = False) -> dict:
    """Checks settings and all rows without training; writes nothing.

    Args:
        settings: Settings of the run.
        quiet: Whether to hide the progress bar.

    Returns:
        `rows`, a dict of part to number of rows; `config`, the settings that the training would
        use, as TOML; and a text as `summary`.

    Raises:
        ConfigError: listing every problem of the settings.
        TableError: listing every problem of the rows.
        FileExistsError: if the output folder is not empty.
    """
    settings.resolved()
    if settings.output:
        check_vacant(settings.output)
    settings, run = prepare_run(settings, progress=not quiet and bool(settings.verbose))
    counts = {name: len(rows) for name, rows in run.parts.items()}
    config = to_toml(_resolved(settings))
    rows = ", ".join(f"{name} {count}" for name, count in counts.items())
    return {"rows": counts, "config": config, "summary": f"{config}\n# rows: {rows}"}


def _resolved(settings: RunSettings) -> RunSettings:
    resolved = settings.estimator().resolved()
    # A preset may set `compare`. Without a pair to compare, a config file with it would be refused.
    resolved = replace(resolved, compare=resolved.compare and has_pair(resolved))
    return replace(settings, **_keywords(resolved))


def _keywords(settings: Settings) -> dict[str, Any]:
    return {f.name: getattr(settings, f.name) for f in fields(Settings)}


def _write(
    folder: Path,
    settings: RunSettings,
    classifier: MultimodalClassifier,
    evaluation: Evaluation,
    ids: pd.Series | None,
) -> None:
    """Writes all files of the run folder except the log; `ids` are those of the training rows."""
    import pandas as pd

    from keras_mm.evaluation.report.model_card import render_model_card
    from keras_mm.inference.answers import written_frame

    (folder / "config.toml").write_text(to_toml(_resolved(settings)), encoding="utf-8")
    history = pd.DataFrame(classifier.history_)
    numbers = (
        history.groupby("fold").cumcount() if "fold" in history else pd.RangeIndex(len(history))
    )
    history.insert(0, "epoch", numbers + 1)
    history.to_csv(folder / "history.csv", index=False)
    metrics = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False)
    (folder / "metrics.json").write_text(metrics + "\n", encoding="utf-8")
    predictions = written_frame(evaluation.predictions, classifier.heads_)
    predictions.to_csv(folder / "predictions.csv", index=False)
    out_of_fold = getattr(classifier, "out_of_fold_", None)
    if out_of_fold is not None:
        written = written_frame(out_of_fold, classifier.heads_)
        written = written if ids is None else with_ids(written, ids, place=0)[0]
        written.to_parquet(folder / "out_of_fold.parquet")
    evaluation.save(folder / "report.html")
    classifier.save(folder / "model")
    card = render_model_card(evaluation, asdict(_resolved(settings)))
    (folder / "README.md").write_text(card, encoding="utf-8")
