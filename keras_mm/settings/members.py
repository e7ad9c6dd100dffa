"""The members of a model: trunks of several kinds on all modalities or on one. Loads no backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_mm.checks import quote
from keras_mm.settings.rules import Rule, as_names, is_different, is_names, quoted

KINDS = ("trunk", "linear_skip", "linear")
SIDE_OF = {"image": "vision", "text": "text"}  # the side of a modality, as encoders are named
MODALITIES = tuple(SIDE_OF)


@dataclass(frozen=True)
class Member:
    """A member of a model, of which there is one for each fold.

    Attributes:
        kind: `"trunk"`, the fusion; `"linear_skip"`, the fusion beside a linear model; or
            `"linear"`, logistic or ridge regression.
        modalities: The modalities that it reads, of `"image"` and `"text"`.

    Example:
        >>> Member("linear", ("text",)).name
        'linear:text'
    """

    kind: str
    modalities: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name in settings: the kind, and after a colon the modality if it is only one."""
        return self.kind if len(self.modalities) > 1 else f"{self.kind}:{self.modalities[0]}"


def _names() -> tuple[str, ...]:
    alone = (f"{kind}:{modality}" for kind in KINDS for modality in MODALITIES)
    return (*KINDS, *alone)


MEMBERS = _names()


def _is_choice(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("auto", "all", *MEMBERS)
    return (
        isinstance(value, list | tuple)
        and is_names(value)
        and is_different(value)
        and set(value) <= set(MEMBERS)
    )


MEMBERS_RULE = Rule(
    f"'auto', 'all', or a list of different names of {quoted(MEMBERS)}",
    _is_choice,
)


def as_members(value: str | Sequence[str], modalities: Sequence[str]) -> tuple[Member, ...]:
    """Converts the setting `members` to members.

    Args:
        value: A name, or a list of names; `"auto"` for `"trunk"` and `"linear"` on all modalities,
            `"linear"` on each alone, and `"trunk"` on texts alone; or `"all"` for all kinds on all
            and on each alone.
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
    for name in as_names(value):
        kind, _, modality = name.partition(":")
        found.append(Member(kind, (modality,) if modality else everything))
    return tuple(sorted(dict.fromkeys(found), key=lambda member: -len(member.modalities)))


def of_one_side(value: str | Sequence[str]) -> str | tuple[str, ...]:
    """The setting `members` for a model of one modality.

    Args:
        value: The setting for a model of several modalities.

    Returns:
        The same kinds.

    Example:
        >>> of_one_side(["linear_skip", "linear", "linear:text"])
        ('linear_skip', 'linear')
    """
    if value in ("auto", "all"):
        return str(value)
    return tuple(dict.fromkeys(name.partition(":")[0] for name in as_names(value)))


def members_problems(value: str | Sequence[str], modalities: Sequence[str]) -> list[str]:
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
