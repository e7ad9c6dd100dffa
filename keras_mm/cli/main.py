"""`keras-mm`: the command line. Loads a backend only in commands that need one."""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import sys
import time
import tomllib
import traceback
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import keras_mm
from keras_mm.errors import ConfigError, KerasMMError
from keras_mm.files import new_file
from keras_mm.presets.presets import list_presets
from keras_mm.progress import progress_line
from keras_mm.settings.documentation import described, listed
from keras_mm.settings.problems import TABLES
from keras_mm.settings.settings import RunSettings, settings_from
from keras_mm.settings.toml import read_toml

_BACKENDS = ("jax", "tensorflow", "torch")

# Settings with a flag of their own; all others have `--set`, and all may stand in the TOML file.
_FLAGS = (
    "--data",
    "--validation-data",
    "--test-data",
    "--split-column",
    "--group-column",
    "--image-dir",
    "--images",
    "--texts",
    "--labels",
    "--head",
    "--preset",
    "--fusion",
    "--loss",
    "--class-weight",
    "--vision-weights",
    "--text-weights",
    "--epochs",
    "--seed",
    "--on-error",
    "--output",
)
_LISTS = ("--images", "--texts", "--labels")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0 (done), 1 (failed) or 2 (a problem of the request)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        _set_backend(options.backend)
        return _COMMANDS[options.command](options)
    except KeyboardInterrupt:
        print("keras-mm: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get("KERAS_MM_DEBUG"):
            traceback.print_exc()
        if isinstance(error, KerasMMError):
            print(f"keras-mm {options.command}: {error}", file=sys.stderr)
            return 2
        print(
            f"keras-mm {options.command}: {type(error).__name__}: {error}\n"
            "(KERAS_MM_DEBUG=1 shows where)",
            file=sys.stderr,
        )
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-mm",
        description="Multimodal classification: image(s) + text(s) to labels, in Keras 3.",
        epilog="Exit status: 0 done, 1 something unexpected failed, 2 a problem that the message "
        "explains. KERAS_MM_DEBUG=1 shows where an error was raised.",
    )
    parser.add_argument("--version", action="version", version=f"keras_mm {keras_mm.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--backend", help=f"Keras backend: {', '.join(_BACKENDS)}")
    common.add_argument("--json", action="store_true", help="JSON alone on stdout")
    common.add_argument(
        "--quiet", action="store_true", help="nothing on stderr but errors and warnings"
    )
    _add_train(commands, common)
    _add_check(commands, common)
    _add_uses(commands, common)
    commands.add_parser("presets", parents=[common], help="list the presets")
    cache = commands.add_parser(
        "cache",
        parents=[common],
        help="what is kept of frozen encoders' features, or remove it",
        description="The features that frozen encoders gave are kept on disk for later trainings "
        "and predictions. KERAS_MM_CACHE names another folder, KERAS_MM_CACHE_GB the most it may "
        "take (20).",
    )
    cache.add_argument("action", choices=("info", "clear"), help="tell what is there, or remove it")
    cache.add_argument("--folder", help="the folder given as `cache` (default: the user's)")
    return parser


def _add_train(commands, common) -> None:
    train = commands.add_parser(
        "train",
        parents=[common],
        help="train and evaluate a model; without --data, on the sample data",
        description="Trains a model, evaluates it on test rows and writes a run folder:\nconfig, "
        "log, history, metrics, predictions, report and the model.",
        epilog=_other_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(train, _FLAGS)
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="check settings and rows, and stop before any network is built",
    )


def _add_check(commands, common) -> None:
    check = commands.add_parser(
        "check",
        parents=[common],
        help="list everything that is wrong with a table",
        description="Checks every row of a table: files, texts, labels. Exits with 1 if any has an "
        "error; warnings alone, as of control characters in a text, exit with 0.",
    )
    names = ("--data", "--image-dir", "--images", "--texts", "--labels", "--head")
    _add_settings(check, names)


def _other_settings() -> str:
    """The settings that have no flag of their own, a paragraph each."""
    flags = {_name(flag) for flag in _FLAGS}
    plain = [f for f in fields(RunSettings) if f.name not in {*flags, *TABLES}]
    entries = [listed(f) for f in plain]
    entries += [listed(f, f"{name}.") for name, kind in TABLES.items() for f in fields(kind)]
    return "\n".join(["other settings, as --set NAME=VALUE or in the TOML file:", *entries])


def _name(flag: str) -> str:
    """The setting that a flag sets."""
    return flag[2:].replace("-", "_")


def _flag_help(flag: str) -> str:
    """What a setting means, from its declaration."""
    knobs = {f.name: f for f in fields(RunSettings)}
    several = " Several with commas between." if flag in _LISTS else ""
    return (described(knobs[_name(flag)]) + several).replace("%", "%%")


def _add_settings(parser, flags: Sequence[str]) -> None:
    parser.add_argument("--config", help="TOML file of settings")
    for flag in flags:
        parser.add_argument(flag, help=_flag_help(flag))
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting, as --set learning_rate=0.001 or --set training.gamma=3",
    )


def _add_uses(commands, common) -> None:
    words = {
        "evaluate": "evaluate a saved model on labelled rows",
        "predict": "predict labels for rows",
        "export": "write a SavedModel that answers raw images and strings",
    }
    for name, text in words.items():
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("--model", required=True, help="folder of a saved model, or of a run")
        needed = name != "export"
        command.add_argument("--data", required=needed, help="table of rows")
        command.add_argument("--image-dir", help=_flag_help("--image-dir"))
        if name == "evaluate":
            command.add_argument("--heads", help="heads to evaluate, with commas (default: all)")
        if name == "export":
            command.add_argument("--format", default="tf_saved_model", help="tf_saved_model")
            command.add_argument("--output", required=True, help="folder to write")
        else:
            file = "report .html" if name == "evaluate" else "predictions .csv"
            command.add_argument("--output", help=f"{file} to write")


def _set_backend(name: str | None) -> None:
    """Chooses the backend and quiets its start-up noise, before anything imports Keras."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    name = name or os.environ.get("KERAS_BACKEND")
    if name is None:
        return
    if name not in _BACKENDS:
        raise ConfigError([f"`backend` must be one of {_BACKENDS}. Received: {name!r}"])
    if importlib.util.find_spec(name) is None:
        raise ConfigError(
            [f"the backend {name!r} is not installed: pip install 'keras_mm[{name}]'"]
        )
    os.environ["KERAS_BACKEND"] = name


# --- settings from the command line --------------------------------------------------------------


def run_settings(options: argparse.Namespace) -> RunSettings:
    """Settings from `--config`, then `--set`, then flags; every problem told at once.

    Raises:
        ConfigError: listing every problem.
    """
    values: dict[str, Any] = read_toml(options.config) if options.config else {}
    problems = []
    for item in options.set:
        name, equals, text = item.partition("=")
        if not equals:
            problems.append(f"--set takes NAME=VALUE. Received: {item!r}")
            continue
        table, _, key = name.rpartition(".")
        target = values.setdefault(table, {}) if table else values
        if not isinstance(target, dict):
            problems.append(f"--set {item!r}: `{table}` holds {target!r}, which is no table")
            continue
        target[key] = _toml_value(text)
    for flag in _FLAGS:
        name = _name(flag)
        text = getattr(options, name, None)
        if text is None:
            continue
        table = values.get(name)
        if name == "fusion" and isinstance(table, dict) and "name" not in table:
            table["name"] = text  # --fusion X --set fusion.num_heads=2
        else:
            values[name] = _flag_value(name, text)
    if "data" not in values:
        values.setdefault("preset", "tiny")
    try:
        settings = settings_from(values, RunSettings)
    except ConfigError as error:
        raise ConfigError(problems + error.problems) from None
    if problems:
        raise ConfigError(problems)
    return settings


def _flag_value(name: str, text: str) -> Any:
    if name == "labels":
        found = _names(text)
        return found if len(found) > 1 else text.strip()
    if name in ("images", "texts"):
        return _names(text)
    return _toml_value(text) if name in ("epochs", "seed") else text


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _toml_value(text: str) -> Any:
    """`text` as TOML has it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


# --- commands ------------------------------------------------------------------------------------


def _train(options: argparse.Namespace) -> int:
    settings = run_settings(options)
    from keras_mm.cli.train import dry_run, train_run

    if options.dry_run:
        return _print(options, dry_run(settings, quiet=options.quiet))
    return _print(options, train_run(settings, quiet=options.quiet))


def _check(options: argparse.Namespace) -> int:
    settings = run_settings(options)
    from keras_mm.cli.train import check_run

    problems = check_run(settings, quiet=options.quiet)
    errors = [problem for problem in problems if problem.severity == "error"]
    warnings = f", {len(problems) - len(errors)} warnings" if len(problems) > len(errors) else ""
    if options.json:
        found = [{**vars(p), "row": None if p.row is None else str(p.row)} for p in problems]
        print(json.dumps({"problems": found}, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            print(problem)
        _tell(options, f"{len(errors)} problems{warnings}" if problems else "no problems")
    return 1 if errors else 0


def _evaluate(options: argparse.Namespace) -> int:
    heads = None if options.heads is None else _names(options.heads)
    report = _load(options).evaluate(options.data, heads=heads, image_dir=options.image_dir)
    if options.output:
        report.save(options.output)
    return _print(options, {**report.to_dict(), "summary": str(report)})


def _predict(options: argparse.Namespace) -> int:
    from keras_mm.inference.answers import written_frame

    classifier = _load(options)
    frame = classifier.predict_frame(options.data, image_dir=options.image_dir)
    frame = _with_rows(written_frame(frame, classifier.heads_))
    if options.output:
        _write_csv(frame, options.output)
        _tell(options, f"{len(frame)} predictions in {options.output}")
    if options.json:
        print(frame.to_json(orient="records", force_ascii=False))
    elif not options.output:
        print(frame.to_csv(index=False), end="")
    return 0


def _with_rows(frame):
    """The predictions with their index as the column `row`; of several levels a column for each."""
    names = ["row"]
    if frame.index.nlevels > 1:
        numbered = [f"row_{i}" for i in range(1, frame.index.nlevels + 1)]
        names = [
            n if name is None else str(name)
            for n, name in zip(numbered, frame.index.names, strict=True)
        ]
        if len({*names, *frame.columns}) < len(names) + len(frame.columns):
            names = numbered
    return frame.reset_index(names=names)


def _write_csv(frame, path: str) -> None:
    with new_file(path) as temporary:
        frame.to_csv(temporary, index=False)


def _export(options: argparse.Namespace) -> int:
    found = _load(options).export(
        options.output, format=options.format, data=options.data, image_dir=options.image_dir
    )
    found["summary"] = (
        f"{options.output}: {found['rows']} rows answered the same in a process without keras_mm "
        f"(largest difference {found['max_difference']:.1e})"
    )
    return _print(options, found)


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
        return _print(options, {"removed_bytes": num_bytes, "summary": summary})
    found = store.info()
    lines = [
        f"{found['folder']}: {found['bytes'] / 1e6:,.1f} MB of at most "
        f"{found['max_bytes'] / 1e9:g} GB, {found['entries']:,} entries"
    ]
    for one in found["encoders"]:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["last_used"]))
        what = " ".join(str(one.get(name, "?")) for name in ("side", "network", "output"))
        lines.append(
            f"  {what} on {one.get('backend', '?')}: {one['entries']:,} entries, "
            f"{one['bytes'] / 1e6:,.1f} MB, last used {used}"
        )
    return _print(options, {**found, "summary": "\n".join(lines)})


def _load(options: argparse.Namespace):
    """The classifier of `--model`: a saved model's folder, or a run folder that holds one."""
    nested = os.path.join(options.model, "model")
    folder = nested if os.path.isdir(nested) else options.model
    from keras_mm.inference.bundle import read_spec

    read_spec(folder)
    classifier = keras_mm.MultimodalClassifier.load(folder)
    return classifier.set_params(verbose=int(not options.quiet))


def _tell(options: argparse.Namespace, text: str) -> None:
    """A line on stderr about what was done."""
    if not options.quiet:
        progress_line(text)


def _print(options: argparse.Namespace, found: dict) -> int:
    summary = found.pop("summary", None)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False, default=str))
    elif summary:
        print(summary)
    return 0


_COMMANDS = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
    "check": _check,
    "presets": _presets,
    "cache": _cache,
}
