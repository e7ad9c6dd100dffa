"""Batches: every row once an epoch, in an order that seed and epoch alone decide."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from keras_mm.data.dataset import MultimodalDataset, RowBatches
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import TableError
from keras_mm.models.multimodal import create_multimodal_model
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder

ROWS, BATCH = 20, 7
COLUMNS = {"images": ["image"], "texts": ["text"], "labels": "label"}


def scene(value):
    return np.full((5, 7, 3), value, "uint8")


@pytest.fixture(scope="module")
def table():
    """Row `i` has an image of the grey `i` (the last one none) and the label `i % 3`."""
    return [
        {"image": scene(i) if i < ROWS - 1 else None, "text": "red", "label": "cab"[i % 3]}
        for i in range(ROWS)
    ]


@pytest.fixture(scope="module")
def preprocessor():
    return Preprocessor(
        image_size=(16, 16), num_images=1, tokenizer="tiny_bert", sequence_length=8, num_texts=1
    )


def numbered(**options):
    """Batches whose input is the row's number."""
    return RowBatches({"row": np.arange(ROWS)}, batch_size=BATCH, **options)


def rows_of(dataset):
    return [dataset[i]["row"].tolist() for i in range(len(dataset))]


def epoch_of(dataset, epoch):
    dataset.epoch = epoch
    return sum(rows_of(dataset), [])


def test_each_epoch_is_a_permutation_of_rows():
    epochs = [epoch_of(numbered(shuffle=True, seed=3), epoch) for epoch in range(5)]
    assert all(sorted(rows) == list(range(ROWS)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 5
    assert [len(batch) for batch in rows_of(numbered(shuffle=True))] == [7, 7, 6]


def test_seed_and_epoch_alone_decide():
    dataset = numbered(shuffle=True, seed=3)
    first = sum(rows_of(dataset), [])
    assert first == sum(rows_of(dataset), [])
    dataset.on_epoch_end()
    assert dataset.epoch == 1
    assert sum(rows_of(dataset), []) == epoch_of(numbered(shuffle=True, seed=3), 1) != first
    assert epoch_of(dataset, 0) == first
    assert epoch_of(numbered(shuffle=True, seed=5), 0) != first
    assert first == np.random.default_rng([3, 0]).permutation(ROWS).tolist()


def test_without_shuffling():
    dataset = numbered()
    assert sum(rows_of(dataset), []) == epoch_of(dataset, 4) == list(range(ROWS))


@pytest.mark.parametrize("epoch", [0, 4])
def test_full_batches(epoch):
    """The last batch is filled up with the epoch's first rows; a single batch is not."""
    dataset = numbered(shuffle=True, fill=True, seed=3)
    rows = epoch_of(dataset, epoch)
    assert rows[:ROWS] == epoch_of(numbered(shuffle=True, seed=3), epoch)
    assert rows[ROWS:] == rows[: 3 * BATCH - ROWS] and len(rows) == 3 * BATCH
    single = RowBatches({"row": np.arange(5)}, batch_size=BATCH, shuffle=True, fill=True)
    assert sorted(*rows_of(single)) == list(range(5))


def test_batches_end():
    assert len(list(numbered())) == len(numbered()) == 3
    for index in (3, -1):
        with pytest.raises(IndexError, match="There are 3 batches"):
            numbered()[index]
    with pytest.raises(ValueError, match="batch_size=0"):
        RowBatches({"row": np.arange(3)}, batch_size=0)
    assert len(RowBatches({"row": np.arange(6)}, batch_size=3)) == 2


def test_batches_are_inputs_and_labels(table, preprocessor):
    dataset = MultimodalDataset(table, preprocessor, **COLUMNS, batch_size=BATCH, seed=1)
    assert dataset.classes == ["a", "b", "c"] and len(dataset) == 3
    seen = []
    for index in range(3):
        inputs, labels = dataset[index]
        assert sorted(inputs) == sorted(preprocessor.input_names)
        assert inputs["image_1"].dtype == np.float32 and labels.dtype == np.int32
        for image, mask, label in zip(inputs["image_1"], inputs["image_mask"], labels, strict=True):
            row = int(image.mean()) if mask[0] else ROWS - 1
            assert image.min() == image.max() == (row if mask[0] else 0)
            assert dataset.classes[label] == "cab"[row % 3]
            seen.append(row)
    assert sorted(seen) == list(range(ROWS))


def test_batches_are_the_preprocessor_s(table, preprocessor):
    dataset = MultimodalDataset(table, preprocessor, **COLUMNS, batch_size=ROWS, shuffle=False)
    inputs, _ = dataset[0]
    expected = preprocessor(dataset.rows)
    assert inputs.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(inputs[name], expected[name])
        assert inputs[name].dtype == expected[name].dtype


def test_without_labels_there_are_inputs_alone(table, preprocessor):
    dataset = MultimodalDataset(table, preprocessor, images="image", texts="text", batch_size=BATCH)
    assert isinstance(dataset[0], dict) and dataset.classes is None


@pytest.mark.parametrize("order", [[0, 1, 2, 0, 1, 2], [2, 0, 1, 1, 2, 2], [0, 2, 1, 0]])
def test_batches_asked_for_in_any_order(order):
    def batches(workers):
        images = {"image": [scene(row) for row in range(ROWS)]}
        return RowBatches({}, images=images, image_size=(5, 7), batch_size=BATCH, shuffle=True,
                          workers=workers)  # fmt: skip

    plain, ahead = batches(0), batches(2)
    for epoch in (0, 1, 0):
        plain.epoch = ahead.epoch = epoch
        for index in order:
            np.testing.assert_array_equal(ahead[index]["image"], plain[index]["image"])


def test_threads_get_the_same_batches(table, preprocessor):
    dataset = MultimodalDataset(table, preprocessor, **COLUMNS, batch_size=3, workers=4)
    expected = [dataset[i] for i in range(len(dataset))]
    fresh = MultimodalDataset(table, preprocessor, **COLUMNS, batch_size=3, workers=0)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fresh.__getitem__, [*range(len(fresh))] * 5))
    for i, (inputs, labels) in enumerate(found):
        np.testing.assert_array_equal(labels, expected[i % len(fresh)][1])
        for name in inputs:
            np.testing.assert_array_equal(inputs[name], expected[i % len(fresh)][0][name])


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_a_model_sees_in_fit(workers):
    """Each epoch of a bare `fit` has every row once, in the order of its own number.

    Keras ends an epoch before the first one, on every backend: the numbers start at 1.
    """
    dataset = RowBatches(
        {}, images={"image": [scene(row) for row in range(ROWS)]}, image_size=(5, 7),
        labels=np.arange(ROWS), batch_size=BATCH, shuffle=True, seed=3, workers=workers,
    )  # fmt: skip
    seen = []

    def record(y_true, y_pred):
        with contextlib.suppress(Exception):  # symbolic while Keras builds the model
            seen.extend(keras.ops.convert_to_numpy(y_true).astype(int).ravel().tolist())
        return keras.ops.mean(y_pred)

    image = keras.Input((5, 7, 3), name="image")
    model = keras.Model({"image": image}, keras.layers.Dense(1)(image))
    model.compile("sgd", loss=record, run_eagerly=True)
    model.fit(dataset, epochs=3, shuffle=False, verbose=0)
    expected = [np.random.default_rng([3, e]).permutation(ROWS).tolist() for e in range(1, 4)]
    assert seen == sum(expected, [])
    seen.clear()
    dataset.epoch = 2
    model.fit(dataset, epochs=1, shuffle=False, verbose=0)
    assert seen == expected[2]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=(16, 16), num_images=1)
    text = create_text_encoder("tiny_bert", weights="random", sequence_length=8)
    return create_multimodal_model(vision, text, 3, projection_dims=7)


def test_a_bare_fit(table, preprocessor, model):
    train = MultimodalDataset(table, preprocessor, **COLUMNS, batch_size=BATCH, workers=2)
    validation = MultimodalDataset(
        table[:5], preprocessor, **COLUMNS, classes=train.classes, shuffle=False
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss, metrics=["accuracy"])
    history = model.fit(train, validation_data=validation, epochs=1, verbose=0).history
    assert history.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert np.isfinite(history["loss"]).all() and train.epoch == 2
    assert model.predict(validation, verbose=0).shape == (5, 3)


def test_a_validation_set_takes_the_order_of_classes(table, preprocessor):
    part = [row for row in table if row["label"] != "a"]
    options = {**COLUMNS, "shuffle": False, "batch_size": ROWS}
    assert MultimodalDataset(part, preprocessor, **options).classes == ["b", "c"]
    dataset = MultimodalDataset(part, preprocessor, **options, classes=["c", "a", "b"])
    assert set(dataset[0][1].tolist()) == {0, 2}
    with pytest.raises(TableError, match="unknown label 'c'. The classes are 'a', 'b'"):
        MultimodalDataset(part, preprocessor, **options, classes=["a", "b"])


def test_wrong_columns(table, preprocessor):
    with pytest.raises(ValueError, match=r"takes 1 image columns. Received: images=\['a', 'b'\]"):
        MultimodalDataset(table, preprocessor, images=["a", "b"], texts=["text"])
    with pytest.raises(ValueError, match=r"takes 1 text columns. Received: texts=\[\]"):
        MultimodalDataset(table, preprocessor, images=["image"])
    with pytest.raises(TableError) as error:
        MultimodalDataset(table, preprocessor, images="imag", texts="txt", labels="lable")
    assert len(error.value.problems) == 3 and "Did you mean 'label'" in str(error.value)


def test_bad_rows_are_told_or_skipped(table, preprocessor):
    bad = [*table[:4], {**table[4], "image": "nowhere.png"}, {**table[5], "label": None}]
    with pytest.raises(TableError, match="2 problems"):
        MultimodalDataset(bad, preprocessor, **COLUMNS)
    with pytest.warns(UserWarning, match="2 of 6 rows left out"):
        dataset = MultimodalDataset(bad, preprocessor, **COLUMNS, on_error="skip")
    assert dataset.num_rows == 4 and [p.row for p in dataset.rows.skipped] == [4, 5]


def test_a_column_of_several_images_fills_as_many_inputs():
    rows = [{"photos": [scene(3), scene(5)]}, {"photos": [scene(7)]}, {"photos": [None, scene(9)]}]
    preprocessor = Preprocessor(image_size=(5, 7), num_images=2)
    dataset = MultimodalDataset(rows, preprocessor, images={"photos": 2}, shuffle=False)
    inputs = dataset[0]
    assert inputs["image_mask"].tolist() == [[True, True], [True, False], [False, True]]
    assert inputs["image_1"][:, 0, 0, 0].tolist() == [3, 7, 0]
    assert inputs["image_2"][:, 0, 0, 0].tolist() == [5, 0, 9]
    with pytest.raises(
        ValueError, match=r"takes 2 image columns. Received: images=\{'photos': 3\}"
    ):
        MultimodalDataset(rows, preprocessor, images={"photos": 3})


def test_weights_go_with_their_rows(table, preprocessor):
    rows = [{**row, "weight": str(i / 2)} for i, row in enumerate(table)]
    for given in ("weight", np.arange(ROWS) / 2):
        dataset = MultimodalDataset(
            rows, preprocessor, **COLUMNS, sample_weight=given, batch_size=BATCH, seed=3
        )
        order = dataset.order()
        for index in range(len(dataset)):
            _, labels, weights = dataset[index]
            places = order[index * BATCH : (index + 1) * BATCH]
            assert weights.dtype == "float32" and weights.tolist() == (places / 2).tolist()
            assert len(labels) == len(weights)
        np.testing.assert_array_equal(dataset.row_weights, np.arange(ROWS) / 2)


def test_each_head_gets_the_weights():
    labels = {"one": np.arange(ROWS), "two": np.arange(ROWS)}
    dataset = numbered(labels=labels, sample_weight=np.arange(ROWS))
    assert {name: w.tolist() for name, w in dataset[0][2].items()} == {
        "one": list(range(BATCH)), "two": list(range(BATCH)),
    }  # fmt: skip


def test_windows_share_the_weight_of_their_row():
    window_rows = np.sort(np.resize([0, 1, 1, 1, 2], ROWS))
    weights = np.array([2.0, 3.0, 0.5])[window_rows]
    dataset = numbered(labels=np.zeros(ROWS), sample_weight=weights, window_rows=window_rows)
    counts = np.bincount(window_rows)
    found = np.concatenate([dataset[i][2] for i in range(len(dataset))])
    np.testing.assert_allclose(found, weights / counts[window_rows], rtol=1e-6)
    assert dataset.row_weights.tolist() == [2, 3, 0.5]
    assert numbered(labels=np.zeros(ROWS), window_rows=window_rows).row_weights is None


def test_wrong_weights_of_a_dataset(table, preprocessor):
    options = {"images": ["image"], "texts": ["text"], "progress": False}
    with pytest.raises(ValueError, match="requires `labels`"):
        MultimodalDataset(table, preprocessor, **options, sample_weight=[1] * ROWS)
    with pytest.raises(TableError, match="row 2, column 'sample_weight'.*Received: -1"):
        bad = [1, 1, -1, *[1] * (ROWS - 3)]
        MultimodalDataset(table, preprocessor, **COLUMNS, sample_weight=bad)
    with pytest.raises(ValueError, match="finite numbers >= 0. Received: nan in row 1"):
        numbered(labels=np.zeros(ROWS), sample_weight=[1, np.nan] * (ROWS // 2))
