"""Lists the scores of a head by the values of a column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_mm.evaluation.report.comparison import constant_name
from keras_mm.evaluation.report.formats import Table, percent
from keras_mm.evaluation.results import BASELINE_SCORES, FEW_ROWS, SCORES, HeadEvaluation

_NAMES = {
    "accuracy": "Accuracy",
    "subset_accuracy": "All labels right",
    "mean_absolute_error": "Mean absolute error",
    "macro_f1": "Macro-F1",
    "log_loss": "Log loss",
    "root_mean_squared_error": "Root mean squared error",
    "r2": "R²",
}
_IN_PERCENT = ("accuracy", "subset_accuracy")
_IN_UNITS = ("mean_absolute_error", "root_mean_squared_error")  # of the targets
SLICES_NOTE = (
    f"Square brackets: 95% interval. “Few”: fewer than {FEW_ROWS} rows, whose scores say little. "
    "Macro-F1 is the mean over the classes that occur among the rows of a line, so lines with "
    "other classes cannot be compared by it."
)


def slice_tables(result: HeadEvaluation) -> dict[str, Table]:
    """Lists the scores of a head by the values of a column.

    Args:
        result: The results of a head.

    Returns:
        By column a table with a line per value: number of rows, scores, and the main score of the
        baseline.
    """
    main = SCORES[result.head.kind][1]
    tables = {}
    for column, slices in result.slices.items():
        first: Mapping[str, Any] = next(iter(slices.values()), {})
        others = [name for name in _NAMES if name in first and name != main]
        header = ("Value", "Test rows", _NAMES[main], constant_name(result))
        rows = [
            [
                value,
                f"{scores['num_rows']}{' (few)' if scores['small'] else ''}",
                _cell(scores, main),
                _number(main, scores[BASELINE_SCORES[result.head.kind]]),
                *(_cell(scores, name) for name in others),
            ]
            for value, scores in slices.items()
        ]
        tables[column] = Table((*header, *(_NAMES[name] for name in others)), rows)
    return tables


def slice_lines(result: HeadEvaluation) -> list[str]:
    """Summarises the scores of a head by the values of a column.

    Args:
        result: The results of a head.

    Returns:
        A line per column: the values with the lowest and the highest main score among those with
        enough rows, and the number of values with few rows.
    """
    main = SCORES[result.head.kind][1]
    lines = []
    for column, slices in result.slices.items():
        large = {value: scores for value, scores in slices.items() if not scores["small"]}
        parts = []
        if large:
            ends = [pick(large, key=lambda value: large[value][main]) for pick in (min, max)]
            shown = [f"{_cell(large[end], main)} ({end!r})" for end in dict.fromkeys(ends)]
            parts.append(f"{_NAMES[main].lower()} {' to '.join(shown)}")
        if few := len(slices) - len(large):
            total = f"{few} of {len(slices)} values"
            parts.append(f"{total} with fewer than {FEW_ROWS} rows, not compared")
        lines.append(f"by {column!r}: {'; '.join(parts) or 'no row has a label'}")
    return lines


def _cell(scores: Mapping[str, Any], name: str) -> str:
    text = _number(name, scores[name])
    if f"{name}_interval" not in scores:
        return text
    low, high = (_number(name, end).rstrip("%") for end in scores[f"{name}_interval"])
    return f"{text} [{low}, {high}]"


def _number(name: str, value: float) -> str:
    if name in _IN_PERCENT:
        return percent(value)
    return f"{value:.4g}" if name in _IN_UNITS else f"{value:z.3f}"
