import os
import sys

import pytest

from keras_mm.cli.train import _use_threads
from keras_mm.settings.settings import RunSettings

pytestmark = pytest.mark.backend_free

NAME = "TF_NUM_INTRAOP_THREADS"


@pytest.fixture(autouse=True)
def before_tensorflow(monkeypatch):
    monkeypatch.setenv(NAME, "")  # so that it is put back
    monkeypatch.delenv(NAME)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)


@pytest.mark.parametrize(
    "settings, threads",
    [
        ({"preset": "tiny"}, "1"),
        ({"preset": "tiny", "vision_backbone": "resnet50v2"}, None),
        ({"preset": "tiny", "text_backbone": "a_folder"}, None),
        ({"preset": "mobilenet_v2_minilm"}, None),
        ({"preset": "distil_bert_text"}, None),
    ],
)
def test_only_small_networks_run_an_operation_in_one_thread(settings, threads):
    _use_threads(RunSettings(**settings).resolved())
    assert os.environ.get(NAME) == threads


def test_the_users_threads_stay(monkeypatch):
    monkeypatch.setenv(NAME, "7")
    _use_threads(RunSettings(preset="tiny").resolved())
    assert os.environ[NAME] == "7"


def test_nothing_is_set_once_tensorflow_is_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    _use_threads(RunSettings(preset="tiny").resolved())
    assert NAME not in os.environ
