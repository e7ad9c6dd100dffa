"""Texts, or pairs of them, to labels: `ClassificationModel`, `MultiLabelClassificationModel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.errors import InvalidValueError
from keras_mm.inference.answers import predictions
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import (
    ClassificationArgs,
    ModelArgs,
    MultiLabelClassificationArgs,
)
from keras_mm.simple_transformers.assessments import InputExample, wrong_rows
from keras_mm.simple_transformers.keywords import check_metrics
from keras_mm.simple_transformers.labels import (
    check_count,
    check_each,
    check_goes_on,
    check_trained_count,
    classes_of,
    in_order,
)
from keras_mm.simple_transformers.model import Model
from keras_mm.simple_transformers.plain import plain
from keras_mm.simple_transformers.tables import SINGLE, text_table, texts_to_predict
from keras_mm.simple_transformers.translation import window_settings

_NUM_LABELS = 2  # if nothing is said


class TextModel(Model):
    """What the two classes for texts share."""

    _task: str
    _texts: Sequence[str] = SINGLE  # of a model that is not trained yet

    @property
    def _kind(self) -> str:
        return "regression" if self.args.regression else self._task

    def train_model(self, train_df: Any, *arguments: Any, **keywords: Any) -> tuple[int, Any]:
        """Trains on labelled texts."""
        raise NotImplementedError

    def _structure(self, texts: Sequence[str]) -> dict[str, Any]:
        return {"texts": tuple(texts), "preset": "minilm_text", **self._text_settings()}

    def _window(self, head: Head) -> dict[str, Any] | None:
        texts = self._texts if self.classifier is None else self.classifier.texts
        return window_settings(self.args, head, len(texts) > 1)

    def _table(self, data: Any) -> tuple[pd.DataFrame, tuple[str, ...]]:
        table, texts = text_table(data)
        if self._is_trained and tuple(self.classifier.texts) != texts:
            raise InvalidValueError(
                f"The model was trained on the columns {list(self.classifier.texts)}. Received: "
                f"{list(texts)}"
            )
        return table, texts

    def _check_multi_label(self, multi_label: Any) -> None:
        """Refuses what says another task than the class, as rows at the place of `multi_label`."""
        several = self._task == "multilabel"
        if multi_label is None or multi_label is several:
            return
        if isinstance(multi_label, bool | np.bool_) and bool(multi_label) is several:
            return
        received = multi_label if np.ndim(multi_label) == 0 else type(multi_label).__name__
        raise InvalidValueError(
            f"`multi_label` of a {type(self).__name__} must be {several}, or left out; there is a "
            f"class for each task. Received: {received!r}"
        )

    def _train_texts(
        self, train_df, evaluation, multi_label, output_dir, args, *, metrics, **options
    ) -> tuple[int, Any]:
        """Trains on a table; `evaluation` are the others by the names of their arguments."""
        self._check_multi_label(multi_label)
        check_metrics(metrics, self.train_model)
        with self._settled():
            self.args.update_from_dict({} if args is None else args)
            table, self._texts = self._table(train_df)
            tables = {"train_df": table}
            for name, data in evaluation.items():
                if data is not None and len(tables) == 1:
                    tables[name] = self._table(data)[0]
            return self._train(
                tables, self._texts, output_dir=output_dir, metrics=metrics, **options
            )

    def eval_model(
        self,
        eval_df: Any,
        multi_label: bool | None = None,
        output_dir: str | PathLike | None = None,
        verbose: bool = True,
        silent: bool = False,
        wandb_log: bool = False,
        *,
        show_running_loss: bool = True,
        auto_weights: bool = False,
        args: Mapping | None = None,
        **metrics: Any,
    ) -> tuple[dict[str, float], np.ndarray, list[InputExample]]:
        """Evaluates labelled texts.

        Args:
            eval_df: As `train_df` of `train_model`.
            multi_label: Not needed; the class says it.
            output_dir: Where `eval_results.txt` goes; by default `args.output_dir`.
            verbose: Whether the results are logged.
            silent: Whether no bar is shown.
            wandb_log: Not read.
            show_running_loss: Not read; nothing is trained.
            auto_weights: Not read; labels weigh what they did in training.
            args: Settings to change; they stay changed.
            **metrics: As in `train_model`.

        Returns:
            Results by name, what `predict` gives as raw outputs, and the rows that were answered
            wrongly.

        Raises:
            keras_mm.TableError: listing every row that cannot be used.
        """
        self._check_multi_label(multi_label)
        check_metrics(metrics, self.eval_model)
        with self._settled():
            self.args.update_from_dict({} if args is None else args)
            found = self._assess(
                self._table(eval_df)[0],
                argument="eval_df",
                metrics=metrics,
                output_dir=output_dir,
                verbose=verbose,
                silent=silent,
            )
        return found.results, self._raw(found.logits), wrong_rows(self._own_head, found)

    def predict(self, to_predict: Sequence, multi_label: bool | None = None) -> tuple[Any, Any]:
        """Answers texts, or pairs of texts.

        Args:
            to_predict: A list of texts, or of pairs.
            multi_label: Not needed; the class says it.

        Returns:
            For classes the labels, `(num_texts,)`, and logits `(num_texts, num_labels)`; for
            several labels a list of 0 and 1 a text, and probabilities; for numbers these,
            `(num_texts,)`, twice.

        Raises:
            ValueError: for a single text, or none.
        """
        self._check_multi_label(multi_label)
        texts = self._ready().texts
        logits = self._answered(texts_to_predict(to_predict, texts))
        found = predictions(self._own_head, logits)
        several = self._own_head.kind == "multilabel"
        return found.tolist() if several else found, self._raw(logits)

    def predict_proba(self, to_predict: Sequence) -> np.ndarray:
        """Probabilities of texts, `(num_texts, num_labels)`.

        Raises:
            ValueError: for numbers, which have none.
        """
        texts = self._ready().texts
        if self._own_head.kind == "regression":
            raise InvalidValueError("Numbers have no probabilities; see `predict`.")
        logits = self._answered(texts_to_predict(to_predict, texts))
        return probabilities(logits, self._own_head.kind)

    def _raw(self, logits: np.ndarray) -> np.ndarray:
        kind = self._own_head.kind
        if kind == "regression":
            return np.asarray(logits, "float64")[:, 0]
        return probabilities(logits, kind) if kind == "multilabel" else logits


class ClassificationModel(TextModel):
    """Classes of texts or of pairs of texts, or a number for each.

    Args:
        model_type: The family: `"bert"`, `"roberta"`, `"distilbert"`, `"xlmroberta"`, `"albert"`,
            `"electra"`, `"debertav2"`; or `"auto"`.
        model_name: A local folder, a KerasHub preset, a handle, or a name on the Hugging Face hub;
            or the output folder of a trained model.
        tokenizer_type: Not read: a vocabulary belongs to its model.
        tokenizer_name: The same.
        num_labels: Number of classes, 2 if nothing is said; 1 for numbers.
        weight: What each class counts in the loss, in the order of the labels; or `"balanced"`.
        args: Settings: a `ClassificationArgs` or a dict.
        use_cuda: Not read: the backend finds its device by itself.
        cuda_device: The same.
        **keywords: Those of Simple Transformers; they do nothing here, and a warning says why.

    Raises:
        ValueError: if the model is of another type, or numbers of labels differ.
        TypeError: for an unknown argument; the nearest is offered.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> args = {"output_dir": folder, "max_seq_length": 8, "silent": True}
        >>> args["save_model_every_epoch"] = False
        >>> model = ClassificationModel("bert", "tiny_bert", args=args)
        >>> rows = pd.DataFrame({"text": ["a red circle", "a blue one"], "labels": [1, 0]})
        >>> steps, loss = model.train_model(rows)
        >>> model.predict(["a red square"])[1].shape
        (1, 2)
    """

    _args_class = ClassificationArgs
    _task = "multiclass"

    def __init__(
        self,
        model_type: str,
        model_name: str | PathLike,
        tokenizer_type: str | None = None,
        tokenizer_name: str | None = None,
        num_labels: int | None = None,
        weight: Any = None,
        args: ModelArgs | Mapping | None = None,
        use_cuda: bool = True,
        cuda_device: int = -1,
        **keywords: Any,
    ):
        self.num_labels, self.weight = plain(num_labels), plain(weight)
        for name, value in (("tokenizer_type", tokenizer_type), ("tokenizer_name", tokenizer_name)):
            if value not in (model_type, str(model_name)):
                keywords[name] = value
        self._begin(model_type, model_name, args, use_cuda, cuda_device, keywords)

    def train_model(
        self,
        train_df: Any,
        multi_label: bool | None = None,
        output_dir: str | PathLike | None = None,
        show_running_loss: bool = True,
        args: Mapping | None = None,
        eval_data: Any = None,
        verbose: bool = True,
        *,
        eval_df: Any = None,
        auto_weights: bool = False,
        **metrics: Any,
    ) -> tuple[int, Any]:
        """Trains on labelled texts; a trained model is trained on.

        Args:
            train_df: A DataFrame, or the path of a table, with the columns `text` and `labels`, or
                `text_a`, `text_b` and `labels`.
            multi_label: Not needed; the class says it.
            output_dir: Where everything goes; by default `args.output_dir`.
            show_running_loss: Not read; see `args.silent`.
            args: Settings to change; they stay changed.
            eval_data: Rows that `evaluate_during_training` evaluates.
            verbose: Whether the end is told.
            eval_df: Another name of `eval_data`.
            auto_weights: Whether labels are weighted so that they balance.
            **metrics: Functions of labels and answers, as places among the labels; one whose name
                begins with `prob_` is given probabilities.

        Returns:
            The number of steps, and the mean loss; with `evaluate_during_training`, the columns of
            `training_progress_scores.csv` as a dict of lists.

        Raises:
            ValueError: if the output folder is not empty, or settings and rows do not fit.
            keras_mm.TableError: listing every row that cannot be used.
        """
        return self._train_texts(
            train_df,
            {"eval_data": eval_data, "eval_df": eval_df},
            multi_label,
            output_dir,
            args,
            auto_weights=auto_weights,
            metrics=metrics,
            verbose=verbose,
        )

    def _check(self) -> None:
        super()._check()
        labels = in_order(self.args.labels_list, self.args.labels_map)
        if self.args.regression:
            if self.num_labels not in (None, 1):
                raise InvalidValueError(
                    f"`num_labels` must be 1 for regression. Received: {self.num_labels}"
                )
            return
        if self.num_labels == 1:
            raise InvalidValueError("num_labels=1 is for numbers: args={'regression': True}.")
        if self._is_trained:
            check_goes_on("labels_list", labels, self._own_head.names)
            check_trained_count(self.num_labels, labels, self._own_head)
        else:
            check_count("labels_list", labels, self.num_labels)
        check_each("weight", self.weight, len(labels) or self.num_labels or _NUM_LABELS)

    def _head(self, table: pd.DataFrame) -> Head:
        if self.args.regression:
            return Head("regression")
        labels = in_order(self.args.labels_list, self.args.labels_map)
        return Head("multiclass", classes_of(table, labels, self.num_labels or _NUM_LABELS))

    def _weights(self) -> Any:
        return self.weight


class MultiLabelClassificationModel(TextModel):
    """Any number of labels for a text or a pair of texts.

    Labels of a row are 0 or 1 for each of `num_labels`, or, with `labels_list`, their names.

    Args:
        model_type: As in `ClassificationModel`.
        model_name: As in `ClassificationModel`.
        num_labels: Number of labels, 2 if nothing is said.
        pos_weight: What the yes of each label counts in the loss.
        args: Settings: a `MultiLabelClassificationArgs` or a dict.
        use_cuda: Not read: the backend finds its device by itself.
        cuda_device: The same.
        **keywords: As in `ClassificationModel`.

    Raises:
        ValueError: as in `ClassificationModel`; or if there are not as many weights or thresholds
            as labels.
        TypeError: for an unknown argument; the nearest is offered.
    """

    _args_class = MultiLabelClassificationArgs
    _task = "multilabel"
    _metrics_of_probabilities = True

    def __init__(
        self,
        model_type: str,
        model_name: str | PathLike,
        num_labels: int | None = None,
        pos_weight: Any = None,
        args: ModelArgs | Mapping | None = None,
        use_cuda: bool = True,
        cuda_device: int = -1,
        **keywords: Any,
    ):
        self.num_labels, self.pos_weight = plain(num_labels), plain(pos_weight)
        self._begin(model_type, model_name, args, use_cuda, cuda_device, keywords)

    def train_model(
        self,
        train_df: Any,
        multi_label: bool | None = None,
        eval_df: Any = None,
        output_dir: str | PathLike | None = None,
        show_running_loss: bool = True,
        args: Mapping | None = None,
        verbose: bool = True,
        *,
        eval_data: Any = None,
        auto_weights: bool = False,
        **metrics: Any,
    ) -> tuple[int, Any]:
        """Trains on labelled texts; a trained model is trained on.

        The third place is that of the evaluation rows, as in Simple Transformers' class for several
        labels; in `ClassificationModel` it is that of the output folder.

        Args:
            train_df: As in `ClassificationModel.train_model`.
            multi_label: As there.
            eval_df: Rows that `evaluate_during_training` evaluates.
            output_dir: As there.
            show_running_loss: As there.
            args: As there.
            verbose: As there.
            eval_data: Another name of `eval_df`.
            auto_weights: As there.
            **metrics: Functions of labels, 0 or 1 `(num_rows, num_labels)`, and of their
                probabilities, of the same shape.

        Returns:
            As `ClassificationModel.train_model`.

        Raises:
            ValueError: as there.
            keras_mm.TableError: as there.
        """
        return self._train_texts(
            train_df,
            {"eval_df": eval_df, "eval_data": eval_data},
            multi_label,
            output_dir,
            args,
            auto_weights=auto_weights,
            metrics=metrics,
            verbose=verbose,
        )

    def _check(self) -> None:
        super()._check()
        if self.args.regression:
            raise InvalidValueError(
                "Several numbers a row: see keras_mm.Head('regression', column=[...])"
            )
        labels = in_order(self.args.labels_list, self.args.labels_map)
        if self._is_trained:
            check_goes_on("labels_list", labels, self._own_head.names)
            check_trained_count(self.num_labels, labels, self._own_head)
        else:
            check_count("labels_list", labels, self.num_labels)
        count = self._count(labels)
        check_each("pos_weight", self.pos_weight, count)
        check_each("threshold", self.args.threshold, count, single=True)
        Head("multilabel", count, threshold=self.args.threshold)

    def _count(self, labels: Sequence) -> int:
        trained = self._own_head.num_classes if self._is_trained else None
        return len(labels) or self.num_labels or trained or _NUM_LABELS

    def _head(self, table: pd.DataFrame) -> Head:
        labels = in_order(self.args.labels_list, self.args.labels_map)
        classes = tuple(labels) or self._count(labels)
        return Head("multilabel", classes, threshold=self.args.threshold)

    def _weights(self) -> Any:
        return self.pos_weight
