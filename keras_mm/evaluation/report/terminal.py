"""Results of an evaluation as plain text for a terminal."""

from __future__ import annotations

from keras_mm.evaluation.report.classes import average_lines, class_table
from keras_mm.evaluation.report.findings import Table
from keras_mm.evaluation.results import HeadEvaluation, Results

_MOST_ROWS = 20  # classes of a head that are listed


def render_text(evaluation: Results) -> str:
    """The summary of each head, and its classes, labels or targets as a table.

    Args:
        evaluation: What `MultimodalClassifier.evaluate` returned.

    Returns:
        Lines of text. Of more than 20 classes or labels only the averages are listed; of a single
        target, or of more than 20, there is no table.
        The last line counts rows that were left out, if there are any.
    """
    found = []
    for name, one in evaluation.heads.items():
        title = f"{name}: {one}" if evaluation.several else str(one)
        found += [title, *_aligned(_table(one))]
    return "\n".join([*found, evaluation.skipped_summary] if evaluation.num_skipped else found)


def _table(one: HeadEvaluation) -> Table:
    """The table of a head that is short enough for a terminal; without rows if there is none."""
    if not one.metrics or (one.head.kind == "regression" and len(one.classes) == 1):
        return Table((), ())
    if len(one.classes) <= _MOST_ROWS:
        return class_table(one)[0]
    plural = "labels" if one.head.kind == "multilabel" else "classes"
    header = (f"{len(one.classes):,} {plural}", "Precision", "Recall", "F1", "Test rows")
    return Table(header, (), average_lines(one))


def _aligned(table: Table) -> list[str]:
    """Lines with the first column to the left and the others to the right."""
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
