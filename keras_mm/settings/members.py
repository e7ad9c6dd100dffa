"""The members of a model: trunks of several kinds on all modalities or on one. Loads no backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_mm.checks import quote
from keras_mm.settings.rules import Rule, quoted

KINDS = ("trunk", "linear_skip", "linear")
# The settings that a member can have of its own; those of `training` are in the second line.
OWN_SETTINGS = ("fusion", "compare", "loss", "class_weight", "modality_dropout", "learning_rate")
OWN_TRAINING = (
    *("num_projection_layers", "projection_dims", "dropout_rate", "standardize"),
    *("weight_decay", "label_smoothing", "gamma", "tau"),
)
SIDE_OF = {"image": "vision", "text": "text"}  # the side of a modality, as encoders are named
MODALITIES = tuple(SIDE_OF)


@dataclass(frozen=True)
class Member:
    """A member of a model, of which there is one for each fold.

    Attributes:
        kind: `"trunk"`, the fusion; `"linear_skip"`, the fusion beside a linear model; or
            `"linear"`, logistic or ridge regression.
        modalities: The modalities that it reads, of `"image"` and `"text"`.
        own: Name and value of each setting that differs from those of the model, by name.

    Example:
        >>> Member("linear", ("text",)).name
        'linear:text'
        >>> Member("trunk", ("image", "text"), (("fusion", "gated"),)).name
        "trunk(fusion='gated')"
    """

    kind: str
    modalities: tuple[str, ...]
    own: tuple[tuple[str, Any], ...] = ()

    @property
    def base(self) -> str:
        """The kind, and after a colon the modality if it is only one."""
        return self.kind if len(self.modalities) > 1 else f"{self.kind}:{self.modalities[0]}"

    @property
    def name(self) -> str:
        """The base, and in brackets the settings of its own."""
        own = ", ".join(f"{name}={value!r}" for name, value in self.own)
        return f"{self.base}({own})" if own else self.base

    @property
    def setting(self) -> str | dict[str, Any]:
        """The member as an entry of the setting `members`."""
        return {"kind": self.base, **dict(self.own)} if self.own else self.base


def _names() -> tuple[str, ...]:
    alone = (f"{kind}:{modality}" for kind in KINDS for modality in MODALITIES)
    return (*KINDS, *alone)


MEMBERS = _names()


def _is_choice(value: Any) -> bool:
    if isinstance(value, str):
        return value in (*CHOICES, *MEMBERS)
    if not (isinstance(value, list | tuple) and value and all(map(_is_entry, value))):
        return False
    return all(entry not in value[:place] for place, entry in enumerate(value))


def _is_entry(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return isinstance(value, str) and value in MEMBERS
    own = {name: v for name, v in value.items() if name != "kind"}
    known = OWN_SETTINGS + OWN_TRAINING
    return (
        value.get("kind") in MEMBERS
        and (not own or not value["kind"].startswith("linear:") and value["kind"] != "linear")
        and all(name in known and isinstance(v, str | int | float) for name, v in own.items())
    )


CHOICES = ("auto", "all", "search")
MEMBERS_RULE = Rule(
    f"{quoted(CHOICES)}, or a list of different names of {quoted(MEMBERS)}; instead of the name of "
    "a trunk or linear_skip also a dict of this name as `kind` and of settings of its own "
    f"({', '.join(OWN_SETTINGS + OWN_TRAINING)}), each a name or a number",
    _is_choice,
)

Entry = str | Mapping[str, Any]


def canonical(value: Any) -> Any:
    """Gives equal values of the setting `members` one form.

    Args:
        value: The setting, which keeps its rule, or `None`.

    Returns:
        A choice, a tuple of names and dicts, or `None`.
    """
    return value if value is None or value in CHOICES else tuple(_entries(value))


def _entries(value: Entry | Sequence[Entry]) -> list[str | dict[str, Any]]:
    """The entries as names, or as dicts if they have settings of their own."""
    found: list[str | dict[str, Any]] = []
    for entry in [value] if isinstance(value, str | Mapping) else value:
        if isinstance(entry, str):
            found.append(entry)
        else:
            found.append(entry["kind"] if len(entry) == 1 else dict(entry))
    return found


def own_settings(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """The entries of the setting `members` that have settings of their own.

    Args:
        value: The setting, which keeps its rule, or `None`.

    Returns:
        For each such entry its name and these settings.
    """
    if value is None or isinstance(value, str):
        return []
    return [
        (entry["kind"], {name: v for name, v in entry.items() if name != "kind"})
        for entry in _entries(value)
        if isinstance(entry, Mapping)
    ]


def split_own(own: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divides settings of a member into those of the estimator and those of its `training`.

    Args:
        own: Settings by name.

    Returns:
        Both, by name.

    Example:
        >>> split_own({"fusion": "gated", "weight_decay": 0.01})
        ({'fusion': 'gated'}, {'weight_decay': 0.01})
    """
    return (
        {name: value for name, value in own.items() if name in OWN_SETTINGS},
        {name: value for name, value in own.items() if name in OWN_TRAINING},
    )


def with_own(settings: Any, own: Mapping[str, Any]) -> Any:
    """Settings for a member that has settings of its own.

    Args:
        settings: The resolved settings of the model.
        own: Those of the member, by name.

    Returns:
        Settings in which they replace those of the model.
    """
    outer, inner = split_own(own)
    return replace(settings, **outer, training=replace(settings.training, **inner))


def as_members(value: Entry | Sequence[Entry], modalities: Sequence[str]) -> tuple[Member, ...]:
    """Converts the setting `members` to members.

    Args:
        value: A name, or a list of names and dicts; `"auto"` for `"trunk"` and `"linear"` on all
            modalities, `"linear"` on each alone, and `"trunk"` on texts alone; or `"all"` for all
            kinds on all and on each alone.
        modalities: The modalities of the table, of `"image"` and `"text"`.

    Returns:
        The members. Those that read all modalities come first. With one modality, `"linear"` and
        `"linear:text"` are the same member.

    Example:
        >>> [member.name for member in as_members("auto", ["image", "text"])]
        ['trunk', 'linear', 'linear:image', 'linear:text', 'trunk:text']
        >>> [member.name for member in as_members(["linear", "trunk"], ["text"])]
        ['linear:text', 'trunk:text']
    """
    everything = tuple(modalities)
    subsets = [everything, *((one,) for one in everything if len(everything) > 1)]
    if value == "all":
        return tuple(Member(kind, subset) for subset in subsets for kind in KINDS)
    if value == "auto":
        linear = (Member("linear", subset) for subset in subsets)
        # Texts alone are often what predicts best, and their vectors are small.
        texts = [Member("trunk", subset) for subset in subsets[1:] if subset == ("text",)]
        return (Member("trunk", everything), *linear, *texts)
    found = []
    for entry in _entries(value):
        own = {} if isinstance(entry, str) else dict(entry)
        kind, _, modality = own.pop("kind", entry).partition(":")
        read = (modality,) if modality else everything
        found.append(Member(kind, read, tuple(sorted(own.items()))))
    return tuple(sorted(dict.fromkeys(found), key=lambda member: -len(member.modalities)))


def of_one_side(value: Entry | Sequence[Entry]) -> str | tuple[Entry, ...]:
    """The setting `members` for a model of one modality.

    Args:
        value: The setting for a model of several modalities.

    Returns:
        The same kinds.

    Example:
        >>> of_one_side(["linear_skip", "linear", "linear:text"])
        ('linear_skip', 'linear')
    """
    if isinstance(value, str) and value in CHOICES:
        return value
    members = as_members(value, MODALITIES)
    kinds = dict.fromkeys(Member(each.kind, MODALITIES, each.own) for each in members)
    return tuple(each.setting for each in kinds)


def members_problems(value: Entry | Sequence[Entry], modalities: Sequence[str]) -> list[str]:
    """Checks the setting `members` against the columns of a table.

    Args:
        value: The setting, which keeps its rule.
        modalities: The modalities of the table, of `"image"` and `"text"`.

    Returns:
        A sentence for each problem.
    """
    members = as_members(value, modalities)
    problems = [
        f"`members`: {member.name!r} reads {member.modalities[0]}s, and the table has no "
        f"{member.modalities[0]} column. Name one in `{member.modalities[0]}s`, or leave the "
        "member out"
        for member in members
        if not set(member.modalities) <= set(modalities)
    ]
    read = {modality for member in members for modality in member.modalities}
    unread = [modality for modality in modalities if modality not in read]
    if unread and not problems:
        problems.append(
            f"`members`: no member reads the {unread[0]}s. Add {quote(f'trunk:{unread[0]}')}, or "
            f"set {unread[0]}s=() to leave them out"
        )
    return problems


def modalities_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The modalities of settings whose columns are known.

    Args:
        values: Settings by name, with `images` and `texts`.

    Returns:
        Those of `"image"` and `"text"` that have a column.
    """
    return tuple(modality for modality in MODALITIES if values[f"{modality}s"])
