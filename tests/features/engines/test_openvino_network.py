import importlib.util
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.errors import EngineError
from keras_mm.features import encode as engine
from keras_mm.features.encode import encode_rows
from keras_mm.features.engines import choice, openvino_network
from keras_mm.features.engines.choice import choose_engine, deviation
from keras_mm.features.engines.keras_network import full_precision, precision_of
from keras_mm.features.store.store import FeatureStore
from keras_mm.models.keras_settings import build_settings
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder
from keras_mm.settings import engines
from tests.conftest import missing

pytestmark = pytest.mark.usefixtures("installed")

COLUMNS = {"texts": ["text_1", "text_2"]}
NAMES = ["text_pooled_output", "text_sequence_output"]


@pytest.fixture(scope="module")
def installed():
    if importlib.util.find_spec("openvino") is None:
        missing("openvino is not installed")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(engine, "BATCH_ITEMS", 16)
    keras.utils.set_random_seed(1)


def create_texts(**options):
    return create_text_encoder(
        "tiny_bert", weights="random", sequence_length=40, text_pairing="separate", **options
    )


@pytest.fixture(scope="module")
def encoder():
    return create_texts()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store that every test of the module shares, with the encoder as it was converted first."""
    return FeatureStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def preprocessor():
    return Preprocessor(
        tokenizer="tiny_bert", sequence_length=40, num_texts=2, text_pairing="separate"
    )


@pytest.fixture(scope="module")
def rows(sample):
    table = sample[0][:40].copy()
    table["text_1"] = ["word " * (i % 30) + f"{i} end" for i in range(40)]
    table.loc[table.index[3], "text_2"] = None
    return read_rows(table, **COLUMNS)


def encoded(encoder, rows, preprocessor, by, store=None, names=NAMES):
    found = encode_rows({"text": encoder}, rows, preprocessor, names=names, engine=by, store=store)
    return {name: np.asarray(value) for name, value in found.items()}


def test_the_features_are_those_of_keras(encoder, rows, preprocessor, store, caplog):
    with caplog.at_level(logging.INFO, "keras_mm"):
        found = encoded(encoder, rows, preprocessor, "openvino", store)
    expected = encoded(encoder, rows, preprocessor, "keras")
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
        assert found[name].dtype == np.float32 and found[name].any()
    assert "texts are encoded by OpenVINO" in caplog.text
    assert "in float32 (difference from Keras: " in caplog.text


def test_a_text_has_the_same_bits_in_any_company(encoder, rows, preprocessor, store):
    together = encoded(encoder, rows, preprocessor, "openvino", store)
    some = rows.take([31, 7, 20, 3])
    for name, value in encoded(encoder, some, preprocessor, "openvino").items():
        np.testing.assert_array_equal(value, together[name][[31, 7, 20, 3]])


def test_threads_may_ask_at_the_same_time(encoder, rows, preprocessor, store):
    network = openvino_network.openvino_network(encoder, ("pooled_output",), store)
    inputs = preprocessor.masks_and_tokens(rows)
    batches = [
        {name: np.roll(inputs[name], shift, axis=0) for name in encoder.input} for shift in range(8)
    ] * 8
    expected = [network(batch)["pooled_output"] for batch in batches[:8]] * 8
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda batch: network(batch)["pooled_output"], batches))
    for value, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, right)


@pytest.mark.slow
@pytest.mark.backend_free
def test_a_fresh_process_may_begin_with_threads():
    code = (
        "import threading; from concurrent.futures import ThreadPoolExecutor\n"
        "from keras_mm.features.engines.openvino_network import load_openvino\n"
        "barrier = threading.Barrier(4)\n"
        "def load(_): barrier.wait(); return load_openvino().__version__\n"
        "with ThreadPoolExecutor(4) as pool: print(len(set(pool.map(load, range(4)))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1", done.stderr


def test_it_is_converted_once(encoder, rows, preprocessor, store, monkeypatch):
    encoded(encoder, rows, preprocessor, "openvino", store)
    openvino_network._converted.clear()  # as in another process
    monkeypatch.setattr(openvino_network, "_convert", lambda _: pytest.fail("converted again"))
    other = FeatureStore(store.folder)
    names = ["text_pooled_output"]
    for shelf in (other.folder / "features").glob("*_output"):
        for block in shelf.glob("*.features"):
            block.unlink()
    found = encoded(encoder, rows, preprocessor, "openvino", other, names)
    expected = encoded(encoder, rows, preprocessor, "keras")
    np.testing.assert_allclose(found[names[0]], expected[names[0]], atol=1e-5)
    about = [one["output"] for one in store.info()["encoders"]]
    assert "network (OpenVINO)" in about


def test_other_weights_are_converted_anew(rows, preprocessor, store, once):
    encoder = create_texts()
    before = encoded(encoder, rows, preprocessor, "openvino", store)
    (embedding,) = [v for v in encoder.weights if v.path.endswith("token_embedding/embeddings")]
    used = preprocessor.masks_and_tokens(rows)["token_ids"][0, 0, 1]
    value = np.array(keras.ops.convert_to_numpy(embedding))
    value[used] *= -3  # one row of many
    embedding.assign(value)
    after = encoded(encoder, rows, preprocessor, "openvino", store)
    expected = encoded(encoder, rows, preprocessor, "keras")
    for name in NAMES:
        np.testing.assert_allclose(after[name], expected[name], atol=1e-5)
        assert np.abs(after[name] - before[name]).max() > 1e-3


def test_bfloat16_is_near_and_its_deviation_is_told(rows, preprocessor, store, caplog, once):
    with build_settings("mixed_bfloat16"):
        encoder = create_texts()
    copy = full_precision(encoder)
    assert precision_of(copy) == "float32"
    with caplog.at_level(logging.INFO, "keras_mm"):
        found = encoded(encoder, rows, preprocessor, "openvino", store)[NAMES[0]]
    expected = encoded(copy, rows, preprocessor, "keras")[NAMES[0]]
    distance = np.abs(found - expected).max()
    openvino = openvino_network.load_openvino()
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" in able:
        assert 1e-5 <= distance < 0.1
    else:  # such a processor computes in float32
        assert distance < 1e-5
    assert "texts in bfloat16: cosine similarity to float32 without the mean: " in caplog.text


def test_deviation_is_of_what_varies():
    """A large common part does not hide that the vectors point elsewhere."""

    class Fixed:
        def __init__(self, value, full=None):
            self.value, self.full = value, full

        def __call__(self, _):
            return {"pooled_output": self.value[:, None]}

        def in_float32(self):
            return self.full

    vectors = np.random.default_rng(0).normal(size=(6, 5))
    assert deviation(Fixed(vectors, Fixed(vectors)), {}, 6).startswith(
        "cosine similarity to float32 without the mean: 1.0000"
    )
    turned = 100 - vectors
    assert "-1.0000 at least, over 6 items" in deviation(Fixed(turned, Fixed(100 + vectors)), {}, 6)


def test_images(sample, store, once):
    encoder = create_vision_encoder("tiny_cnn", weights="random", image_size=(48, 40))
    preprocessor = Preprocessor(image_size=(48, 40), num_images=2)
    rows = read_rows(sample[0][:20], images=["image_1", "image_2"])
    both = [
        encode_rows({"vision": encoder}, rows, preprocessor, engine=by, store=store)
        for by in ("openvino", "keras")
    ]
    values = [np.asarray(one["vision_pooled_output"]) for one in both]
    np.testing.assert_allclose(*values, atol=1e-4)
    assert np.ptp(values[0], axis=0).max() > 1e-3


def test_auto_takes_it_where_it_pays(encoder, store, monkeypatch):
    assert choose_engine(encoder, "auto", store) == "keras"  # tiny
    monkeypatch.setattr(choice, "_WORTHWHILE", 1000)
    as_fast = keras.backend.backend() == "tensorflow"
    assert choose_engine(encoder, "auto", store).startswith("keras" if as_fast else "openvino ")
    with build_settings("mixed_bfloat16"):
        encoder = create_texts()
    assert choose_engine(encoder, "auto", store).endswith(" bfloat16")
    assert choose_engine(encoder, "auto", None) == "keras"
    encoder.trainable = True
    assert choose_engine(encoder, "auto", store) == "keras"
    encoder.trainable = False
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert choose_engine(encoder, "auto", store) == "keras"


def test_asked_for_and_not_installed(encoder, rows, preprocessor, monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'keras_mm\[openvino\]'"):
        encoded(encoder, rows, preprocessor, "openvino")


class Unknown(keras.layers.Layer):
    """A layer of the user's own, that OpenVINO has no operation for."""

    def call(self, inputs):
        _, values, _ = keras.ops.svd(keras.ops.reshape(inputs, (-1, 4, 12)))
        return values


def test_what_it_cannot_run(sample, store, monkeypatch, caplog, once):
    pixels = keras.Input((4, 4, 3))
    network = keras.Model(pixels, Unknown()(pixels))
    encoder = create_vision_encoder(network, image_size=(4, 4))
    preprocessor = Preprocessor(image_size=(4, 4), num_images=2)
    rows = read_rows(sample[0][:20], images=["image_1", "image_2"])
    root = logging.getLogger()
    before = root.level, root.filters[:], root.handlers[:]
    with pytest.raises(EngineError, match="OpenVINO cannot convert vision_encoder"):
        encode_rows({"vision": encoder}, rows, preprocessor, engine="openvino", store=store)
    assert (root.level, root.filters, root.handlers) == before
    monkeypatch.setattr(choice, "_pays", lambda *_: True)
    with caplog.at_level(logging.INFO, "keras_mm"):
        found = encode_rows({"vision": encoder}, rows, preprocessor, engine="auto", store=store)
    assert "the vision encoder runs on Keras: OpenVINO cannot convert" in caplog.text
    assert np.asarray(found["vision_pooled_output"]).any()


def test_a_failed_conversion_is_not_tried_again(rows, preprocessor, tmp_path, monkeypatch):
    tried, store = [], FeatureStore(tmp_path)

    def fail(_):
        tried.append(1)
        raise EngineError("no.")

    monkeypatch.setattr(openvino_network, "_convert", fail)
    monkeypatch.setattr(choice, "_WORTHWHILE", 1000)
    with build_settings("mixed_bfloat16"):
        encoder = create_texts()
    for _ in range(2):
        assert encoded(encoder, rows, preprocessor, "auto", store)[NAMES[0]].any()
    assert len(tried) == 1
    with pytest.raises(EngineError, match="For the text encoder, use engine='auto' or"):
        encoded(encoder, rows, preprocessor, "openvino", store)


def test_a_folder_of_its_name_is_no_openvino(monkeypatch):
    def absent(name):
        raise engines.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(engines.importlib.metadata, "version", absent)
    assert "pip install" in engines.engine_problem("openvino")
    assert engines.engine_problem("auto") == engines.engine_problem("keras") == ""


def test_an_unknown_engine(encoder, store):
    with pytest.raises(ValueError, match="engine.*openvin0"):
        choose_engine(encoder, "openvin0", store)


def test_a_conversion_that_gives_something_else_is_refused(encoder, tmp_path, monkeypatch, once):
    monkeypatch.setattr(openvino_network, "_TOLERANCE", 1e-12)
    with pytest.raises(EngineError, match="from OpenVINO differ from those of Keras"):
        openvino_network.write_network(encoder, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.backend_free
def test_it_sends_no_telemetry():
    code = (
        "from keras_mm.features.engines.openvino_network import load_openvino; import sys\n"
        "print(load_openvino().__version__)\n"
        "assert 'openvino_telemetry' not in sys.modules and 'openvino' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
