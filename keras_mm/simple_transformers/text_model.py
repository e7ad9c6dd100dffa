"""What the classes for texts share: evaluation, predictions, and how a table is read."""

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
from keras_mm.simple_transformers.assessments import InputExample, wrong_rows
from keras_mm.simple_transformers.keywords import check_metrics
from keras_mm.simple_transformers.model import Model
from keras_mm.simple_transformers.tables import SINGLE, text_table, texts_to_predict
from keras_mm.simple_transformers.translation import window_settings

NUM_LABELS = 2  # the default number of labels


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
