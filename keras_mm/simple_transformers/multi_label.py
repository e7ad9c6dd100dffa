"""Texts, or pairs of texts, to several labels each: `MultiLabelClassificationModel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import pandas as pd

from keras_mm.errors import InvalidValueError
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ModelArgs, MultiLabelClassificationArgs
from keras_mm.simple_transformers.labels import (
    check_count,
    check_each,
    check_goes_on,
    check_trained_count,
    in_order,
)
from keras_mm.simple_transformers.plain import plain
from keras_mm.simple_transformers.text_model import NUM_LABELS, TextModel


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
        return len(labels) or self.num_labels or trained or NUM_LABELS

    def _head(self, table: pd.DataFrame) -> Head:
        labels = in_order(self.args.labels_list, self.args.labels_map)
        classes = tuple(labels) or self._count(labels)
        return Head("multilabel", classes, threshold=self.args.threshold)

    def _weights(self) -> Any:
        return self.pos_weight
