"""Knobs: dataclass fields that declare their allowed values and their description.

A knob is declared once, as a field with type, default, rule and description. Range checks, the
documentation of the fields, `--help` and TOML read the declaration. Loads no backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

from keras_mm.checks import nearest_name, unknown_name
from keras_mm.errors import InvalidArgumentError, InvalidValueError
from keras_mm.settings.rules import Rule

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Data = TypeVar("Data", bound="DataclassInstance")


def knob(default: T, rule: Rule, description: str, *, optional: bool = False) -> T:
    """Declares a dataclass field.

    Args:
        default: The default. If it is `None`, the field also accepts `None`.
        rule: The allowed values.
        description: The meaning of the field, in sentences that end with a full stop.
        optional: Whether the field accepts `None` although that is not the default.

    Returns:
        The field. Type checkers see the type of the default, as with `dataclasses.field`.
    """
    optional = optional or default is None
    metadata = {"rule": rule, "description": description, "optional": optional}
    return field(default=default, metadata=metadata)


def like(kind: type, name: str, **changes: Any) -> Any:
    """Declares a field with the declaration of another dataclass.

    Args:
        kind: The other dataclass.
        name: The name of its field.
        **changes: `default`, `rule` or `description`, if they differ from the other field's.

    Returns:
        The field.
    """
    (other,) = (f for f in fields(kind) if f.name == name)
    metadata = {**other.metadata, **changes}
    default = metadata.pop("default", other.default)
    metadata["optional"] = default is None
    return field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True)
def unset_by_default(kind: type[T]) -> type[T]:
    """Makes a class a frozen dataclass whose inherited fields are `None` by default.

    `None` marks a field that the user has not set, so that a preset can fill it in.

    Args:
        kind: A class that inherits from dataclasses and declares no field itself.

    Returns:
        The class; `default_of` returns the default that a field inherits.
    """
    inherited = {f.name: f for base in kind.__bases__ if is_dataclass(base) for f in fields(base)}
    kind.__annotations__ = {name: f"{f.type} | None" for name, f in inherited.items()}
    for name, f in inherited.items():
        metadata = {**f.metadata, "otherwise": f.default, "optional": True}
        setattr(kind, name, field(default=None, metadata=metadata))
    return dataclass(frozen=True)(kind)


def default_of(knob: Field) -> Any:
    """The value of a field that neither the user nor a preset sets.

    Args:
        knob: The field.

    Returns:
        The default.
    """
    return knob.metadata.get("otherwise", knob.default)


def rules(kind: type) -> dict[str, Rule]:
    """The rules of a dataclass.

    Args:
        kind: The dataclass.

    Returns:
        Rules by field name, for the fields that have one.
    """
    return {f.name: f.metadata["rule"] for f in fields(kind) if "rule" in f.metadata}


def broken_rules(values: Mapping[str, Any], kind: type, prefix: str = "") -> list[str]:
    """Checks values against the rules of a dataclass.

    Args:
        values: Values by field name; other keys are ignored.
        kind: The dataclass.
        prefix: Text before the names in the messages, such as `"training."`.

    Returns:
        A sentence for each value that breaks its rule.
    """
    problems = []
    for name, value, rule in _broken(values, kind):
        if rule.is_open and isinstance(value, str):
            problems.append(unknown_name(name, value, rule.names))
        else:
            problems.append(f"`{prefix}{name}` must be {rule.words}. Received: {value!r}")
    return problems


def check_knobs(settings: Any) -> None:
    """Checks the values of a dataclass against its rules; for its `__post_init__`.

    Args:
        settings: An instance of the dataclass.

    Raises:
        ValueError: if values break their rules. It lists all of them, and suggests the nearest
            name if the rule is a choice of names.
    """
    problems = []
    for name, value, rule in _broken(vars(settings), type(settings)):
        nearest = nearest_name(value, rule.names) if isinstance(value, str) else None
        hint = f". Did you mean {nearest!r}?" if nearest else ""
        problems.append(f"`{name}` must be {rule.words}. Received: {name}={value!r}{hint}")
    if problems:
        raise InvalidValueError("\n".join(problems))


def _broken(values: Mapping[str, Any], kind: type) -> Iterable[tuple[str, Any, Rule]]:
    known = {f.name: f.metadata for f in fields(kind) if "rule" in f.metadata}
    for name, value in values.items():
        if name not in known or (value is None and known[name]["optional"]):
            continue
        rule: Rule = known[name]["rule"]
        if not rule.test(value):
            yield name, value, rule


def refined(settings: Data, knobs: Mapping[str, Any]) -> Data:
    """Copies a dataclass with some of its fields changed.

    Args:
        settings: An instance of the dataclass.
        knobs: New values by name; names of other fields are ignored.

    Returns:
        The copy.
    """
    names = {f.name for f in fields(settings)}
    return replace(settings, **{name: v for name, v in knobs.items() if name in names})


def check_names(knobs: Iterable[str], *kinds: type, also: Iterable[str] = ()) -> None:
    """Checks that keywords are fields of some dataclasses.

    Args:
        knobs: The keywords.
        *kinds: The dataclasses.
        also: Other keywords of the call; only used to suggest the nearest name.

    Raises:
        TypeError: for the first unknown keyword. It suggests the nearest known one.
    """
    known = [f.name for kind in kinds for f in fields(kind)]
    for name in knobs:
        if name not in known:
            raise InvalidArgumentError(unknown_name("argument", name, [*known, *also]))
