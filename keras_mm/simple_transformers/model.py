"""What the three classes share: one classifier, trained, evaluated, saved and loaded."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from keras_mm.answers import by_head, names_array
from keras_mm.bundle import is_bundle
from keras_mm.classifier import MultimodalClassifier
from keras_mm.config import ConfigError
from keras_mm.data.labels import label_value
from keras_mm.data.rows import Rows, TableError
from keras_mm.heads import Head
from keras_mm.presets import unknown_name
from keras_mm.pretrained import PretrainedError
from keras_mm.simple_transformers.args import FILE, ModelArgs, check_refused, without_effect
from keras_mm.simple_transformers.folders import (
    check_output,
    clear_output,
    write_model,
    write_results,
)
from keras_mm.simple_transformers.labels import (
    as_classes,
    automatic_weights,
    check_multi_hot,
    check_number,
    has_names,
)
from keras_mm.simple_transformers.progress import Progress
from keras_mm.simple_transformers.scores import answers, names_of, results
from keras_mm.simple_transformers.tables import LABELS
from keras_mm.simple_transformers.translation import (
    DROPOUT,
    focal_gamma,
    in_their_names,
    loss_name,
    training_settings,
)
from keras_mm.simple_transformers.weights import stated_type, text_backbone, text_pooling

_log = logging.getLogger("keras_mm")
# Settings that a trained model is built by.
_BUILT = (
    "max_seq_length", "special_tokens_list", "regression", "text_pooling", "sliding_window",
    "stride", "tie_value", "sliding_window_vote", "sliding_window_text", "num_image_embeds",
    "image_encoder", "image_size", "fusion",
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
_DOWNLOADS = "files are loaded by KerasHub; give a folder to load others"
# Keywords of a constructor that do nothing here, with the reason.
_KEYWORDS = {
    "onnx_execution_provider": "see MultimodalClassifier.export",
    "global_attention_fn": "no model here has global attention",
    "sweep_config": "settings are tried by a loop over `args`",
    **dict.fromkeys(("tokenizer_type", "tokenizer_name"), "a vocabulary belongs to its model"),
    **dict.fromkeys(
        ("cache_dir", "force_download", "local_files_only", "proxies", "resume_download",
         "revision", "token", "use_auth_token"), _DOWNLOADS,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class InputExample:
    """A row as `eval_model` gives back those that were answered wrongly.

    Attributes:
        guid: The row's index in its table.
        text_a: The text, or the first of a pair.
        text_b: The second of a pair.
        label: The label that the row has.
        image: The image's path, bytes or array.
    """

    guid: Any
    text_a: str | None
    text_b: str | None = None
    label: Any = None
    image: Any = None


class Assessment(NamedTuple):
    """Labelled rows and what they were answered."""

    results: dict[str, float]
    rows: Rows
    labels: np.ndarray
    places: np.ndarray
    probabilities: np.ndarray
    logits: np.ndarray


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
        self.args = self._args_class()
        self.results: dict[str, float] = {}
        self._told: set[str] = set()
        folder = Path(model_name).expanduser()
        if is_bundle(folder):
            self._load(model_type, folder)
        self._take(args)
        self.args.model_class = type(self).__name__
        if self.classifier is None:
            backbone = text_backbone(model_type, model_name)  # which says what is wrong with them
            self.args.model_type = stated_type(model_type, backbone)
            self.args.model_name = str(model_name)
        for name in keywords:
            if name not in _KEYWORDS:
                own = [key for key in signature(type(self)).parameters if key != "keywords"]
                raise TypeError(unknown_name("argument", name, [*own, *_KEYWORDS]))
        unused = {name: _KEYWORDS[name] for name, value in keywords.items() if value is not None}
        if self.args.use_early_stopping and not self.args.evaluate_during_training:
            unused["use_early_stopping"] = "it needs evaluate_during_training=True"
        if use_cuda is not True or cuda_device != -1:
            unused["use_cuda, cuda_device"] = "the backend finds its device by itself"
        self._check()
        self._tell({**unused, **without_effect(self.args)})
        if self.classifier is None and (folder / FILE).is_file():
            warnings.warn(
                f"{str(folder)!r} is a model of Simple Transformers: its encoder is taken, its "
                "head and its arguments are not. Train it.",
                stacklevel=3,
            )

    def _take(self, args: ModelArgs | Mapping | None) -> None:
        """Takes over settings: a dict of them, or all of one of the classes."""
        if isinstance(args, ModelArgs):
            given = vars(args)
            if self._is_trained or type(args) is not self._args_class:
                plain = vars(type(args)())
                given = {name: v for name, v in given.items() if v != plain[name]}
            # Which model it is says the constructor.
            args = {name: v for name, v in given.items() if not name.startswith("model_")}
        self.args.update_from_dict(args or {})

    def _check(self) -> None:
        """Refuses settings that cannot be."""
        check_refused(self.args)
        check_number(self.num_labels)
        loss_name(self.args)
        for name, least in _WHOLE.items():
            value = getattr(self.args, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                allowed = f"an integer >= {least}"
                raise ValueError(f"`{name}` must be {allowed}. Received: {value!r}")
        built = self.__dict__.get("_built", {})
        changed = [name for name, value in built.items() if getattr(self.args, name) != value]
        if changed and self._is_trained:
            now = {name: getattr(self.args, name) for name in changed}
            was = {name: built[name] for name in changed}
            raise ValueError(
                f"The model is trained, and was built otherwise: {was}. Received: {now}. Make a "
                "new model for these settings."
            )

    def _tell(self, unused: Mapping[str, str]) -> None:
        new = {name: why for name, why in unused.items() if name not in self._told}
        self._told.update(new)
        if new:
            reasons = "; ".join(f"{name} ({why})" for name, why in new.items())
            # At the line that calls the constructor, or `train_model`.
            warnings.warn(f"These arguments do nothing here: {reasons}.", stacklevel=4)

    # --- what a class says of its own -------------------------------------------------------

    def _head(self, table: pd.DataFrame) -> Head:
        """The head for training rows, without class weights."""
        raise NotImplementedError

    def _weights(self) -> Any:
        """The class weights that the user gave."""
        raise NotImplementedError

    def _structure(self, texts: Sequence[str], head: Head) -> dict[str, Any]:
        """Keywords of the classifier that say what it is built of."""
        raise NotImplementedError

    def _threshold(self) -> Any:
        return getattr(self.args, "threshold", 0.5)

    # --- training ---------------------------------------------------------------------------

    @property
    def _is_trained(self) -> bool:
        return self.classifier is not None and hasattr(self.classifier, "model_")

    def _train(
        self,
        table: pd.DataFrame,
        texts: Sequence[str],
        eval_table: pd.DataFrame | None,
        *,
        output_dir: str | PathLike | None,
        auto_weights: bool,
        metrics: Mapping[str, Any],
        verbose: bool,
        image_dir: str | None = None,
        eval_image_dir: str | None = None,
    ) -> tuple[int, Any]:
        """Trains, or goes on training, and saves what is asked for."""
        self._check()
        self._tell(without_effect(self.args))
        _check_metrics(metrics)
        if self.args.evaluate_during_training and eval_table is None:
            raise ValueError("evaluate_during_training needs `eval_data`: rows to evaluate.")
        folder = check_output(output_dir or self.args.output_dir, self.args)
        head = replace(self._head(table), column=LABELS, dropout_rate=DROPOUT)
        table = _labelled(table, head)
        eval_table = None if eval_table is None else _labelled(eval_table, head)
        self._check_metric(head, metrics)
        head = replace(head, class_weight=self._class_weight(table, head, auto_weights))
        settings = {
            "labels": {"label": head},
            **training_settings(self.args, len(table)),
            **({} if head.kind == "regression" else {"loss": loss_name(self.args)}),
        }
        if self._is_trained:
            classifier = self.classifier.set_params(**settings, warm_start=True)
        else:
            classifier = MultimodalClassifier(**self._structure(texts, head), **settings)
        evaluating = self.args.evaluate_during_training
        progress = Progress(
            self.args,
            folder,
            self._assessor(metrics) if evaluating else None,
            self._write,
            clear_output,
        )
        with _in_their_words():
            classifier.fit(
                table,
                validation_data=_with_images(eval_table, eval_image_dir) if evaluating else None,
                validation_split=0.0,
                image_dir=image_dir,
                callbacks=[progress],
            )
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

    def _class_weight(self, table: pd.DataFrame, head: Head, automatic: bool) -> Any:
        """What each label counts, in numbers: evaluations are of other rows."""
        weights = self._weights()
        if head.kind == "regression":
            if automatic or weights is not None:
                words = "Numbers have no classes to balance: no weights are used."
                warnings.warn(words, stacklevel=4)
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
            raise ValueError(unknown_name("early_stopping_metric", metric, known))

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
            raise ValueError(
                "This model is not trained, and its answers would be noise: call train_model, or "
                "give the folder of a trained model as `model_name`."
            )
        self._check()
        classifier = self.classifier.set_params(verbose=int(not self.args.silent))
        ((name, head),) = classifier.heads_.items()
        if head.kind == "multilabel":
            classifier.heads_ = {name: replace(head, threshold=self._threshold())}
        return classifier

    @property
    def _own_head(self) -> Head:
        (head,) = self.classifier.heads_.values()
        return head

    def _assess(
        self,
        table: pd.DataFrame,
        *,
        metrics: Mapping[str, Any],
        output_dir: str | PathLike | None,
        verbose: bool,
        image_dir: str | None = None,
        silent: bool = False,
    ) -> Assessment:
        """Evaluates labelled rows; the results are written, too."""
        _check_metrics(metrics)
        classifier = self._ready()
        table = _labelled(table, self._own_head)
        with _in_their_words():
            rows = classifier._rows(table, image_dir, heads=classifier.heads_, progress=not silent)
        logits = self._logits(rows, silent)
        labels = by_head(classifier.heads_, rows.labels)["label"]
        found = self._assessor(metrics)(self._own_head, labels, logits)
        self.results.update(found)
        if not self.args.no_save:
            write_results(Path(output_dir or self.args.output_dir), found)
        if verbose:
            _log.info("%s", found)
        return Assessment(found, rows, labels, *answers(self._own_head, logits), logits)

    def _assessor(self, metrics: Mapping[str, Any]) -> Callable[..., dict[str, float]]:
        loss, gamma = loss_name(self.args), focal_gamma(self.args)

        def assess(head: Head, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
            named = "mean_squared_error" if head.kind == "regression" else loss
            return results(head, labels, logits, metrics, loss=named, gamma=gamma)

        return assess

    def _answered(self, table: pd.DataFrame, image_dir: str | None = None) -> np.ndarray:
        """Logits of unlabelled rows."""
        classifier = self._ready()
        with _in_their_words():
            rows = classifier._rows(table, image_dir)
        return self._logits(rows)

    def _logits(self, rows: Rows, silent: bool = False) -> np.ndarray:
        logits = self.classifier._logits(rows, progress=not silent)
        return by_head(self.classifier.heads_, logits)["label"]

    def _wrong(self, found: Assessment) -> list[InputExample]:
        """The rows that were answered wrongly; numbers are never just wrong."""
        head = self._own_head
        if head.kind == "regression":
            return []
        differs = found.places != found.labels
        wrong = np.flatnonzero(differs.any(axis=1) if differs.ndim == 2 else differs)
        names = None if head.kind == "multilabel" else names_array(head.names)
        texts = found.rows.texts
        return [
            InputExample(
                guid=label_value(found.rows.numbers[place]),
                text_a=texts[0][place],
                text_b=texts[1][place] if len(texts) > 1 else None,
                label=found.labels[place].tolist()
                if names is None
                else label_value(names[found.labels[place]]),
                image=found.rows.images[0][place] if found.rows.images else None,
            )
            for place in wrong.tolist()
        ]

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
        file, name = folder / FILE, type(self).__name__
        stated = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if stated.get("model_class") != name:
            mine = stated.get("model_class") or "MultimodalClassifier (see its `load`)"
            raise ValueError(f"{str(folder)!r} holds a model of {mine}, and this is a {name}.")
        self.args.load(folder)
        if "auto" not in (model_type, self.args.model_type) and model_type != self.args.model_type:
            raise ValueError(
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
    except TableError as error:  # there is no `on_error` here
        raise TableError(error.problems, skippable=False) from None


def _labelled(table: pd.DataFrame, head: Head) -> pd.DataFrame:
    """The rows with labels as the head has them."""
    if head.kind == "multilabel" and not has_names(head):
        check_multi_hot(table, None if head.classes is None else head.num_classes)
    return as_classes(table, head)


def _with_images(table: pd.DataFrame | None, image_dir: str | None) -> pd.DataFrame | None:
    """The rows with the folder of their own images."""
    if table is None or image_dir is None:
        return table
    found = table.copy(deep=False)
    found.attrs = {**table.attrs, "keras_mm": {"image_dir": image_dir, "confined": True}}
    return found


def _check_metrics(metrics: Mapping[str, Any]) -> None:
    known = ("args", "auto_weights", "eval_data", "output_dir", "show_running_loss", "verbose")
    for name, metric in metrics.items():
        if not callable(metric):
            hint = unknown_name("argument", name, known)
            raise TypeError(
                f"{hint} A metric is a function of labels and answers. Received: {name}={metric!r}"
            )
