"""`MultiLabelClassificationModel`: predicts any number of labels for texts or pairs of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import pandas as pd

from keras_mm.errors import InvalidValueError
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ModelArgs, MultiLabelClassificationArgs
from keras_mm.simple_transformers.label_checks import check_each, check_labels
from keras_mm.simple_transformers.plain import plain
from keras_mm.simple_transformers.text_model import NUM_LABELS, TextModel


class MultiLabelClassificationModel(TextModel):
    """Predicts any number of labels for each text or pair of texts.

    The labels of a row are a list: 0 or 1 for each label, or, with `labels_list`, names of labels.

    Args:
        model_type: As in `ClassificationModel`.
        model_name: As in `ClassificationModel`.
        num_labels: Number of labels, by default 2.
        pos_weight: For each label the weight, in the loss, of the rows that have it.
        args: Settings: a `MultiLabelClassificationArgs` or a dict.
        use_cuda: As in `ClassificationModel`.
        cuda_device: As in `ClassificationModel`.
        **keywords: As in `ClassificationModel`.

    Attributes:
        pos_weight: The argument; a change takes effect in the next call.

    Raises:
        ValueError: as in `ClassificationModel`; or if there is not one weight or threshold for each
            label.
        TypeError: for an unknown argument, with the nearest name.

    Example:
        >>> args = {"labels_list": ["red", "round"], "threshold": 0.6}
        >>> model = MultiLabelClassificationModel("bert", "tiny_bert", num_labels=2, args=args)
        >>> model.config.id2label
        {0: 'red', 1: 'round'}
    """

    args: MultiLabelClassificationArgs
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
        super().__init__(model_type, model_name, args, use_cuda, cuda_device, keywords)

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
        """Trains on labelled texts, or continues to train a trained model.

        As in Simple Transformers, the third argument is `eval_df`; in `ClassificationModel` it is
        `output_dir`.

        Args:
            train_df: As in `ClassificationModel.train_model`.
            multi_label: As in `ClassificationModel.train_model`.
            eval_df: Rows to evaluate during training, with `evaluate_during_training`.
            output_dir: As in `ClassificationModel.train_model`.
            show_running_loss: As in `ClassificationModel.train_model`.
            args: As in `ClassificationModel.train_model`.
            verbose: As in `ClassificationModel.train_model`.
            eval_data: Another name of `eval_df`.
            auto_weights: As in `ClassificationModel.train_model`.
            **metrics: Functions of labels (0 or 1) and probabilities, both of shape
                `(num_rows, num_labels)`.

        Returns:
            As `ClassificationModel.train_model`.

        Raises:
            ValueError: as `ClassificationModel.train_model`.
            keras_mm.TableError: listing every row that cannot be used.
        """
        return self._train_texts(
            train_df,
            {"eval_df": eval_df, "eval_data": eval_data},
            multi_label,
            args,
            output_dir=output_dir,
            auto_weights=auto_weights,
            metrics=metrics,
            verbose=verbose,
        )

    def _check(self) -> None:
        super()._check()
        if self.args.regression:
            raise InvalidValueError(
                "A MultiLabelClassificationModel has no regression. For several numbers per row, "
                "use keras_mm.Head('regression', column=[...]) in a MultimodalClassifier."
            )
        labels = self._labels()
        check_labels("labels_list", labels, self.num_labels, self._trained_head)
        count = self._count(labels)
        check_each("pos_weight", self.pos_weight, count)
        check_each("threshold", self.args.threshold, count, single=True)
        Head("multilabel", count, threshold=self.args.threshold)

    def _count(self, labels: Sequence) -> int:
        trained = self._trained_head
        known = None if trained is None else trained.num_classes
        return len(labels) or self.num_labels or known or NUM_LABELS

    def _head(self, table: pd.DataFrame) -> Head:
        labels = self._labels()
        classes = tuple(labels) or self._count(labels)
        return Head("multilabel", classes, threshold=self.args.threshold)

    def _weights(self) -> Any:
        return self.pos_weight
