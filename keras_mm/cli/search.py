"""The command `keras-mm search`."""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from keras_mm.cli.threads import use_threads
from keras_mm.errors import ConfigError
from keras_mm.settings.settings import RunSettings, Settings

_FORMATS = ("md", "csv", "json", "html", "tex")
_NOT_USED = ("validation_data", "split_column", "id_column")
_CHOSEN = ("members", "blend_metric")
_FOLDS = 5


def search_run(options: argparse.Namespace, settings: RunSettings) -> dict[str, Any]:
    """Searches a model, and writes it into a folder with what was tried.

    Args:
        options: Arguments of the command.
        settings: The settings of the command line and of its file.

    Returns:
        The result as in `leaderboard.json`, the folder as `output`, and a text as `summary`.

    Raises:
        ConfigError: listing every problem of the settings, before anything is trained.
        TableError: listing every problem of the rows.
    """
    problems = [f"`{name}` is not used" for name in _NOT_USED if getattr(settings, name)]
    problems += [f"`{name}` is chosen by the search" for name in _CHOSEN if getattr(settings, name)]
    if settings.data is None:
        problems.append("a table is needed: --data rows.csv")
    if problems:
        raise ConfigError(problems)
    resolved = settings.resolved()
    use_threads((resolved.vision_backbone, resolved.text_backbone))
    output = Path(settings.output or f"runs/{time.strftime('%Y%m%d-%H%M%S')}-search")
    from keras_mm.experiments.search import search

    values = {f.name: getattr(settings, f.name) for f in fields(Settings)}
    for name in (*_CHOSEN, "folds", "verbose"):
        del values[name]
    found = search(
        settings.data,
        time_limit=options.time_limit,
        metric=options.metric,
        groups=settings.group_column,
        folds=_FOLDS if settings.folds is None else settings.folds,
        test_data=settings.test_data,
        sample_weight=settings.weight_column,
        image_dir=settings.image_dir,
        output=output,
        verbose=0 if options.quiet else settings.verbose,
        **values,
    )
    found.best.save(output / "model", overwrite=True)
    for ending in _FORMATS:
        found.save(output / f"leaderboard.{ending}")
    return {
        **found.to_dict(),
        "output": str(output),
        "summary": f"{found}\nmodel: {output}/model; tables: "
        f"{output}/leaderboard.{{{','.join(_FORMATS)}}}",
    }
