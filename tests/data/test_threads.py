import threading

import pytest

from keras_mm.data import threads
from keras_mm.data.threads import in_threads

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("count", [0, 1, 2, 7, 20])
def test_results_come_in_order(count, monkeypatch):
    monkeypatch.setattr(threads, "_AT_ONCE", 3)
    assert list(in_threads(lambda x: x * x, range(count))) == [x * x for x in range(count)]


def test_several_run_at_the_same_time():
    barrier = threading.Barrier(2, timeout=20)
    assert sorted(in_threads(lambda _: barrier.wait(), "ab")) == [0, 1]


def test_an_error_comes_when_its_turn_does():
    found = in_threads(lambda x: 1 / x, [2, 1, 0, 4])
    assert [next(found), next(found)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_only_so_many_wait(monkeypatch):
    monkeypatch.setattr(threads, "_AT_ONCE", 4)
    begun = []
    found = in_threads(begun.append, range(100))
    next(found)
    assert len(begun) <= 4
