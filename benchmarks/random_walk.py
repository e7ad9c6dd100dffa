"""A long random walk over the estimator's public calls; see `tests/estimator/walk`.

    python benchmarks/random_walk.py --minutes 15          # with KERAS_BACKEND=jax for another one

Classifiers are trained, stopped, asked, copied, saved and misused in an order drawn at random.
After each step: equal trainings answer the same bits, and no call has moved a random state, a
setting or its arguments. TensorFlow runs eagerly. At the first failure the walk is shortened, its
steps are printed, and the exit code is 1. `tests/estimator/test_random_walk.py` is a short walk of
the same kind.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--steps", type=int, default=30, help="calls of a walk, at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_MM_CACHE"] = folder
        walk(options.minutes, options.steps)


def walk(minutes: float, steps: int) -> None:
    """Walks until the time is over, or something fails."""
    from hypothesis import HealthCheck, settings
    from hypothesis.stateful import run_state_machine_as_test

    from tests.conftest import tensorflow_functions
    from tests.estimator.walk.machine import RandomWalk

    options = settings(
        max_examples=3,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    begun = time.monotonic()
    with tensorflow_functions(eager=True):
        while time.monotonic() - begun < 60 * minutes:
            run_state_machine_as_test(RandomWalk, settings=options)
            print(f"{time.monotonic() - begun:.0f} s: no failure", flush=True)


if __name__ == "__main__":
    main()
