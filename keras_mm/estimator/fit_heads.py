"""Trains single heads of a trained model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras

from keras_mm.checks import require
from keras_mm.data.dataset import RowBatches
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.fit import Callbacks, check_labelled, check_objectives, standardize, train
from keras_mm.estimator.options import loss_settings, optimization, settings_for_heads, stopping
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.spec import changed_parts
from keras_mm.estimator.trained import Trained
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.head_metrics import head_prior
from keras_mm.models.heads import body_of, heads_alone, only, with_heads
from keras_mm.models.multimodal import join, parts
from keras_mm.random_state import seeded
from keras_mm.settings.by_head import one_or_all
from keras_mm.settings.heads import Head
from keras_mm.training.memory import Snapshot
from keras_mm.training.trainer import Trainer
from keras_mm.training.user_callbacks import check_callbacks

_log = logging.getLogger("keras_mm")

_TOTALS = ("loss", "val_loss")  # sums over all heads


def fit_heads(
    trained: Trained,
    prepared: Prepared,
    predictor: Predictor,
    *,
    freeze: bool = True,
    callbacks: Callbacks = (),
    classifier_of: Callable[[Trained], Any],
) -> Trained:
    """Trains some heads of a model, or new heads, on rows of their own.

    Args:
        trained: The trained model.
        prepared: Resolved settings, and the heads to train with their rows.
        predictor: The predictor of `trained`.
        freeze: Whether only the heads are trained; without it everything that `fit` trains is.
        callbacks: The user's Keras callbacks.
        classifier_of: As in `keras_mm.estimator.fit.fit`.

    Returns:
        The model with the trained heads. With `freeze`, `trained` itself is not changed.

    Raises:
        ValueError: if a head has no labels, or the settings describe another model.
    """
    heads = prepared.heads
    labels, weights = prepared.rows.labels, prepared.rows.sample_weight
    check_labelled(heads, labels, weights)
    settings, trained_as = settings_for_heads(prepared.settings, heads)
    check_callbacks(callbacks, trained_as, optimization(settings))
    prepared = replace(prepared, settings=settings, heads=trained_as)
    check_objectives(prepared, callbacks)
    try:
        with seeded(settings.seed):
            if freeze:
                found = _fit_frozen(trained, prepared, predictor, callbacks)
            else:
                found = _fit_through(trained, prepared, callbacks, classifier_of)
    except BaseException:
        _log.warning("the classifier keeps the model that it had before this training")
        raise
    priors = {n: head_prior(head, labels[n], weights).tolist() for n, head in heads.items()}
    return replace(found, heads={**found.heads, **heads}, priors={**found.priors, **priors})


def _fit_frozen(
    trained: Trained, prepared: Prepared, predictor: Predictor, callbacks: Callbacks
) -> Trained:
    """Trains the heads on the outputs of the rest of the model."""
    settings, heads = prepared.settings, prepared.heads
    encoders, _ = parts(trained.model)
    grown = _grown(trained, prepared)
    body = join(encoders, body_of(grown, next(iter(heads))))
    shuffled: dict[str, Any] = {"shuffle": True, "seed": settings.seed}
    batches: list[RowBatches | None] = []
    for rows, options in ((prepared.rows, shuffled), (prepared.validation, {})):
        if rows is None:
            batches.append(None)
            continue
        cut, window_rows = trained.preprocessor.windows(rows)
        batches.append(
            RowBatches(
                {"fused": predictor.run(body, cut)},
                labels=one_or_all(cut.labels),
                sample_weight=cut.sample_weight,
                window_rows=window_rows,
                window=trained.preprocessor.sliding_window,
                batch_size=require(settings.batch_size, "batch_size"),
                **options,
            )
        )
    trainer = Trainer(
        heads_alone(grown, list(heads)),
        heads=heads,
        loss_settings=loss_settings(settings),
        optimization=optimization(settings),
        stopping=stopping(settings),
        callbacks=callbacks,
        seed=settings.seed,
        verbose=settings.verbose,
    )
    return _put_in(trained, join(encoders, grown), heads, trainer.fit(*batches))


def _fit_through(
    trained: Trained,
    prepared: Prepared,
    callbacks: Callbacks,
    classifier_of: Callable[[Trained], Any],
) -> Trained:
    """Trains the heads, and everything else that `fit` trains."""
    settings, heads = prepared.settings, prepared.heads
    others = sorted(set(trained.heads) - set(heads))
    if others:
        warnings.warn(
            "The fusion and other trained parts are shared: the answers of the other heads "
            f"({', '.join(others)}) change.",
            stacklevel=4,
        )
    changed = changed_parts(trained, settings, trained.heads)
    if changed:
        raise InvalidValueError(
            "freeze=False trains the model further, but the settings describe another one "
            f"({', '.join(changed)}). Change them back."
        )
    encoders, _ = parts(trained.model)
    grown, before = _grown(trained, prepared), Snapshot(trained.model.variables)
    own = replace(trained, model=join(encoders, only(grown, list(heads))))
    result = train(own, prepared, callbacks=callbacks, classifier_of=classifier_of)
    if result.error is not None:
        before.restore()
        raise result.error
    return _put_in(trained, join(encoders, grown), heads, result.history)


def _grown(trained: Trained, prepared: Prepared) -> keras.Model:
    """The trunk with new layers for the heads."""
    heads = prepared.heads
    grown = with_heads(parts(trained.model).trunk, heads, list(trained.heads))
    standardize(grown, heads, prepared.rows.labels, prepared.rows.sample_weight)
    return grown


def _put_in(
    trained: Trained, model: keras.Model, heads: Mapping[str, Head], history: Mapping[str, list]
) -> Trained:
    """The model with the trained heads, their history added by head to the model's."""
    before = trained.history
    if len(trained.heads) == 1:
        before = _of_head(before, next(iter(trained.heads)))
    if len(trained.heads) > 1 or set(heads) != set(trained.heads):
        own = _of_head(history, next(iter(heads))) if len(heads) == 1 else history
        history = {**before, **{n: v for n, v in own.items() if n not in _TOTALS}}
    heads = {**trained.heads, **heads}
    return replace(trained, model=model, history=history, heads=heads)


def _of_head(history: Mapping[str, list], name: str) -> dict[str, list]:
    """The history of a single head, its metrics named as in a model of several heads."""
    named = {}
    for metric, values in history.items():
        prefix = "val_" if metric.startswith("val_") else ""
        named[f"{prefix}{name}_{metric.removeprefix('val_')}"] = values
    totals = {metric: history[metric] for metric in _TOTALS if metric in history}
    return {**totals, **named}
