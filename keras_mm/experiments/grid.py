"""The cells of a grid: combinations of settings, all checked before anything runs. No backend."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from keras_mm.checks import quote, unknown_name
from keras_mm.errors import ConfigError
from keras_mm.experiments.cell_scores import COLUMNS
from keras_mm.files import stamp
from keras_mm.settings.settings import Settings, find_problems

MODALITIES = ("image_and_text", "image", "text")
_SIDES = {"image": "vision", "text": "text"}
# Settings that are the same in all cells: they say which rows are read, and how they are divided.
_SHARED = ("images", "texts", "labels", "head", "classes", "folds", "seed", "warm_start", "verbose")

# The table of the Keras example on multimodal entailment: each modality, and three losses.
EXAMPLE_GRID: dict[str, Any] = {
    "modalities": list(MODALITIES),
    "objective": {
        "cross-entropy": {"loss": "cross_entropy"},
        "weighted": {"loss": "cross_entropy", "class_weight": "balanced"},
        "focal": {"loss": "focal"},
    },
}


@dataclass(frozen=True)
class Cell:
    """One combination of a grid.

    Attributes:
        values: The value of each axis, as text, by name of the axis.
        settings: The settings that the cell changes, by name.
        modalities: One of `MODALITIES`, or `None` for those of the table.
    """

    values: dict[str, str]
    settings: dict[str, Any]
    modalities: str | None = None

    @property
    def name(self) -> str:
        """The values of all axes, such as `"text, focal"`."""
        return ", ".join(self.values.values())

    def apply(self, base: Settings) -> Settings:
        """The settings of the cell.

        Args:
            base: The settings of all cells, with columns.

        Returns:
            The settings, with the columns of the cell's modalities.
        """
        chosen = replace(base, **self.settings)
        side = _SIDES.get(self.modalities or "")
        return chosen if side is None else chosen.one_side(side)

    def key(self, base: Settings) -> str:
        """A name for the files of the cell, from everything that its result depends on.

        Args:
            base: The settings of all cells, with columns.

        Returns:
            16 hexadecimal digits.
        """
        chosen = self.apply(base)
        values = {f.name: getattr(chosen, f.name) for f in fields(Settings)}
        for name in ("cache", "verbose", "seed"):  # without influence, or part of the file's name
            del values[name]
        for name in ("vision_weights", "text_weights", "vision_backbone", "text_backbone"):
            values[name] = stamp(values[name])
        text = json.dumps(values, sort_keys=True, default=_described)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _described(value: Any) -> Any:
    """A value for JSON: networks and layers by config and weights, as their `repr` is a name."""
    if not hasattr(value, "get_config"):
        return repr(value)
    digest = hashlib.sha256()
    for array in value.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return [type(value).__qualname__, value.get_config(), digest.hexdigest()]


def expand_grid(grid: Mapping[str, Any] | str, base: Settings) -> list[Cell]:
    """Lists the cells of a grid: each combination of a value of each axis.

    Args:
        grid: `"example"`, for `EXAMPLE_GRID`; or values by name of the axis. For an axis that is a
            setting, such as `fusion` or `learning_rate`, a list of values; a setting of
            `training=` is named `training.gamma`. For `modalities` a list of `"image_and_text"`,
            `"image"` and `"text"`. Any other axis is a dict of names to dicts of settings.
        base: The settings of all cells.

    Returns:
        The cells; the last axis varies fastest.

    Raises:
        ConfigError: listing every axis, value and cell that is not allowed.

    Example:
        >>> cells = expand_grid({"loss": ["cross_entropy", "focal"], "epochs": [2, 4]}, Settings())
        >>> [cell.name for cell in cells][:2], cells[3].settings
        (['cross_entropy, 2', 'cross_entropy, 4'], {'loss': 'focal', 'epochs': 4})
    """
    grid = EXAMPLE_GRID if grid == "example" else grid
    if not (isinstance(grid, Mapping) and grid):
        raise ConfigError([f"`grid` must be a dict of axes. Received: {quote(grid)}"], "grid")
    axes, problems = {}, []
    for name, values in grid.items():
        axis_problems = _axis_problems(name, values)
        problems += axis_problems
        if not axis_problems:
            axes[name] = _options(name, values)
    problems += _settings_of_two_axes(axes)
    if problems:
        raise ConfigError(problems, "grid")
    cells = [
        _cell(dict(zip(axes, labels, strict=True)), axes, base)
        for labels in itertools.product(*axes.values())
    ]
    problems = [problem for cell in cells for problem in _cell_problems(cell, base)]
    if problems:
        raise ConfigError(problems, "grid")
    return cells


def _axis_problems(name: str, values: Any) -> list[str]:
    known = [f.name for f in fields(Settings) if f.name not in _SHARED]
    if name in _SHARED:
        return [f"`{name}` is the same in all cells; set it outside of the grid"]
    if name in COLUMNS:
        return [f"`{name}` is a column of the results; choose another name for the axis"]
    if isinstance(values, Mapping):
        wrong = [label for label, settings in values.items() if not isinstance(settings, Mapping)]
        if wrong or not values:
            return [f"`{name}` must be a dict of names to settings. Received: {quote(values)}"]
        names = [key for settings in values.values() for key in settings]
        return [
            unknown_name(f"setting of the axis `{name}`:", key, known)
            for key in names
            if key.partition(".")[0] not in known
        ]
    if name != "modalities" and name.partition(".")[0] not in known:
        return [unknown_name("axis", name, ["modalities", *known])]
    if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
        return [f"`{name}` must be a list of values. Received: {quote(values)}"]
    if len({str(value) for value in values}) < len(values):
        return [f"`{name}` names a value twice. Received: {quote(values)}"]
    unknown = [value for value in values if name == "modalities" and value not in MODALITIES]
    return [unknown_name("value of `modalities`:", str(value), MODALITIES) for value in unknown]


def _settings_of_two_axes(axes: Mapping[str, Mapping[str, Mapping]]) -> list[str]:
    """Refuses settings that two axes set: the later axis would replace the values of the other."""
    users: dict[str, list[str]] = {}
    for axis, options in axes.items():
        for name in dict.fromkeys(name for settings in options.values() for name in settings):
            users.setdefault(name, []).append(axis)
    return [
        f"`{name}` is set by the axes {quote(used)}; set it in one of them"
        for name, used in users.items()
        if len(used) > 1
    ]


def _options(name: str, values: Any) -> dict[str, dict[str, Any]]:
    """The settings of each value of an axis, by the value as text."""
    if isinstance(values, Mapping):
        return {str(label): dict(settings) for label, settings in values.items()}
    return {str(value): {name: value} for value in values}


def _cell(values: dict[str, str], axes: Mapping[str, dict], base: Settings) -> Cell:
    """The cell with these values of the axes."""
    chosen: dict[str, Any] = {}
    for name, label in values.items():
        chosen.update(axes[name][label])
    modalities = chosen.pop("modalities", None)
    settings: dict[str, Any] = {}
    for name, value in chosen.items():
        table, _, field = name.partition(".")
        if field:  # such as training.gamma
            before = settings.get(table, getattr(base, table))
            settings[table] = {**_plain(before), field: value}
        else:
            settings[name] = value
    return Cell(values, settings, modalities)


def _plain(table: Any) -> dict[str, Any]:
    """The values of a table of settings that are set."""
    values = table if isinstance(table, Mapping) else {} if table is None else vars(table)
    return {name: value for name, value in values.items() if value is not None}


def _cell_problems(cell: Cell, base: Settings) -> list[str]:
    """Everything that is wrong with a cell, each with its name."""
    needs = {"image": "images", "text": "texts"}
    problems = [
        f"the table has no {columns}"
        for modality, columns in needs.items()
        if cell.modalities in (modality, "image_and_text") and not getattr(base, columns)
    ]
    problems += find_problems(cell.apply(base))
    return [f"{cell.name}: {problem}" for problem in problems]
