"""The tables of the sample data, in memory and as Parquet files."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.samples.scenes import create_scenes, image_cell
from keras_mm.data.samples.task import (
    NUM_ROWS,
    OUTCOMES,
    SAMPLE_COLUMNS,
    SEED,
    all_changes,
    shuffled,
    texts_of,
)
from keras_mm.data.samples.texts import CLAIM, WATCH
from keras_mm.files import new_file


def _cells(num_rows: int) -> list[tuple[int, int]]:
    """The (change, outcome) of each row, as positions: every change has its share of both."""
    num_changes = len(all_changes())
    cells = []
    for outcome, (_, probability) in enumerate(OUTCOMES):
        # Staggered running totals: rows by change come out exact, stretches of changes within one.
        totals = np.arange(num_changes + 1) * num_rows * probability / num_changes + outcome / 4
        for change, count in enumerate(np.diff(np.floor(totals + 1e-9).astype(int))):
            cells += [(change, outcome)] * int(count)
    return cells


def _deal(
    phrases: dict[str, list[str]],
    names: Sequence[str],
    labels: Sequence[str],
    stream: np.random.RandomState,
) -> list[str]:
    """A phrase for each row; rows of one name and label use all its phrases equally often."""
    piles: dict[tuple[str, str], list[str]] = {}
    dealt = []
    for key in zip(names, labels, strict=True):
        if not piles.get(key):
            piles[key] = shuffled(phrases[key[0]], stream)
        dealt.append(piles[key].pop())
    return dealt


def _table(split: str, scenes: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows of a split, in a shuffled order."""
    stream = np.random.RandomState([SEED, len(scenes)])
    states = list(itertools.product(range(3), range(3)))
    images = [{state: image_cell(scene, state) for state in states} for scene in scenes]
    cells = [(all_changes()[change], outcome) for change, outcome in _cells(NUM_ROWS[split])]
    labels = [OUTCOMES[outcome][0] for _, outcome in cells]
    says = [texts_of(axis, direction, outcome) for (axis, direction, _, _), outcome in cells]
    watch = _deal(WATCH, [axis for axis, _ in says], labels, stream)
    claim = _deal(CLAIM, [direction for _, direction in says], labels, stream)
    rows = []
    for index, ((_, _, before, after), _) in enumerate(cells):
        # No outcome of a change has more rows than there are scenes: no question comes up twice.
        scene = scenes[index % len(scenes)]
        thing = "{colour} {kind}".format(**scene)
        text_1 = watch[index].format(thing=thing, place=scene["place"])
        pictures = images[index % len(scenes)]
        rows.append((text_1, pictures[before], claim[index], pictures[after], labels[index]))
    numbered = enumerate(shuffled(rows, stream))
    ids = [(f"{split}-{number:04d}-1", f"{split}-{number:04d}-2", *row) for number, row in numbered]
    order = ["id_1", "id_2", "text_1", "image_1", "text_2", "image_2", "label"]
    return pd.DataFrame(ids, columns=order)[list(SAMPLE_COLUMNS)]


def load_sample_data() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draws the sample data: 3000 training rows, and 600 test rows of scenes never trained on.

    Takes less than a second, reads and writes no file. Rows share 477 images.

    Returns:
        The training and the test table, with columns `id_1`, `text_1`, `image_1`, `id_2`, `text_2`,
        `image_2`, `label`. Images are dicts of PNG `bytes` and `path`, a file name; labels are
        `"Contradictory"` (15%), `"Implies"` (15%) and `"NoEntailment"` (70%).

    Example:
        >>> train, test = load_sample_data()
        >>> len(train), len(test)
        (3000, 600)
    """
    scenes = create_scenes()
    tables = {split: _table(split, scenes[split]) for split in ("train", "test")}
    for split, table in tables.items():
        table.attrs["keras_mm"] = {"source": f"sample data ({split})"}
    return tables["train"], tables["test"]


def _arrow_table(table: pd.DataFrame) -> Any:
    """An Arrow table with the metadata by which Hugging Face datasets know image columns."""
    import pyarrow as pa

    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    types = {name: image if name.startswith("image") else pa.string() for name in SAMPLE_COLUMNS}
    text = {"dtype": "string", "_type": "Value"}
    features = {name: {"_type": "Image"} if types[name] is image else text for name in types}
    arrow = pa.Table.from_pandas(table, schema=pa.schema(types), preserve_index=False)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.replace_schema_metadata({**arrow.schema.metadata, **metadata})


def write_sample_data(folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Writes `train.parquet` and `test.parquet`: neither appears before both are complete.

    Args:
        folder: The folder to write to; created if absent. Files of these names are replaced.

    Returns:
        The paths of the two files.
    """
    import pyarrow.parquet as pq

    folder = Path(folder)
    targets = folder / "train.parquet", folder / "test.parquet"
    with ExitStack() as drafts:
        for target, table in zip(targets, load_sample_data(), strict=True):
            draft = drafts.enter_context(new_file(target))
            pq.write_table(_arrow_table(table), draft, compression="zstd")
    return targets
