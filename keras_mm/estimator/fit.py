"""Trains all heads of a new or a trained model on checked rows."""

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
from keras_mm.estimator.held_out import validation_logits
from keras_mm.estimator.options import loss_settings, optimization, stopping
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.spec import changed_parts, model_spec
from keras_mm.estimator.statistics import standardize, standardize_features
from keras_mm.estimator.trained import FoldMember, Trained
from keras_mm.features.batches import FeatureBatches
from keras_mm.features.store.store import open_store
from keras_mm.features.table import FeatureTable
from keras_mm.metrics.head_metrics import head_prior, is_labelled
from keras_mm.models.ensemble import members
from keras_mm.models.heads import widened
from keras_mm.models.layers.standardization import standardizations
from keras_mm.models.multimodal import join, parts
from keras_mm.progress import keras_output
from keras_mm.settings.heads import Head
from keras_mm.settings.image_columns import image_slots
from keras_mm.settings.members import Member, modalities_of
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
        error: The error or interruption that stopped the training; `None` if it was completed.
    """

    trained: Trained
    error: BaseException | None = None


def fit(
    prepared: Prepared,
    workbench: Workbench,
    *,
    former: Trained | None = None,
    preprocessor: Preprocessor | None = None,
    callbacks: Callbacks = (),
    classifier_of: Callable[[Trained], Any],
) -> Outcome:
    """Trains a new model, or continues to train a model.

    Call it inside `keras_mm.random_state.seeded`.

    Args:
        prepared: Resolved settings, heads and rows.
        workbench: Builds the model.
        former: The trained model to continue with; by default a new model is built.
        preprocessor: The preprocessor of a new model; by default that of the settings.
        callbacks: The user's Keras callbacks.
        classifier_of: Returns a classifier with the model that is being trained, for callbacks
            that are a `TrainingObserver`.

    Returns:
        The trained model, and the error if the training was stopped by one.

    Raises:
        ValueError: if labels or settings are not allowed for the heads, or the settings describe
            another model than `former`.
    """
    check_training(prepared, callbacks)
    settings, twin = prepared.settings, None
    if former is not None:
        preprocessor, model = former.preprocessor, _continued(former, settings, prepared.heads)
    else:
        preprocessor = preprocessor or create_preprocessor(settings)
        model, twin = build(prepared, workbench, preprocessor)
    trained = new_trained(prepared, model, preprocessor)
    result = train(
        trained,
        prepared,
        twin=twin,
        is_new=former is None,
        callbacks=callbacks,
        classifier_of=classifier_of,
    )
    trained = replace(
        trained,
        settings=replace(settings, batch_size=result.batch_size, folds=1),
        history=result.history,
        held_out=validation_logits(prepared.validation, result.validation),
    )
    return Outcome(trained, result.error)


def check_training(prepared: Prepared, callbacks: Callbacks = ()) -> None:
    """Checks labels, settings and callbacks before a network is built.

    Args:
        prepared: Resolved settings, heads and rows.
        callbacks: The user's Keras callbacks.

    Raises:
        ValueError: if labels or settings are not allowed for the heads.
    """
    check_labelled(prepared.heads, prepared.rows.labels, prepared.rows.sample_weight)
    check_objectives(prepared, callbacks)
    check_callbacks(callbacks, prepared.heads, optimization(prepared.settings))
    _check_tie(prepared.settings, prepared.heads)


def build(
    prepared: Prepared,
    workbench: Workbench,
    preprocessor: Preprocessor,
    *,
    member: int = 0,
    kind: str = "trunk",
) -> tuple[keras.Model, keras.Model | None]:
    """Builds the model of a training.

    Args:
        prepared: Resolved settings and heads.
        workbench: Builds the model.
        preprocessor: The preprocessor of the model.
        member: As in `Workbench.model`.
        kind: As in `Workbench.model`.

    Returns:
        The model, and the twin of its trunk or `None`; see `Workbench.model`.
    """
    settings = prepared.settings
    with keras_output(show=bool(settings.verbose)):
        return workbench.model(
            model_spec(settings, prepared.heads, preprocessor),
            vision_weights=settings.vision_weights,
            text_weights=settings.text_weights,
            seed=settings.seed,
            member=member,
            kind=kind,
        )


def new_trained(prepared: Prepared, model: keras.Model, preprocessor: Preprocessor) -> Trained:
    """Puts a model together with the facts of its training rows, before it is trained.

    Args:
        prepared: Resolved settings, heads and rows.
        model: The model.
        preprocessor: The preprocessor of the model.

    Returns:
        The model without history.
    """
    rows, heads = prepared.rows, prepared.heads
    priors = {
        name: head_prior(head, rows.labels[name], rows.sample_weight).tolist()
        for name, head in heads.items()
    }
    return Trained(
        prepared.settings,
        heads,
        model,
        preprocessor,
        priors,
        {},
        len(rows),
        members=(FoldMember(Member("trunk", modalities_of(vars(prepared.settings)))),),
        skipped=rows.skipped,
    )


def train(
    trained: Trained,
    prepared: Prepared,
    *,
    twin: keras.Model | None = None,
    is_new: bool = False,
    features: Sequence[Mapping[str, FeatureTable]] | None = None,
    callbacks: Callbacks = (),
    classifier_of: Callable[[Trained], Any],
    verbose: int | None = None,
) -> StagesResult:
    """Trains a model, stage by stage, on the features of its frozen encoders.

    Args:
        trained: The model; its outputs are the heads of `prepared`.
        prepared: Resolved settings, heads and rows.
        twin: A copy of the trunk to train instead of it; see `Workbench.model`.
        is_new: Whether the model is new: then the means and scales of targets and features are set.
        features: As in `FeatureBatches`, for the training and the validation rows.
        callbacks: As in `fit`.
        classifier_of: As in `fit`.
        verbose: 0 is silent, 1 shows progress; by default as the settings say.

    Returns:
        History, batch size, and the error if the training was stopped by one. The weights of
        `trained.model` are changed in place.
    """
    settings, training = prepared.settings, prepared.settings.training
    verbose = settings.verbose if verbose is None else verbose
    tuning = FineTuning(
        trained.model,
        training.stages or (),
        lora_rank=training.lora_rank,
        lora_alpha=training.lora_alpha,
        twin=None if callbacks else twin,  # callbacks must see the model itself
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
        progress=bool(verbose),
        features=features,
    )
    if is_new:
        networks = [network for network in (trained.model, twin) if network is not None]
        standardize(networks, prepared.heads, prepared.rows)
        if standardizations(parts(trained.model).trunk):
            windows, known = source.training_features()
            standardize_features(networks, windows, trained.preprocessor, known)
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
        verbose=verbose,
    )


def _continued(former: Trained, settings: Settings, heads: Mapping[str, Head]) -> keras.Model:
    """The former model, with more logits for heads that have new classes."""
    old, count = former.heads, len(members(former.model))
    if count > 1:
        raise InvalidValueError(
            "warm_start=True continues to train a single model, and this one is the average of "
            f"{count}, one for each fold. Set warm_start=False to train a new model."
        )
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
            "warm_start=True continues to train the model, but settings were changed that it is "
            f"built from: {', '.join(changed)}. Change them back, or set warm_start=False."
        )
    wider = {n: head for n, head in heads.items() if head.num_logits > old[n].num_logits}
    if not wider:
        return former.model
    encoders, trunk = parts(former.model)
    return join(encoders, widened(trunk, wider, list(old)))


def check_objectives(prepared: Prepared, callbacks: Callbacks = ()) -> None:
    """Checks before training that the heads allow the loss, class weights and monitored metric.

    Args:
        prepared: Resolved settings, heads and rows.
        callbacks: The user's Keras callbacks. If there are any, the monitored metric is not
            checked, as they may log it.

    Raises:
        ValueError: if one of them is not allowed.
    """
    settings, heads = prepared.settings, prepared.heads
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
    if settings.early_stopping and not callbacks:
        for known in _validation_labels(prepared):
            check_monitor(stopping(settings).monitor, objectives, known)


def _validation_labels(prepared: Prepared) -> list[Mapping[str, Any]]:
    """The labels of the rows for early stopping, of each fold if there are folds."""
    if prepared.validation is not None:
        return [prepared.validation.labels]
    return [
        {name: labels[fold.val] for name, labels in prepared.rows.labels.items()}
        for fold in prepared.folds
        if len(fold.val)
    ]


def check_labelled(heads: Mapping[str, Head], labels: Mapping, sample_weight: Any = None) -> None:
    """Checks that each head has at least one labelled training row with a weight above 0.

    Args:
        heads: Heads by name.
        labels: Encoded labels of the training rows by head.
        sample_weight: Weights of the training rows; `None` if all count 1.

    Raises:
        ValueError: naming a head without labels.
    """
    for name, head in heads.items():
        if not is_labelled(head, labels[name], sample_weight):
            weighted = "" if sample_weight is None else " with a weight above 0"
            raise InvalidValueError(
                f"No training row{weighted} has a label of the head {name!r}. Add labelled rows, "
                "or remove the head."
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


def _layers(head: Head) -> tuple:
    """The values that the layers of a head are built from, except its classes."""
    return head.kind, head.dropout_rate, head.l2


def create_preprocessor(settings: Settings) -> Preprocessor:
    """Creates the preprocessor that settings describe.

    Args:
        settings: Resolved settings.

    Returns:
        The preprocessor, with the tokenizer of the text backbone.
    """
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
    """The sliding window, with the position of its text instead of the name of the column."""
    window = as_sliding_window(settings.sliding_window)
    return None if window is None else window.by_slot(settings.texts)
