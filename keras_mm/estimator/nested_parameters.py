"""Parameters such as `training__clipnorm`: fields of the objects that parameters hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_mm.settings.knobs import check_names
from keras_mm.settings.problems import TABLES


def split_nested(params: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters in which fields are put into the objects that they belong to.

    Args:
        params: Values by name, as `MultimodalClassifier.set_params` takes them.
        now: The present values of all parameters.

    Returns:
        Values by names of parameters. Names with `__` of other parameters are left as they are.

    Raises:
        TypeError: for an unknown field; the nearest is offered.

    Example:
        >>> split_nested({"training__clipnorm": 0.5}, {"training": None})["training"].clipnorm
        0.5
    """
    found = {name: value for name, value in params.items() if not _is_field(name)}
    for name, kind in TABLES.items():
        fields = {
            key.removeprefix(f"{name}__"): value
            for key, value in params.items()
            if key.startswith(f"{name}__")
        }
        if fields:
            check_names(fields, kind)
            found[name] = kind(**{**_values(found.get(name, now.get(name)), kind), **fields})
    return found


def _is_field(name: str) -> bool:
    return name.partition("__")[0] in TABLES and "__" in name


def _values(value: Any, kind: type) -> dict[str, Any]:
    """The fields of a parameter's value; none of `None` and of `True`."""
    if isinstance(value, kind):
        return dict(vars(value))
    return dict(value) if isinstance(value, Mapping) else {}
