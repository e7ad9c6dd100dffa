"""Trials of a search on disk, so that a search that was stopped can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from keras_mm.estimator.choice.trial import Trial
from keras_mm.experiments.store import open_folder
from keras_mm.files import new_file
from keras_mm.settings.members import Member

_ABOUT = "about"
_PARTS = ("logits", "second", "without")


class FolderOfTrials:
    """Keeps what each trial predicts, and its scores, in a folder.

    Args:
        folder: The folder.
        facts: What must be the same when the search goes on, by name, JSON-serialisable.

    Raises:
        ConfigError: if the folder holds another search; it says what differs.
    """

    def __init__(self, folder: str | PathLike, facts: Mapping[str, Any]):
        self._folder = open_folder(folder, facts, "search.json", "search") / "trials"

    def read(self, number: int, member: Member) -> Trial | None:
        """Reads a trial.

        Args:
            number: Its number in the search, from 0.
            member: The member.

        Returns:
            The trial without its models; `None` if it is not there.
        """
        file = self._file(number, member)
        if not file.is_file():
            return None
        found: dict[str, Any] = {part: {} for part in _PARTS}
        with np.load(file, allow_pickle=False) as arrays:
            about = json.loads(str(arrays[_ABOUT]))
            for key in (name for name in arrays.files if name != _ABOUT):
                part, *names = json.loads(key)
                into = found[part] if len(names) == 1 else found[part].setdefault(names[0], {})
                into[names[-1]] = arrays[key]
        return Trial(
            member,
            about["state"],
            about["score"],
            tuple(about["by_fold"]),
            about["seconds"],
            found["logits"],
            found["second"],
            found["without"],
            number,
        )

    def write(self, trial: Trial) -> None:
        """Writes a trial, whole or not at all.

        Args:
            trial: The trial.
        """
        about = {name: getattr(trial, name) for name in ("state", "score", "by_fold", "seconds")}
        arrays: dict[str, Any] = {
            json.dumps([part, name]): logits
            for part in ("logits", "second")
            for name, logits in getattr(trial, part).items()
        }
        arrays |= {
            json.dumps(["without", modality, name]): logits
            for modality, own in trial.without.items()
            for name, logits in own.items()
        }
        arrays[_ABOUT] = np.array(json.dumps(about))
        name = self._file(trial.number, trial.member)
        with new_file(name) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    def _file(self, number: int, member: Member) -> Path:
        name = json.dumps([member.name, list(member.modalities)])
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self._folder / f"{number:04d}-{digest}.npz"
