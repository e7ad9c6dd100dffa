"""For the benchmarks of results: a labelled table, the settings of the estimator, outer folds."""

import argparse
import tomllib
from collections.abc import Iterator

import pandas as pd

import keras_mm
from keras_mm.settings.toml import read_toml


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """The table, its columns, and the settings of the estimator."""
    parser.add_argument("table")
    parser.add_argument("--labels", default="label")
    parser.add_argument("--groups")
    parser.add_argument("--images", default="")
    parser.add_argument("--image-dir", help="folder of the images; by default the table's")
    parser.add_argument("--texts", default="")
    parser.add_argument("--config", help="settings as TOML; --set goes before them")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")


def read_settings(options: argparse.Namespace) -> dict:
    """The keywords of the estimator."""
    keywords = read_toml(options.config) if options.config else {}
    for item in options.set:
        name, _, text = item.partition("=")
        try:
            keywords[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            keywords[name] = text
    return {
        **keywords,
        "images": [name for name in options.images.split(",") if name],
        "texts": [name for name in options.texts.split(",") if name],
        "labels": options.labels,
        "verbose": 0,
    }


def read_labelled(options: argparse.Namespace) -> pd.DataFrame:
    """The rows of the table that have a label."""
    table = keras_mm.load_table(options.table, image_dir=options.image_dir)
    return table[table[options.labels].notna()]


def outer_splits(
    table: pd.DataFrame, options: argparse.Namespace, num_folds: int, seed: int
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Training and test rows: those of the column `split`, if there is one, else of folds."""
    if "split" in table:
        yield table[table["split"] != "test"], table[table["split"] == "test"]
        return
    strata = options.labels
    numbers = pd.to_numeric(table[options.labels], errors="coerce").astype("float64")
    if numbers.notna().all() and numbers.nunique() > 50:  # a target, not classes
        strata = pd.qcut(numbers, 10, labels=False, duplicates="drop").tolist()
    yield from keras_mm.stratified_k_fold(
        table, strata, num_folds=num_folds, groups=options.groups, seed=seed
    )
