"""The command `keras-mm compare`."""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from keras_mm.cli.threads import use_threads
from keras_mm.data.samples import load_sample_data
from keras_mm.errors import ConfigError
from keras_mm.settings.settings import RunSettings, Settings
from keras_mm.settings.toml import read_toml

_FORMATS = ("md", "csv", "json", "html", "tex")
_SPLITS = ("validation_data", "test_data", "split_column", "id_column")
_FOLDS = 5


def compare_run(options: argparse.Namespace, settings: RunSettings) -> dict[str, Any]:
    """Compares the cells of a grid, and writes the results into a folder.

    Args:
        options: Arguments of the command.
        settings: The settings of the command line and of its file, without the grid.

    Returns:
        The cells as in `comparison.json`, the folder as `output`, and a text as `summary`.

    Raises:
        ConfigError: listing every problem of settings and grid, before anything is trained.
        TableError: listing every problem of the rows.
    """
    grid, repeats = _grid(options)
    misplaced = [name for name in _SPLITS if getattr(settings, name) is not None]
    if misplaced:
        raise ConfigError(
            [f"`{name}` is not used: each row of `data` is in a fold" for name in misplaced]
        )
    resolved = settings.resolved()
    use_threads((resolved.vision_backbone, resolved.text_backbone))
    output = Path(settings.output or f"runs/{time.strftime('%Y%m%d-%H%M%S')}-compare")
    from keras_mm.experiments.compare import compare

    found = compare(
        load_sample_data()[0] if settings.data is None else settings.data,
        grid,
        folds=_FOLDS if settings.folds is None else settings.folds,
        repeats=repeats,
        groups=settings.group_column,
        sample_weight=settings.weight_column,
        image_dir=settings.image_dir,
        output=output,
        **_keywords(settings, verbose=0 if options.quiet else settings.verbose),
    )
    for ending in _FORMATS:
        found.save(output / f"table.{ending}")
    return {
        **found.to_dict(),
        "output": str(output),
        "summary": f"{found}\ntables: {output}/table.{{{','.join(_FORMATS)}}}",
    }


def _grid(options: argparse.Namespace) -> tuple[Any, int]:
    """The grid and the number of repeats; the command line goes before the file."""
    values = read_toml(options.config) if options.config else {}
    grid = options.grid or values.get("grid")
    if grid is None:
        raise ConfigError(
            ["a grid is needed: a table [grid] in the file of --config, or --grid example"]
        )
    repeats = values.get("repeats", 1) if options.repeats is None else options.repeats
    return grid, repeats


def _keywords(settings: RunSettings, **changed: Any) -> dict[str, Any]:
    shared = ("folds",)
    values = {f.name: getattr(settings, f.name) for f in fields(Settings) if f.name not in shared}
    return {**values, **changed}
