"""The estimator: trains, evaluates, saves and exports a classifier of table rows."""

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
from keras_mm.data.tables.load import load_table, table_name
from keras_mm.data.tables.row_parts import SkippedRows
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.run_columns import label_columns
from keras_mm.data.tables.weights import with_weights
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.fit import fit
from keras_mm.estimator.fit_heads import fit_heads
from keras_mm.estimator.head_names import (
    check_new_head,
    choose_heads,
    choose_multilabel,
    warn_of_untrained,
)
from keras_mm.estimator.nested_parameters import split_nested
from keras_mm.estimator.pickling import pack_state, unpack_state
from keras_mm.estimator.prepare import Given, Prepared, prepare_fit, prepare_heads, with_labels
from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.rollback import Former
from keras_mm.estimator.saved import load_trained, save_trained
from keras_mm.estimator.scores import best_thresholds, evaluate_trained, mean_score
from keras_mm.estimator.spec import check_own_backbones
from keras_mm.estimator.text_length import with_text_length
from keras_mm.estimator.trained import Trained
from keras_mm.inference.answers import (
    answer_frame,
    join_frames,
    names_array,
    predictions,
    whole_frame,
    with_skipped,
)
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.probabilities import probabilities
from keras_mm.random_state import seeded, unseeded
from keras_mm.settings.augmentation import Augmentation
from keras_mm.settings.by_head import one_or_all
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings
from keras_mm.settings.sliding_window import SlidingWindow
from keras_mm.settings.training import Training

if TYPE_CHECKING:
    from keras_mm.evaluation.evaluate import Evaluation


class MultimodalClassifier(ClassifierMixin, BaseEstimator):
    """Classifies rows of images and texts.

    A scikit-learn estimator over Keras 3: the encoders, fusion and training come from a preset, and
    every keyword that is not `None` replaces the preset's value. Frozen encoders are run once over
    the rows, and the rest of the model is trained on their features. A second `fit`, also of a
    clone, trains from the start, but reuses frozen encoders if nothing else holds the last model.

    Args:
        images: Image columns, in order; or a dict of column to the most images of its cells, such
            as `{"photos": 4}`: a cell then is a list, or a text such as `a.jpg|b.jpg`, and images
            that a row lacks are missing. Without `images` and `texts`, columns with the usual
            names (`image_1`, `text_1`, ...) are used.
        texts: Text columns, one or two.
        labels: Label column; a list of columns, each with its own head, or with
            `head="multilabel"` or `"regression"` each a label (0 or 1) or a target of one head; or
            a dict of name to `keras_mm.Head`, for heads of different kinds, each with its own
            column.
        preset: Name of a preset, see `keras_mm.list_presets`.
        fusion: `"concat"`, `"bilinear"`, `"gated"`, `"cross_attention"`, `"bottleneck"` or
            `"mmbt"`; a dict of `name` and that layer's arguments; or a Keras layer. See
            `keras_mm.models.fusion`.
        compare: Compare image pairs, and text pairs that are encoded separately.
        text_pairing: `"packed"` or `"separate"`.
        vision_pooling: `"mean"`, `"max"`, `"cls"` or `"pooler"`.
        text_pooling: `"mean"`, `"max"`, `"cls"` or `"pooler"`.
        vision_backbone: A name, a folder or a `keras.Model`; see `create_vision_encoder`.
        vision_weights: `"pretrained"`, `"random"` or a path.
        text_backbone: A name, a folder or a `keras.Model`; see `create_text_encoder`.
        text_weights: `"pretrained"`, `"random"` or a path: a folder with weights and vocabulary, or
            a weights file with `vocab.txt` beside it.
        image_size: `(height, width)` in pixels, or one number for both.
        sequence_length: Tokens of a sequence.
        vision_trainable: Whether the vision backbone is trained.
        text_trainable: Whether the text backbone is trained.
        head: What the label column holds: `"multiclass"`, `"binary"` (two classes, one logit),
            `"multilabel"` (any number of labels per row: a list, or text such as `red|old`) or
            `"regression"` (a number).
        loss: `"cross_entropy"`, `"focal"`, or `"logit_adjusted"`, which corrects the predictions
            for the class imbalance of the training rows; for regression `"mean_squared_error"`
            (also when the loss is `"cross_entropy"`), `"mean_absolute_error"` or `"huber"`. A head
            can have its own loss.
        class_weight: `None`, `"balanced"`, `"effective_number"`, a dict by label, or a list in
            class order; for multilabel heads, the weight of the rows that have the label.
        classes: Label names in a fixed order; by default the training labels, sorted.
        modality_dropout: Probability, in [0, 1), of hiding all images of a row during training, and
            of hiding all its texts; never both in one row.
        augmentation: Random changes of the images during training: a `keras_mm.Augmentation` or a
            dict of its fields. Needs `vision_trainable=True`.
        sliding_window: How texts longer than `sequence_length` are read. `True`, a
            `keras_mm.SlidingWindow` or a dict of its fields reads them in windows and joins the
            windows' predictions to one per row; by default they are truncated.
        special_tokens: Texts such as `"<url>"` that become one token each instead of being split,
            with a new embedding that is trained. Needs `text_trainable=True`.
        epochs: Largest number of epochs.
        batch_size: Rows of a batch.
        learning_rate: Peak learning rate of the trunk.
        encoder_learning_rate: Peak learning rate of trainable encoders; or a dict by side,
            `"vision"` and `"text"`, where a missing side has the preset's rate.
        optimizer: `"adamw"`, `"adam"`, `"sgd"` or `"adafactor"`.
        early_stopping: Whether to stop when validation no longer improves; the best weights are
            restored.
        cache: Whether features of frozen encoders are cached on disk, for later trainings and
            predictions, in the folder that `keras-mm cache info` shows; or a folder.
        engine: What runs encoders that are not trained: `"keras"`, `"openvino"`, or `"auto"`:
            OpenVINO where it is installed and faster (on a CPU, with `cache`, for frozen encoders
            that are not tiny; not in float32 under TensorFlow), else Keras.
        precision: `"float32"`, or `"bfloat16"` for the encoders.
        seed: Seed of weights, row order and dropout. The same seed gives the same result on the
            same backend.
        warm_start: Whether `fit` continues with the trained model, its weights and its classes;
            new rows may add classes. The settings that the model is built from must not change.
        verbose: 0 is silent, 1 shows progress on stderr. A change by `set_params` takes effect at
            once.
        training: Less common settings: a `keras_mm.Training` or a dict of its fields.

    Attributes:
        heads_: The model's heads: `keras_mm.Head` by name, with their classes. The only head of a
            label column is called `"label"`.
        classes_: Label names in the order of the probabilities; for regression the names of the
            targets. A dict by head if there are several heads.
        model_: The Keras model, from raw inputs to logits.
        history_: Metrics by name, a list over the epochs.
        preprocessor_: Makes the model's inputs from rows.
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
    # The heads of `add_head`, trained or not.
    _declared: Mapping[str, Head] = MappingProxyType({})
    # Parameters whose value, a keras.Model of the user's, is not part of a loaded classifier.
    _own_networks: tuple[str, ...] = ()
    _workbench: Workbench | None = None

    # scikit-learn's routing takes the rows for metadata where they are not called X.
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
        """Trains on a table of rows, from the start or, with `warm_start`, from the trained model.

        A training that fails or is interrupted leaves a fitted classifier as it was. A classifier
        that was not fitted gets the weights of the best epoch so far, if one ended. In both cases
        the error is raised, and a line of the log says what is kept.

        The heads of `labels` are trained. Heads of `add_head` stay declared; where they were
        trained, a warning says that `fit_head` must train them again.

        Args:
            data: A DataFrame, a path, or anything else that `load_table` takes.
            y: Labels of the rows, instead of the label column: cells as in that column, or an
                array with a column for each label column.
            sample_weight: What each row counts in the loss, in early stopping and in all validation
                metrics: a column of numbers >= 0, or one number per row in the order of the rows,
                shape `(num_rows,)`; by default 1. A row of weight 3 counts as three rows do. One
                of weight 0 is left out, though its label still names a class. The weight is
                multiplied by that of the row's class; class weights by name are computed from
                weighted counts. Rows of `validation_data` have the weights of the same column, or
                1 each if there is no such column.
            validation_data: Rows for early stopping; by default `validation_split` of `data`.
            validation_split: Share of the rows for validation, stratified by label, in [0, 1). 0
                trains without validation.
            groups: Column name, or array of shape `(num_rows,)`: rows of a group are not split.
            image_dir: Folder that image paths are relative to. Validation rows from a file are
                read from the file's folder instead if it holds their images.
            callbacks: Your own Keras callbacks; see `keras_mm.Trainer` for those that monitor a
                metric or set the learning rate. They see the part of the model that is trained.
            on_error: `"raise"`, or `"skip"` to leave out the rows that cannot be used.

        Returns:
            The classifier itself.

        Raises:
            ConfigError: listing every setting that is wrong.
            TableError: listing every row that cannot be used.
            ValueError: for labels of one class only, or too few rows to split.
        """
        given = Given(
            data, y, validation_data, validation_split, groups, image_dir, on_error, sample_weight
        )
        going_on = self._trained if self.warm_start else None
        old = {} if going_on is None else going_on.heads
        del going_on  # a reference to the model would keep its encoders from being reused
        return self._fit(prepare_fit(self._settings(), given, old), callbacks)

    def fit_rows(
        self,
        rows: Rows,
        validation: Rows | None = None,
        *,
        heads: Mapping[str, Head],
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> MultimodalClassifier:
        """Trains on rows that are checked and split already.

        Args:
            rows: Training rows, as `keras_mm.data.tables.partition.read_parts` returns them, with
                weights if they have any.
            validation: Rows for early stopping.
            heads: Heads by name, with the classes that the rows' labels are encoded by, as
                `keras_mm.data.tables.run_columns.find_heads` returns them.
            callbacks: Your own Keras callbacks.

        Returns:
            The classifier itself.
        """
        parts = {"train": rows} if validation is None else {"train": rows, "val": validation}
        settings = self._settings().resolved()
        return self._fit(Prepared(settings, dict(heads), parts, {}), callbacks)

    def set_params(self, **params: Any) -> MultimodalClassifier:
        """Sets parameters, as scikit-learn's estimators do.

        Args:
            **params: Values by name. `training__<field>`, `augmentation__<field>` and
                `sliding_window__<field>` set a field of these objects, also where the parameter is
                `None`.

        Returns:
            The classifier itself.

        Raises:
            ValueError: for an unknown parameter.
            TypeError: for an unknown field; the nearest is offered.
        """
        super().set_params(**split_nested(params, vars(self)))
        return self

    def predict(
        self,
        data: Any,
        *,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> Any:
        """Predictions of rows.

        A table is processed some thousand rows at a time; a CSV file is never wholly in memory.

        Args:
            data: As in `fit`; also a list of dicts, or one dict for one row.
            image_dir: Folder that image paths are relative to.
            on_error: `"raise"`, or `"skip"` to give rows that cannot be used a missing prediction.
                The predictions of the other rows are the same as without such rows.

        Returns:
            Labels as in the training rows, shape `(num_rows,)`; for a multilabel head 0 or 1,
            shape `(num_rows, num_labels)`, columns in the order of `classes_`; for a regression
            head numbers in the targets' unit, shape `(num_rows,)`, with several targets
            `(num_rows, num_targets)`. A dict by head if there are several heads. If rows were
            skipped, labels that are not floats are an array of objects with `None` for these rows;
            all other arrays are of floats with NaN.

        Raises:
            TableError: listing every row that cannot be used, unless rows are skipped.

        Warns:
            UserWarning: if rows are skipped: how many, and the first problems.
        """
        skipped = SkippedRows.create(on_error)
        logits = self.predictor_.all_logits(data, image_dir, skipped=skipped)
        found = {n: predictions(head, logits[n]) for n, head in self.heads_.items()}
        return one_or_all({n: with_skipped(values, skipped) for n, values in found.items()})

    def predict_proba(
        self,
        data: Any,
        *,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> Any:
        """Probabilities of the classes.

        Args:
            data: As in `predict`.
            image_dir: Folder that image paths are relative to.
            on_error: As in `predict`.

        Returns:
            Floats, shape `(num_rows, num_classes)`, columns in the order of `classes_`. Rows sum
            to 1, except for a multilabel head. A dict by head, without regression heads, if there
            are several heads. NaN for rows that were skipped.

        Raises:
            ValueError: if there are only regression heads, which have no probabilities.
            TableError: as in `predict`.

        Warns:
            UserWarning: as in `predict`.
        """
        skipped = SkippedRows.create(on_error)
        kinds = {n: head.kind for n, head in self.heads_.items() if head.kind != "regression"}
        if not kinds:
            raise InvalidValueError(
                "A regression head has no probabilities; `predict` gives its numbers."
            )
        logits = self.predictor_.all_logits(data, image_dir, skipped=skipped)
        found = {
            name: with_skipped(probabilities(logits[name], kind), skipped)
            for name, kind in kinds.items()
        }
        return one_or_all(found) if len(self.heads_) == 1 else found

    def predict_frame(
        self,
        data: Any,
        *,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> pd.DataFrame:
        """Predictions as a DataFrame of pandas with the table's index.

        If the index is unique, `table.join(classifier.predict_frame(table))` puts the predictions
        beside the rows. Rows of a table of another library, such as polars, are numbered from 0.
        A table without rows gives a frame without rows.

        Args:
            data: As in `predict`.
            image_dir: Folder that image paths are relative to.
            on_error: As in `predict`.

        Returns:
            Columns `prediction` (for a multilabel head a list of labels) and
            `probability_<class>` for each class; with several targets `prediction_<target>`. With
            several heads each column begins with the head's name, such as `<head>_prediction`.
            With `on_error="skip"` the last column, `error`, has the problem of each row that was
            skipped, in at most 200 characters, and `None` for all others. Skipped rows have `None`
            as label and NaN as number.

        Raises:
            TableError: as in `predict`.

        Warns:
            UserWarning: as in `predict`.
        """
        skipped = SkippedRows.create(on_error)
        parts = [
            answer_frame(self.heads_, logits, rows.numbers)
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
        """Score on labelled rows.

        Args:
            data: As in `fit`.
            y: Labels of the rows, instead of the label column; see `fit`.
            sample_weight: What each row counts: a column, or one weight per row; see `fit`.
            image_dir: Folder that image paths are relative to.
            on_error: As in `evaluate`.

        Returns:
            Accuracy; for a multilabel head the share of rows whose labels are all correct; for a
            regression head the coefficient of determination R². With several heads the mean over
            the heads that some row has a label of.
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
        """Chooses the threshold of each label of a multilabel head; later predictions use it.

        Use validation rows: metrics on the same rows would be too optimistic.

        Args:
            data: Rows with the head's label column.
            head: The head's name; not needed if there is only one multilabel head.
            metric: What is maximised, as in `keras_mm.metrics.tune_thresholds`.
            sample_weight: What each row counts: a column, or one weight per row; see `fit`.
            image_dir: Folder that image paths are relative to.
            on_error: As in `evaluate`.

        Returns:
            Thresholds by label; they are saved with the model.

        Raises:
            ValueError: if there is no such head.
        """
        trained, predictor = self._check_fitted(), self.predictor_
        name = choose_multilabel(trained.heads, head)
        table, weights = with_weights(load_table(data, image_dir=image_dir), sample_weight)
        chosen = {name: trained.heads[name]}
        rows = predictor.rows(
            table, image_dir, heads=chosen, sample_weight=weights, on_error=on_error
        )
        thresholds = best_thresholds(predictor, rows, name, metric=metric)
        tuned = replace(trained.heads[name], threshold=thresholds)
        self._trained = replace(trained, heads={**trained.heads, name: tuned})
        return dict(zip(tuned.names, thresholds, strict=True))

    def evaluate(
        self,
        data: Any,
        *,
        heads: str | Sequence[str] | None = None,
        sample_weight: Any = None,
        image_dir: str | os.PathLike | None = None,
        on_error: str = "raise",
    ) -> Evaluation:
        """Metrics on labelled rows, compared with a baseline that sees no input.

        The baseline always predicts the majority class, each label's share, or the mean of the
        training rows.

        Args:
            data: Rows with the label columns of the heads.
            heads: Names of the heads that are evaluated; by default all.
            sample_weight: What each row counts in all metrics, also in the baseline's: a column, or
                one weight per row; see `fit`. The weights that the model was trained with are not
                used here unless they are given.
            image_dir: Folder that image paths are relative to.
            on_error: `"raise"`, or `"skip"` to leave out the rows that cannot be used; the results
                count and list them.

        Returns:
            An `Evaluation`: `metrics`, `baselines`, `modalities`, `predictions`, `skipped`, and
            `save("report.html")`.

        Raises:
            TableError: listing every row that cannot be used; with `on_error="skip"` only if no row
                is left.

        Warns:
            UserWarning: if rows are left out: how many, and the first problems.
        """
        known = self.heads_
        table, weights = with_weights(load_table(data, image_dir=image_dir), sample_weight)
        chosen = known if heads is None else choose_heads(heads, known, self._added)
        rows = self.predictor_.rows(
            table, image_dir, heads=chosen, sample_weight=weights, on_error=on_error
        )
        return self.evaluate_rows(rows, table_name(table), heads=chosen)

    def evaluate_rows(
        self, rows: Rows, source: str, *, heads: Mapping[str, Head] | None = None
    ) -> Evaluation:
        """Metrics on rows that are checked already; see `evaluate`.

        Args:
            rows: Rows with labels of `heads`, as `keras_mm.data.tables.partition.read_parts`
                returns them.
            source: Name of the rows' table, for the report.
            heads: The heads that are evaluated, by name; by default all.

        Returns:
            As `evaluate`.
        """
        return evaluate_trained(self._check_fitted(), self.predictor_, rows, source, heads)

    def add_head(self, name: str, head: Head) -> MultimodalClassifier:
        """Adds a head to the trained model; it predicts once `fit_head` has trained it.

        It stays declared when `fit` trains a new model, for which `fit_head` must train it again.

        Args:
            name: The head's name; letters, digits, `_` and `-`.
            head: The head; without classes, those of its training rows are used.

        Returns:
            The classifier itself.

        Raises:
            ValueError: if the model has such a head, or the name cannot be a head's. A head that
                was added and is not trained yet is replaced.
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
        """Trains single heads of the trained model, on other rows.

        The encoders, projections and fusion are run once over the rows and do not change, so the
        predictions of the other heads stay the same to the bit. The classifier's parameters
        (epochs, learning rate, optimizer, early stopping, ...) apply; see `set_params`. Thresholds
        do not change.

        Args:
            names: A head of the model or of `add_head`, or several that are trained jointly.
            data: Rows with the label columns of these heads; see `fit`.
            y: Labels of the rows, instead of the label column; see `fit`.
            sample_weight: As in `fit`; one weight per row, for all these heads.
            freeze: Whether only these heads are trained. Without it everything that `fit` trains
                is trained further, and the predictions of the other heads change.
            validation_data: As in `fit`.
            validation_split: As in `fit`.
            groups: As in `fit`.
            image_dir: As in `fit`.
            callbacks: As in `fit`.
            on_error: As in `fit`.

        Returns:
            The classifier itself, unchanged if a training with `freeze` fails.

        Raises:
            ValueError: if there is no such head.
            TableError: listing every row that cannot be used.

        Warns:
            UserWarning: without `freeze`, if there are other heads.
        """
        trained = self._check_fitted()
        chosen = choose_heads(names, {**trained.heads, **self._added}, self._added)
        given = Given(
            data, y, validation_data, validation_split, groups, image_dir, on_error, sample_weight
        )
        self._trained = fit_heads(
            trained,
            prepare_heads(self._settings(), trained.settings, chosen, given),
            self.predictor_,
            freeze=freeze,
            callbacks=callbacks,
            classifier_of=self._with,
        )
        return self

    def save(self, folder: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes the model as a folder of JSON, weights and vocabulary, whole or not at all.

        Args:
            folder: Where to write.
            overwrite: Whether to replace a folder that is not empty.

        Raises:
            FileExistsError: if `folder` is not empty, without `overwrite`.
        """
        save_trained(folder, self._check_fitted(), self._declared, overwrite=overwrite)

    @classmethod
    def load(
        cls, folder: str | os.PathLike, *, custom_objects: Mapping[str, Any] | None = None
    ) -> MultimodalClassifier:
        """Reads a classifier that `save` wrote on any backend. Executes nothing from the folder.

        Args:
            folder: What `save` wrote.
            custom_objects: Your own layer classes by name, if the model contains any.

        Returns:
            The classifier, fitted.

        Raises:
            FileNotFoundError: if `folder` holds no saved model.
            ValueError: if it is from a newer version, or has classes that are not allowed.
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

        Its inputs are `image_1`, ... and `text_1`, ... in the order of the columns; a column of up
        to N images is N of them, and an empty string is a missing one.
        Its outputs are `probabilities` and `label`. For a multilabel head `label` is a matrix of
        strings, empty where a label is not predicted; for a regression head the output is
        `prediction`, shape `(num_rows, num_targets)`. With several heads each output begins with
        the head's name, such as `<head>_label`. The SavedModel is loaded in a fresh process without
        keras_mm and compared with this model row by row; if it differs, nothing is written.

        Args:
            folder: Where to write; must not exist or be empty.
            format: `"tf_saved_model"`.
            data: Rows to compare; by default random rows.
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
            sequence_length: Tokens of a sequence.
            sliding_window: As the parameter of the same name.

        Raises:
            ValueError: for a length that the text network cannot read, or a wrong window.
        """
        trained = self._check_fitted()
        changed = with_text_length(trained, sequence_length, sliding_window)
        if changed is not trained:
            read = {n: getattr(changed.settings, n) for n in ("sequence_length", "sliding_window")}
            self.set_params(**read)
            self._trained = changed

    # --- training, copies and state ---------------------------------------------------------

    def _settings(self) -> Settings:
        if not (self.warm_start and self._trained is not None):
            check_own_backbones(self._own_networks, vars(self))
        return Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})

    def _fit(self, prepared: Prepared, callbacks: Sequence) -> MultimodalClassifier:
        """Trains; if the training fails, restores the model as `fit` describes."""
        bench, before = self._bench(), {} if self._trained is None else self._trained.heads
        warm = prepared.settings.warm_start and self._trained is not None
        former = Former(self._trained, bench, in_place=warm)
        going_on, self._trained = self._trained if warm else None, None
        try:
            with seeded(prepared.settings.seed):
                outcome = fit(
                    prepared, bench, former=going_on, callbacks=callbacks, classifier_of=self._with
                )
        except BaseException:
            self._trained = former.give_back()
            raise
        self._trained = former.better(outcome)
        if outcome.error is not None:
            raise outcome.error
        warn_of_untrained(self._declared, before, self.heads_)
        return self

    def _with(self, trained: Trained) -> MultimodalClassifier:
        """A copy of this classifier that has another model."""
        found = copy(self)
        found._trained = trained
        return found

    def _bench(self) -> Workbench:
        """What builds the models of this classifier and its clones, one after the other."""
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
        with unseeded():  # a parameter may be a network, which is built again
            clone = super().__sklearn_clone__()
        clone._workbench, clone._own_networks = self._bench(), self._own_networks
        clone._declared = dict(self._declared)
        return clone

    def __copy__(self) -> MultimodalClassifier:
        """A classifier that shares the model."""
        found = object.__new__(type(self))
        found.__dict__.update(self.__dict__)
        return found

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
        """The trained model with everything that it needs to predict rows."""
        return self._check_fitted().predictor(
            cache=self.cache, engine=self.engine, progress=bool(self.verbose)
        )

    @property
    def model_(self) -> keras.Model:
        """The Keras model, from raw inputs to logits."""
        return self._check_fitted().model

    @property
    def preprocessor_(self) -> Preprocessor:
        """Makes the model's inputs from rows."""
        return self._check_fitted().preprocessor

    @property
    def heads_(self) -> Mapping[str, Head]:
        """The heads by name, with their classes; assign new heads to change thresholds."""
        return self._check_fitted().heads

    @heads_.setter
    def heads_(self, heads: Mapping[str, Head]) -> None:
        self._trained = replace(self._check_fitted(), heads=dict(heads))

    @property
    def priors_(self) -> Mapping[str, list]:
        """The best constant prediction of each head: class shares or means of the training rows."""
        return self._check_fitted().priors

    @property
    def history_(self) -> Mapping[str, list]:
        """Metrics by name, a list over the epochs."""
        return self._check_fitted().history

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
        """Label names in the order of the probabilities."""
        return one_or_all({n: names_array(head.names) for n, head in self.heads_.items()})
