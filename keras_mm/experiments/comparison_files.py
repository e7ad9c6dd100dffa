"""Writes the table of a comparison as Markdown, CSV, JSON, HTML or LaTeX."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from keras_mm.checks import quote
from keras_mm.errors import InvalidValueError
from keras_mm.files import write_text

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.3rem .8rem;border-bottom:1px solid #ccc;"
    "text-align:right}td:first-child,th:first-child{text-align:left}"
)


@dataclass(frozen=True)
class Page:
    """What the file of a comparison shows.

    Attributes:
        table: The table of `Comparison`.
        summary: One sentence.
        note: How to read the table.
        values: Everything, JSON-serialisable.
    """

    table: pd.DataFrame
    summary: str
    note: str
    values: dict[str, Any]


def save_page(page: Page, path: str | PathLike) -> None:
    """Writes a comparison as a file, whole or not at all.

    Args:
        page: The comparison.
        path: The file; its ending decides the format.

    Raises:
        ValueError: for an unknown ending.
    """
    writers = {
        ".md": _markdown,
        ".csv": lambda one: one.table.to_csv(index=False),
        ".json": _json,
        ".html": _html,
        ".tex": _latex,
    }
    ending = Path(path).suffix.lower()
    if ending not in writers:
        raise InvalidValueError(
            f"`path` must end with {', '.join(writers)}. Received: {quote(str(path))}"
        )
    write_text(path, writers[ending](page))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table for readers: rounded, with the interval beside each score, as text.

    Args:
        table: The table of `Comparison`.

    Returns:
        A table of texts; its columns are the axes, the scores, `difference`, `p` and `seconds`.
    """
    shown = {}
    for name in table:
        if name.endswith(("_low", "_high")):
            continue
        title = "p" if name == "p_value" else name.replace("_", " ")
        ends = (f"{name}_low", f"{name}_high")
        sign = "+" if name == "difference" else ""
        shown[title] = [
            _cell(row[name], tuple(row[end] for end in ends if end in table), sign)
            for _, row in table.iterrows()
        ]
    return pd.DataFrame(shown)


def _cell(value: object, ends: tuple, sign: str) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    text = f"{value:{sign}.3f}"
    return text if not ends or pd.isna(ends[0]) else f"{text} [{ends[0]:.3f}, {ends[1]:.3f}]"


def _markdown(page: Page) -> str:
    table = readable(page.table)
    lines = [list(table), *table.to_numpy().tolist()]
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    rule = "|---|" + "---:|" * (len(table.columns) - 1)
    return "\n".join([text[0], rule, *text[1:], "", page.summary, "", page.note, ""])


def _json(page: Page) -> str:
    return json.dumps(page.values, indent=2, ensure_ascii=False) + "\n"


def _html(page: Page) -> str:
    table = readable(page.table).to_html(index=False, border=0)
    notes = "".join(f"<p>{html.escape(text)}</p>" for text in (page.summary, page.note))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Comparison</title>'
        f"<style>{_STYLE}</style></head><body><h1>Comparison</h1>{notes}{table}</body></html>\n"
    )


def _latex(page: Page) -> str:
    return readable(page.table).to_latex(index=False, escape=True)
