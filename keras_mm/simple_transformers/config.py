"""`model.config` and `config.json`: the labels of a model, as Hugging Face names them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from keras_mm.data.tables.labels import label_value
from keras_mm.files import write_text
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.plain import is_plain, plain

FILE = "config.json"


class ModelConfig:
    """The labels and the type of a model, and attributes that scripts set.

    Attributes that a script sets are saved in `config.json`; they do not change predictions.

    Args:
        describe: Returns the values of attributes that a script has not set.

    Attributes:
        id2label: Labels by index.
        label2id: Indices by label.
        num_labels: Number of labels.
        model_type: Family of the text network.

    Example:
        >>> config = ModelConfig(lambda: {"num_labels": 2})
        >>> config.use_return_dict = False
        >>> config.num_labels, config.use_return_dict
        (2, False)
    """

    def __init__(self, describe: Callable[[], Mapping[str, Any]]):
        vars(self)["_describe"] = describe

    def __getattr__(self, name: str) -> Any:
        """The value of an attribute that a script has not set."""
        # Not for private names: in a copy without `_describe`, this method would call itself.
        if not name.startswith("_"):
            values = self._describe()
            if name in values:
                return values[name]
        raise AttributeError(f"This config has no attribute {name!r}; it can be set.")

    def to_dict(self) -> dict[str, Any]:
        """All attributes.

        Returns:
            Their values by name.
        """
        return {**self._describe(), **self.given()}

    def given(self) -> dict[str, Any]:
        """The attributes that a script has set.

        Returns:
            Their values by name.
        """
        return {name: value for name, value in vars(self).items() if name != "_describe"}

    def save(self, folder: str | PathLike, head: Head, model_type: str | None) -> None:
        """Writes `config.json`, without attributes that JSON cannot hold.

        Args:
            folder: The folder to write to.
            head: The head of the saved model.
            model_type: Family of the text network.
        """
        values = {**described(head, model_type), **self.given()}
        values = {name: plain(value) for name, value in values.items()}
        text = json.dumps({n: v for n, v in values.items() if is_plain(v)}, indent=2)
        write_text(Path(folder) / FILE, text + "\n")

    def load(self, folder: str | PathLike) -> None:
        """Reads `config.json`, and sets the attributes whose values the model does not have itself.

        Args:
            folder: The folder of a saved model.
        """
        file = Path(folder) / FILE
        if not file.is_file():  # earlier versions did not write it
            return
        own = json.loads(json.dumps(plain(dict(self._describe()))))
        for name, value in json.loads(file.read_text(encoding="utf-8")).items():
            if name not in own or value != own[name]:
                is_named = name == "id2label" and isinstance(value, dict)
                vars(self)[name] = {int(k): v for k, v in value.items()} if is_named else value


def device_name() -> str:
    """The device that the backend uses.

    Returns:
        `"cpu"`, or `"cuda:0"` for a GPU, as in PyTorch.
    """
    device = str(getattr(keras.Variable(0.0).value, "device", "")).lower()
    return "cuda:0" if "gpu" in device or "cuda" in device else "cpu"


def untrained_head(labels: Sequence, num_labels: int | None) -> Head:
    """Creates a head with the labels of a model that is not trained yet, for its config.

    Args:
        labels: The labels; if it is empty, they are `LABEL_0`, ..., as in Hugging Face.
        num_labels: Number of labels, >= 1; by default 2.

    Returns:
        The head; its kind does not matter.
    """
    count = num_labels or 2
    return Head("multilabel", tuple(labels or (f"LABEL_{place}" for place in range(count))))


def described(head: Head, model_type: str | None) -> dict[str, Any]:
    """Describes a model by its labels and type.

    Args:
        head: The head of the model.
        model_type: Family of the text network.

    Returns:
        The values of `config.json` by name.
    """
    names = ["LABEL_0"] if head.kind == "regression" else [label_value(n) for n in head.names]
    return {
        "model_type": model_type,
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {str(name): place for place, name in enumerate(names)},
    }
