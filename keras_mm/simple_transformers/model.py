"""What the classes share: one classifier that is trained, evaluated, saved and loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.labels import label_value
from keras_mm.errors import InvalidArgumentError, InvalidValueError
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.inference.model_json import is_bundle
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import FILE, ClassificationArgs, ModelArgs, settings_class
from keras_mm.simple_transformers.assessments import Assess, Assessment, create_assess
from keras_mm.simple_transformers.config import ModelConfig
from keras_mm.simple_transformers.folders import (
    check_class,
    check_output,
    check_type,
    output_folder,
    task_class,
    write_model,
    write_results,
)
from keras_mm.simple_transformers.keywords import sweep_settings, unused_keywords
from keras_mm.simple_transformers.label_checks import check_number
from keras_mm.simple_transformers.labels import class_weight, label_problems
from keras_mm.simple_transformers.progress import Progress
from keras_mm.simple_transformers.reading import logits_of, only_head, read_as
from keras_mm.simple_transformers.rows import checked_rows, named
from keras_mm.simple_transformers.scores import answers, check_metric_name
from keras_mm.simple_transformers.script_attributes import ScriptAttributes
from keras_mm.simple_transformers.setting_checks import (
    built_settings,
    check_built,
    check_integers,
    check_refused,
    check_savable,
    without_effect,
)
from keras_mm.simple_transformers.setting_fields import check_names
from keras_mm.simple_transformers.training_rows import TrainingRows, read_training_rows
from keras_mm.simple_transformers.translation import (
    errors_in_their_names,
    loss_name,
    training_settings,
)
from keras_mm.simple_transformers.weights import stated_type, text_backbone
from keras_mm.warn import warn

_log = logging.getLogger("keras_mm")


class Model(ScriptAttributes):
    """A `MultimodalClassifier` behind the interface of Simple Transformers.

    A subclass sets `num_labels` and what its checks need before it calls this constructor.

    Args:
        model_type: As in `ClassificationModel`.
        model_name: As in `ClassificationModel`.
        args: As in `ClassificationModel`.
        use_cuda: As in `ClassificationModel`.
        cuda_device: As in `ClassificationModel`.
        keywords: As in `ClassificationModel`.

    Attributes:
        args: The settings. A change has effect from the next call on.
        classifier: The trained `keras_mm.MultimodalClassifier`, for its reports, plots and export;
            `None` before the first training. Its columns are `text`, or `text_a` and `text_b`,
            `images` and `labels`.
        results: The results of the last evaluation.
        num_labels: Number of labels, once it is known.
    """

    classifier: MultimodalClassifier | None = None
    _args_class: type[ModelArgs]

    def __init__(
        self,
        model_type: str,
        model_name: str | PathLike,
        args: ModelArgs | Mapping | None,
        use_cuda: bool,
        cuda_device: int,
        keywords: Mapping[str, Any],
    ):
        self.args = settings_class(args, self._args_class)()
        self.results: dict[str, float] = {}
        self._warned: set[str] = set()
        self._built: dict[str, Any] = {}  # settings of the trained model
        self.config = ModelConfig(self._description)
        folder = Path(model_name).expanduser()
        if is_bundle(folder):
            self._load(model_type, folder)
        self._update_args(args)
        keywords = dict(keywords)
        sweep = keywords.pop("sweep_config", None)
        if sweep is not None:
            self.args.update_from_dict(sweep_settings(sweep))
        self.args.model_class = task_class(type(self))
        if self.classifier is None:
            backbone = text_backbone(model_type, model_name)  # checks both of them
            self.args.model_type = stated_type(model_type, backbone)
            self.args.model_name = str(model_name)
        unused = unused_keywords(keywords, type(self))
        if self.args.use_early_stopping and not self.args.evaluate_during_training:
            unused["use_early_stopping"] = "it needs evaluate_during_training=True"
        if use_cuda is not True or cuda_device != -1:
            unused["use_cuda, cuda_device"] = "the backend finds its device by itself"
        self._check()
        if self._trained is not None:
            self._read_as_set(self._trained)
        self._warn_unused({**unused, **without_effect(self.args)})
        if self.classifier is None and (folder / FILE).is_file():
            warn(
                f"{str(folder)!r} is a model of Simple Transformers: its encoder is taken, its "
                "head and its arguments are not. Train the model."
            )

    def _update_args(self, args: ModelArgs | Mapping | None) -> None:
        if isinstance(args, ModelArgs):
            # Type and name of the model are arguments of the constructor.
            args = {n: v for n, v in args.given().items() if not n.startswith("model_")}
            check_names(type(self.args), args, InvalidArgumentError)
        self.args.update_from_dict({} if args is None else args)

    def _check(self) -> None:
        """Raises an error for settings that cannot be used."""
        self.args.make_plain()
        check_refused(self.args)
        check_savable(self.args)
        check_number(self.num_labels)
        loss_name(self.args)
        check_integers(self.args)
        if self._trained is not None:
            check_built(self.args, self._built)

    def _warn_unused(self, unused: Mapping[str, str]) -> None:
        """Warns of arguments without effect, of each only once."""
        new = {name: why for name, why in unused.items() if name not in self._warned}
        self._warned.update(new)
        if new:
            reasons = "; ".join(f"{name} ({why})" for name, why in new.items())
            warn(f"These arguments do nothing here: {reasons}.")

    # --- what a subclass defines --------------------------------------------------------------

    @property
    def _kind(self) -> str:
        """The kind of the head."""
        raise NotImplementedError

    def _head(self, table: pd.DataFrame) -> Head:
        """The head for training rows, without class weights."""
        raise NotImplementedError

    def _weights(self) -> Any:
        """The class weights that the user gave."""
        raise NotImplementedError

    def _structure(self, texts: Sequence[str]) -> dict[str, Any]:
        """Keywords of the classifier for what it is built of."""
        raise NotImplementedError

    def _window(self, head: Head) -> Mapping[str, Any] | None:
        """The sliding window over long texts; `None` to truncate them."""
        return None

    # Whether a row has an image.
    _reads_images = False
    # Whether the user's metrics receive probabilities if a row has several labels.
    _metrics_of_probabilities = False

    # --- training -----------------------------------------------------------------------------

    def _train(
        self,
        tables: Mapping[str, pd.DataFrame],
        texts: Sequence[str],
        *,
        output_dir: Any,
        auto_weights: bool,
        metrics: Mapping[str, Callable],
        verbose: bool,
    ) -> tuple[int, Any]:
        """Trains, or continues training, and saves the model; see `train_model`.

        `tables` are the training table by the name of its argument, then that for evaluation, if
        there is one.
        """
        self._check()
        self._warn_unused(without_effect(self.args))
        evaluating = self.args.evaluate_during_training
        if evaluating and len(tables) == 1:
            raise InvalidValueError("evaluate_during_training needs `eval_data`: rows to evaluate.")
        folder = check_output(output_folder(output_dir, self.args), self.args)
        given = read_training_rows(
            {name: named(t, name) for name, t in list(tables.items())[: 1 + evaluating]},
            texts,
            kind=self._kind,
            create_head=self._head,
            trained=self._trained_head,
            images=self._reads_images,
            progress=not self.args.silent,
        )
        if evaluating:
            check_metric_name(self.args.early_stopping_metric, given.head, metrics)
        weight = class_weight(
            given.table,
            given.head,
            self._weights(),
            automatic=auto_weights,
            trained=self._trained_head,
        )
        given = given._replace(head=replace(given.head, class_weight=weight))
        progress = Progress(
            self.args, self.config, folder, self._assess_with(metrics) if evaluating else None
        )
        self._fit(texts, given, progress)
        if verbose:
            where = "not saved" if self.args.no_save else f"saved to {folder}"
            _log.info("training of the %s model complete, %s", self.args.model_type, where)
        details = progress.scores if evaluating else float(np.mean(progress.losses))
        return progress.global_step, details

    def _fit(self, texts: Sequence[str], given: TrainingRows, progress: Progress) -> None:
        """Trains a classifier, keeps it and saves it; if this fails, a trained one is kept."""
        trained = self._trained
        before = None if trained is None else trained.get_params(deep=False)
        classifier = self._classifier_for(texts, given.head, len(given.table))
        try:
            with errors_in_their_names():
                classifier.fit_rows(
                    given.train,
                    given.validation,
                    heads={"label": given.head},
                    callbacks=[progress],
                )
        except BaseException:
            if before is not None:  # the classifier has its model from before the training
                classifier.set_params(**before)
                if progress.has_cleared and not self.args.no_save:
                    write_model(progress.output_dir, classifier, self.args, self.config)
            elif hasattr(classifier, "model_"):  # with the best weights so far
                self._take_model(classifier)
            raise
        self.num_labels = None  # the training may have added labels
        self._take_model(classifier)
        progress.classifier = None  # the callback would keep this training's model alive
        if not self.args.no_save:
            progress.clear_once()
            write_model(progress.output_dir, classifier, self.args, self.config)

    def _classifier_for(
        self, texts: Sequence[str], head: Head, num_rows: int
    ) -> MultimodalClassifier:
        """The classifier to train: the trained one, or a new one."""
        settings = {
            "labels": {"label": head},
            **training_settings(self.args, num_rows),
            **({} if head.kind == "regression" else {"loss": loss_name(self.args)}),
        }
        if self._trained is not None:
            return self._read_as_set(self._trained).set_params(**settings, warm_start=True)
        window = self._window(head)
        return MultimodalClassifier(**self._structure(texts), sliding_window=window, **settings)

    def _take_model(self, classifier: MultimodalClassifier) -> None:
        """Makes a trained classifier this model's, and adopts its labels."""
        self.classifier, head = classifier, only_head(classifier)
        self._tokenizer = None
        if head.kind == "multiclass" and isinstance(self.args, ClassificationArgs):
            self.args.labels_list = [label_value(name) for name in head.names]
        if self.num_labels is None:
            self.num_labels = head.num_classes
        self._built = built_settings(self.args)

    # --- evaluation and predictions -----------------------------------------------------------

    def _ready(self) -> tuple[MultimodalClassifier, Head]:
        """The trained classifier, which reads texts and has thresholds as set, and its head."""
        if self._trained is None:
            raise InvalidValueError(
                "This model is not trained, so its predictions would be random: call train_model, "
                "or give the folder of a trained model as `model_name`."
            )
        self._check()
        classifier = self._read_as_set(self._trained).set_params(verbose=int(not self.args.silent))
        ((name, head),) = classifier.heads_.items()
        if head.kind == "multilabel":
            head = replace(head, threshold=getattr(self.args, "threshold", 0.5))
            classifier.heads_ = {name: head}
        return classifier, head

    def _read_as_set(self, classifier: MultimodalClassifier) -> MultimodalClassifier:
        """The same classifier, which now reads texts as the settings say."""
        read_as(classifier, self.args.max_seq_length, self._window(only_head(classifier)))
        return classifier

    def _assess(
        self,
        table: pd.DataFrame,
        *,
        argument: str,
        metrics: Mapping[str, Callable],
        output_dir: Any,
        verbose: bool,
        silent: bool = False,
    ) -> Assessment:
        """Evaluates labelled rows and writes the results."""
        folder = output_folder(output_dir, self.args)
        classifier, head = self._ready()
        table = named(table, argument)
        problems = label_problems(table) if head.kind == "multiclass" else []
        (rows,) = checked_rows(
            {argument: table},
            classifier.texts,
            images=self._reads_images,
            head=head,
            problems=problems,
            progress=not (silent or self.args.silent),
        ).values()
        logits = logits_of(classifier, rows, silent)
        found = self._assess_with(metrics)(head, rows.labels["label"], logits)
        self.results.update(found)
        if not self.args.no_save:
            write_results(folder, found)
        if verbose:
            _log.info("%s", found)
        return Assessment(found, head, rows, rows.labels["label"], *answers(head, logits), logits)

    def _assess_with(self, metrics: Mapping[str, Callable]) -> Assess:
        return create_assess(self.args, metrics, of_probabilities=self._metrics_of_probabilities)

    def _answered(self, classifier: MultimodalClassifier, table: pd.DataFrame) -> np.ndarray:
        """Logits of unlabelled rows."""
        (rows,) = checked_rows(
            {"to_predict": named(table, "to_predict")},
            classifier.texts,
            images=self._reads_images,
            progress=not self.args.silent,
        ).values()
        return logits_of(classifier, rows)

    # --- folders ------------------------------------------------------------------------------

    def save_model(
        self,
        output_dir: str | PathLike | None = None,
        optimizer: Any = None,
        scheduler: Any = None,
        model: Any = None,
        results: Mapping[str, Any] | None = None,
    ) -> None:
        """Saves the trained model into a folder; give the folder as `model_name` to load it.

        Args:
            output_dir: The folder; by default `args.output_dir`.
            optimizer: Has no effect: a saved model holds no optimizer.
            scheduler: Has no effect, as `optimizer`.
            model: Not needed; the attribute `model` of this object.
            results: Results by name, for `eval_results.txt`.

        Raises:
            ValueError: if the model is not trained, or `model` is another one.
        """
        classifier, _ = self._ready()
        if model is not None and model is not self.model:
            raise InvalidValueError(
                f"`model` must be the `model` of this {type(self).__name__}, or left out. "
                f"Received: {type(model).__name__}"
            )
        folder = Path(output_dir or self.args.output_dir)
        write_model(folder, classifier, self.args, self.config, results)

    def _load(self, model_type: str, folder: Path) -> None:
        check_class(folder, type(self))
        self.args.load(folder)
        check_type(folder, model_type, self.args.model_type)
        self._take_model(MultimodalClassifier.load(folder))
        self.config.load(folder)
