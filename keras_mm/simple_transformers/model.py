"""What the three classes share: one classifier, trained, evaluated, saved and loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import is_whole, unknown_name
from keras_mm.data.tables.labels import label_value
from keras_mm.data.tables.load import table_name
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.targets import with_classes
from keras_mm.errors import ConfigError, InvalidValueError, PretrainedError, Problem
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.inference.answers import by_head
from keras_mm.inference.bundle import is_bundle
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import FILE, ModelArgs, settings_class
from keras_mm.simple_transformers.assessments import Assessment
from keras_mm.simple_transformers.folders import (
    check_class,
    check_output,
    clear_output,
    output_folder,
    task_class,
    write_model,
    write_results,
)
from keras_mm.simple_transformers.keywords import sweep_settings, unused_keywords
from keras_mm.simple_transformers.labels import (
    automatic_weights,
    check_number,
    label_form,
    label_problems,
    without_rows,
)
from keras_mm.simple_transformers.plain import is_scalar
from keras_mm.simple_transformers.progress import Progress
from keras_mm.simple_transformers.reading import read_as
from keras_mm.simple_transformers.rows import checked_rows, named
from keras_mm.simple_transformers.scores import answers, names_of, results
from keras_mm.simple_transformers.setting_checks import (
    check_refused,
    check_savable,
    without_effect,
)
from keras_mm.simple_transformers.tables import LABELS
from keras_mm.simple_transformers.translation import (
    DROPOUT,
    focal_gamma,
    in_their_names,
    loss_name,
    training_settings,
)
from keras_mm.simple_transformers.warn import warn
from keras_mm.simple_transformers.weights import stated_type, text_backbone, text_pooling

_log = logging.getLogger("keras_mm")
# Settings that a trained model is built by.
_BUILT = (
    "special_tokens_list", "regression", "text_pooling", "num_image_embeds", "image_encoder",
    "image_size", "fusion",
)  # fmt: skip
# Whole numbers, and the least of each.
_WHOLE = {
    "num_train_epochs": 1,
    "train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "early_stopping_patience": 1,
    "save_steps": -1,
    "evaluate_during_training_steps": -1,
}


class Model:
    """A `MultimodalClassifier` behind the interface of Simple Transformers.

    Attributes:
        args: The settings; changes count from the next call on.
        classifier: The `keras_mm.MultimodalClassifier`, once there is one: its reports, plots and
            export are those of any other. Its columns are `text`, or `text_a` and `text_b`,
            `images` and `labels`.
        results: What was evaluated last.
        num_labels: Number of labels, once it is known.
    """

    args: Any
    classifier: MultimodalClassifier | None = None
    num_labels: int | None
    _args_class: type[ModelArgs]

    def _begin(
        self,
        model_type: str,
        model_name: str | PathLike,
        args: ModelArgs | Mapping | None,
        use_cuda: bool,
        cuda_device: int,
        keywords: Mapping[str, Any],
    ) -> None:
        """Takes the settings, and the model if `model_name` is a folder that one was saved in."""
        self.args = settings_class(args, self._args_class)()
        self.results: dict[str, float] = {}
        self._told: set[str] = set()
        folder = Path(model_name).expanduser()
        if is_bundle(folder):
            self._load(model_type, folder)
        self._take(args)
        keywords = dict(keywords)
        sweep = keywords.pop("sweep_config", None)
        if sweep is not None:
            self.args.update_from_dict(sweep_settings(sweep))
        self.args.model_class = task_class(type(self))
        if self.classifier is None:
            backbone = text_backbone(model_type, model_name)  # which says what is wrong with them
            self.args.model_type = stated_type(model_type, backbone)
            self.args.model_name = str(model_name)
        unused = unused_keywords(keywords, type(self))
        if self.args.use_early_stopping and not self.args.evaluate_during_training:
            unused["use_early_stopping"] = "it needs evaluate_during_training=True"
        if use_cuda is not True or cuda_device != -1:
            unused["use_cuda, cuda_device"] = "the backend finds its device by itself"
        self._check()
        if self._is_trained:
            self._read_as_set()
        self._tell({**unused, **without_effect(self.args)})
        if self.classifier is None and (folder / FILE).is_file():
            warn(
                f"{str(folder)!r} is a model of Simple Transformers: its encoder is taken, its "
                "head and its arguments are not. Train it."
            )

    def _take(self, args: ModelArgs | Mapping | None) -> None:
        """Takes over settings: a dict of them, or all of one of the classes."""
        if isinstance(args, ModelArgs):
            # Which model it is says the constructor.
            args = {n: v for n, v in args.given().items() if not n.startswith("model_")}
        self.args.update_from_dict({} if args is None else args)

    def _check(self) -> None:
        """Refuses settings that cannot be."""
        self.args.make_plain()
        check_refused(self.args)
        check_savable(self.args)
        check_number(self.num_labels)
        loss_name(self.args)
        for name, least in _WHOLE.items():
            value = getattr(self.args, name)
            if not is_whole(value, least):
                allowed = f"an integer >= {least}"
                raise InvalidValueError(f"`{name}` must be {allowed}. Received: {value!r}")
        built = self.__dict__.get("_built", {})
        changed = [name for name, value in built.items() if getattr(self.args, name) != value]
        if changed and self._is_trained:
            now = {name: getattr(self.args, name) for name in changed}
            was = {name: built[name] for name in changed}
            raise InvalidValueError(
                f"The model is trained, and was built otherwise: {was}. Received: {now}. Make a "
                "new model for these settings."
            )

    def _tell(self, unused: Mapping[str, str]) -> None:
        new = {name: why for name, why in unused.items() if name not in self._told}
        self._told.update(new)
        if new:
            reasons = "; ".join(f"{name} ({why})" for name, why in new.items())
            warn(f"These arguments do nothing here: {reasons}.")

    # --- what a class says of its own -------------------------------------------------------

    def _head(self, table: pd.DataFrame) -> Head:
        """The head for training rows, without class weights."""
        raise NotImplementedError

    def _weights(self) -> Any:
        """The class weights that the user gave."""
        raise NotImplementedError

    def _structure(self, texts: Sequence[str]) -> dict[str, Any]:
        """Keywords of the classifier that say what it is built of."""
        raise NotImplementedError

    @property
    def _kind(self) -> str:
        """The kind of the head."""
        raise NotImplementedError

    def _window(self, head: Head) -> Mapping[str, Any] | None:
        """How long texts are read in windows; `None` cuts them off."""
        return None

    # Whether a row has an image.
    _reads_images = False
    # Whether keyword metrics of several labels get probabilities.
    _metrics_of_probabilities = False

    def _threshold(self) -> Any:
        return getattr(self.args, "threshold", 0.5)

    # --- training ---------------------------------------------------------------------------

    @property
    def _is_trained(self) -> bool:
        return self.classifier is not None and hasattr(self.classifier, "model_")

    def _train(
        self,
        tables: Mapping[str, pd.DataFrame],
        texts: Sequence[str],
        *,
        output_dir: Any,
        auto_weights: bool,
        metrics: Mapping[str, Any],
        verbose: bool,
    ) -> tuple[int, Any]:
        """Trains, or goes on training, and saves what is asked for.

        Args:
            tables: The training table by the name of its argument; behind it that of evaluation, if
                there is one.
            texts: Text columns.
            output_dir: As in `train_model`.
            auto_weights: The same.
            metrics: The same.
            verbose: The same.
        """
        self._check()
        self._tell(without_effect(self.args))
        evaluating = self.args.evaluate_during_training
        if evaluating and len(tables) == 1:
            raise InvalidValueError("evaluate_during_training needs `eval_data`: rows to evaluate.")
        folder = check_output(output_folder(output_dir, self.args), self.args)
        tables = {name: named(t, name) for name, t in list(tables.items())[: 1 + evaluating]}
        table, head, rows = self._checked(tables, texts)
        self._check_metric(head, metrics)
        head = replace(head, class_weight=self._class_weight(table, head, auto_weights))
        before = self.classifier.get_params(deep=False) if self._is_trained else None
        classifier = self._classifier_for(texts, head, len(table))
        progress = Progress(
            self.args,
            folder,
            self._assessor(metrics) if evaluating else None,
            self._write,
            clear_output,
        )
        training, validation = (*rows, None)[:2]
        try:
            with _in_their_words():
                classifier.fit_rows(
                    training, validation, heads={"label": head}, callbacks=[progress]
                )
        except BaseException:
            if before is not None:  # it is the model that it was, also in the folder
                classifier.set_params(**before)
                if progress.has_cleared and not self.args.no_save:
                    self._write(folder, classifier, None)
            elif hasattr(classifier, "model_"):  # the best weights so far
                self._take_model(classifier)
            raise
        self.num_labels = None  # it may have been trained on more
        self._take_model(classifier)
        progress.classifier = None  # which has the model of this training
        if not self.args.no_save:
            progress.make_room()
            self._write(folder, classifier, None)
        if verbose:
            where = "not saved" if self.args.no_save else f"saved to {folder}"
            _log.info("training of the %s model complete, %s", self.args.model_type, where)
        details = progress.scores if evaluating else float(np.mean(progress.losses))
        return progress.global_step, details

    def _checked(
        self, tables: Mapping[str, pd.DataFrame], texts: Sequence[str]
    ) -> tuple[pd.DataFrame, Head, list[Rows]]:
        """The training table as it is read, the head, and the rows of each table.

        Raises:
            keras_mm.TableError: listing every problem of all tables, one of the labels as a whole
                among them.
        """
        train, problems = next(iter(tables)), []
        try:
            head = self._found_head(tables[train])
        except ValueError as error:
            problems.append(Problem(None, LABELS, table_name(tables[train]), str(error)))
            head = Head(self._kind, column=LABELS)
        if head.kind == "multiclass":
            problems += [p for table in tables.values() for p in label_problems(table)]
        rows = checked_rows(
            tables,
            texts,
            images=self._reads_images,
            head=head,
            problems=problems,
            progress=not self.args.silent,
        )
        return tables[train], head, list(rows.values())

    def _found_head(self, table: pd.DataFrame) -> Head:
        """The head for training rows, with its classes.

        Raises:
            ValueError: if the labels of the rows are not what the settings say, or cannot be saved.
        """
        if self._kind == "multiclass":
            table = without_rows(table, label_problems(table))
        head = replace(self._head(table), column=LABELS, dropout_rate=DROPOUT)
        form = self._own_head.multi_hot if self._is_trained else label_form(table, head)
        head = replace(head, multi_hot=form)
        head = with_classes({"label": head}, table)["label"]
        if not all(map(is_scalar, head.names)):
            raise InvalidValueError(
                f"Labels must be texts, numbers or bools. Received: {head.names}"
            )
        return head

    def _classifier_for(
        self, texts: Sequence[str], head: Head, num_rows: int
    ) -> MultimodalClassifier:
        """The classifier that is trained: the trained one, or one that has no model yet."""
        settings = {
            "labels": {"label": head},
            **training_settings(self.args, num_rows),
            **({} if head.kind == "regression" else {"loss": loss_name(self.args)}),
        }
        if self._is_trained:
            return self._read_as_set().set_params(**settings, warm_start=True)
        window = self._window(head)
        return MultimodalClassifier(**self._structure(texts), sliding_window=window, **settings)

    def _class_weight(self, table: pd.DataFrame, head: Head, automatic: bool) -> Any:
        """What each label counts, in numbers: evaluations are of other rows."""
        weights = self._weights()
        if head.kind == "regression":
            if automatic or weights is not None:
                warn("Numbers have no classes to balance: no weights are used.")
            return None
        if automatic:
            return automatic_weights(table, head)
        if isinstance(weights, str):
            return automatic_weights(table, head, weights)
        if weights is None and self._is_trained:
            before = self._own_head
            return before.class_weight if before.num_classes == head.num_classes else None
        return weights if weights is None or isinstance(weights, Mapping) else tuple(weights)

    def _check_metric(self, head: Head, metrics: Mapping[str, Any]) -> None:
        """Refuses a metric to watch that there will not be."""
        metric, known = self.args.early_stopping_metric, [*names_of(head), *metrics]
        if self.args.evaluate_during_training and metric not in known:
            raise InvalidValueError(unknown_name("early_stopping_metric", metric, known))

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """A call that fails leaves the settings as they were."""
        before = {name: copy(value) for name, value in vars(self.args).items()}
        try:
            yield
        except BaseException:
            vars(self.args).update(before)
            raise

    def _take_model(self, classifier: MultimodalClassifier) -> None:
        self.classifier = classifier
        if self._own_head.kind == "multiclass" and hasattr(self.args, "labels_list"):
            self.args.labels_list = [label_value(name) for name in self._own_head.names]
        if self.num_labels is None:
            self.num_labels = self._own_head.num_classes
        self._built = {n: copy(getattr(self.args, n)) for n in _BUILT if hasattr(self.args, n)}

    def _text_settings(self) -> dict[str, Any]:
        """The classifier's keywords for its text side."""
        backbone = text_backbone(self.args.model_type, self.args.model_name)
        pooling = self.args.text_pooling or text_pooling(self.args.model_type, backbone)
        return {
            "text_backbone": backbone,
            "text_weights": "pretrained",
            "text_pairing": "packed",
            "text_pooling": pooling,
            "text_trainable": True,
            "sequence_length": self.args.max_seq_length,
            "special_tokens": self.args.special_tokens_list or None,
            "compare": False,
            "modality_dropout": 0.0,
        }

    # --- evaluation and answers -------------------------------------------------------------

    def _ready(self) -> MultimodalClassifier:
        """The trained classifier, with the thresholds of the settings."""
        if not self._is_trained:
            raise InvalidValueError(
                "This model is not trained, and its answers would be noise: call train_model, or "
                "give the folder of a trained model as `model_name`."
            )
        self._check()
        classifier = self._read_as_set().set_params(verbose=int(not self.args.silent))
        ((name, head),) = classifier.heads_.items()
        if head.kind == "multilabel":
            classifier.heads_ = {name: replace(head, threshold=self._threshold())}
        return classifier

    def _read_as_set(self) -> MultimodalClassifier:
        """The trained classifier, reading texts as the settings say."""
        read_as(self.classifier, self.args.max_seq_length, self._window(self._own_head))
        return self.classifier

    @property
    def _own_head(self) -> Head:
        (head,) = self.classifier.heads_.values()
        return head

    def _assess(
        self,
        table: pd.DataFrame,
        *,
        argument: str,
        metrics: Mapping[str, Any],
        output_dir: Any,
        verbose: bool,
        silent: bool = False,
    ) -> Assessment:
        """Evaluates labelled rows; the results are written, too."""
        folder = output_folder(output_dir, self.args)
        classifier = self._ready()
        head, table = self._own_head, named(table, argument)
        problems = label_problems(table) if head.kind == "multiclass" else []
        (rows,) = checked_rows(
            {argument: table},
            classifier.texts,
            images=self._reads_images,
            head=head,
            problems=problems,
            progress=not (silent or self.args.silent),
        ).values()
        logits = self._logits(rows, silent)
        labels = by_head(classifier.heads_, rows.labels)["label"]
        found = self._assessor(metrics)(head, labels, logits)
        self.results.update(found)
        if not self.args.no_save:
            write_results(folder, found)
        if verbose:
            _log.info("%s", found)
        return Assessment(found, rows, labels, *answers(head, logits), logits)

    def _assessor(self, metrics: Mapping[str, Any]) -> Callable[..., dict[str, float]]:
        loss, gamma = loss_name(self.args), focal_gamma(self.args)

        def assess(head: Head, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
            minimised = "mean_squared_error" if head.kind == "regression" else loss
            return results(
                head,
                labels,
                logits,
                metrics,
                loss=minimised,
                gamma=gamma,
                of_probabilities=self._metrics_of_probabilities,
            )

        return assess

    def _answered(self, table: pd.DataFrame) -> np.ndarray:
        """Logits of unlabelled rows."""
        texts = self._ready().texts
        (rows,) = checked_rows(
            {"to_predict": named(table, "to_predict")},
            texts,
            images=self._reads_images,
            progress=not self.args.silent,
        ).values()
        return self._logits(rows)

    def _logits(self, rows: Rows, silent: bool = False) -> np.ndarray:
        return self.classifier.predictor_.logits(rows, progress=not silent)["label"]

    # --- folders ----------------------------------------------------------------------------

    def save_model(
        self, output_dir: str | PathLike | None = None, results: Mapping[str, Any] | None = None
    ) -> None:
        """Writes the trained model into a folder; the class opens it again as `model_name`.

        Args:
            output_dir: The folder; by default `args.output_dir`.
            results: Results by name, for `eval_results.txt`.
        """
        self._write(Path(output_dir or self.args.output_dir), self._ready(), results)

    def _write(
        self, folder: Path, classifier: MultimodalClassifier, results: Mapping[str, Any] | None
    ) -> None:
        write_model(folder, classifier, self.args, results)

    def _load(self, model_type: str, folder: Path) -> None:
        check_class(folder, type(self))
        self.args.load(folder)
        if "auto" not in (model_type, self.args.model_type) and model_type != self.args.model_type:
            raise InvalidValueError(
                f"`model_type` must be that of the model. Received: model_type={model_type!r}, and "
                f"{str(folder)!r} was trained as {self.args.model_type!r}."
            )
        self._take_model(MultimodalClassifier.load(folder))


@contextmanager
def _in_their_words() -> Iterator[None]:
    """Tells what is wrong by the names that the user gave."""
    try:
        yield
    except ConfigError as error:
        raise in_their_names(error) from None
    except PretrainedError as error:
        raise PretrainedError(str(error).replace("`text_weights`", "`model_name`")) from error
