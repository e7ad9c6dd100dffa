"""The output folder of a training: what it may hold before, and how models are saved in it."""

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
    """The name of the class in `CLASSES` that a class is, or is derived from.

    Args:
        kind: The class.

    Returns:
        The name.
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
    # The name of a user's subclass does not say the task; the heads of the model do.
    known = name in CLASSES or "model_class" not in stated
    if (name if known else _task_of(folder)) != task_class(kind):
        raise InvalidValueError(
            f"{str(folder)!r} holds a model of {name}, and this is a {kind.__name__}."
        )


def check_type(folder: Path, model_type: str, trained_as: str | None) -> None:
    """Checks that a saved model is of the family that the constructor is given.

    Args:
        folder: The folder of the model.
        model_type: The argument of the constructor.
        trained_as: The family that the model was trained as.

    Raises:
        ValueError: if they differ and neither is `"auto"`.
    """
    if "auto" not in (model_type, trained_as) and model_type != trained_as:
        raise InvalidValueError(
            f"`model_type` must be that of the model. Received: model_type={model_type!r}, and "
            f"{str(folder)!r} was trained as {trained_as!r}."
        )


def _task_of(folder: Path) -> str:
    """The class in `CLASSES` for the model in a folder."""
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
            f"The output folder {str(folder)!r} is not empty. Give another `output_dir`, or "
            "overwrite_output_dir=True."
        )
    return folder


def output_folder(output_dir: Any, args: ModelArgs) -> Path:
    """The folder that a call writes into: its argument, or else that of the settings.

    Args:
        output_dir: The argument of the call.
        args: The settings.

    Returns:
        The folder.

    Raises:
        TypeError: if it is not a path, for example because of another order of arguments.
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
    """The folder of the best model.

    Args:
        folder: The output folder.
        args: The settings.

    Returns:
        A folder in `folder`, unless the settings name another one.
    """
    unnamed = args.best_model_dir == ModelArgs().best_model_dir
    return folder / "best_model" if unnamed else Path(args.best_model_dir)


def clear_output(folder: Path) -> None:
    """Removes what an earlier training has written into a folder, and nothing else.

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
    """Saves a model into a folder, and keeps the other files that the folder holds.

    Args:
        folder: The folder.
        classifier: A trained `MultimodalClassifier`.
        args: The settings, for `model_args.json`.
        config: What the script set on `model.config`, for `config.json`.
        results: Results by name, for `eval_results.txt`.
    """
    # A model without its description is not loaded.
    with new_files(folder, last=SPEC) as made:
        classifier.save(made)
        args.save(made)
        (head,) = classifier.heads_.values()
        config.save(made, head, args.model_type)
        if results is not None:
            write_results(made, results)


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes `eval_results.txt`: sorted lines `name = value`.

    Args:
        folder: The folder of the file.
        results: Results by name.
    """
    lines = [f"{name} = {results[name]}\n" for name in sorted(results)]
    write_text(folder / RESULTS, "".join(lines))
