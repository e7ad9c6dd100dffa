"""Public calls in an order drawn at random: nothing global moves, equal trainings answer the same.

A short walk, the same in each run; `benchmarks/random_walk.py` walks for as long as asked.
"""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.estimator.walk.machine import RandomWalk

pytestmark = [
    pytest.mark.eager,
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning"),
]


def test_a_short_walk():
    run_state_machine_as_test(
        RandomWalk,
        settings=settings(
            max_examples=2,
            stateful_step_count=8,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
        ),
    )
