"""Public calls in an order drawn at random: nothing global moves, equal trainings answer the same.

A short walk, the same in each run, and one by hand to where it may not come;
`benchmarks/random_walk.py` walks for as long as asked.
"""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.estimator.walk.machine import RandomWalk
from tests.estimator.walk.recipes import Wish

pytestmark = [
    pytest.mark.eager,
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning"),
]


@pytest.mark.slow
@pytest.mark.many_networks  # where JAX would compile most of the trainings
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


def test_a_walk_by_hand():
    """A declared head goes along with each copy; a training that is stopped leaves no trace."""
    walk = RandomWalk()

    def check():
        walk.parameters_are_as_they_were_set()
        walk.equal_recipes_give_equal_bits()
        walk.predictors_taken_before_answer_as_before()

    try:
        walk.begin(Wish(), "first")
        walk.equal_recipes_give_equal_bits()
        walk.hold(0)
        walk.add_head(0, "moved")
        for number, way in enumerate(("pickle", "save"), start=1):
            walk.copy_of(0, way)
            walk.fit_head(number, "second", number=0, both=False)
            check()
        assert [one.heads for one in walk.known] == [["label"], *[["label", "moved"]] * 2]
        walk.fit_that_is_stopped(1, "first", OSError, epoch=0)
        check()
        walk.set_params(0, Wish(warm_start=True))  # trains the weights that there are
        walk.fit_that_is_stopped(0, "first", KeyboardInterrupt, epoch=1)
        check()
    finally:
        walk.teardown()
