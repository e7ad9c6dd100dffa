"""The estimator: trains, evaluates, saves and exports a classifier of rows of a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import keras
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.metadata_routing import UNUSED

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.folds import Fold
from keras_mm.data.tables.groups import with_groups
from keras_mm.data.tables.load import load_table, table_name
from keras_mm.data.tables.row_parts import SkippedRows
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.run_columns import label_columns
from keras_mm.data.tables.slices import slice_cells
from keras_mm.data.tables.weights import with_weights
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.choice.choose import Budget
from keras_mm.estimator.decisions import fit_decisions, fit_thresholds
from keras_mm.estimator.fit import fit
from keras_mm.estimator.fit_folds import fit_folds
from keras_mm.estimator.fit_heads import fit_heads
from keras_mm.estimator.head_names import (
    check_new_head,
    choose_heads,
    warn_of_untrained,
)
from keras_mm.estimator.nested_parameters import split_nested
from keras_mm.estimator.out_of_fold import out_of_fold_frame
from keras_mm.estimator.pickling import pack_state, unpack_state
from keras_mm.estimator.prepare import FitArgs, Prepared, prepare_fit, prepare_heads, with_labels
from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.rollback import PreviousModel
from keras_mm.estimator.saved import load_trained, save_trained
from keras_mm.estimator.scores import evaluate_trained, mean_score
from keras_mm.estimator.spec import check_own_backbones
from keras_mm.estimator.text_length import with_text_length
from keras_mm.estimator.trained import Trained, member_shares
from keras_mm.evaluation.slices import with_slices
from keras_mm.inference.answers import join_frames, names_array, whole_frame, with_skipped
from keras_mm.inference.decisions.answers import (
    check_decide,
    check_fitted,
    class_probabilities,
    decided,
    decided_frame,
)
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.inference.decisions.options import Options
from keras_mm.inference.held_out import HeldOut
from keras_mm.inference.predictor import Predictor
from keras_mm.random_state import seeded, unseeded
from keras_mm.settings.augmentation import Augmentation
from keras_mm.settings.by_head import one_or_all
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings
from keras_mm.settings.sliding_window import SlidingWindow
from keras_mm.settings.training import Training

if TYPE_CHECKING:
    from keras_mm.estimator.baselines import BaselineRows
    from keras_mm.evaluation.evaluate import Evaluation


class MultimodalClassifier(ClassifierMixin, BaseEstimator):
    """Classifies rows of images and texts.

    A scikit-learn estimator that trains a Keras 3 model. A preset sets encoders, fusion and
    training; a keyword that is not `None` replaces the preset's value. Frozen encoders are run once
    over the rows, and the rest of the model is trained on their features. A second `fit`, also of a
    clone, trains a new model; frozen encoders are reused if nothing else uses the previous model.

    Args:
        images: Image columns, in order; or a dict from columns to the largest number of images in
            a cell, such as `{"photos": 4}`. Such a cell is a list, or a text such as `a.jpg|b.jpg`,
            and can have fewer images. Without `images` and `texts`, columns with the usual names
            (`image_1`, `text_1`, ...) are used.
        texts: Text columns, one or two.
        labels: The label column. A list of columns has a head for each column; with
            `head="multilabel"` the columns are labels (0 or 1) of one head, with `"regression"`
            targets of one head. A dict from names to `keras_mm.Head` has heads of different kinds,
            each with its own column.
        preset: Name of a preset, see `keras_mm.list_presets`.
        fusion: `"concat"`, `"bilinear"`, `"gated"`, `"cross_attention"`, `"bottleneck"` or
            `"mmbt"`; a dict of `name` and that layer's arguments; or a Keras layer. See
            `keras_mm.models.fusion`.
        compare: Whether to compare the two images of a row, and two texts encoded separately.
        text_pairing: How two texts are encoded: as one sequence, `"packed"`, or `"separate"`.
        vision_pooling: How image features become one vector: `"mean"`, `"max"`, `"cls"`,
            `"pooler"`.
        text_pooling: How token features become one vector, as `vision_pooling`.
        vision_backbone: A name, a folder or a `keras.Model`; see `create_vision_encoder`.
        vision_weights: `"pretrained"`, `"random"` or a path.
        text_backbone: A name, a folder or a `keras.Model`; see `create_text_encoder`.
        text_weights: `"pretrained"`, `"random"` or a path: a folder with weights and vocabulary, or
            a weights file with `vocab.txt` beside it.
        image_size: `(height, width)` in pixels, or one number for both; by default what the vision
            backbone was trained with.
        sequence_length: Largest number of tokens of a sequence, with special tokens.
        vision_trainable: Whether the vision backbone is trained.
        text_trainable: Whether the text backbone is trained.
        head: Kind of the labels: `"multiclass"`, `"binary"` (two classes, one logit),
            `"multilabel"` (any number of labels per row: a list, or a text such as `red|old`) or
            `"regression"` (a number).
        loss: `"cross_entropy"`, `"focal"`, or `"logit_adjusted"`, which corrects the predictions
            for the class imbalance of the training rows. For regression `"mean_squared_error"`
            (also used for `"cross_entropy"`), `"mean_absolute_error"` or `"huber"`. A head can have
            its own loss.
        class_weight: `None`, `"balanced"`, `"effective_number"`, a dict by label, or a list in
            class order; for multilabel heads, the weight of the rows that have the label.
        classes: Label names in a fixed order; by default the training labels, sorted.
        modality_dropout: Probability, in [0, 1), that all images of a row are hidden in training,
            and that all its texts are; never both in one row.
        augmentation: Random changes of the images during training: a `keras_mm.Augmentation` or a
            dict of its fields. Needs `vision_trainable=True`.
        sliding_window: `True`, a `keras_mm.SlidingWindow` or a dict of its fields splits texts
            longer than `sequence_length` into windows, whose predictions are joined to one per row.
            By default such texts are truncated.
        special_tokens: Texts such as `"<url>"` that become one token each instead of being split,
            with a new embedding that is trained. Needs `text_trainable=True`.
        epochs: Maximum number of epochs, >= 1.
        batch_size: Rows of a batch, >= 1.
        learning_rate: Peak learning rate of the trunk (everything but the encoders), > 0.
        encoder_learning_rate: Peak learning rate of trainable encoders, > 0; or a dict with a rate
            for `"vision"` or `"text"`, where a side without one has the preset's rate.
        optimizer: `"adamw"`, `"adam"`, `"sgd"` or `"adafactor"`.
        early_stopping: Whether to stop when validation no longer improves; the best weights are
            restored.
        cache: Whether to cache the features of frozen encoders on disk, for later trainings and
            predictions; or the folder of the cache. `keras-mm cache info` shows the default folder.
        engine: Runs encoders that are not trained: `"keras"`, `"openvino"`, or `"auto"`, which
            uses OpenVINO if it is installed and faster (on a CPU, with `cache`, for frozen encoders
            that are not tiny; not in float32 under TensorFlow), else Keras.
        precision: `"float32"`, or `"bfloat16"` for the encoders.
        folds: Number of folds, >= 1. With several, a trunk is trained on each of `folds`
            stratified (with `groups` grouped) folds of the rows, and the model averages their
            predictions; frozen encoders run once for all of them. Each row is also predicted by the
            trunk that was not trained on it, see `out_of_fold_`. By default 5 with pretrained
            encoders that are frozen, if the rows allow it; else 1, a single model.
        members: Members of the model, each with one trunk per fold: a list of `"trunk"` (the
            fusion), `"linear"` (logistic or ridge regression), `"linear_skip"` (both) and, for one
            modality alone, `"trunk:text"`, `"linear:image"` and so on; `"auto"` for `"trunk"`,
            `"linear"`, `"linear"` on each modality and `"trunk:text"`; `"all"` for all kinds on all
            modalities and on each; or `"search"`, which tries members with many settings for
            `training["time_limit"]` seconds and leaves out a modality that does not help. A member
            with settings of its own is a dict, such as `{"kind": "trunk", "fusion": "gated",
            "dropout_rate": 0.3}`. Their weights are chosen by their out-of-fold predictions.
            Rows that lack all images or all texts have weights of their own. By default `"auto"`
            with pretrained encoders that are frozen, if there are folds; else `"trunk"`.
        blend_metric: Metric that the weights of the members make best: `"loss"`, or a number of
            `keras_mm.metrics.head_metrics.head_metrics` such as `"macro_f1"`. By default the loss,
            for classes minus the macro-F1.
        seed: Seed of weights, row order, folds and dropout, in [0, 2**32). The same seed gives the
            same result on the same backend.
        warm_start: Whether `fit` continues to train the model. New rows can add classes; settings
            that the model is built from must not change.
        verbose: 0 is silent; 1 shows progress on stderr. A change by `set_params` takes effect at
            once.
        training: Less common settings: a `keras_mm.Training` or a dict of its fields.

    Attributes:
        heads_: The heads of the model: `keras_mm.Head` by name, with their classes. If `labels` is
            a single column, its head is called `"label"`.
        classes_: Label names in the order of the probabilities; for regression the names of the
            targets. A dict by head if there are several heads.
        model_: The Keras model, from preprocessed inputs to logits.
        history_: Metrics by name, a list over the epochs; of all folds one after the other, with
            the number of the fold as `fold`. Of several members, those of the first that is trained
            in epochs.
        members_: The weight of each member, by name as in `members`: floats that sum to 1, of rows
            that have all modalities. A dict by head if there are several heads.
        choice_: With `members="search"`, the settings that were chosen: `images`, `texts` and
            `members`. A classifier with these parameters trains such a model without a search.
        trials_: With `members="search"`, a DataFrame of the members that were tried, the best
            first: `member`, `state` (`"finished"`, or `"pruned"` if it was given up after some
            folds), `score` (what members are ranked by, out of fold: higher is better), macro-F1,
            mean average precision or R2 out of fold, `weight` and `seconds`.
        out_of_fold_: A DataFrame on the index of the training rows, with several folds: `fold`, the
            number of the fold that left the row out; and the label, prediction and probabilities
            of the trunk that was not trained on it, named as in `predict_frame`.
        preprocessor_: The `keras_mm.Preprocessor` that makes the inputs of `model_` from rows.
        skipped_: Problems of the training rows that `on_error="skip"` left out.

    Example:
        >>> import keras_mm
        >>> train, test = keras_mm.load_sample_data()
        >>> classifier = keras_mm.MultimodalClassifier(
        ...     texts=["text_1"], preset="tiny", text_trainable=False, epochs=1, verbose=0
        ... )
        >>> classifier.fit(train[:90]).predict(test[:2]).shape
        (2,)
    """

    _trained: Trained | None = None
    # Heads of `add_head`, trained or not.
    _declared: Mapping[str, Head] = MappingProxyType({})
    # Parameters that were a keras.Model of the user's, if the classifier was loaded.
    _own_networks: tuple[str, ...] = ()
    _workbench: Workbench | None = None

    # scikit-learn treats every argument except X and y as metadata, but `data` holds the rows.
    __metadata_request__fit = {"data": UNUSED}
    __metadata_request__predict = {"data": UNUSED}
    __metadata_request__predict_proba = {"data": UNUSED}
    __metadata_request__score = {"data": UNUSED}

    def __init__(
        self,
        images: Sequence[str] | Mapping[str, int] = (),
        texts: Sequence[str] = (),
        labels: str | Sequence[str] | Mapping[str, Head] = "label",
        *,
        preset: str = "mobilenet_v2_minilm",
        fusion: Any = None,
        compare: bool | None = None,
        text_pairing: str | None = None,
        vision_pooling: str | None = None,
        text_pooling: str | None = None,
        vision_backbone: Any = None,
        vision_weights: str | os.PathLike | None = None,
        text_backbone: Any = None,
        text_weights: str | os.PathLike | None = None,
        image_size: int | tuple[int, int] | None = None,
        sequence_length: int | None = None,
        vision_trainable: bool | None = None,
        text_trainable: bool | None = None,
        head: str = "multiclass",
        loss: str = "cross_entropy",
        class_weight: str | Mapping | Sequence[float] | None = None,
        classes: Sequence | None = None,
        modality_dropout: float | None = None,
        augmentation: Augmentation | Mapping | None = None,
        sliding_window: SlidingWindow | Mapping | bool | None = None,
        special_tokens: Sequence[str] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        encoder_learning_rate: float | Mapping[str, float] | None = None,
        optimizer: str = "adamw",
        early_stopping: bool = True,
        cache: bool | str | os.PathLike = True,
        engine: str = "auto",
        precision: str = "float32",
        folds: int | None = None,
        members: str | Sequence[str] | None = None,
        blend_metric: str | None = None,
        seed: int = 0,
        warm_start: bool = False,
        verbose: int = 1,
        training: Training | Mapping | None = None,
    ):
        self.images = images
        self.texts = texts
        self.labels = labels
        self.preset = preset
        self.fusion = fusion
        self.compare = compare
        self.text_pairing = text_pairing
        self.vision_pooling = vision_pooling
        self.text_pooling = text_pooling
        self.vision_backbone = vision_backbone
        self.vision_weights = vision_weights
        self.text_backbone = text_backbone
        self.text_weights = text_weights
        self.image_size = image_size
        self.sequence_length = sequence_length
        self.vision_trainable = vision_trainable
        self.text_trainable = text_trainable
        self.head = head
        self.loss = loss
        self.class_weight = class_weight
        self.classes = classes
        self.modality_dropout = modality_dropout
        self.augmentation = augmentation
        self.sliding_window = sliding_window
        self.special_tokens = special_tokens
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.encoder_learning_rate = encoder_learning_rate
        self.optimizer = optimizer
        self.early_stopping = early_stopping
        self.cache = cache
        self.engine = engine
        self.precision = precision
        self.folds = folds
        self.members = members
        self.blend_metric = blend_metric
        self.seed = seed
        self.warm_start = warm_start
        self.verbose = verbose
        self.training = training

    def fit(
        self,
        data: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        validation_split: float = 0.1,
        groups: Any = None,
        image_dir: str | os.PathLike | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        on_error: str = "raise",
    ) -> MultimodalClassifier:
        """Trains a new model on a table of rows, or with `warm_start` continues with the old one.

        If training fails or is interrupted, the error is raised, and the log says what is kept. A
        fitted classifier keeps its old model. One that was not fitted gets the weights of the best
        epoch so far, if an epoch was completed.

        Only the heads of `labels` are trained. Heads of `add_head` must be trained again by
        `fit_head`; a warning names those that were trained.

        Args:
            data: A DataFrame, a path, or anything else that `load_table` takes.
            y: Labels of the rows, instead of the label column: cells as in that column, or an
                array with a column for each label column.
            sample_weight: Weights of the rows in the loss, early stopping and all validation
                metrics: a column of numbers >= 0, or an array of shape `(num_rows,)`; by default 1.
                A row with weight 3 counts as three rows; one with weight 0 is left out, though its
                label still is a class. Weights are multiplied by class weights; class weights by
                name are computed from weighted counts. Rows of `validation_data` have the weights
                of the same column, or weight 1 if they have no such column.
            validation_data: Rows for early stopping; by default `validation_split` of `data`.
            validation_split: Share of the rows for validation, stratified by label, in [0, 1). 0
                trains without validation. With several folds, the share of the rows outside each
                fold.
            groups: Column name, or array of shape `(num_rows,)`. Rows of a group are all training
                rows or all validation rows, and all in one fold.
            image_dir: Folder that image paths are relative to; by default that of the table file.
                Images of validation rows from a file can also be in the folder of that file.
            callbacks: Your own Keras callbacks; see `keras_mm.Trainer` for those that monitor a
                metric or set the learning rate. Their `model` is the part that is trained. With
                several folds, the training of each calls them.
            on_error: `"raise"`, or `"skip"` to leave out the rows that cannot be used.

        Returns:
            The classifier itself.

        Raises:
            ConfigError: listing every setting that is wrong.
            TableError: listing every row that cannot be used.
            ValueError: if all labels are of one class, or there are too few rows to split.
        """
        arguments = FitArgs(
            data, y, validation_data, validation_split, groups, image_dir, on_error, sample_weight
        )
        previous = self._trained if self.warm_start else None
        old = {} if previous is None else previous.heads
        del previous  # encoders are only reused if nothing refers to their model
        return self._fit(prepare_fit(self._settings(), arguments, old), callbacks)

    def fit_rows(
        self,
        rows: Rows,
        validation: Rows | None = None,
        *,
        heads: Mapping[str, Head],
        folds: Sequence[Fold] = (),
        callbacks: Sequence[keras.callbacks.Callback] = (),
        budget: Budget | None = None,
    ) -> MultimodalClassifier:
        """Trains on rows that are already checked and split.

        Args:
            rows: Training rows, as `keras_mm.data.tables.partition.read_parts` returns them, with
                their weights, if there are any.
            validation: Rows for early stopping; by default none.
            heads: Heads by name, with the classes that encode the labels of the rows, as
                `keras_mm.data.tables.run_columns.find_heads` returns them.
            folds: Folds of the training rows, as `keras_mm.data.tables.folds.draw_folds` returns
                them; without folds, a single model is trained.
            callbacks: Your own Keras callbacks.
            budget: The time of a search of members; by default `training.time_limit`.

        Returns:
            The classifier itself.
        """
        parts = {"train": rows} if validation is None else {"train": rows, "val": validation}
        settings = self._settings().resolved()
        prepared = Prepared(settings, dict(heads), parts, {}, folds=folds)
        return self._fit(prepared, callbacks, budget)

    def set_params(self, **params: Any) -> MultimodalClassifier:
        """Sets parameters, as scikit-learn's estimators do.

        Args:
            **params: Values by name. `training__<field>`, `augmentation__<field>` and
                `sliding_window__<field>` set a field of these parameters, also if they are `None`.

        Returns:
            The classifier itself.

        Raises:
            ValueError: for an unknown parameter.
            TypeError: for an unknown field, with the nearest name.
        """
        super().set_params(**split_nested(params, vars(self)))
        return self

    def predict(
        self,
        data: Any,
        *,
        decide: str | None = None,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> Any:
        """Predicts the labels or numbers of rows.

        Tables are read in parts of some thousand rows; a CSV file is never in memory as a whole.

        Args:
            data: As in `fit`; also a list of dicts, or one dict for one row.
            decide: `None` predicts the most probable class, and for a multilabel head the labels
                above their thresholds. The others need `fit_decisions`: `"threshold"` predicts by
                its costs or metric; `"set"` all labels that are likely enough, for a regression
                head an interval; `"abstain"` as `"threshold"`, but `None` for rows that the model
                is not sure of.
            image_dir: Folder that image paths are relative to.
            on_error: `"raise"`, or `"skip"`: rows that cannot be used have a missing prediction,
                and the predictions of the other rows do not change.

        Returns:
            Labels as in the training rows, shape `(num_rows,)`; for a multilabel head 0 or 1,
            shape `(num_rows, num_labels)`, columns in the order of `classes_`; for a regression
            head numbers in the unit of the targets, shape `(num_rows,)`, with several targets
            `(num_rows, num_targets)`. With `decide="set"` a list of labels for each row; for a
            regression head the ends of the interval, shape `(num_rows, 2)`, with several targets
            `(num_rows, num_targets, 2)`. With `decide="abstain"` an array of objects: labels, for a
            multilabel head lists of labels, or `None`. A dict by head if there are several heads.
            Skipped rows are `None` in an array of objects if labels are not floats, else NaN in an
            array of floats.

        Raises:
            TableError: listing every row that cannot be used, unless rows are skipped.
            ValueError: if decisions were not fitted that `decide` needs.

        Warns:
            UserWarning: if rows are skipped: how many, and the first problems.
        """
        check_decide(decide, self.heads_, self.decisions_)
        skipped = SkippedRows.create(on_error)
        logits = self.predictor_.all_logits(data, image_dir, skipped=skipped)
        predicted = {
            name: decided(head, self.decisions_.get(name), logits[name], decide)
            for name, head in self.heads_.items()
        }
        return one_or_all({n: with_skipped(values, skipped) for n, values in predicted.items()})

    def predict_proba(
        self,
        data: Any,
        *,
        calibrated: bool = False,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> Any:
        """Predicts the probabilities of the classes.

        Args:
            data: As in `predict`.
            calibrated: Whether to divide the logits by the temperature of `fit_decisions`. By
                default probabilities are those of the trained model, also after `fit_decisions`.
            image_dir: Folder that image paths are relative to.
            on_error: As in `predict`.

        Returns:
            Floats, shape `(num_rows, num_classes)`, columns in the order of `classes_`. Rows sum
            to 1, except for a multilabel head. A dict by head, without regression heads, if there
            are several heads. NaN for rows that were skipped.

        Raises:
            ValueError: if there are only regression heads, which have no probabilities; or for
                `calibrated`, if the temperature of a head was not fitted.
            TableError: as in `predict`.

        Warns:
            UserWarning: as in `predict`.
        """
        skipped = SkippedRows.create(on_error)
        heads = {n: head for n, head in self.heads_.items() if head.kind != "regression"}
        if not heads:
            raise InvalidValueError(
                "A regression head has no probabilities; use `predict` for its numbers."
            )
        if calibrated:
            check_fitted("calibrated=True", heads, self.decisions_)
        fitted = self.decisions_ if calibrated else {}
        logits = self.predictor_.all_logits(data, image_dir, skipped=skipped)
        by_name = {
            name: with_skipped(class_probabilities(head, fitted.get(name), logits[name]), skipped)
            for name, head in heads.items()
        }
        return one_or_all(by_name) if len(self.heads_) == 1 else by_name

    def predict_frame(
        self,
        data: Any,
        *,
        decide: str | None = None,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> pd.DataFrame:
        """Predicts rows, and returns a pandas DataFrame with the index of the table.

        If the index is unique, `table.join(classifier.predict_frame(table))` adds the predictions
        as columns. Rows of a table of another library, such as polars, are numbered from 0. For a
        table without rows, the DataFrame has no rows.

        Args:
            data: As in `predict`.
            decide: As in `predict`.
            image_dir: Folder that image paths are relative to.
            on_error: As in `predict`.

        Returns:
            Columns `prediction` (for a multilabel head a list of labels) and
            `probability_<class>` for each class; with several targets `prediction_<target>`. With
            several heads each column begins with the head's name, such as `<head>_prediction`.
            With `decide`, `prediction` is the decision; for the intervals of a regression head the
            columns `low` and `high` are added.
            With `on_error="skip"` the last column, `error`, is the problem of each skipped row, in
            at most 200 characters, and `None` for other rows. Skipped rows have `None` instead of
            a label and NaN instead of a number.

        Raises:
            TableError: as in `predict`.
            ValueError: as in `predict`.

        Warns:
            UserWarning: as in `predict`.
        """
        check_decide(decide, self.heads_, self.decisions_)
        skipped = SkippedRows.create(on_error)
        parts = [
            decided_frame(self.heads_, self.decisions_, logits, rows.numbers, decide)
            for rows, logits in self.predictor_.answers(data, image_dir, skipped=skipped)
        ]
        index = data.index if isinstance(data, pd.DataFrame) else None
        return (
            join_frames(parts, index)
            if skipped is None
            else whole_frame(join_frames(parts), skipped, index)
        )

    def score(
        self,
        data: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        image_dir: Any = None,
        on_error: str = "raise",
    ) -> float:
        """Computes a score on labelled rows; higher is better.

        Args:
            data: As in `fit`.
            y: Labels of the rows, instead of the label column; see `fit`.
            sample_weight: Weights of the rows: a column, or a weight for each row; see `fit`.
            image_dir: Folder that image paths are relative to.
            on_error: As in `evaluate`.

        Returns:
            Accuracy; for a multilabel head the share of rows whose labels are all correct; for a
            regression head the coefficient of determination R². With several heads the mean over
            the heads for which the rows have labels.
        """
        predictor = self.predictor_
        columns = label_columns(predictor.heads)
        table = with_labels(load_table(data, image_dir=image_dir), y, columns)
        table, weights = with_weights(table, sample_weight)
        rows = predictor.rows(
            table, image_dir, heads=predictor.heads, sample_weight=weights, on_error=on_error
        )
        return mean_score(predictor, rows)

    def tune_thresholds(
        self,
        data: Any,
        *,
        head: str | None = None,
        metric: Any = "f1",
        sample_weight: Any = None,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> dict:
        """Chooses the best threshold for each label of a multilabel head, for later predictions.

        Use validation rows: metrics on the rows that thresholds are tuned on are too optimistic.

        Args:
            data: Rows with the head's label column.
            head: The head's name; not needed if there is only one multilabel head.
            metric: The metric to maximise, as in `keras_mm.metrics.tune_thresholds`.
            sample_weight: Weights of the rows: a column, or a weight for each row; see `fit`.
            image_dir: Folder that image paths are relative to.
            on_error: As in `evaluate`.

        Returns:
            Thresholds in [0, 1] by label. They are saved with the model.

        Raises:
            ValueError: if there is no such head.
        """
        self._trained, thresholds = fit_thresholds(
            self._check_fitted(),
            self.predictor_,
            data,
            head,
            metric=metric,
            sample_weight=sample_weight,
            image_dir=image_dir,
            on_error=on_error,
        )
        return thresholds

    def fit_decisions(
        self,
        rows: Any = None,
        *,
        metric: Any = None,
        costs: Any = None,
        error: float = 0.1,
        classwise: bool = False,
        head: str | Sequence[str] | None = None,
        sample_weight: Any = None,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> MultimodalClassifier:
        """Fits decisions on held-out rows: temperature, thresholds or costs, sets, abstention.

        - The temperature makes probabilities fit these rows: `predict_proba(calibrated=True)`.
        - Multilabel heads get the thresholds of the best metric, which `predict` uses at once. For
          other heads, `metric` or `costs` say how `predict(decide="threshold")` chooses a class.
        - `predict(decide="set")` gives conformal sets: in a share `1 - error` of new rows the set
          has all labels of the row. For regression these are intervals.
        - `predict(decide="abstain")` answers the rows that the model is sure of, as many as
          possible with at most this error.

        Decisions are saved with the model. A new training drops those of the heads that it changes.

        Args:
            rows: Labelled rows that were not trained on; by default the out-of-fold or validation
                rows of the training. Validation rows also chose the epoch, so that decisions are
                slightly too optimistic.
            metric: For a multilabel head as in `tune_thresholds`; otherwise `"accuracy"`,
                `"balanced_accuracy"`, `"macro_f1"`, or a function of true and predicted labels.
                By default `"f1"` for multilabel heads, and the most probable class for others.
            costs: Costs of wrong answers, to choose the class of the lowest expected cost: a matrix
                with a row for each class and a column for each answer; or a dict by class, of
                numbers, or of dicts by answer. What is left out costs 1.
            error: Share of wrong sets, and of wrong answers where the model does not abstain, in
                (0, 1).
            classwise: Whether sets keep the error for the rows of each class by itself.
            head: Names of the heads; by default all.
            sample_weight: Weights of `rows`: a column, or a weight for each row; see `fit`.
            image_dir: Folder that image paths of `rows` are relative to.
            on_error: As in `evaluate`, for `rows`.

        Returns:
            The classifier itself, with `decisions_`.

        Raises:
            ValueError: if a head has no held-out rows, predictions are not finite, `costs` names an
                unknown label, or an argument is not valid for the kind of a head.
            TableError: listing every row that cannot be used.

        Warns:
            UserWarning: if there are too few rows for the error; sets then have every label.
        """
        self._trained = fit_decisions(
            self._check_fitted(),
            self.predictor_,
            rows,
            Options(metric, costs, error, classwise),
            head=head,
            sample_weight=sample_weight,
            image_dir=image_dir,
            on_error=on_error,
        )
        return self

    def evaluate(
        self,
        data: Any,
        *,
        heads: str | Sequence[str] | None = None,
        by: str | None = None,
        sample_weight: Any = None,
        baselines: str | Sequence[str] = "auto",
        train: Any = None,
        groups: Any = None,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> Evaluation:
        """Computes metrics on labelled rows, beside those of baselines.

        One baseline ignores the input: it always predicts the majority class, the frequency of each
        label, or the mean of the targets in the training rows. The others are trained on the rows
        in `train`; a classifier does not keep its training rows.

        Args:
            data: Rows with the label columns of the heads.
            heads: Names of the heads to evaluate; by default all.
            by: A column of the table: the results also have `slices`, the scores of the rows with
                each of its values. More than 10 distinct numbers are divided into quartiles.
            sample_weight: Weights of the rows in all metrics, also of the baseline: a column, or a
                weight for each row; see `fit`. By default 1, also if training had weights.
            baselines: Baselines to train: `"auto"` for all, `"none"`, or a list of `"lexical"` (a
                model of the words in the texts), `"linear"` (a linear model on the vectors of the
                encoders), `"image_only"` and `"text_only"` (the same kind of model on one side). If
                an encoder was trained, the last three are linear models on its vectors, named
                `linear_probe`, `image_probe` and `text_probe`.
            train: The training rows, as in `fit`. Without them no baseline is trained.
            groups: Column name, or array of shape `(num_rows,)`: intervals of differences are those
                of independent groups. A column is also used for the rows of `train`.
            image_dir: Folder that image paths are relative to.
            on_error: `"raise"`, or `"skip"` to leave out the rows that cannot be used; the results
                count and list them.

        Returns:
            An `Evaluation`: `verdict`, `metrics`, `baselines`, `differences`, `modalities`,
            `slices`, `predictions`, `skipped`, and `save("report.html")`.

        Raises:
            TableError: listing every row that cannot be used; with `on_error="skip"` only if no row
                is left.

        Warns:
            UserWarning: if rows are left out: how many, and the first problems.
        """
        from keras_mm.estimator.baselines import find_baseline_rows  # imports scikit-learn's models

        known = self.heads_
        chosen = known if heads is None else choose_heads(heads, known, self._added)
        arguments = FitArgs(train, None, None, 0.1, groups, image_dir, on_error, sample_weight)
        rivals = find_baseline_rows(self._check_fitted(), chosen, baselines, arguments)
        table, weights = with_weights(load_table(data, image_dir=image_dir), sample_weight)
        cells = None if by is None else slice_cells(table, by)
        rows = self.predictor_.rows(
            table, image_dir, heads=chosen, sample_weight=weights, on_error=on_error
        )
        rows = with_groups(rows, table, groups)
        evaluation = self.evaluate_rows(rows, table_name(table), heads=chosen, baselines=rivals)
        return evaluation if cells is None else with_slices(evaluation, cells, self.priors_)

    def evaluate_rows(
        self,
        rows: Rows,
        source: str,
        *,
        heads: Mapping[str, Head] | None = None,
        baselines: BaselineRows | None = None,
    ) -> Evaluation:
        """Evaluates rows that are already checked; see `evaluate`.

        Args:
            rows: Rows with labels of `heads`, as `keras_mm.data.tables.partition.read_parts`
                returns them.
            source: Name of the table of the rows, for the report.
            heads: The heads to evaluate, by name; by default all.
            baselines: Baselines to train and their rows, which are prepared already; by default
                none.

        Returns:
            As `evaluate`.
        """
        return evaluate_trained(
            self._check_fitted(), self.predictor_, rows, source, heads, baselines
        )

    def add_head(self, name: str, head: Head) -> MultimodalClassifier:
        """Adds a head to the trained model; `fit_head` trains it.

        If `fit` then trains a new model, `fit_head` must train the head again. A head that was
        added but not trained is replaced by a new one with the same name.

        Args:
            name: Name of the head, of letters, digits, `_` and `-`.
            head: The head; by default its classes are those of its training rows.

        Returns:
            The classifier itself.

        Raises:
            ValueError: if the model already has a head with this name, or the name is not allowed.
        """
        check_new_head(name, head, self.heads_, self._added)
        self._declared = {**self._declared, name: head}
        return self

    def fit_head(
        self,
        names: str | Sequence[str],
        data: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        freeze: bool = True,
        validation_data: Any = None,
        validation_split: float = 0.1,
        groups: Any = None,
        image_dir: str | os.PathLike | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        on_error: str = "raise",
    ) -> MultimodalClassifier:
        """Trains some heads of the trained model, on rows of their own.

        The encoders, projections and fusion run once over the rows and do not change, so the
        predictions of the other heads stay the same, bit for bit. The parameters of the classifier
        (epochs, learning rate, optimizer, early stopping, ...) apply; see `set_params`. Thresholds
        do not change; other decisions of these heads (with `freeze=False`, of all) are dropped.

        Args:
            names: A head of the model or of `add_head`; or several, to train them jointly.
            data: Rows with the label columns of these heads; see `fit`.
            y: Labels of the rows, instead of the label column; see `fit`.
            sample_weight: Weights of the rows for all these heads, as in `fit`.
            freeze: Whether to train only these heads. If not, everything that `fit` trains is
                trained further, and the predictions of other heads change.
            validation_data: As in `fit`.
            validation_split: As in `fit`.
            groups: As in `fit`.
            image_dir: As in `fit`.
            callbacks: As in `fit`.
            on_error: As in `fit`.

        Returns:
            The classifier itself. It is unchanged if training fails.

        Raises:
            ValueError: if there is no such head.
            TableError: listing every row that cannot be used.

        Warns:
            UserWarning: with `freeze=False`, if there are other heads.
        """
        trained = self._check_fitted()
        chosen = choose_heads(names, {**trained.heads, **self._added}, self._added)
        arguments = FitArgs(
            data, y, validation_data, validation_split, groups, image_dir, on_error, sample_weight
        )
        self._trained = fit_heads(
            trained,
            prepare_heads(self._settings(), trained.settings, chosen, arguments),
            self.predictor_,
            freeze=freeze,
            callbacks=callbacks,
            classifier_of=self._with,
        )
        return self

    def save(self, folder: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Saves the model as a folder of JSON, weights and vocabulary, whole or not at all.

        Args:
            folder: The folder to write.
            overwrite: Whether to replace a folder that is not empty.

        Raises:
            FileExistsError: if `folder` is not empty, without `overwrite`.
        """
        save_trained(folder, self._check_fitted(), self._declared, overwrite=overwrite)

    @classmethod
    def load(
        cls, folder: str | os.PathLike, *, custom_objects: Mapping[str, Any] | None = None
    ) -> MultimodalClassifier:
        """Loads a classifier that was saved on any backend. No code of the folder is executed.

        Args:
            folder: A folder that `save` wrote.
            custom_objects: Your own layer classes by name, if the model has any.

        Returns:
            The fitted classifier.

        Raises:
            FileNotFoundError: if `folder` has no saved model.
            ValueError: if the model is from a newer version, or has classes that are not allowed.
        """
        saved = load_trained(folder, custom_objects=custom_objects)
        classifier = cls(**saved.parameters)
        classifier._trained, classifier._declared = saved.trained, saved.declared
        classifier._own_networks = saved.own_networks
        return classifier

    def export(
        self,
        folder: str | os.PathLike,
        *,
        format: str = "tf_saved_model",
        data: Any = None,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> dict:
        """Writes a SavedModel that takes raw images and strings, and checks its predictions.

        The inputs are `image_1`, ... and `text_1`, ... in the order of the columns; a column with
        up to N images has N inputs, and an empty string is a missing image or text.
        The outputs are `probabilities` and `label`. For a multilabel head `label` is a matrix of
        strings, empty where a label is not predicted; for a regression head the output is
        `prediction`, shape `(num_rows, num_targets)`. With several heads the name of each output
        begins with that of its head, such as `<head>_label`. After `fit_decisions` there are also
        `calibrated_probabilities`, `set` (a matrix of strings, empty where a label is not in the
        set), `answered` (bool, False where the model abstains), with costs or offsets
        `threshold_label`, and for a regression head `interval`. The SavedModel is loaded in a fresh
        process without keras_mm and compared with this model row by row; nothing is written if
        predictions differ.

        Args:
            folder: The folder to write; it must not exist, or be empty.
            format: `"tf_saved_model"`.
            data: Rows for the comparison; by default random rows.
            image_dir: Folder that image paths are relative to.
            on_error: `"raise"`, or `"skip"` to leave out rows of `data` that cannot be used.

        Returns:
            The result of the comparison: `rows`, `max_difference`, `labels_equal`.

        Raises:
            ExportError: if the predictions differ.
        """
        from keras_mm.export.export import export_model

        return export_model(
            self.predictor_,
            self.save,
            folder,
            format=format,
            data=data,
            image_dir=image_dir,
            on_error=on_error,
        )

    def read_texts(self, *, sequence_length: int, sliding_window: Any = None) -> None:
        """Changes the sequence length and sliding window of the trained model, not its weights.

        Args:
            sequence_length: Largest number of tokens of a sequence, with special tokens.
            sliding_window: As the parameter of the same name; by default texts are truncated.

        Raises:
            ValueError: if the text network cannot read this length, or the window is not valid.
        """
        trained = self._check_fitted()
        changed = with_text_length(trained, sequence_length, sliding_window)
        if changed is not trained:
            params = ("sequence_length", "sliding_window")
            self.set_params(**{name: getattr(changed.settings, name) for name in params})
            self._trained = changed

    # --- training, copies and state ---------------------------------------------------------

    def _settings(self) -> Settings:
        if not (self.warm_start and self._trained is not None):
            check_own_backbones(self._own_networks, vars(self))
        return Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})

    def _fit(
        self, prepared: Prepared, callbacks: Sequence, budget: Budget | None = None
    ) -> MultimodalClassifier:
        """Trains; if training fails, keeps or restores a model as `fit` describes."""
        bench, before = self._bench(), {} if self._trained is None else self._trained.heads
        warm = prepared.settings.warm_start and self._trained is not None
        previous = PreviousModel(self._trained, bench, in_place=warm)
        former, self._trained = self._trained if warm else None, None
        try:
            with seeded(prepared.settings.seed):
                options: dict[str, Any] = {"callbacks": callbacks, "classifier_of": self._with}
                if prepared.folds:
                    outcome = fit_folds(prepared, bench, **options, budget=budget)
                else:
                    outcome = fit(prepared, bench, former=former, **options)
        except BaseException:
            self._trained = previous.restore()
            raise
        self._trained = previous.after(outcome)
        if outcome.error is not None:
            raise outcome.error
        warn_of_untrained(self._declared, before, self.heads_)
        return self

    def _with(self, trained: Trained) -> MultimodalClassifier:
        """A copy of this classifier with another model."""
        other = copy(self)
        other._trained = trained
        return other

    def _bench(self) -> Workbench:
        """The workbench that builds the models of this classifier and its clones."""
        if self._workbench is None:
            self._workbench = Workbench()
        return self._workbench

    @property
    def _added(self) -> dict[str, Head]:
        """Heads of `add_head` that are not trained yet."""
        return {name: head for name, head in self._declared.items() if name not in self.heads_}

    def __sklearn_is_fitted__(self) -> bool:
        return self._trained is not None

    def __sklearn_clone__(self) -> MultimodalClassifier:
        with unseeded():  # a network among the parameters is built again, and draws random weights
            clone = super().__sklearn_clone__()
        clone._workbench, clone._own_networks = self._bench(), self._own_networks
        clone._declared = dict(self._declared)
        return clone

    def __copy__(self) -> MultimodalClassifier:
        """A classifier that shares the model; `__getstate__` would copy it."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __getstate__(self) -> dict:
        """The state for pickle, joblib and deepcopy: a fitted model in its saved form."""
        state = {**super().__getstate__()}
        state.pop("_workbench", None)
        return pack_state(state, state.pop("_trained", None), self._declared)

    def __setstate__(self, state: dict) -> None:
        state, trained = unpack_state(state)
        super().__setstate__(state)
        if trained is not None:
            self._trained = trained

    def _check_fitted(self) -> Trained:
        if self._trained is None:
            raise NotFittedError("This MultimodalClassifier is not fitted; call fit or load first.")
        return self._trained

    # --- fitted attributes ------------------------------------------------------------------

    @property
    def predictor_(self) -> Predictor:
        """The predictor: the model, and everything it needs to predict rows."""
        return self._check_fitted().predictor(
            cache=self.cache, engine=self.engine, progress=bool(self.verbose)
        )

    @property
    def model_(self) -> keras.Model:
        """The Keras model, from preprocessed inputs to logits."""
        return self._check_fitted().model

    @property
    def preprocessor_(self) -> Preprocessor:
        """The preprocessor, which makes the inputs of the model from rows."""
        return self._check_fitted().preprocessor

    @property
    def heads_(self) -> Mapping[str, Head]:
        """Heads by name, with their classes; assign heads with other thresholds to change these."""
        return self._check_fitted().heads

    @heads_.setter
    def heads_(self, heads: Mapping[str, Head]) -> None:
        self._trained = replace(self._check_fitted(), heads=dict(heads))

    @property
    def decisions_(self) -> Mapping[str, HeadDecisions]:
        """Decisions of `fit_decisions` by head; empty before."""
        return self._check_fitted().decisions

    @property
    def priors_(self) -> Mapping[str, list]:
        """The best constant prediction by head: frequencies or means of the training rows."""
        return self._check_fitted().priors

    @property
    def history_(self) -> Mapping[str, list]:
        """Metrics by name, a list over the epochs."""
        return self._check_fitted().history

    @property
    def members_(self) -> Any:
        """The weight of each member in the predictions; see the attributes of the class."""
        return one_or_all(member_shares(self._check_fitted()))

    @property
    def choice_(self) -> dict[str, Any]:
        """The settings that a search of members chose; see the attributes of the class."""
        trained = self._check_fitted()
        if not trained.trials:
            raise AttributeError('`choice_` needs members="search", and a model trained with it.')
        names = ("images", "texts", "members")
        return {name: getattr(trained.settings, name) for name in names}

    @property
    def trials_(self) -> pd.DataFrame:
        """The members that a search tried; see the attributes of the class."""
        trained = self._check_fitted()
        if not trained.trials:
            raise AttributeError('`trials_` needs members="search", and a model trained with it.')
        return pd.DataFrame(list(trained.trials))

    @property
    def remarks_(self) -> tuple[str, ...]:
        """Sentences about what a search of members chose; empty without a search."""
        return tuple(self._check_fitted().remarks)

    @property
    def held_out_(self) -> HeldOut | None:
        """Logits of rows that the weights were not trained on; `None` in a loaded model."""
        return self._check_fitted().held_out

    @property
    def out_of_fold_(self) -> pd.DataFrame:
        """Predictions of the training rows, each by the trunk that was not trained on it."""
        return out_of_fold_frame(self._check_fitted())

    @property
    def num_rows_(self) -> int:
        """Number of training rows."""
        return self._check_fitted().num_rows

    @property
    def skipped_(self) -> Sequence:
        """Problems of the training rows that `on_error="skip"` left out."""
        return self._check_fitted().skipped

    @property
    def classes_(self) -> Any:
        """Label names in the order of the probabilities; a dict if there are several heads."""
        return one_or_all({n: names_array(head.names) for n, head in self.heads_.items()})
