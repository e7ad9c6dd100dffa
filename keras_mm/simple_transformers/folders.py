"""The output folder: models in it whole or not at all, and what may be in it before."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from keras_mm.bundle import SPEC, is_bundle
from keras_mm.simple_transformers.args import FILE, ModelArgs
from keras_mm.simple_transformers.progress import SCORES

RESULTS = "eval_results.txt"


def check_output(folder: str | PathLike, args: ModelArgs) -> Path:
    """The output folder of a training.

    Raises:
        ValueError: if it holds something, without `overwrite_output_dir`, or is a file.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(f"`output_dir` must be a folder. Received: {str(folder)!r}, a file")
    if not args.no_save:
        _check_writable(folder)
    if args.no_save or not folder.exists() or not any(folder.iterdir()):
        return folder
    if not args.overwrite_output_dir:
        raise ValueError(
            f"The output folder {str(folder)!r} is not empty. Give another `output_dir`, or "
            "overwrite_output_dir=True."
        )
    return folder


def clear_output(folder: Path) -> None:
    """Removes what an earlier training has left in a folder, and nothing else."""
    if not (folder / FILE).is_file():
        return
    for old in [*folder.glob("checkpoint-*"), folder / "best_model"]:
        if is_bundle(old):
            shutil.rmtree(old)
    for name in (SPEC, FILE, SCORES, RESULTS):
        (folder / name).unlink(missing_ok=True)


def _check_writable(folder: Path) -> None:
    """Raises ValueError if a folder cannot be made; what is made to try is removed."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".try-", dir=folder):
            pass
        for path in absent:
            path.rmdir()
    except OSError as error:
        raise ValueError(
            f"`output_dir` must be a folder that can be written. Received: {str(folder)!r} "
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
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model-", dir=folder) as temporary:
        made = Path(temporary) / "model"
        classifier.save(made)
        args.save(made)
        if results is not None:
            write_results(made, results)
        # Without its description a model is none: it goes first and comes last.
        (folder / SPEC).unlink(missing_ok=True)
        for file in sorted(made.iterdir(), key=lambda file: file.name == SPEC):
            file.replace(folder / file.name)


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes `eval_results.txt`: a line `name = value` each, sorted."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {results[name]}\n" for name in sorted(results)]
    temporary = folder / f".{RESULTS}"
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(folder / RESULTS)
