"""The base class of models for texts: reads tables, evaluates and predicts."""

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
from keras_mm.simple_transformers.args import ClassificationArgs
from keras_mm.simple_transformers.assessments import InputExample, wrong_rows
from keras_mm.simple_transformers.keywords import check_metrics
from keras_mm.simple_transformers.labels import in_order
from keras_mm.simple_transformers.model import Model
from keras_mm.simple_transformers.setting_fields import unchanged_on_error
from keras_mm.simple_transformers.tables import SINGLE, text_table, texts_to_predict
from keras_mm.simple_transformers.translation import text_settings, window_settings

NUM_LABELS = 2  # the default number of labels


class TextModel(Model):
    """The base class of models for texts; arguments and attributes are those of `Model`."""

    args: ClassificationArgs
    _task: str
    _texts: Sequence[str] = SINGLE  # text columns of a model that is not trained yet

    @property
    def _kind(self) -> str:
        return "regression" if self.args.regression else self._task

    def train_model(self, train_df: Any, *arguments: Any, **keywords: Any) -> tuple[int, Any]:
        """Trains on labelled texts; see the subclasses.

        Args:
            train_df: The training rows.
            *arguments: As in the subclass.
            **keywords: As in the subclass.

        Returns:
            The number of steps, and the loss or the scores.
        """
        raise NotImplementedError

    def _labels(self) -> Sequence:
        return in_order(self.args.labels_list, self.args.labels_map)

    def _structure(self, texts: Sequence[str]) -> dict[str, Any]:
        return {"texts": tuple(texts), "preset": "minilm_text", **text_settings(self.args)}

    def _window(self, head: Head) -> dict[str, Any] | None:
        texts = self._texts if self.classifier is None else self.classifier.texts
        return window_settings(self.args, head, len(texts) > 1)

    def _table(self, data: Any) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Labelled texts as a table, and its text columns."""
        table, texts = text_table(data)
        if self._trained is not None and tuple(self._trained.texts) != texts:
            raise InvalidValueError(
                f"The table must have the text columns that the model was trained on, "
                f"{list(self._trained.texts)}. Received: {list(texts)}"
            )
        return table, texts

    def _check_multi_label(self, multi_label: Any) -> None:
        """Raises ValueError if `multi_label` contradicts the class, or is no bool.

        The order of positional arguments differs between the classes, so it can be the value of
        another argument.
        """
        expected = self._task == "multilabel"
        if multi_label is None or multi_label is expected:
            return
        if isinstance(multi_label, bool | np.bool_) and bool(multi_label) is expected:
            return
        received = multi_label if np.ndim(multi_label) == 0 else type(multi_label).__name__
        raise InvalidValueError(
            f"`multi_label` of a {type(self).__name__} must be {expected}, or left out; there is a "
            f"class for each task. Received: {received!r}"
        )

    def _train_texts(
        self,
        train_df: Any,
        evaluation: Mapping[str, Any],
        multi_label: Any,
        args: Mapping | None,
        *,
        output_dir: Any,
        auto_weights: bool,
        metrics: Mapping[str, Any],
        verbose: bool,
    ) -> tuple[int, Any]:
        """Trains on a table; `evaluation` is the data to evaluate, by the name of its argument."""
        self._check_multi_label(multi_label)
        check_metrics(metrics, self.train_model)
        with unchanged_on_error(self.args):
            self.args.update_from_dict({} if args is None else args)
            table, self._texts = self._table(train_df)
            tables = {"train_df": table}
            for name, data in evaluation.items():
                if data is not None and len(tables) == 1:
                    tables[name] = self._table(data)[0]
            return self._train(
                tables,
                self._texts,
                output_dir=output_dir,
                auto_weights=auto_weights,
                metrics=metrics,
                verbose=verbose,
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
            multi_label: Not needed, as there is a class for each task.
            output_dir: Folder for `eval_results.txt`; by default `args.output_dir`.
            verbose: Whether the results are logged.
            silent: Whether progress bars are hidden.
            wandb_log: Has no effect.
            show_running_loss: Has no effect, as nothing is trained.
            auto_weights: Has no effect; the weights are those of the training.
            args: Settings to change, also for later calls.
            **metrics: As in `train_model`.

        Returns:
            Results by name, raw outputs as in `predict`, and the rows with wrong predictions.

        Raises:
            keras_mm.TableError: listing every row that cannot be used.
        """
        self._check_multi_label(multi_label)
        check_metrics(metrics, self.eval_model)
        with unchanged_on_error(self.args):
            self.args.update_from_dict({} if args is None else args)
            assessment = self._assess(
                self._table(eval_df)[0],
                argument="eval_df",
                metrics=metrics,
                output_dir=output_dir,
                verbose=verbose,
                silent=silent,
            )
        outputs = _raw_outputs(assessment.head, assessment.logits)
        return assessment.results, outputs, wrong_rows(assessment)

    def predict(self, to_predict: Sequence, multi_label: bool | None = None) -> tuple[Any, Any]:
        """Predicts the labels of texts, or of pairs of texts.

        Args:
            to_predict: A list of texts, or of pairs.
            multi_label: Not needed, as there is a class for each task.

        Returns:
            For classes the labels, shape `(num_texts,)`, and logits, shape
            `(num_texts, num_labels)`; for several labels a list of 0 and 1 for each text, and
            probabilities, shape `(num_texts, num_labels)`; for a regression the numbers, shape
            `(num_texts,)`, twice.

        Raises:
            ValueError: if `to_predict` is a single text, or empty.
        """
        self._check_multi_label(multi_label)
        classifier, head = self._ready()
        logits = self._logits(classifier, texts_to_predict(to_predict, classifier.texts))
        labels = predictions(head, logits)
        return labels.tolist() if head.kind == "multilabel" else labels, _raw_outputs(head, logits)

    def predict_proba(self, to_predict: Sequence) -> np.ndarray:
        """Predicts the probabilities of texts, or of pairs of texts.

        Args:
            to_predict: A list of texts, or of pairs.

        Returns:
            Probabilities, shape `(num_texts, num_labels)`.

        Raises:
            ValueError: for a regression, which has no probabilities.
        """
        classifier, head = self._ready()
        if head.kind == "regression":
            raise InvalidValueError("A regression has no probabilities; use `predict`.")
        logits = self._logits(classifier, texts_to_predict(to_predict, classifier.texts))
        return probabilities(logits, head.kind)


def _raw_outputs(head: Head, logits: np.ndarray) -> np.ndarray:
    """The outputs as Simple Transformers returns them; see `TextModel.predict`."""
    if head.kind == "regression":
        return np.asarray(logits, "float64")[:, 0]
    return probabilities(logits, head.kind) if head.kind == "multilabel" else logits
