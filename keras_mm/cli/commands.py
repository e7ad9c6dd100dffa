"""The commands of `keras-mm`. A command loads a backend only if it needs one."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from keras_mm.cli.output import note, print_result
from keras_mm.cli.run_settings import baseline_names, check_columns, run_settings, split_names
from keras_mm.cli.trained_model import (
    check_decisions,
    check_rows,
    find_group_column,
    find_weight_column,
    load,
)
from keras_mm.data.tables.header import check_names
from keras_mm.data.tables.ids import with_ids
from keras_mm.errors import problem_lines
from keras_mm.files import new_file
from keras_mm.presets.presets import list_presets
from keras_mm.progress import counted
from keras_mm.settings.baselines import chosen_baselines

if TYPE_CHECKING:
    import pandas as pd


def _train(options: argparse.Namespace) -> int:
    settings = run_settings(options)
    check_columns(settings)
    from keras_mm.cli.train import dry_run, train_run

    if options.dry_run:
        return print_result(options, dry_run(settings, quiet=options.quiet))
    return print_result(options, train_run(settings, quiet=options.quiet))


def _check(options: argparse.Namespace) -> int:
    settings = run_settings(options)
    check_columns(settings)
    from keras_mm.cli.run_rows import check_run

    problems = check_run(settings, quiet=options.quiet)
    errors = [problem for problem in problems if problem.severity == "error"]
    num_warnings = len(problems) - len(errors)
    warnings = f", {counted(num_warnings, 'warning')}" if num_warnings else ""
    if options.json:
        rows = [{**vars(p), "row": None if p.row is None else str(p.row)} for p in problems]
        print(json.dumps({"problems": rows}, indent=2, ensure_ascii=False))
    else:
        for line in map(str, problems) if options.all else problem_lines(problems):
            print(line)
        summary = f"{counted(len(errors), 'problem')}{warnings}" if problems else "no problems"
        note(options, summary)
    return 2 if errors else 0


def _evaluate(options: argparse.Namespace) -> int:
    heads = None if options.heads is None else split_names(options.heads)
    ids = check_rows(options, labels=True, heads=heads)
    check_names(options.data, [] if options.by is None else [options.by])
    baselines = chosen_baselines(baseline_names(options.baselines))
    weight_column = find_weight_column(options)
    classifier = load(options)
    from keras_mm.cli.run_baselines import training_rows

    train = training_rows(options, classifier) if baselines else None
    report = classifier.evaluate(
        options.data,
        heads=heads,
        by=options.by,
        sample_weight=weight_column,
        baselines=baselines if train is not None else "none",
        train=train,
        groups=find_group_column(options),
        image_dir=options.image_dir,
        on_error=options.on_error,
    )
    if ids is not None:
        predictions, name = with_ids(report.predictions, ids)
        report = replace(report, predictions=predictions, id_column=name)
    if options.output:
        report.save(options.output)
    from keras_mm.evaluation.report.terminal import render_text

    return print_result(options, {**report.to_dict(), "summary": render_text(report)})


def _predict(options: argparse.Namespace) -> int:
    check_decisions(options)
    ids = check_rows(options)
    classifier = load(options)
    from keras_mm.inference.answers import written_frame

    frame = classifier.predict_frame(
        options.data,
        decide=options.decide,
        image_dir=options.image_dir,
        on_error=options.on_error,
    )
    frame = written_frame(frame, classifier.heads_)
    if ids is not None:
        frame, _ = with_ids(frame, ids, place=0)
    frame = _with_rows(frame)
    if options.output:
        _write_csv(frame, options.output)
        note(options, f"{counted(len(frame), 'prediction')} in {options.output}")
    if options.json:
        print(frame.to_json(orient="records", force_ascii=False))
    elif not options.output:
        print(frame.to_csv(index=False), end="")
    return 0


def _with_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Moves the index of predictions to the column `row`; a MultiIndex to one column per level."""
    names = ["row"]
    if frame.index.nlevels > 1:
        numbered = [f"row_{i}" for i in range(1, frame.index.nlevels + 1)]
        names = [
            n if name is None else str(name)
            for n, name in zip(numbered, frame.index.names, strict=True)
        ]
        if len({*names, *frame.columns}) < len(names) + len(frame.columns):
            names = numbered  # a level's name is the name of another column
    return frame.reset_index(names=names)


def _write_csv(frame: pd.DataFrame, path: str) -> None:
    with new_file(path) as temporary:
        frame.to_csv(temporary, index=False)


def _export(options: argparse.Namespace) -> int:
    result = load(options).export(
        options.output,
        format=options.format,
        data=options.data,
        image_dir=options.image_dir,
        on_error=options.on_error,
    )
    result["summary"] = (
        f"{options.output}: same predictions for {result['rows']} rows in a process without "
        f"keras_mm (largest difference {result['max_difference']:.1e})"
    )
    return print_result(options, result)


def _compare(options: argparse.Namespace) -> int:
    settings = run_settings(options, without=("grid", "repeats"))
    check_columns(settings)
    from keras_mm.cli.compare import compare_run

    return print_result(options, compare_run(options, settings))


def _search(options: argparse.Namespace) -> int:
    settings = run_settings(options)
    check_columns(settings)
    from keras_mm.cli.search import search_run

    return print_result(options, search_run(options, settings))


def _presets(options: argparse.Namespace) -> int:
    presets = list_presets()
    if options.json:
        rows = [
            {
                "name": preset.name,
                "description": preset.description,
                "parameters": preset.parameters,
                "download_mb": preset.download_mb,
                "license": preset.license,
                "downloads": [b.handle for b in preset.backbones if b.handle],
            }
            for preset in presets.values()
        ]
        print(json.dumps(rows, indent=2))
        return 0
    for preset in presets.values():
        size = f"{preset.download_mb:.0f} MB" if preset.download_mb else "nothing"
        print(f"{preset.name}\n  {preset.description}")
        print(f"  {preset.parameters / 1e6:.1f} M weights, {preset.license}; downloads {size}")
        for backbone in preset.backbones:
            if backbone.handle:
                print(f"    {backbone.handle} ({backbone.download_mb:.0f} MB)")
    return 0


def _cache(options: argparse.Namespace) -> int:
    from keras_mm.features.store.store import FeatureStore

    store = FeatureStore(options.folder)
    if options.action == "clear":
        num_bytes = store.clear()
        summary = f"{num_bytes / 1e6:,.1f} MB removed from {store.folder}"
        return print_result(options, {"removed_bytes": num_bytes, "summary": summary})
    info = store.info()
    lines = [
        f"{info['folder']}: {info['bytes'] / 1e6:,.1f} MB of at most "
        f"{info['max_bytes'] / 1e9:g} GB, {info['entries']:,} entries"
    ]
    for encoder in info["encoders"]:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(encoder["last_used"]))
        name = " ".join(str(encoder.get(key, "?")) for key in ("side", "network", "output"))
        lines.append(
            f"  {name} on {encoder.get('backend', '?')}: {encoder['entries']:,} entries, "
            f"{encoder['bytes'] / 1e6:,.1f} MB, last used {used}"
        )
    return print_result(options, {**info, "summary": "\n".join(lines)})


# The commands by name. Each returns the exit status.
COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "compare": _compare,
    "search": _search,
    "export": _export,
    "check": _check,
    "presets": _presets,
    "cache": _cache,
}
