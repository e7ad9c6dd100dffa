"""Creates the tables of the sample data, in memory or as Parquet files."""

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
    """Positions of the (change, outcome) of each row; each pair has its share of the rows."""
    num_changes = len(all_changes())
    cells = []
    for outcome, (_, probability) in enumerate(OUTCOMES):
        # Running totals are rounded, so the rows of any range of changes are off by less than one.
        # Each outcome has another offset, so that the roundings of a change cancel out.
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
    """Chooses a phrase for each row; rows of one name and label use all phrases equally often.

    A phrase then says nothing about the label.
    """
    piles: dict[tuple[str, str], list[str]] = {}
    chosen = []
    for key in zip(names, labels, strict=True):
        if not piles.get(key):
            piles[key] = shuffled(phrases[key[0]], stream)
        chosen.append(piles[key].pop())
    return chosen


def _table(split: str, scenes: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows of a split, in a shuffled order."""
    stream = np.random.RandomState([SEED, len(scenes)])
    states = list(itertools.product(range(3), range(3)))
    images = [{state: image_cell(scene, state) for state in states} for scene in scenes]
    cells = [(all_changes()[change], outcome) for change, outcome in _cells(NUM_ROWS[split])]
    labels = [OUTCOMES[outcome][0] for _, outcome in cells]
    meanings = [texts_of(axis, direction, outcome) for (axis, direction, _, _), outcome in cells]
    watch = _deal(WATCH, [axis for axis, _ in meanings], labels, stream)
    claim = _deal(CLAIM, [direction for _, direction in meanings], labels, stream)
    rows = []
    for index, ((_, _, before, after), _) in enumerate(cells):
        # No outcome of a change has more rows than there are scenes, so no row is repeated.
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
    """Draws the sample data: 3000 training rows, and 600 test rows of other scenes.

    It takes less than a second, and reads and writes no files. The rows share 477 images.

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
    """An Arrow table with the metadata by which Hugging Face datasets recognise image columns."""
    import pyarrow as pa

    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    types = {name: image if name.startswith("image") else pa.string() for name in SAMPLE_COLUMNS}
    text = {"dtype": "string", "_type": "Value"}
    features = {name: {"_type": "Image"} if types[name] is image else text for name in types}
    arrow = pa.Table.from_pandas(table, schema=pa.schema(types), preserve_index=False)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.replace_schema_metadata({**arrow.schema.metadata, **metadata})


def write_sample_data(folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Writes `train.parquet` and `test.parquet`; they appear when both are complete.

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
