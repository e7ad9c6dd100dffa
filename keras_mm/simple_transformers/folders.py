"""The output folder: models in it whole or not at all, and what may be in it before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from keras_mm.errors import InvalidArgumentError, InvalidValueError
from keras_mm.files import check_writable, new_files, write_text
from keras_mm.inference.bundle import SPEC, is_bundle, read_spec
from keras_mm.simple_transformers.args import FILE, ModelArgs

RESULTS, SCORES = "eval_results.txt", "training_progress_scores.csv"
_TEXT, _LABELS, _IMAGES = CLASSES = (
    "ClassificationModel", "MultiLabelClassificationModel", "MultiModalClassificationModel",
)  # fmt: skip


def task_class(kind: type) -> str:
    """The name of the class of `CLASSES` that a class is, or is derived from."""
    return next(base.__name__ for base in kind.__mro__ if base.__name__ in CLASSES)


def check_class(folder: Path, kind: type) -> None:
    """Raises ValueError if a folder holds a model of another task than a class is for."""
    file = folder / FILE
    stated = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    name = stated.get("model_class") or "MultimodalClassifier (see its `load`)"
    # A class that somebody derived says nothing of its task; what the model is made of does.
    known = name in CLASSES or "model_class" not in stated
    if (name if known else _task_of(folder)) != task_class(kind):
        raise InvalidValueError(
            f"{str(folder)!r} holds a model of {name}, and this is a {kind.__name__}."
        )


def _task_of(folder: Path) -> str:
    """The class of `CLASSES` for the model that a folder holds."""
    spec = read_spec(folder)
    if spec["settings"]["images"]:
        return _IMAGES
    (head,) = spec["heads"].values()
    return _LABELS if head["kind"] == "multilabel" else _TEXT


def check_output(folder: str | PathLike, args: ModelArgs) -> Path:
    """The output folder of a training.

    Raises:
        ValueError: if it holds something, without `overwrite_output_dir`, or is a file; or if
            `best_model_dir` cannot be written.
    """
    folder = Path(folder)
    if folder.is_file():
        raise InvalidValueError(f"`output_dir` must be a folder. Received: {str(folder)!r}, a file")
    if not args.no_save:
        _check_writable(folder, "output_dir")
        best = best_model_folder(folder, args)
        if args.evaluate_during_training and args.save_best_model and best.parent != folder:
            _check_writable(best, "best_model_dir")
    if args.no_save or not folder.exists() or not any(folder.iterdir()):
        return folder
    if not args.overwrite_output_dir:
        raise InvalidValueError(
            f"The output folder {str(folder)!r} is not empty. Give another `output_dir`, or "
            "overwrite_output_dir=True."
        )
    return folder


def output_folder(output_dir: Any, args: ModelArgs) -> Path:
    """The folder that a call writes into: the one that it was given, or that of the settings.

    Raises:
        TypeError: if it is no path, as where positional arguments are in another order.
    """
    if output_dir is None:
        return Path(args.output_dir)
    if not isinstance(output_dir, str | PathLike):
        raise InvalidArgumentError(
            "`output_dir` must be the path of a folder; give other arguments by their names. "
            f"Received: {type(output_dir).__name__}"
        )
    return Path(output_dir or args.output_dir)


def best_model_folder(folder: Path, args: ModelArgs) -> Path:
    """Where the best model goes: into `folder`, unless `args` name another one."""
    unnamed = args.best_model_dir == ModelArgs().best_model_dir
    return folder / "best_model" if unnamed else Path(args.best_model_dir)


def clear_output(folder: Path) -> None:
    """Removes what an earlier training has left in a folder, and nothing else."""
    if not (folder / FILE).is_file():
        return
    for old in [*folder.glob("checkpoint-*"), folder / "best_model"]:
        if is_bundle(old):
            shutil.rmtree(old)
    for name in (SPEC, FILE, SCORES, RESULTS):
        (folder / name).unlink(missing_ok=True)


def _check_writable(folder: Path, argument: str) -> None:
    """Raises ValueError, naming the argument, if a folder cannot be written."""
    try:
        check_writable(folder)
    except OSError as error:
        raise InvalidValueError(
            f"`{argument}` must be a folder that can be written. Received: {str(folder)!r} "
            f"({error.strerror})"
        ) from None


def write_model(
    folder: Path, classifier: Any, args: ModelArgs, results: Mapping[str, Any] | None = None
) -> None:
    """Writes a model into a folder beside what else is there; it can be loaded whole or not at all.

    Args:
        folder: The folder.
        classifier: A trained `MultimodalClassifier`.
        args: The settings, as `model_args.json`.
        results: Results by name, as `eval_results.txt`.
    """
    # Without its description a model cannot be loaded.
    with new_files(folder, last=SPEC) as made:
        classifier.save(made)
        args.save(made)
        if results is not None:
            write_results(made, results)


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes `eval_results.txt`: a line `name = value` each, sorted."""
    lines = [f"{name} = {results[name]}\n" for name in sorted(results)]
    write_text(folder / RESULTS, "".join(lines))
