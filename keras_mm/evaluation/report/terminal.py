"""Renders the results of an evaluation as plain text for a terminal."""

from __future__ import annotations

from keras_mm.evaluation.report.classes import average_lines, class_table
from keras_mm.evaluation.report.decisions import decision_line
from keras_mm.evaluation.report.findings import Table
from keras_mm.evaluation.report.slice_table import slice_lines
from keras_mm.evaluation.results import HeadEvaluation, Results

_MOST_ROWS = 20  # largest number of classes of a head that are listed


def render_text(evaluation: Results) -> str:
    """Renders a summary of each head, and its scores by class, label or target as a table.

    Args:
        evaluation: The results, as returned by `MultimodalClassifier.evaluate`.

    Returns:
        Lines of text. For more than 20 classes or labels, the table has only the averages. For a
        single target, or for more than 20, there is no table. If the rows were divided by a column,
        a line follows on it. If rows were left out, the last line gives their number.
    """
    lines = []
    for name, result in evaluation.heads.items():
        title = f"{name}: {result}" if evaluation.several else str(result)
        decisions = decision_line(result)
        lines += [title, *_aligned(_table(result)), *slice_lines(result)]
        lines += [decisions] if decisions else []
    return "\n".join([*lines, evaluation.skipped_summary] if evaluation.num_skipped else lines)


def _table(result: HeadEvaluation) -> Table:
    """A table of a head, short enough for a terminal; without rows if the head has no table."""
    if not result.metrics or (result.head.kind == "regression" and len(result.classes) == 1):
        return Table((), ())
    if len(result.classes) <= _MOST_ROWS:
        return class_table(result)[0]
    plural = "labels" if result.head.kind == "multilabel" else "classes"
    header = (f"{len(result.classes):,} {plural}", "Precision", "Recall", "F1", "Test rows")
    return Table(header, (), average_lines(result))


def _aligned(table: Table) -> list[str]:
    """Lines of text with the first column aligned left and the others aligned right."""
    lines = [*table.rows, *table.averages]
    if not lines:
        return []
    cells = [[" ".join(str(cell).split()) for cell in line] for line in (table.header, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            [
                first.ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
            ]
        ).rstrip()
        for first, *rest in cells
    ]
