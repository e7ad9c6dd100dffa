"""Renders the results of an evaluation as plain text for a terminal."""

from __future__ import annotations

from keras_mm.evaluation.report.classes import average_lines, class_table
from keras_mm.evaluation.report.comparison import compare_briefly
from keras_mm.evaluation.report.decisions import decision_line
from keras_mm.evaluation.report.formats import Table
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
        a line follows on it. If rows were left out, a line gives their number. Last come the
        baselines, see `render_baselines`.
    """
    lines = []
    for name, result in evaluation.heads.items():
        title = f"{name}: {result}" if evaluation.several else str(result)
        decisions = decision_line(result)
        lines += [title, *_aligned(_table(result)), *slice_lines(result)]
        lines += [decisions] if decisions else []
    lines += [evaluation.skipped_summary] if evaluation.num_skipped else []
    return "\n".join([*lines, render_baselines(evaluation)])


def render_baselines(evaluation: Results) -> str:
    """Renders the scores of trained baselines, notes, and at the end the verdict on each head.

    Args:
        evaluation: The results, as returned by `MultimodalClassifier.evaluate`.

    Returns:
        Lines of text. A head without trained baselines has only its verdict.
    """
    lines: list[str] = []
    for name, result in evaluation.heads.items():
        head = f"{name}: " if evaluation.several else ""
        if len(result.baselines) > 1:
            table = compare_briefly(result)
            lines += _aligned(Table((head + table.header[0], *table.header[1:]), table.rows))
    lines += evaluation.notes
    for name, result in evaluation.heads.items():
        head = f"{name}: " if evaluation.several else ""
        lines.append(f"{head}{result.verdict.sentence}")
    return "\n".join(lines)


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
