"""The time of an update by AdamW: Keras' own beside the fused one of this package.

    KERAS_BACKEND=torch python benchmarks/adam_update.py [--weights 1.9] [--repeats 20]

Updates two dense layers with that many million weights, with clipping and weight decay, as a
compiled step does on TensorFlow. Prints the median milliseconds of both, in turn.
"""

import argparse
import time

import keras
import numpy as np

from keras_mm.settings.training import Optimization
from keras_mm.training.fused_adam import fused_update
from keras_mm.training.optimizers import create_optimizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=float, default=1.9, help="in millions")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    fused, plain = (create_optimizer(Optimization(), 1e-3) for _ in range(2))
    if fused_update(fused) is None:
        raise SystemExit(f"{keras.backend.backend()} has no fused update: its compiler joins them.")
    del plain._backend_update_step
    side = int((options.weights * 1e6 / 2) ** 0.5)
    updates = [update(optimizer, [(side, side), (side,)] * 2) for optimizer in (fused, plain)]
    seconds: list[list[float]] = [[], []]
    for _ in range(options.repeats):
        for place, run in enumerate(updates):
            begun = time.perf_counter()
            run()
            seconds[place].append(time.perf_counter() - begun)
    ours, theirs = (np.median(each[1:]) * 1e3 for each in seconds)
    print(
        f"backend {keras.backend.backend()}, {2 * (side * side + side) / 1e6:.1f} million weights"
    )
    print(f"fused {ours:.1f} ms, Keras {theirs:.1f} ms: {theirs / ours:.1f} x")


def update(optimizer, shapes):
    """A function that updates weights of these shapes once."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    weights = [keras.Variable(array, dtype="float32") for array in arrays]
    gradients = [keras.ops.convert_to_tensor(array) for array in arrays]
    optimizer.build(weights)
    if keras.backend.backend() != "tensorflow":
        return lambda: optimizer.apply(gradients, weights)
    import tensorflow as tf

    return tf.function(lambda: optimizer.apply(gradients, weights), autograph=False)


if __name__ == "__main__":
    main()
