"""The output folder of a training: checks and clears it, and saves models to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from keras_mm.errors import InvalidArgumentError, InvalidValueError
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.files import check_writable, new_files, write_text
from keras_mm.inference.model_json import SPEC, is_bundle, read_spec
from keras_mm.simple_transformers.args import FILE, ModelArgs
from keras_mm.simple_transformers.config import FILE as CONFIG
from keras_mm.simple_transformers.config import ModelConfig

RESULTS, SCORES = "eval_results.txt", "training_progress_scores.csv"
_TEXT, _LABELS, _IMAGES = CLASSES = (
    "ClassificationModel", "MultiLabelClassificationModel", "MultiModalClassificationModel",
)  # fmt: skip


def task_class(kind: type) -> str:
    """Finds the class in `CLASSES` that a class is, or is derived from.

    Args:
        kind: The class.

    Returns:
        The name of the class in `CLASSES`.
    """
    return next(base.__name__ for base in kind.__mro__ if base.__name__ in CLASSES)


def check_class(folder: Path, kind: type) -> None:
    """Checks that a saved model is for the task of a class.

    Args:
        folder: The folder of the model.
        kind: The class.

    Raises:
        ValueError: if it is for another task.
    """
    file = folder / FILE
    stated = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    name = stated.get("model_class") or "MultimodalClassifier (see its `load`)"
    # The name of a user's subclass does not determine the task, so the model is looked at.
    known = name in CLASSES or "model_class" not in stated
    if (name if known else _task_of(folder)) != task_class(kind):
        raise InvalidValueError(
            f"`model_name` must be the folder of a {kind.__name__}. Received: {str(folder)!r}, a "
            f"model of {name}"
        )


def check_type(folder: Path, model_type: str, trained_as: str | None) -> None:
    """Checks that a saved model has the type that the constructor receives.

    Args:
        folder: The folder of the model.
        model_type: The argument of the constructor.
        trained_as: The type that the model was trained with.

    Raises:
        ValueError: if they differ and neither is `"auto"`.
    """
    if "auto" not in (model_type, trained_as) and model_type != trained_as:
        raise InvalidValueError(
            f"`model_type` must be {trained_as!r}, as {str(folder)!r} was trained with this type. "
            f"Received: model_type={model_type!r}"
        )


def _task_of(folder: Path) -> str:
    """The class in `CLASSES` that has the same task as a saved model."""
    spec = read_spec(folder)
    if spec["settings"]["images"]:
        return _IMAGES
    (head,) = spec["heads"].values()
    return _LABELS if head["kind"] == "multilabel" else _TEXT


def check_output(folder: str | PathLike, args: ModelArgs) -> Path:
    """Checks that a training can write its output folder.

    Args:
        folder: The folder.
        args: The settings.

    Returns:
        The folder.

    Raises:
        ValueError: if it is a file, cannot be written, or is not empty and `overwrite_output_dir`
            is false; or if `best_model_dir` cannot be written.
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
            f"The output folder {str(folder)!r} is not empty. Use another `output_dir`, or set "
            "overwrite_output_dir=True."
        )
    return folder


def output_folder(output_dir: Any, args: ModelArgs) -> Path:
    """The folder that a call writes to.

    Args:
        output_dir: The argument of the call; `None` for the folder of the settings.
        args: The settings.

    Returns:
        The folder.

    Raises:
        TypeError: if it is not a path. The order of positional arguments differs between the
            classes, so `output_dir` can be the value of another argument.
    """
    if output_dir is None:
        return Path(args.output_dir)
    if not isinstance(output_dir, str | PathLike):
        raise InvalidArgumentError(
            "`output_dir` must be the path of a folder; pass other arguments by their names. "
            f"Received: {type(output_dir).__name__}"
        )
    return Path(output_dir or args.output_dir)


def best_model_folder(folder: Path, args: ModelArgs) -> Path:
    """The folder of the best model.

    Args:
        folder: The output folder.
        args: The settings.

    Returns:
        The folder `best_model` in `folder`, unless the settings name another one.
    """
    unnamed = args.best_model_dir == ModelArgs().best_model_dir
    return folder / "best_model" if unnamed else Path(args.best_model_dir)


def clear_output(folder: Path) -> None:
    """Removes the files that an earlier training wrote to a folder, and no others.

    Args:
        folder: The output folder.
    """
    if not (folder / FILE).is_file():
        return
    for old in [*folder.glob("checkpoint-*"), folder / "best_model"]:
        if is_bundle(old):
            shutil.rmtree(old)
    for name in (SPEC, FILE, CONFIG, SCORES, RESULTS):
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
    folder: Path,
    classifier: MultimodalClassifier,
    args: ModelArgs,
    config: ModelConfig,
    results: Mapping[str, Any] | None = None,
) -> None:
    """Saves a model to a folder; other files in the folder are kept.

    Args:
        folder: The folder.
        classifier: A trained classifier.
        args: The settings, for `model_args.json`.
        config: Attributes that the script set, for `config.json`.
        results: Results by name, for `eval_results.txt`.
    """
    # The description is put into place last: a folder without it is not taken for a model.
    with new_files(folder, last=SPEC) as temporary:
        classifier.save(temporary)
        args.save(temporary)
        (head,) = classifier.heads_.values()
        config.save(temporary, head, args.model_type)
        if results is not None:
            write_results(temporary, results)


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes `eval_results.txt`, with sorted lines `name = value`.

    Args:
        folder: The folder to write to.
        results: Results by name.
    """
    lines = [f"{name} = {results[name]}\n" for name in sorted(results)]
    write_text(folder / RESULTS, "".join(lines))
