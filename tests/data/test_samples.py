"""The sample data: its definition, its balance, its files and its ceilings."""

import io
import json
import re
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from keras_mm.data import samples
from keras_mm.data.samples import ceilings as computed
from keras_mm.data.samples.__main__ import main
from keras_mm.data.samples.scenes import create_scenes

pytestmark = pytest.mark.backend_free

COMMITTED = Path(__file__).resolve().parents[2] / "data"
PRIOR = {"Contradictory": 0.15, "Implies": 0.15, "NoEntailment": 0.7}
AXIS_WORDS = {"light": {"light", "brightness", "bright"}, "size": {"size", "width", "wide"}}
DIRECTION_WORDS = {"up": {"up", "more"}, "down": {"down", "less"}}


@pytest.fixture(scope="module")
def tables():
    return dict(zip(("train", "test"), samples.load_sample_data(), strict=True))


@pytest.fixture(params=["train", "test"])
def table(request, tables):
    return tables[request.param]


def pixels(cell):
    return np.asarray(Image.open(io.BytesIO(cell["bytes"])))


def state(cell):
    """Scene, light level and size level, as the picture's name tells them."""
    return tuple(
        map(int, re.fullmatch(r"scene_(\d+)_light_(\d)_size_(\d).png", cell["path"]).groups())
    )


def meaning(text, words):
    found = [name for name in words if words[name] & set(re.findall(r"[a-z]+", text.lower()))]
    assert len(found) == 1, text
    return found[0]


def facts(table):
    """What happens in every row, read off its pictures' names and its texts' words."""
    rows = []
    for row in table.itertuples():
        (scene, *before), (other_scene, *after) = state(row.image_1), state(row.image_2)
        assert scene == other_scene
        steps = np.subtract(after, before)
        assert sorted(abs(steps)) == [0, 1]  # one thing changes, by one level
        rows.append(
            {
                "scene": scene,
                "before": tuple(before),
                "after": tuple(after),
                "changed": "light" if steps[0] else "size",
                "direction": "up" if steps.sum() > 0 else "down",
                "watch": meaning(row.text_1, AXIS_WORDS),
                "claim": meaning(row.text_2, DIRECTION_WORDS),
                "label": row.label,
            }
        )
    return pd.DataFrame(rows)


def worst_deviation(frame, given):
    """Rows by which a label's count within a group is off the prior's share."""
    counts = frame.groupby([*given, "label"]).size().unstack(fill_value=0)
    return max(
        (counts[label] - counts.sum(axis=1) * share).abs().max() for label, share in PRIOR.items()
    )


def test_sizes_and_columns(tables):
    assert {name: len(table) for name, table in tables.items()} == {"train": 3000, "test": 600}
    for table in tables.values():
        columns = ["id_1", "text_1", "image_1", "id_2", "text_2", "image_2", "label"]
        assert list(table) == columns
        ids = [*table["id_1"], *table["id_2"]]
        assert len(set(ids)) == len(ids)


def test_labels_follow_the_definition(table):
    rows = facts(table)
    watched, as_claimed = rows.watch == rows.changed, rows.claim == rows.direction
    expected = np.where(watched, np.where(as_claimed, "Implies", "Contradictory"), "NoEntailment")
    assert (rows.label == expected).all()


def test_label_shares_are_the_prior(table):
    shares = Counter(table["label"])
    assert shares == {label: round(len(table) * share) for label, share in PRIOR.items()}


@pytest.mark.parametrize(
    "given",
    [
        ["before", "after"],
        ["before"],
        ["after"],
        ["watch", "claim"],
        ["watch"],
        ["claim"],
        ["scene"],
    ],
    ids="+".join,
)
def test_one_modality_says_nothing(table, given):
    # Counts are whole and shares are not; a state is the end of up to four kinds of change.
    tolerance = 2 if given in (["before"], ["after"]) else 1
    assert worst_deviation(facts(table), given) <= tolerance


def test_wording_says_nothing(table):
    for name in ("text_1", "text_2"):
        wording = table[name].str.replace(
            r"(the) \w+ (circle|square|diamond|triangle|cross)", "", regex=True
        )
        frame = pd.DataFrame({"wording": wording, "label": table["label"]})
        assert frame["wording"].nunique() >= 10
        assert worst_deviation(frame, ["wording"]) <= 5


def test_every_change_has_its_share_of_rows(table):
    counts = facts(table).groupby(["before", "after"]).size()
    assert len(counts) == 24 and (counts == len(table) // 24).all()


def test_no_question_comes_up_twice(table):
    assert not facts(table).drop(columns="label").duplicated().any()


def test_test_scenes_are_new_combinations_of_known_parts(tables):
    scenes = {name: {state(c)[0] for c in table["image_1"]} for name, table in tables.items()}
    assert (len(scenes["train"]), len(scenes["test"])) == (44, 9)
    assert not scenes["train"] & scenes["test"]
    drawn = create_scenes()
    for part in ("kind", "colour", "place"):
        known = {scene[part] for scene in drawn["train"]}
        assert {scene[part] for scene in drawn["test"]} <= known
    combinations = [(s["kind"], s["colour"], s["place"]) for s in drawn["train"] + drawn["test"]]
    assert len(set(combinations)) == 53
    seen = {
        name: {cell["bytes"] for column in ("image_1", "image_2") for cell in table[column]}
        for name, table in tables.items()
    }
    assert not seen["train"] & seen["test"]


def test_pictures_show_what_their_names_say(tables):
    cells = {state(c): c for t in tables.values() for n in ("image_1", "image_2") for c in t[n]}
    assert len(cells) == 53 * 9
    drawn = {key: pixels(cell).astype(int) for key, cell in cells.items()}
    assert all(p.shape == (64, 64, 3) for p in drawn.values())
    for scene, level in product(range(53), range(3)):
        light = [drawn[scene, i, level].mean() for i in range(3)]
        assert light[0] * 1.15 < light[1] and light[1] * 1.15 < light[2]
        # Row 63 is free of the shape in every scene's corner, and lit like the rest.
        same = [drawn[scene, level, i] for i in range(3)]
        assert all((p[-1, 0] == same[0][-1, 0]).all() for p in same)
        changed = [(abs(same[i] - same[i + 1]).max(axis=-1) > 20).sum() for i in (0, 1)]
        darker = [p.mean() for p in same]
        assert min(changed) > 100 and darker[0] > darker[1] > darker[2]


def test_pictures_are_shared_between_rows(tables):
    for name, count in (("train", 44 * 9), ("test", 9 * 9)):
        cells = [*tables[name]["image_1"], *tables[name]["image_2"]]
        assert len({id(cell) for cell in cells}) == len({c["path"] for c in cells}) == count


def test_every_call_draws_the_same(tables):
    for again, table in zip(samples.load_sample_data(), tables.values(), strict=True):
        pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize("name", ["train", "test"])
def test_committed_files_are_the_generators_output(tables, name):
    committed, drawn = pd.read_parquet(COMMITTED / f"{name}.parquet"), tables[name]
    assert list(committed) == list(drawn)
    for column in drawn:
        if not column.startswith("image"):
            assert list(committed[column]) == list(drawn[column])
            continue
        assert [c["path"] for c in committed[column]] == [c["path"] for c in drawn[column]]
        # PNG bytes depend on the compressor; pixels do not.
        both = {c["path"]: (c, d) for c, d in zip(committed[column], drawn[column], strict=True)}
        assert all((pixels(c) == pixels(d)).all() for c, d in both.values())
        assert len({c["bytes"] for c in committed[column]}) == len(both)


def test_committed_files_are_small():
    assert sum((COMMITTED / f"{name}.parquet").stat().st_size for name in ("train", "test")) < 5e5


def test_written_files_carry_hugging_face_features(tmp_path):
    paths = samples.write_sample_data(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["train.parquet", "test.parquet"]
    for path in paths:
        features = json.loads(pq.read_schema(path).metadata[b"huggingface"])["info"]["features"]
        assert features["image_2"] == {"_type": "Image"}
        assert features["text_1"] == {"dtype": "string", "_type": "Value"}
        assert list(features) == list(samples.SAMPLE_COLUMNS)
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "test.parquet",
        "train.parquet",
    ]


def test_a_failed_write_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "train.parquet").write_text("old")
    write, calls = pq.write_table, []

    def fail_on_the_second(table, path, **options):
        calls.append(path)
        write(table, path, **options)
        if len(calls) == 2:
            raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail_on_the_second)
    with pytest.raises(OSError, match="disk full"):
        samples.write_sample_data(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["train.parquet"]
    assert (tmp_path / "train.parquet").read_text() == "old"


def test_vocabulary_spells_every_text(tables):
    vocabulary = samples.sample_vocabulary()
    assert vocabulary[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert vocabulary[5] == "a" and {"9", "##a", "##9", "?", "[", "]"} <= set(vocabulary)
    assert len(set(vocabulary)) == len(vocabulary) <= 256
    used = {
        token
        for table in tables.values()
        for name in ("text_1", "text_2")
        for text in table[name]
        for token in re.findall(r"\w+|[^\w\s]", text.lower())
    }
    assert used - {".", "?"} == set(samples.SAMPLE_WORDS)
    assert used <= set(vocabulary)


# --- ceilings


def random_rules(joint, count, seed=3):
    stream = np.random.default_rng(seed)
    for concentration in (0.1, 1.0):
        yield stream.dirichlet([concentration] * 3, (count, len(joint)))


def macro_f1(joint, rule):
    """Of each rule, shape `(rules, observations, labels)`."""
    hits, named = (joint * rule).sum(-2), (joint.sum(1, keepdims=True) * rule).sum(-2)
    return (2 * hits / (joint.sum(0) + named)).mean(-1)


def test_ceilings_known_in_closed_form():
    ceilings = samples.sample_ceilings()
    # A constant posterior: naming each label as often as it occurs is best, with F1 = its share.
    for part in ("image_only", "text_only"):
        assert ceilings[f"{part}_accuracy"] == pytest.approx(0.7)
        assert ceilings[f"{part}_macro_f1"] == pytest.approx(1 / 3, abs=1e-5)
    # Knowing whether the axis matches leaves Implies and Contradictory a coin's toss.
    assert ceilings["without_text_2_accuracy"] == pytest.approx(0.85)
    assert ceilings["without_text_2_macro_f1"] == pytest.approx(2 / 3, abs=1e-5)
    # Without text_1 a row is (Implies or not), or (Contradictory or not), at .3 to .7; naming the
    # rare label at rate r gives macro-F1 (2 * .3 r / (.15 + .5 r) + 1.4 (1 - r) / (1.7 - r)) / 3.
    rate = np.linspace(0, 1, 100_001)
    curve = (2 * 0.3 * rate / (0.15 + 0.5 * rate) + 1.4 * (1 - rate) / (1.7 - rate)) / 3
    assert ceilings["without_text_1_accuracy"] == pytest.approx(0.7)
    assert ceilings["without_text_1_macro_f1"] == pytest.approx(curve.max(), abs=1e-5)


@pytest.mark.parametrize("part", computed.VIEWS)
def test_no_rule_beats_the_ceiling(part):
    joint = computed._joint(computed.VIEWS[part])
    assert joint.sum(axis=0) == pytest.approx(list(PRIOR.values()))
    best = computed._best_macro_f1(joint)
    assert max(macro_f1(joint, rules).max() for rules in random_rules(joint, 20_000)) <= best + 1e-9


def test_ceilings_agree_with_the_generated_rows(tables):
    shown = {
        "image_1": ["before"],
        "image_2": ["after"],
        "text_1": ["watch"],
        "text_2": ["claim"],
    }
    rows, ceilings = facts(tables["train"]), samples.sample_ceilings()
    for part, inputs in computed.VIEWS.items():
        seen = [column for name in inputs for column in shown[name]]
        counts = rows.groupby([*seen, "label"]).size().unstack(fill_value=0)
        accuracy = counts.max(axis=1).sum() / len(rows)
        assert accuracy == pytest.approx(ceilings[f"{part}_accuracy"], abs=0.005), part


def test_all_inputs_together_decide_the_label():
    joint = computed._joint(computed.INPUTS)
    assert joint.max(axis=1).sum() == pytest.approx(1)
    assert computed._best_macro_f1(joint) == pytest.approx(1, abs=1e-6)


def test_command_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["samples", "--ceilings"])
    main()
    assert json.loads(capsys.readouterr().out) == samples.sample_ceilings()
    monkeypatch.setattr("sys.argv", ["samples", str(tmp_path)])
    main()
    assert (tmp_path / "test.parquet").exists()
    monkeypatch.setattr("sys.argv", ["samples"])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 2
