"""What is said at the end of a training: how it ended, and which weights the model has."""

from __future__ import annotations

from collections.abc import Mapping

from keras_mm.progress import counted
from keras_mm.settings.training import Stopping


def end_report(stopping: Stopping, best: int, history: Mapping[str, list], *, stopped: bool) -> str:
    """Says why a training ended before its last epoch, and which weights were restored.

    Args:
        stopping: When the training was to end.
        best: The epoch whose weights the model has, from 1.
        history: Metrics by name, a list over the epochs.
        stopped: Whether early stopping ended it.

    Returns:
        A sentence; "" for a training of all epochs of which the last was the best.

    Example:
        >>> history = {"val_loss": [0.9, 0.7, 0.8]}
        >>> end_report(Stopping(epochs=9, patience=1), 2, history, stopped=True)[:63]
        'training stopped after epoch 3 of 9: val_loss has not improved '
    """
    words, last = [], _num_epochs(history)
    if stopped:
        waited = counted(stopping.patience, "epoch")
        words.append(
            f"training stopped after epoch {last} of {stopping.epochs}: {stopping.monitor} has not "
            f"improved for {waited}"
        )
    elif last < stopping.epochs:
        words.append(f"a callback stopped training after epoch {last} of {stopping.epochs}")
    if best != last:
        words.append(
            f"the weights of epoch {best}, which has the best {stopping.monitor}, are kept"
        )
    return "; ".join(words)


def failure_report(error: BaseException, best: int, history: Mapping[str, list]) -> str:
    """Says what is kept of a training that failed.

    Args:
        error: What ended it.
        best: The epoch whose weights the model has, from 1; 0 if none came to its end.
        history: Metrics by name, a list over the epochs that came to their end.

    Returns:
        A sentence.

    Example:
        >>> failure_report(OSError(), 1, {"loss": [0.9]})
        'training ended after 1 epoch (OSError): the weights of epoch 1 are kept'
    """
    reason = type(error).__name__
    if not best:
        return f"training ended in its first epoch ({reason}): nothing of it is kept"
    after = counted(_num_epochs(history), "epoch")
    return f"training ended after {after} ({reason}): the weights of epoch {best} are kept"


def _num_epochs(history: Mapping[str, list]) -> int:
    return len(next(iter(history.values()), ()))
