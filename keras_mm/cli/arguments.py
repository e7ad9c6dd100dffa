"""The command line's arguments. Loads no backend."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields

from keras_mm.settings.documentation import described, listed
from keras_mm.settings.problems import TABLES
from keras_mm.settings.settings import RunSettings
from keras_mm.version import __version__

BACKENDS = ("jax", "tensorflow", "torch")

# Settings with a flag of their own; all others have `--set`, and all may stand in the TOML file.
FLAGS = (
    "--data",
    "--validation-data",
    "--test-data",
    "--split-column",
    "--group-column",
    "--weight-column",
    "--id-column",
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


def setting_of(flag: str) -> str:
    """The setting that a flag sets.

    Args:
        flag: One of `FLAGS`.

    Returns:
        The setting's name, as `image_dir` for `--image-dir`.
    """
    return flag[2:].replace("-", "_")


def create_parser() -> argparse.ArgumentParser:
    """The parser of `keras-mm` and its commands."""
    parser = argparse.ArgumentParser(
        prog="keras-mm",
        description="Multimodal classification: image(s) + text(s) to labels, in Keras 3.",
        epilog="Exit status: 0 for success; 2 if arguments, settings, files or rows are wrong, in "
        "every command: the message says what to correct; 1 for anything else: the message says "
        "where the traceback is. KERAS_MM_DEBUG=1 shows the traceback at once, and the log lines "
        "of TensorFlow and other libraries.",
    )
    parser.add_argument("--version", action="version", version=f"keras_mm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--backend", help=f"Keras backend: {', '.join(BACKENDS)}")
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
        help="show or clear the cache of frozen encoders' features",
        description="Features of frozen encoders are cached on disk for later trainings and "
        "predictions. KERAS_MM_CACHE sets the folder, KERAS_MM_CACHE_GB its largest size (20).",
    )
    cache.add_argument(
        "action", choices=("info", "clear"), help="show what is cached, or remove it"
    )
    cache.add_argument("--folder", help="the cache folder (default: the user's)")
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
    _add_settings(train, FLAGS)
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="check settings and rows, and stop before any network is built",
    )


def _add_check(commands, common) -> None:
    check = commands.add_parser(
        "check",
        parents=[common],
        help="list every problem of a table",
        description="Checks every row of a table: files, texts, labels, weights. Exits with 2 if "
        "any has an error; warnings alone, as of control characters in a text, exit with 0.",
    )
    names = ("--data", "--image-dir", "--images", "--texts", "--labels", "--head",
             "--weight-column")  # fmt: skip
    _add_settings(check, names)


def _other_settings() -> str:
    """The settings that have no flag of their own, a paragraph each."""
    flags = {setting_of(flag) for flag in FLAGS}
    plain = [f for f in fields(RunSettings) if f.name not in {*flags, *TABLES}]
    entries = [listed(f) for f in plain]
    entries += [listed(f, f"{name}.") for name, kind in TABLES.items() for f in fields(kind)]
    return "\n".join(["other settings, as --set NAME=VALUE or in the TOML file:", *entries])


def _flag_help(flag: str) -> str:
    """What a setting means, from its declaration."""
    knobs = {f.name: f for f in fields(RunSettings)}
    several = " Several with commas between." if flag in _LISTS else ""
    several += " Here photos:4 is a column of up to 4 images." if flag == "--images" else ""
    return (described(knobs[setting_of(flag)]) + several).replace("%", "%%")


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
    skipped = {
        "evaluate": "With skip the results count and list these rows, and the exit status is 0 as "
        "long as a row is left.",
        "predict": "With skip these rows have no prediction and their problem in the column "
        "`error`; a warning on stderr counts them, and the exit status is 0.",
        "export": "With skip these rows of --data are not compared.",
    }
    for name, text in words.items():
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("--model", required=True, help="folder of a saved model, or of a run")
        needed = name != "export"
        command.add_argument("--data", required=needed, help="table of rows")
        command.add_argument("--image-dir", help=_flag_help("--image-dir"))
        if name != "export":
            command.add_argument("--id-column", help=_flag_help("--id-column"))
        command.add_argument(
            "--on-error",
            choices=("raise", "skip"),
            default="raise",
            help=f"{_flag_help('--on-error')} {skipped[name]}",
        )
        if name == "evaluate":
            command.add_argument("--heads", help="heads to evaluate, with commas (default: all)")
            command.add_argument(
                "--weight-column",
                help="column of numbers >= 0: what each row counts in all metrics (default: that "
                "of the run, if the table has it; '' for none)",
            )
        if name == "export":
            command.add_argument("--format", default="tf_saved_model", help="tf_saved_model")
            command.add_argument("--output", required=True, help="folder to write")
        else:
            file = "report .html" if name == "evaluate" else "predictions .csv"
            command.add_argument("--output", help=f"{file} to write")
