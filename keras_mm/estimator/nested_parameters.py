"""Parameters such as `training__clipnorm`, which set a field of another parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_mm.settings.knobs import check_names
from keras_mm.settings.problems import TABLES


def split_nested(params: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Puts the values of fields into the objects that they belong to.

    Args:
        params: Values by name, as in `MultimodalClassifier.set_params`.
        now: The present values of all parameters.

    Returns:
        Values by name of the parameter, without names of fields. Names with `__` that begin with
        another parameter are not changed.

    Raises:
        TypeError: for an unknown field, with the nearest name.

    Example:
        >>> split_nested({"training__clipnorm": 0.5}, {"training": None})["training"].clipnorm
        0.5
    """
    merged = {name: value for name, value in params.items() if not _is_field(name)}
    for name, kind in TABLES.items():
        fields = {
            key.removeprefix(f"{name}__"): value
            for key, value in params.items()
            if key.startswith(f"{name}__")
        }
        if fields:
            check_names(fields, kind)
            merged[name] = kind(**{**_values(merged.get(name, now.get(name)), kind), **fields})
    return merged


def _is_field(name: str) -> bool:
    return name.partition("__")[0] in TABLES and "__" in name


def _values(value: Any, kind: type) -> dict[str, Any]:
    """The fields of the value of a parameter; an empty dict for `None` and `True`."""
    if isinstance(value, kind):
        return dict(vars(value))
    return dict(value) if isinstance(value, Mapping) else {}
