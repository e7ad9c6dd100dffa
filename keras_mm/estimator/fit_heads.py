"""Trains some heads of a trained model, or new heads."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import keras

from keras_mm.checks import require
from keras_mm.data.dataset import RowBatches
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.fit import Callbacks, check_labelled, check_objectives, train
from keras_mm.estimator.fit_folds import join_histories
from keras_mm.estimator.member_weights import weights_of_new_heads
from keras_mm.estimator.options import loss_settings, optimization, settings_for_heads, stopping
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.spec import changed_parts
from keras_mm.estimator.statistics import standardize
from keras_mm.estimator.trained import Trained
from keras_mm.features.table import FeatureTable
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.head_metrics import head_prior
from keras_mm.models.ensemble import average, member_weights, members, own_sides
from keras_mm.models.heads import body_of, heads_alone, only, with_heads
from keras_mm.models.multimodal import join, parts
from keras_mm.random_state import seeded
from keras_mm.settings.by_head import one_or_all
from keras_mm.settings.heads import Head
from keras_mm.training.callbacks import ValidationResult
from keras_mm.training.memory import Snapshot
from keras_mm.training.trainer import Trainer
from keras_mm.training.user_callbacks import check_callbacks

_log = logging.getLogger("keras_mm")

Features = Mapping[str, FeatureTable]

_TOTALS = ("loss", "val_loss")  # sums over all heads
_FACTS = ("fold",)  # what is no metric in a history


class _Fitted(NamedTuple):
    """A trained model, its history, and its evaluation on the validation rows."""

    model: keras.Model
    history: dict[str, list]
    validation: ValidationResult | None


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
        freeze: Whether to train only the heads; otherwise everything that `fit` trains.
        callbacks: The user's Keras callbacks.
        classifier_of: As in `keras_mm.estimator.fit.fit`.

    Returns:
        The model with the trained heads. With `freeze`, `trained` itself is not changed.

    Raises:
        ValueError: if a head has no labels, or with `freeze=False` if settings were changed that
            the model is built from.

    Warns:
        UserWarning: with `freeze=False`, if there are other heads, whose predictions change.
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
                results = _fit_frozen(trained, prepared, predictor, callbacks)
            else:
                results = _fit_through(trained, prepared, callbacks, classifier_of)
    except BaseException:
        _log.warning("the classifier keeps the model that it had before this training")
        raise
    priors = {n: head_prior(head, labels[n], weights).tolist() for n, head in heads.items()}
    after = {**trained.heads, **heads}
    logits = [None if one.validation is None else one.validation.logits for one in results]
    new = weights_of_new_heads(trained, heads, prepared.validation, logits)
    model = average(
        [one.model for one in results],
        after,
        weights={**member_weights(trained.model), **new},
        own_sides=own_sides(members(trained.model)),
    )
    first = [each.member == trained.members[0].member for each in trained.members]
    history = join_histories([one.history for one, own in zip(results, first, strict=True) if own])
    return replace(
        trained,
        model=model,
        heads=after,
        history=_with_heads(trained, heads, history),
        priors={**trained.priors, **priors},
        # With freeze=False the logits of all heads change.
        decisions={n: d for n, d in trained.decisions.items() if freeze and n not in heads},
        held_out=None,  # of the former heads only
    )


def _fit_frozen(
    trained: Trained, prepared: Prepared, predictor: Predictor, callbacks: Callbacks
) -> list[_Fitted]:
    """Trains the heads on the outputs of the rest of the model, of each of its members."""
    models = members(trained.model)
    features: list[Features | None] = [None, None]
    if len(models) > 1 and not own_sides(models):  # one encoding for all
        tables = (prepared.rows, prepared.validation)
        features = [None if rows is None else predictor.features(rows) for rows in tables]
    return [
        _fit_member(replace(trained, model=model), prepared, predictor, features, callbacks)
        for model in models
    ]


def _fit_member(
    trained: Trained,
    prepared: Prepared,
    predictor: Predictor,
    features: Sequence[Features | None],
    callbacks: Callbacks,
) -> _Fitted:
    """Trains the heads on the outputs of the rest of a single model."""
    settings, heads = prepared.settings, prepared.heads
    encoders, _ = parts(trained.model)
    grown = _grown(trained, prepared)
    body = join(encoders, body_of(grown, next(iter(heads))))
    shuffled: dict[str, Any] = {"shuffle": True, "fill": True, "seed": settings.seed}
    batches: list[RowBatches | None] = []
    tables = (prepared.rows, prepared.validation)
    for rows, known, options in zip(tables, features, (shuffled, {}), strict=True):
        if rows is None:
            batches.append(None)
            continue
        cut, window_rows = trained.preprocessor.windows(rows)
        batches.append(
            RowBatches(
                {"fused": predictor.run(body, cut, features=known)},
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
    history = trainer.fit(*batches)
    return _Fitted(join(encoders, grown), history, trainer.validation)


def _fit_through(
    trained: Trained,
    prepared: Prepared,
    callbacks: Callbacks,
    classifier_of: Callable[[Trained], Any],
) -> list[_Fitted]:
    """Trains the heads, and everything else that `fit` trains, of each member of the model."""
    settings, heads = prepared.settings, prepared.heads
    others = sorted(set(trained.heads) - set(heads))
    if others:
        warnings.warn(
            "freeze=False trains parts that all heads share, so the predictions of the other heads "
            f"({', '.join(others)}) change.",
            stacklevel=4,
        )
    changed = changed_parts(trained, settings, trained.heads)
    if changed:
        raise InvalidValueError(
            "freeze=False continues to train the model, but settings were changed that it is built "
            f"from: {', '.join(changed)}. Change them back."
        )
    before, results = Snapshot(trained.model.variables), []
    for model in members(trained.model):
        encoders, grown = parts(model).encoders, _grown(replace(trained, model=model), prepared)
        own = replace(trained, model=join(encoders, only(grown, list(heads))))
        result = train(own, prepared, callbacks=callbacks, classifier_of=classifier_of)
        if result.error is not None:
            before.restore()
            raise result.error
        results.append(_Fitted(join(encoders, grown), result.history, result.validation))
    return results


def _grown(trained: Trained, prepared: Prepared) -> keras.Model:
    """The trunk with layers for all heads, new ones for the heads to train."""
    heads = prepared.heads
    grown = with_heads(parts(trained.model).trunk, heads, list(trained.heads))
    standardize([grown], heads, prepared.rows)
    return grown


def _with_heads(
    trained: Trained, heads: Mapping[str, Head], history: Mapping[str, list]
) -> dict[str, list]:
    """The history of the model, with that of the heads that were trained."""
    before = trained.history
    if len(trained.heads) == 1:
        before = _with_prefix(before, next(iter(trained.heads)))
    if len(trained.heads) == 1 and set(heads) == set(trained.heads):
        return dict(history)
    own = _with_prefix(history, next(iter(heads))) if len(heads) == 1 else history
    return {**before, **{n: v for n, v in own.items() if n not in (*_TOTALS, *_FACTS)}}


def _with_prefix(history: Mapping[str, list], name: str) -> dict[str, list]:
    """The history of a single head, with the metric names of a model with several heads."""
    named = {name: history[name] for name in _FACTS if name in history}
    for metric, values in history.items():
        if metric in _FACTS:
            continue
        prefix = "val_" if metric.startswith("val_") else ""
        named[f"{prefix}{name}_{metric.removeprefix('val_')}"] = values
    totals = {metric: history[metric] for metric in _TOTALS if metric in history}
    return {**totals, **named}
