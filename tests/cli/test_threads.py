import os
import sys

import pytest

from keras_mm.cli.threads import use_threads

pytestmark = pytest.mark.backend_free

NAME = "TF_NUM_INTRAOP_THREADS"


@pytest.fixture(autouse=True)
def before_tensorflow(monkeypatch):
    monkeypatch.setenv(NAME, "")  # so that it is put back
    monkeypatch.delenv(NAME)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)


@pytest.mark.parametrize(
    "backbones, threads",
    [
        (("tiny_cnn", "tiny_bert"), "1"),
        ((None, "tiny_bert"), "1"),
        (("resnet50v2", "tiny_bert"), None),
        (("tiny_cnn", "a_folder"), None),
        ((object(), "tiny_bert"), None),
        ((None, None), None),
    ],
)
def test_only_small_networks_run_an_operation_in_one_thread(backbones, threads):
    use_threads(backbones)
    assert os.environ.get(NAME) == threads


def test_the_users_threads_stay(monkeypatch):
    monkeypatch.setenv(NAME, "7")
    use_threads(["tiny_cnn"])
    assert os.environ[NAME] == "7"


def test_nothing_is_set_once_tensorflow_is_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    use_threads(["tiny_cnn"])
    assert NAME not in os.environ
