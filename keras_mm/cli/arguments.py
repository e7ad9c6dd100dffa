"""The arguments of the command line. Loads no backend."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields

from keras_mm.settings.documentation import described, listed
from keras_mm.settings.problems import TABLES
from keras_mm.settings.settings import RunSettings
from keras_mm.version import __version__

BACKENDS = ("jax", "tensorflow", "torch")

# The settings that have a flag. `--set` and the TOML file accept all settings.
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
    "--folds",
    "--seed",
    "--on-error",
    "--baselines",
    "--output",
)
# The flags of what `compare` does by its folds.
_SPLIT_FLAGS = (
    "--validation-data",
    "--test-data",
    "--split-column",
    "--id-column",
    "--on-error",
    "--baselines",
)
_LISTS = ("--images", "--texts", "--labels", "--baselines")


def setting_of(flag: str) -> str:
    """Returns the name of the setting that a flag sets.

    Args:
        flag: One of `FLAGS`.

    Returns:
        The name, such as `"image_dir"` for `--image-dir`.

    Example:
        >>> setting_of("--image-dir")
        'image_dir'
    """
    return flag[2:].replace("-", "_")


def create_parser() -> argparse.ArgumentParser:
    """Creates the argument parser of `keras-mm`, with a subparser for each command.

    Returns:
        The parser. The parsed arguments have the name of the command as `command`, or `None` if
        there is none.
    """
    parser = argparse.ArgumentParser(
        prog="keras-mm",
        description="Multimodal classification with Keras 3: from image(s) and text(s) to labels.",
        epilog="Exit status of every command: 0 for success; 2 if arguments, settings, files or "
        "rows are wrong (the message says what to correct); 1 for any other error (the message "
        "names the file with the traceback). KERAS_MM_DEBUG=1 shows the traceback on stderr, and "
        "the log lines of TensorFlow and other libraries.",
    )
    parser.add_argument("--version", action="version", version=f"keras_mm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--backend", help=f"Keras backend: {', '.join(BACKENDS)}")
    common.add_argument("--json", action="store_true", help="print only JSON on stdout")
    common.add_argument(
        "--quiet", action="store_true", help="print only errors and warnings on stderr"
    )
    _add_train(commands, common)
    _add_compare(commands, common)
    _add_search(commands, common)
    _add_check(commands, common)
    _add_uses(commands, common)
    commands.add_parser("presets", parents=[common], help="list the presets")
    cache = commands.add_parser(
        "cache",
        parents=[common],
        help="show or clear the feature cache",
        description="Features of frozen encoders are cached on disk, so that later trainings and "
        "predictions need not encode the same images and texts again. KERAS_MM_CACHE sets the "
        "folder, KERAS_MM_CACHE_GB its maximum size in GB (default: 20).",
    )
    cache.add_argument(
        "action",
        choices=("info", "clear"),
        help="show the size and content of the cache, or empty it",
    )
    cache.add_argument(
        "--folder", help="folder of the cache (default: KERAS_MM_CACHE, or the user's cache folder)"
    )
    return parser


def _add_train(commands, common) -> None:
    train = commands.add_parser(
        "train",
        parents=[common],
        help="train and evaluate a model (without --data: on the sample data)",
        description="Trains a model, evaluates it on the test rows and writes a run folder:\n"
        "config, log, history, metrics, predictions, report, model card and the model.",
        epilog=_other_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(train, FLAGS)
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="check settings and rows, print the config, and stop before a network is built",
    )


def _add_compare(commands, common) -> None:
    compare = commands.add_parser(
        "compare",
        parents=[common],
        help="train every cell of a grid on the same folds, and compare the results",
        description="Trains every cell of a grid of settings on the same folds and writes a table "
        "of scores with intervals and tests. The grid is the table [grid] of the TOML file: a list "
        "of values for a setting, such as loss or training.gamma; for modalities a list of "
        "image_and_text, image and text; or a table of names to settings. A comparison that was "
        "stopped goes on if it has the same --output.",
    )
    names = [flag for flag in FLAGS if flag not in _SPLIT_FLAGS]
    _add_settings(compare, names)
    compare.add_argument(
        "--grid",
        choices=("example",),
        help="example: each modality with cross-entropy, weighted and focal loss",
    )
    compare.add_argument(
        "--repeats", type=int, help="how often the folds are drawn and trained anew (default: 1)"
    )


def _add_search(commands, common) -> None:
    search = commands.add_parser(
        "search",
        parents=[common],
        help="search the best model of a table within a time limit",
        description="Tries many members of a model on the same folds, and weights them by their "
        "out-of-fold predictions. The result is scored on rows that took no part in it: a fifth of "
        "--data, or --test-data. Writes the model, and what was tried as tables. A search that was "
        "stopped goes on if it has the same --output.",
    )
    left_out = ("--validation-data", "--split-column", "--id-column", "--on-error", "--baselines")
    _add_settings(search, [flag for flag in FLAGS if flag not in left_out])
    search.add_argument(
        "--time-limit", type=float, default=300.0, help="seconds for everything (default: 300)"
    )
    search.add_argument(
        "--metric",
        help="metric to make best, such as accuracy (default: the loss, for classes also macro-F1)",
    )


def _add_check(commands, common) -> None:
    check = commands.add_parser(
        "check",
        parents=[common],
        help="list every problem of a table",
        description="Checks the image files, texts, labels and weights of every row of a table. "
        "The exit status is 2 if a row has an error. It is 0 if there are only warnings, for "
        "example of control characters in a text.",
    )
    names = ("--data", "--image-dir", "--images", "--texts", "--labels", "--head",
             "--weight-column")  # fmt: skip
    check.add_argument(
        "--all", action="store_true", help="print each problem, also where many rows have the same"
    )
    _add_settings(check, names)


def _other_settings() -> str:
    """Help on the settings that have no flag, one paragraph per setting."""
    flags = {setting_of(flag) for flag in FLAGS}
    plain = [f for f in fields(RunSettings) if f.name not in {*flags, *TABLES}]
    entries = [listed(f) for f in plain]
    entries += [listed(f, f"{name}.") for name, kind in TABLES.items() for f in fields(kind)]
    return "\n".join(["other settings, for --set NAME=VALUE or the TOML file:", *entries])


def _flag_help(flag: str) -> str:
    """The help of a flag: the description in the declaration of its setting."""
    knobs = {f.name: f for f in fields(RunSettings)}
    usage = " Separate several names with commas." if flag in _LISTS else ""
    usage += " photos:4 is a column with up to 4 images per row." if flag == "--images" else ""
    return (described(knobs[setting_of(flag)]) + usage).replace("%", "%%")  # argparse formats help


def _add_settings(parser, flags: Sequence[str]) -> None:
    parser.add_argument("--config", help="TOML file of settings")
    for flag in flags:
        parser.add_argument(flag, help=_flag_help(flag))
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting, such as --set learning_rate=0.001 or --set training.gamma=3",
    )


def _add_uses(commands, common) -> None:
    purposes = {
        "evaluate": "evaluate a saved model on labelled rows",
        "predict": "predict labels for rows",
        "export": "write a SavedModel that predicts from raw images and strings",
    }
    skip_help = {
        "evaluate": "With skip, the results count and list these rows; the exit status is 0 if at "
        "least one row is left.",
        "predict": "With skip, these rows have no prediction and the column `error` says why; a "
        "warning on stderr counts them, and the exit status is 0.",
        "export": "With skip, these rows of --data are not compared.",
    }
    for name, text in purposes.items():
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("--model", required=True, help="folder of a saved model or of a run")
        needed = name != "export"
        command.add_argument("--data", required=needed, help="table of rows")
        command.add_argument("--image-dir", help=_flag_help("--image-dir"))
        if name != "export":
            command.add_argument("--id-column", help=_flag_help("--id-column"))
        command.add_argument(
            "--on-error",
            choices=("raise", "skip"),
            default="raise",
            help=f"{_flag_help('--on-error')} {skip_help[name]}",
        )
        if name == "predict":
            command.add_argument(
                "--decide",
                help="threshold, set or abstain: predict by decisions that were fitted and saved "
                "with the model: by thresholds or costs, sets of labels, or only where the model "
                "is sure (default: the most probable class, or the labels above their thresholds)",
            )
        if name == "evaluate":
            command.add_argument(
                "--baselines",
                default="none",
                help=f"{_flag_help('--baselines')} They are trained on the rows of the run in "
                "--model (default: none)",
            )
            command.add_argument(
                "--heads", help="heads to evaluate, separated by commas (default: all)"
            )
            command.add_argument(
                "--by",
                metavar="COLUMN",
                help="column whose values divide the rows: the results also have the scores of "
                "each value; many different numbers are divided into quartiles",
            )
            command.add_argument(
                "--weight-column",
                help="column with the weight of each row in all metrics, a number >= 0 (default: "
                "that of the run, if the table has it; '' for no weights)",
            )
        if name == "export":
            command.add_argument(
                "--format", default="tf_saved_model", help="file format: tf_saved_model"
            )
            command.add_argument("--output", required=True, help="folder to write")
        else:
            file = "report .html" if name == "evaluate" else "predictions .csv"
            command.add_argument("--output", help=f"{file} to write")
