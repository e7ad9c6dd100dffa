"""Packed ids are those of KerasHub's packer, whatever the lengths of the texts."""

import numpy as np
import pytest

from keras_mm.data.text.families import _FAMILIES
from keras_mm.data.text.packing import num_special, pack_ids
from keras_mm.load_order import load_keras_hub, load_tensorflow

pytestmark = pytest.mark.backend_free

FAMILIES = {family.name: family for family in _FAMILIES}
PAIRS = [
    (name, count)
    for name, family in FAMILIES.items()
    for count in (1, 2)
    if count == 1 or family.separator is not None
]


def ragged(rng, rows, longest):
    tf = load_tensorflow()
    lengths = rng.integers(0, longest + 1, rows)
    lengths[:3] = 0, longest, 1
    rng.shuffle(lengths)
    return tf.RaggedTensor.from_row_lengths(rng.integers(20, 99, lengths.sum()), lengths)


@pytest.mark.parametrize(("name", "count"), PAIRS)
def test_as_keras_hub_packs(name, count):
    keras_hub, tf = load_keras_hub(), load_tensorflow()
    family, rng = FAMILIES[name], np.random.default_rng(5)
    every = dict.fromkeys((*family.start, *(family.separator or ()), *family.end, family.pad))
    special = {token: number + 1 for number, token in enumerate(every) if token is not None}
    for length in (num_special(family, count) + 1, 11, 12):
        packer = keras_hub.layers.MultiSegmentPacker(
            sequence_length=length,
            start_value=[special[token] for token in family.start],
            sep_value=[special[token] for token in family.separator or family.end],
            end_value=[special[token] for token in family.end],
            pad_value=0 if family.pad is None else special[family.pad],
            truncate="round_robin",
        )
        tokens = [ragged(rng, 41, longest) for longest in (14, 9)][:count]
        found = pack_ids(tokens, length, family, special)
        ids, segments = packer(tuple(tokens))
        np.testing.assert_array_equal(found["token_ids"], ids)
        expected = segments if family.segments else tf.zeros_like(segments)
        np.testing.assert_array_equal(found["segment_ids"], expected)
        sizes = sum(token.row_lengths().numpy() for token in tokens) + num_special(family, count)
        np.testing.assert_array_equal(
            found["padding_mask"].numpy().sum(1), np.minimum(sizes, length)
        )
        assert {found[key].dtype for key in ("token_ids", "segment_ids")} == {tf.int32}
        nothing = [token[:0] for token in tokens]
        assert pack_ids(nothing, length, family, special)["token_ids"].shape == (0, length)
        empty = [token[:2, :0] for token in tokens]
        assert pack_ids(empty, length, family, special)["padding_mask"].numpy().sum() == 2 * (
            num_special(family, count)
        )
