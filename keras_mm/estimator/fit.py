"""Trains all heads of a model on checked rows, from the start or from a trained model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from keras_mm.checks import quote, require
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.text.tokenizer import Tokenizer
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.options import loss_settings, optimization, stopping
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.spec import changed_parts, model_spec
from keras_mm.estimator.trained import Trained
from keras_mm.features.batches import FeatureBatches
from keras_mm.features.store.store import open_store
from keras_mm.metrics.head_metrics import head_prior, is_labelled
from keras_mm.models.heads import widened
from keras_mm.models.layers.scaling import standardize_targets
from keras_mm.models.multimodal import join, parts
from keras_mm.progress import keras_output
from keras_mm.settings.heads import Head
from keras_mm.settings.image_columns import image_slots
from keras_mm.settings.settings import Settings
from keras_mm.settings.sliding_window import SlidingWindow, as_sliding_window
from keras_mm.training.callbacks import TrainingObserver
from keras_mm.training.objectives import check_monitor, create_objectives
from keras_mm.training.stages import FineTuning, StagesResult, fit_stages
from keras_mm.training.user_callbacks import check_callbacks

Callbacks = Sequence[keras.callbacks.Callback]


@dataclass(frozen=True)
class Outcome:
    """The result of a training.

    Attributes:
        trained: The model with the best weights so far.
        error: What interrupted the training; `None` if it was completed.
    """

    trained: Trained
    error: BaseException | None = None


def fit(
    prepared: Prepared,
    bench: Workbench,
    *,
    former: Trained | None = None,
    callbacks: Callbacks = (),
    classifier_of: Callable[[Trained], Any],
) -> Outcome:
    """Trains a new model, or continues with a trained one.

    Call it within `keras_mm.random_state.seeded`.

    Args:
        prepared: Resolved settings, heads and rows.
        bench: Builds the model.
        former: The trained model to continue with; `None` builds a new one.
        callbacks: The user's Keras callbacks.
        classifier_of: Returns a classifier with the model that is being trained, for callbacks
            that are a `TrainingObserver`.

    Returns:
        The trained model, and the error if the training was interrupted.

    Raises:
        ValueError: if the labels do not fit the heads, or the settings describe another model
            than `former`.
    """
    settings, heads = prepared.settings, prepared.heads
    labels, weights = prepared.rows.labels, prepared.rows.sample_weight
    check_labelled(heads, labels, weights)
    priors = {n: head_prior(head, labels[n], weights).tolist() for n, head in heads.items()}
    check_objectives(prepared, callbacks)
    check_callbacks(callbacks, heads, optimization(settings))
    _check_tie(settings, heads)
    twin = None
    if former is not None:
        preprocessor, model = former.preprocessor, _continued(former, settings, heads)
    else:
        preprocessor = _preprocessor(settings)
        with keras_output(show=bool(settings.verbose)):
            model, twin = bench.model(
                model_spec(settings, heads, preprocessor),
                vision_weights=settings.vision_weights,
                text_weights=settings.text_weights,
                seed=settings.seed,
            )
        for network in (model, twin):
            if network is not None:
                standardize(network, heads, labels, weights)
    rows = prepared.rows
    trained = Trained(settings, heads, model, preprocessor, priors, {}, len(rows), rows.skipped)
    result = train(trained, prepared, twin=twin, callbacks=callbacks, classifier_of=classifier_of)
    settings = replace(settings, batch_size=result.batch_size)
    return Outcome(replace(trained, settings=settings, history=result.history), result.error)


def train(
    trained: Trained,
    prepared: Prepared,
    *,
    twin: keras.Model | None = None,
    callbacks: Callbacks = (),
    classifier_of: Callable[[Trained], Any],
) -> StagesResult:
    """Trains a model, stage by stage, on the features of its frozen encoders.

    Args:
        trained: The model; its outputs are the heads of `prepared`.
        prepared: Resolved settings, heads and rows.
        twin: The copy of the trunk that is trained; see `Workbench.model`.
        callbacks: As in `fit`.
        classifier_of: As in `fit`.

    Returns:
        History, batch size, and the error if the training was interrupted. The weights of
        `trained.model` are changed in place.
    """
    settings, training = prepared.settings, prepared.settings.training
    tuning = FineTuning(
        trained.model,
        training.stages or (),
        lora_rank=training.lora_rank,
        lora_alpha=training.lora_alpha,
        twin=None if callbacks else twin,  # callbacks would see it in place of the model
    )
    for observer in callbacks:
        if isinstance(observer, TrainingObserver):
            observer.classifier = classifier_of(trained)
    source = FeatureBatches(
        trained.model,
        trained.preprocessor,
        (prepared.rows, prepared.validation),
        store=open_store(settings.cache),
        engine=settings.engine,
        progress=bool(settings.verbose),
    )
    return fit_stages(
        tuning,
        source.batches,
        source.forget,
        loss_settings(settings),
        optimization(settings),
        stopping(settings),
        heads=prepared.heads,
        batch_size=require(settings.batch_size, "batch_size"),
        auto_find_batch_size=training.auto_find_batch_size,
        callbacks=callbacks,
        seed=settings.seed,
        verbose=settings.verbose,
    )


def _continued(former: Trained, settings: Settings, heads: Mapping[str, Head]) -> keras.Model:
    """The former model, widened where `heads` has more classes."""
    old = former.heads
    changed = changed_parts(former, settings, heads)
    if list(old) != list(heads):
        changed.append(
            f"heads {list(heads)} instead of {list(old)}; see `labels`, and for heads of "
            "`add_head` fit_head(..., freeze=False)"
        )
    elif any(_layers(old[n]) != _layers(heads[n]) for n in old):
        changed.append("heads")
    if changed:
        raise InvalidValueError(
            "warm_start=True continues with the trained model, but the settings describe "
            f"another one ({', '.join(changed)}). Change them back, or set warm_start=False."
        )
    wider = {n: head for n, head in heads.items() if head.num_logits > old[n].num_logits}
    if not wider:
        return former.model
    encoders, trunk = parts(former.model)
    return join(encoders, widened(trunk, wider, list(old)))


def check_objectives(prepared: Prepared, callbacks: Callbacks = ()) -> None:
    """Checks that loss, class weights and monitored metric fit the heads, before any work.

    Args:
        prepared: Resolved settings, heads and rows.
        callbacks: The user's Keras callbacks; they may log the monitored metric.

    Raises:
        ValueError: if they do not fit.
    """
    settings, heads, validation = prepared.settings, prepared.heads, prepared.validation
    widths = {name: head.num_logits for name, head in heads.items()}
    rows = prepared.rows
    objectives = create_objectives(
        heads,
        widths,
        rows.labels,
        {},
        loss_settings(settings),
        sample_weight=rows.sample_weight,
    )
    if validation is not None and settings.early_stopping and not callbacks:
        check_monitor(stopping(settings).monitor, objectives, validation.labels)


def check_labelled(heads: Mapping[str, Head], labels: Mapping, sample_weight: Any = None) -> None:
    """Checks that each head has at least one labelled training row of a weight above 0.

    Args:
        heads: Heads by name.
        labels: Encoded labels of the training rows by head.
        sample_weight: Weights of the training rows; `None` if all count 1.

    Raises:
        ValueError: naming a head without labels.
    """
    for name, head in heads.items():
        if not is_labelled(head, labels[name], sample_weight):
            of = "" if sample_weight is None else " of a weight above 0"
            raise InvalidValueError(
                f"No training row{of} has a label of the head {name!r}: give rows that have one, "
                "or leave the head out."
            )


def _check_tie(settings: Settings, heads: Mapping[str, Head]) -> None:
    window = as_sliding_window(settings.sliding_window)
    if window is None or window.tie_value is None:
        return
    if all(window.tie_index(head.names) is None for head in heads.values()):
        known = sorted({str(name) for head in heads.values() for name in head.names})
        raise InvalidValueError(
            f"`sliding_window.tie_value` must be one of {quote(known)}. "
            f"Received: tie_value={window.tie_value!r}"
        )


def standardize(
    model: keras.Model, heads: Mapping[str, Head], labels: Mapping, sample_weight: Any = None
) -> None:
    """Makes regression heads learn standardised targets.

    Args:
        model: The model, changed in place.
        heads: Heads by name.
        labels: Encoded labels of the training rows by head.
        sample_weight: Weights of the training rows; `None` if all count 1.
    """
    for name, head in heads.items():
        if head.kind == "regression":
            standardize_targets(model, name, labels[name], sample_weight)


def _layers(head: Head) -> tuple:
    """What a head's layers are built from, besides its classes."""
    return head.kind, head.dropout_rate, head.l2


def _preprocessor(settings: Settings) -> Preprocessor:
    weights = settings.text_weights
    local = str(weights) not in ("pretrained", "random")
    folder = weights if local and os.path.isdir(str(weights)) else os.path.dirname(str(weights))
    tokenizer = None
    if settings.texts:
        with keras_output(show=bool(settings.verbose)):
            tokenizer = Tokenizer.load(folder if local else settings.text_backbone)
        if settings.special_tokens:
            tokenizer = tokenizer.with_special_tokens(settings.special_tokens)
    return Preprocessor(
        image_size=settings.image_size if settings.images else None,
        num_images=len(image_slots(settings.images)),
        tokenizer=tokenizer,
        sequence_length=settings.sequence_length,
        num_texts=len(settings.texts),
        text_pairing=require(settings.text_pairing, "text_pairing"),
        sliding_window=_window(settings),
    )


def _window(settings: Settings) -> SlidingWindow | None:
    """The sliding window, with the number of its text instead of the column's name."""
    window = as_sliding_window(settings.sliding_window)
    return None if window is None else window.by_slot(settings.texts)
