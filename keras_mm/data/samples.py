"""The sample data "what changed": drawn by the package itself, so that everything runs offline.

Two pictures show the same scene; between them either the light or the size of the shape moves one
level. `text_1` names what to watch, `text_2` claims a direction. What to watch did change as
claimed: Implies. It changed the other way: Contradictory. The other thing changed: NoEntailment.
Neither the pictures nor the texts alone say anything about the label; `sample_ceilings` computes
how far each part of the inputs can get.

Everything is drawn in integers, from a random stream that NumPy has frozen, so that pixels and rows
are the same on every version and platform.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import re
import string
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

SAMPLE_LABELS = ("Contradictory", "Implies", "NoEntailment")
SAMPLE_COLUMNS = ("id_1", "text_1", "image_1", "id_2", "text_2", "image_2", "label")

# --- the task ------------------------------------------------------------------------------------

_SEED = 20250103
_NUM_ROWS = {"train": 3000, "test": 600}
_NUM_SCENES = {"train": 44, "test": 9}
_AXES = ("light", "size")
_DIRECTIONS = ("up", "down")
# Per change: Implies and Contradictory, then NoEntailment under either claim.
_OUTCOMES = (
    ("Implies", 0.15),
    ("Contradictory", 0.15),
    ("NoEntailment", 0.35),
    ("NoEntailment", 0.35),
)

_State = tuple[int, int]  # (light, size), each a level 0, 1 or 2


def _changes() -> list[tuple[str, str, _State, _State]]:
    """All 24 changes `(axis, direction, state of image_1, state of image_2)`."""
    changes = []
    for axis, direction, low, other in itertools.product(_AXES, _DIRECTIONS, (0, 1), (0, 1, 2)):
        states = [(level, other) if axis == "light" else (other, level) for level in (low, low + 1)]
        before, after = states if direction == "up" else reversed(states)
        changes.append((axis, direction, before, after))
    return changes


def _texts_of(axis: str, direction: str, outcome: int) -> tuple[str, str]:
    """What the texts of an outcome say: the axis to watch and the direction claimed."""
    if outcome >= 2:
        return _AXES[1 - _AXES.index(axis)], _DIRECTIONS[outcome - 2]
    return axis, direction if outcome == 0 else _DIRECTIONS[1 - _DIRECTIONS.index(direction)]


# --- the pictures --------------------------------------------------------------------------------

_IMAGE_SIZE = 64
# Both kinds of change alter the pixels about equally: the weaker one would be learned far later.
_LIGHT_PERCENT = (70, 84, 100)
_RADIUS = (6, 14, 22)
_PATCH = 22  # half the side, in pixels, of the square that holds any shape

# Every shape is darker than every place: however they are paired, larger means darker.
_COLOURS = {
    "red": (150, 35, 40),
    "brown": (105, 65, 40),
    "green": (30, 100, 50),
    "teal": (10, 90, 100),
    "blue": (40, 60, 150),
    "purple": (95, 40, 125),
}
# Far colour, near colour, height of the horizon in pixels.
_PLACES = {
    "at the beach": ((214, 226, 236), (232, 220, 192), 36),
    "in the meadow": ((214, 226, 236), (206, 220, 190), 40),
    "in the snow": ((214, 220, 230), (240, 242, 246), 32),
    "on the street": ((220, 214, 208), (204, 204, 210), 44),
}
# Inside or not, for sample points (x, y) and a reach r in the same integer unit.
_SHAPES: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "circle": lambda x, y, r: x * x + y * y <= r * r,
    "square": lambda x, y, r: 10 * np.maximum(abs(x), abs(y)) <= 9 * r,
    "diamond": lambda x, y, r: abs(x) + abs(y) <= r,
    "triangle": lambda x, y, r: (9 * y <= 7 * r) & (16 * abs(x) <= 9 * (y + r)),
    "cross": lambda x, y, r: (
        (5 * np.minimum(abs(x), abs(y)) <= 2 * r) & (np.maximum(abs(x), abs(y)) <= r)
    ),
}


def _coverage(kind: str, radius: int) -> np.ndarray:
    """How many of each pixel's 4 x 4 sample points a shape covers, `(2 * _PATCH, 2 * _PATCH)`."""
    # In eighths of a pixel the sample points lie at 1, 3, 5 and 7: nothing is rounded.
    points = np.arange(-8 * _PATCH + 1, 8 * _PATCH, 2)
    x, y = np.meshgrid(points, points)
    inside = _SHAPES[kind](x, y, 8 * radius)
    return inside.reshape(2 * _PATCH, 4, 2 * _PATCH, 4).sum(axis=(1, 3))


def _draw(scene: dict[str, Any], state: _State) -> np.ndarray:
    """Pixels of a scene, uint8 `(64, 64, 3)`."""
    far, near, horizon = _PLACES[scene["place"]]
    canvas = np.empty((_IMAGE_SIZE, _IMAGE_SIZE, 3), np.int64)
    canvas[:horizon], canvas[horizon:] = far, near
    top, left = (scene[axis] - _PATCH for axis in ("y", "x"))
    patch = canvas[top : top + 2 * _PATCH, left : left + 2 * _PATCH]
    covered = _coverage(scene["kind"], _RADIUS[state[1]])[..., None]
    patch[:] = (patch * (16 - covered) + np.array(_COLOURS[scene["colour"]]) * covered + 8) // 16
    return ((canvas * _LIGHT_PERCENT[state[0]] + 50) // 100).astype(np.uint8)


def _image_cell(scene: dict[str, Any], state: _State) -> dict[str, Any]:
    """An image as Hugging Face datasets store it: encoded bytes and a name."""
    buffer = io.BytesIO()
    Image.fromarray(_draw(scene, state)).save(buffer, format="PNG", optimize=True)
    name = "scene_{:02d}_light_{}_size_{}.png".format(scene["number"], *state)
    return {"bytes": buffer.getvalue(), "path": name}


def _shuffle(items: Iterable[Any], stream: np.random.RandomState) -> list[Any]:
    """A new order of the items."""
    # Sorting uniform numbers needs only the raw stream, which stays the same on every NumPy.
    items = list(items)
    order = np.argsort(stream.random_sample(len(items)), kind="stable")
    return [items[index] for index in order]


def _scenes() -> dict[str, list[dict[str, Any]]]:
    """The scenes of each split; no test scene has a training scene's kind, colour and place."""
    stream = np.random.RandomState(_SEED)
    combinations = _shuffle(itertools.product(_SHAPES, _COLOURS, _PLACES), stream)
    scenes = []
    for number, (kind, colour, place) in enumerate(combinations[: sum(_NUM_SCENES.values())]):
        x, y = (22 + int(20 * offset) for offset in stream.random_sample(2))
        scenes.append(
            {"number": number, "kind": kind, "colour": colour, "place": place, "x": x, "y": y}
        )
    return {"train": scenes[: _NUM_SCENES["train"]], "test": scenes[_NUM_SCENES["train"] :]}


# --- the texts -----------------------------------------------------------------------------------

# The words of an axis never hint at a direction, nor the other way round.
_WATCH = {
    "light": [
        "Watch the light.",
        "Watch the brightness of the {thing}.",
        "Look at the light {place}.",
        "Compare the brightness.",
        "How bright is the {thing}?",
    ],
    "size": [
        "Watch the size.",
        "Watch the width of the {thing}.",
        "Look at the size {place}.",
        "Compare the width.",
        "How wide is the {thing}?",
    ],
}
_CLAIM = {
    "up": [
        "It goes up.",
        "Then it goes up.",
        "Now it goes up.",
        "In the second picture it goes up.",
        "It goes up from here.",
    ],
    "down": [
        "It goes down.",
        "Then it goes down.",
        "Now it goes down.",
        "In the second picture it goes down.",
        "It goes down from here.",
    ],
}


def _words() -> tuple[str, ...]:
    phrases = itertools.chain(*_WATCH.values(), *_CLAIM.values(), _SHAPES, _COLOURS, _PLACES)
    text = re.sub(r"{\w+}", "", " ".join(phrases))
    return tuple(sorted(set(re.findall("[a-z]+", text.lower()))))


SAMPLE_WORDS: tuple[str, ...] = _words()


def sample_vocabulary() -> list[str]:
    """A WordPiece vocabulary for the sample data: its words, and pieces that spell any ASCII word.

    Returns:
        The tokens by id: `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`, the letters and digits, the
        same as `##` pieces, the words of the texts in lower case, punctuation.
    """
    characters = [*string.ascii_lowercase, *string.digits]
    pieces = [f"##{character}" for character in characters]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*special, *characters, *pieces, *SAMPLE_WORDS, *string.punctuation]


# --- the tables ----------------------------------------------------------------------------------


def _cells(num_rows: int) -> list[tuple[int, int]]:
    """The (change, outcome) of every row: each change gets its share of rows and of outcomes."""
    num_changes = len(_changes())
    cells = []
    for outcome, (_, probability) in enumerate(_OUTCOMES):
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
    """A phrasing of every row's name; within a name and label all of them come up equally often."""
    piles: dict[tuple[str, str], list[str]] = {}
    dealt = []
    for key in zip(names, labels, strict=True):
        if not piles.get(key):
            piles[key] = _shuffle(phrases[key[0]], stream)
        dealt.append(piles[key].pop())
    return dealt


def _table(split: str, scenes: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows of a split, in a shuffled order."""
    stream = np.random.RandomState([_SEED, len(scenes)])
    states = list(itertools.product(range(3), range(3)))
    images = [{state: _image_cell(scene, state) for state in states} for scene in scenes]
    cells = [(_changes()[change], outcome) for change, outcome in _cells(_NUM_ROWS[split])]
    labels = [_OUTCOMES[outcome][0] for _, outcome in cells]
    says = [_texts_of(axis, direction, outcome) for (axis, direction, _, _), outcome in cells]
    watch = _deal(_WATCH, [axis for axis, _ in says], labels, stream)
    claim = _deal(_CLAIM, [direction for _, direction in says], labels, stream)
    rows = []
    for index, ((_, _, before, after), _) in enumerate(cells):
        # No outcome of a change has more rows than there are scenes: no question comes up twice.
        scene = scenes[index % len(scenes)]
        thing = "{colour} {kind}".format(**scene)
        text_1 = watch[index].format(thing=thing, place=scene["place"])
        pictures = images[index % len(scenes)]
        rows.append((text_1, pictures[before], claim[index], pictures[after], labels[index]))
    numbered = enumerate(_shuffle(rows, stream))
    ids = [(f"{split}-{number:04d}-1", f"{split}-{number:04d}-2", *row) for number, row in numbered]
    order = ["id_1", "id_2", "text_1", "image_1", "text_2", "image_2", "label"]
    return pd.DataFrame(ids, columns=order)[list(SAMPLE_COLUMNS)]


def load_sample_data() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draws the sample data: 3000 training rows, and 600 test rows of scenes never trained on.

    Takes less than a second, reads and writes nothing. Rows share their pictures: 477 in all.

    Returns:
        The training and the test table, with columns `id_1`, `text_1`, `image_1`, `id_2`, `text_2`,
        `image_2`, `label`. Images are dicts of PNG `bytes` and a `path` that is a mere name; labels
        are `"Contradictory"` (15%), `"Implies"` (15%) and `"NoEntailment"` (70%).

    Example:
        >>> train, test = load_sample_data()
        >>> len(train), len(test)
        (3000, 600)
    """
    scenes = _scenes()
    tables = {split: _table(split, scenes[split]) for split in ("train", "test")}
    for split, table in tables.items():
        table.attrs["keras_mm"] = {"source": f"sample data ({split})"}
    return tables["train"], tables["test"]


# --- the files -----------------------------------------------------------------------------------


def _arrow_table(table: pd.DataFrame) -> Any:
    """An Arrow table whose metadata tells Hugging Face datasets which columns are images."""
    import pyarrow as pa

    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    types = {name: image if name.startswith("image") else pa.string() for name in SAMPLE_COLUMNS}
    text = {"dtype": "string", "_type": "Value"}
    features = {name: {"_type": "Image"} if types[name] is image else text for name in types}
    arrow = pa.Table.from_pandas(table, schema=pa.schema(types), preserve_index=False)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.replace_schema_metadata({**arrow.schema.metadata, **metadata})


def write_sample_data(folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Writes `train.parquet` and `test.parquet`, both or neither.

    Args:
        folder: Where to; made if it is not there. Files of these names are replaced.

    Returns:
        The paths of the two files.
    """
    import pyarrow.parquet as pq

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    targets = folder / "train.parquet", folder / "test.parquet"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".sample-data-") as drafts:
        for target, table in zip(targets, load_sample_data(), strict=True):
            pq.write_table(_arrow_table(table), Path(drafts) / target.name, compression="zstd")
        for target in targets:
            os.replace(Path(drafts) / target.name, target)
    return targets


# --- how far the inputs can get ------------------------------------------------------------------

_INPUTS = ("image_1", "image_2", "text_1", "text_2")
_VIEWS = {
    "image_only": ("image_1", "image_2"),
    "text_only": ("text_1", "text_2"),
    **{f"without_{name}": tuple(other for other in _INPUTS if other != name) for name in _INPUTS},
}


def _joint(inputs: Sequence[str]) -> np.ndarray:
    """P(what the inputs show, label), one row per distinct posterior, `(observations, 3)`."""
    masses: dict[tuple[Any, ...], np.ndarray] = {}
    for axis, direction, before, after in _changes():
        for outcome, (label, probability) in enumerate(_OUTCOMES):
            shown = dict(
                zip(_INPUTS, (before, after, *_texts_of(axis, direction, outcome)), strict=True)
            )
            seen = tuple(shown[name] for name in inputs)
            mass = masses.setdefault(seen, np.zeros(len(SAMPLE_LABELS)))
            mass[SAMPLE_LABELS.index(label)] += probability / len(_changes())
    merged: dict[tuple[float, ...], np.ndarray] = {}
    for mass in masses.values():
        posterior = tuple(np.round(mass / mass.sum(), 9))
        merged[posterior] = merged.get(posterior, 0) + mass
    return np.stack(list(merged.values()))


def _best_macro_f1(joint: np.ndarray, steps: int = 3000) -> float:
    """The highest macro-F1 of any rule, random ones included, that answers from what is seen."""
    prior, seen = joint.sum(axis=0), joint.sum(axis=1, keepdims=True)
    best = 0.0
    for certainty in (0.5, 1.0, 4.0):  # starts: from cautious to deciding for the likeliest label
        rule = (joint / seen + 0.01) ** certainty
        for _ in range(steps):
            rule /= rule.sum(axis=1, keepdims=True)
            hits, named = (joint * rule).sum(axis=0), (seen * rule).sum(axis=0)
            best = max(best, float(np.mean(2 * hits / (prior + named))))
            slope = 2 * joint / seen / (prior + named) - 2 * hits / (prior + named) ** 2
            rule *= np.exp(0.1 * slope)  # a step uphill that keeps every row a distribution
    return best


def sample_ceilings() -> dict[str, float]:
    """The best that any model can do with a part of the inputs, by the definition of the task.

    All changes and outcomes are enumerated. The figures are those of endless data: on 600 test rows
    luck adds or takes a few points.

    Returns:
        `<part>_accuracy` and `<part>_macro_f1`, fractions, for the parts `image_only`, `text_only`,
        `without_image_1`, `without_image_2`, `without_text_1` and `without_text_2`.

    Example:
        >>> sample_ceilings()["without_text_2_accuracy"]
        0.85
    """
    ceilings = {}
    for view, inputs in _VIEWS.items():
        joint = _joint(inputs)
        ceilings[f"{view}_accuracy"] = round(float(joint.max(axis=1).sum()), 6)
        ceilings[f"{view}_macro_f1"] = round(_best_macro_f1(joint), 6)
    return ceilings


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m keras_mm.data.samples", description=load_sample_data.__doc__
    )
    parser.add_argument("folder", nargs="?", help="write train.parquet and test.parquet there")
    parser.add_argument(
        "--ceilings", action="store_true", help="print the best scores of partial inputs"
    )
    arguments = parser.parse_args()
    if arguments.ceilings:
        print(json.dumps(sample_ceilings(), indent=2))
    if arguments.folder:
        for path in write_sample_data(arguments.folder):
            print(f"{path}: {path.stat().st_size} bytes")
    elif not arguments.ceilings:
        parser.error("name a folder to write to, or ask for --ceilings")


if __name__ == "__main__":
    _main()
