"""Documents settings from their declarations. Loads no backend."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import Field, fields
from typing import TypeVar

from keras_mm.settings.knobs import default_of

Kind = TypeVar("Kind", bound=type)

_SECTION = re.compile(r"^(Args|Attributes|Raises|Example|Reference):$", re.MULTILINE)
_WIDTH = 96


def documented(kind: Kind) -> Kind:
    """A decorator that adds an `Args` section to the docstring of a dataclass.

    Args:
        kind: A dataclass whose docstring has no `Args` section.

    Returns:
        The dataclass.
    """
    return with_arguments(kind)(kind)


def with_arguments(*kinds: type) -> Callable[[Kind], Kind]:
    """A decorator that adds the fields of dataclasses to the `Args` section of a docstring.

    Args:
        *kinds: The dataclasses.

    Returns:
        The decorator.
    """

    def decorate(target: Kind) -> Kind:
        text = inspect.cleandoc(target.__doc__ or "")
        entries = [listed(f) for kind in kinds for f in _own_first(kind)]
        sections = [(match.group(1), match.start()) for match in _SECTION.finditer(text)]
        if "Args" not in dict(sections):
            entries.insert(0, "Args:")
        # The entries end the `Args` section, which comes before all other sections.
        end = next((start for name, start in sections if name != "Args"), len(text))
        before, after = text[:end].rstrip(), text[end:]
        gap = "\n\n" if "Args" not in dict(sections) else "\n"
        target.__doc__ = f"{before}{gap}" + "\n".join(entries) + (f"\n\n{after}" if after else "\n")
        return target

    return decorate


def _own_first(kind: type) -> list[Field]:
    """The fields of a dataclass, with the inherited ones at the end."""
    own = inspect.get_annotations(kind)
    return sorted(fields(kind), key=lambda f: f.name not in own)


def listed(knob: Field, prefix: str = "") -> str:
    """The entry of a field in a list of settings, such as an `Args` section.

    Args:
        knob: A field that `knob` declared.
        prefix: Text before the name, such as `"training."`.

    Returns:
        Lines of at most 96 characters, indented by 4 spaces.
    """
    text = f"{prefix}{knob.name}: {described(knob)}"
    return textwrap.fill(
        text, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
    )


def described(knob: Field) -> str:
    """Describes a field in sentences: its meaning, its allowed values and its default.

    Args:
        knob: A field that `knob` declared.

    Returns:
        The text, on one line.
    """
    words = knob.metadata["rule"].words
    default = default_of(knob)
    ending = "" if default is None else f"; default {default!r}"
    return f"{knob.metadata['description']} {words[0].upper()}{words[1:]}{ending}."


def signature_with(function: Callable, *kinds: type) -> inspect.Signature:
    """The signature of a method that takes fields of dataclasses as `**knobs`.

    `help()` and editors then show each field as a keyword.

    Args:
        function: The method.
        *kinds: The dataclasses.

    Returns:
        The signature without `self`, with the fields as keywords.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1:-1]  # without `self` and `**knobs`
    knobs = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default_of(f),
            annotation=f.type,
        )
        for kind in kinds
        for f in _own_first(kind)
    ]
    return signature.replace(parameters=[*parameters, *knobs])
