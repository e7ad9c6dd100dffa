"""The documentation of settings, from their declarations. Loads no backend."""

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
    """Adds the section `Args` to the docstring of a dataclass; a decorator.

    Args:
        kind: The dataclass; its docstring has no such section.

    Returns:
        The dataclass.
    """
    return with_arguments(kind)(kind)


def with_arguments(*kinds: type) -> Callable[[Kind], Kind]:
    """A decorator that adds the fields of dataclasses to the section `Args` of a docstring.

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
        place = next((start for name, start in sections if name != "Args"), len(text))
        before, after = text[:place].rstrip(), text[place:]
        gap = "\n\n" if "Args" not in dict(sections) else "\n"
        target.__doc__ = f"{before}{gap}" + "\n".join(entries) + (f"\n\n{after}" if after else "\n")
        return target

    return decorate


def _own_first(kind: type) -> list[Field]:
    """The fields of a dataclass, those that it inherits at the end."""
    own = inspect.get_annotations(kind)
    return sorted(fields(kind), key=lambda f: f.name not in own)


def listed(knob: Field, prefix: str = "") -> str:
    """A field's lines in a list of settings.

    Args:
        knob: The field.
        prefix: What stands before its name, as `"training."`.

    Returns:
        Lines, indented by 4.
    """
    text = f"{prefix}{knob.name}: {described(knob)}"
    return textwrap.fill(
        text, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
    )


def described(knob: Field) -> str:
    """A field in sentences: what it means, what it may be, its default.

    Args:
        knob: The field.

    Returns:
        The text.
    """
    words = knob.metadata["rule"].words
    default = default_of(knob)
    ending = "" if default is None else f"; default {default!r}"
    return f"{knob.metadata['description']} {words[0].upper()}{words[1:]}{ending}."


def signature_with(function: Callable, *kinds: type) -> inspect.Signature:
    """The signature of a method that takes fields of dataclasses as `**knobs`.

    Args:
        function: The method.
        *kinds: The dataclasses.

    Returns:
        The signature without `self`, with the fields as keywords.
    """
    signature = inspect.signature(function)
    own = list(signature.parameters.values())[1:-1]
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
    return signature.replace(parameters=[*own, *knobs])
