"""Early stopping, by the figures of Simple Transformers."""

import pytest

from keras_mm.simple_transformers.progress import EarlyStopping

pytestmark = pytest.mark.backend_free


def run(values, **options):
    """The evaluation that stops, from 1, or None; and the best."""
    stopping = EarlyStopping(**options)
    for number, value in enumerate(values, 1):
        stopping.note(value)
        if stopping.is_over:
            return number, stopping.best
    return None, stopping.best


def test_stops_after_the_patience():
    assert run([1.0, 2.0, 2.0, 2.0, 0.5], patience=3) == (4, 1.0)


def test_a_best_of_zero_is_kept():
    assert run([1.0, 0.0, 0.5, 0.5, 0.5], patience=3) == (5, 0.0)
    assert run([0.0, 0.5, 0.5], patience=2, minimize=True) == (3, 0.0)


def test_an_improvement_is_more_than_the_delta():
    assert run([1.0, 0.95, 0.92, 0.91], patience=3, delta=0.1) == (4, 1.0)
    assert run([1.0, 0.75, 0.5], patience=1, delta=0.1) == (None, 0.5)


def test_more_may_be_better():
    assert run([0.5, 0.7, 0.6, 0.6], patience=2, minimize=False) == (4, 0.7)


def test_what_is_no_number_is_never_the_best():
    assert run([float("nan"), 0.5, 0.4], patience=3) == (None, 0.4)
    assert run([0.5, float("nan"), float("nan")], patience=2) == (3, 0.5)


@pytest.mark.parametrize("counts", [True, False])
def test_evaluations_that_do_not_count(counts):
    stopping = EarlyStopping(patience=1)
    stopping.note(1.0)
    stopping.note(2.0, counts=counts)
    assert stopping.is_over is counts
    assert stopping.note(0.5, counts=counts) and stopping.best == 0.5
