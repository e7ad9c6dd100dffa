"""The results of a comparison: a table with intervals and tests, and files of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.folds import Fold
from keras_mm.data.tables.rows import Rows
from keras_mm.experiments.cell_scores import (
    MAIN_SCORES,
    CellScores,
    majority_scores,
    score_cell,
)
from keras_mm.experiments.comparison_files import Page, save_page
from keras_mm.experiments.grid import Cell
from keras_mm.metrics.significance import corrected_t_test, holm
from keras_mm.settings.heads import Head

MAJORITY = "majority"  # the value of each axis in the line of the majority class
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """The results of a comparison.

    Attributes:
        table: A line for the majority class (for numbers, the mean), then one for each cell in the
            order of the grid. Columns: the axes of the grid; the scores over all rows, each
            predicted by the trunk that was not trained on it, as means over the repeats, some with
            `_low` and `_high`, the ends of their 95% interval by bootstrap over the rows or
            groups; `difference`, that of the main score to the reference, with `_low`, `_high` and
            `p_value` (corrected t-test over the folds of all repeats, by Holm's method for all
            lines); `seconds` of training.
        reference: The name of the cell that the others are compared with, the first.
        main_score: The score that is compared: `"accuracy"`, `"subset_accuracy"` or `"r2"`.
        about: Number of rows, folds and repeats.
    """

    table: pd.DataFrame
    reference: str
    main_score: str
    about: dict[str, Any]

    @classmethod
    def of_cells(
        cls,
        cells: Sequence[Cell],
        name: str,
        head: Head,
        rows: Rows,
        folds: Sequence[Sequence[Fold]],
        frames: Mapping[int, Sequence[pd.DataFrame]],
    ) -> Comparison:
        """Scores the predictions of all cells.

        Args:
            cells: The cells, in order; the first is the reference.
            name: Name of the head.
            head: The head, with its classes.
            rows: The rows, with labels.
            folds: The folds of each repeat.
            frames: For the number of each cell its predictions, one table for each repeat.

        Returns:
            The comparison.
        """
        scored = [majority_scores(head, rows, rows.labels[name], folds)]
        scored += [
            score_cell(head, rows, rows.labels[name], folds, frames[place])
            for place in range(len(cells))
        ]
        values = [dict.fromkeys(cells[0].values, MAJORITY), *(cell.values for cell in cells)]
        lines = pd.DataFrame([{**v, **one.line} for v, one in zip(values, scored, strict=True)])
        shares = len(folds[0][0].held_out) / len(rows)
        tested = _tests(scored, MAIN_SCORES[head.kind], shares)
        seconds = [float("nan")] + [
            float(sum(frame["seconds"].iloc[0] for frame in frames[place]))
            for place in range(len(cells))
        ]
        table = pd.concat([lines, tested], axis=1).assign(seconds=seconds)
        about = {"rows": len(rows), "folds": len(folds[0]), "repeats": len(folds)}
        return cls(table, cells[0].name, MAIN_SCORES[head.kind], about)

    @property
    def axes(self) -> list[str]:
        """Names of the axes of the grid."""
        columns = list(self.table)
        return columns[: columns.index(self.main_score)]

    @property
    def summary(self) -> str:
        """One sentence: which cell is best, and whether it differs from the reference."""
        cells = self.table.iloc[1:]
        best = cells[self.main_score].idxmax()
        row = self.table.loc[best]
        name, score = ", ".join(row[self.axes]), self.main_score.replace("_", " ")
        majority = self.table.iloc[0][self.main_score]
        text = f"best {score} {row[self.main_score]:.3f}: {name} (majority {majority:.3f})"
        if best == cells.index[0]:
            return f"{text}; it is the reference"
        told = "significantly" if row["p_value"] <= _SIGNIFICANT else "not significantly"
        return (
            f"{text}; {told} different from {self.reference} by {row['difference']:+.3f} "
            f"[{row['difference_low']:+.3f}, {row['difference_high']:+.3f}], "
            f"p = {row['p_value']:.3f}"
        )

    def save(self, path: str | PathLike) -> None:
        """Writes the table as a file, whole or not at all.

        Args:
            path: The file; its ending is `.md`, `.csv`, `.json`, `.html` or `.tex`.

        Raises:
            ValueError: for another ending.
        """
        about, score = self.about, self.main_score.replace("_", " ")
        note = (
            f"{about['rows']} rows, {about['folds']} folds, drawn {about['repeats']} times. Each "
            "row is predicted by the trunk that was not trained on it. Square brackets: 95% "
            f"intervals. Difference: {score} against {self.reference}, corrected t-test over the "
            "folds; p by Holm's method."
        )
        save_page(Page(self.table, self.summary, note, self.to_dict()), path)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON-serialisable values.

        Returns:
            `reference`, `main_score`, `about`, the sentence `result`, and `cells`, the lines of
            the table.
        """
        return {
            "reference": self.reference,
            "main_score": self.main_score,
            "about": self.about,
            "result": self.summary,
            "cells": json.loads(self.table.to_json(orient="records")),
        }

    def __str__(self) -> str:
        shown = self.table.drop(columns=[n for n in self.table if n.endswith(("_low", "_high"))])
        text = shown.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="")
        return f"{text}\n{self.summary}"


def _tests(scored: Sequence[CellScores], main: str, test_share: float) -> pd.DataFrame:
    """The differences to the reference, the line after the majority class."""
    reference = scored[1].by_fold[main]
    lines: list[dict[str, float]] = []
    for place, one in enumerate(scored):
        differences = one.by_fold[main] - reference
        if place == 1 or not np.isfinite(differences).all():
            lines.append({"difference": 0.0 if place == 1 else float("nan")})
            continue
        found = corrected_t_test(differences, 1 - test_share, test_share)
        lines.append(
            {
                "difference": found.value,
                "difference_low": found.low,
                "difference_high": found.high,
                "p_value": found.p_value,
            }
        )
    names = ["difference", "difference_low", "difference_high", "p_value"]
    table = pd.DataFrame(lines).reindex(columns=names)
    known = table["p_value"].notna()
    if known.any():
        table.loc[known, "p_value"] = holm(table.loc[known, "p_value"].to_numpy())
    return table
