"""`ClassificationModel`: classifies texts or pairs of texts, or predicts numbers for them."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import pandas as pd

from keras_mm.errors import InvalidValueError
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ClassificationArgs, ModelArgs
from keras_mm.simple_transformers.label_checks import check_each, check_labels
from keras_mm.simple_transformers.labels import classes_of
from keras_mm.simple_transformers.plain import plain
from keras_mm.simple_transformers.text_model import NUM_LABELS, TextModel


class ClassificationModel(TextModel):
    """Classifies texts or pairs of texts, or predicts a number for each.

    Args:
        model_type: The family: `"bert"`, `"roberta"`, `"distilbert"`, `"xlmroberta"`, `"albert"`,
            `"electra"`, `"debertav2"`; or `"auto"`.
        model_name: A local folder, a KerasHub preset, a handle such as `hf://...`, or a name on the
            Hugging Face hub; or the output folder of a trained model.
        tokenizer_type: Has no effect: a vocabulary belongs to its model.
        tokenizer_name: Has no effect, as `tokenizer_type`.
        num_labels: Number of classes, by default 2; 1 for a regression.
        weight: Weight of each class in the loss, in the order of the labels; or `"balanced"`.
        args: Settings: a `ClassificationArgs` or a dict.
        use_cuda: Has no effect: the backend finds its device by itself.
        cuda_device: Has no effect, as `use_cuda`.
        **keywords: Other arguments of Simple Transformers. They have no effect; a warning says
            why.

    Attributes:
        weight: The argument; a change takes effect in the next call.
        config: The labels (`id2label`, `label2id`, `num_labels`) and `model_type`. Other attributes
            can be set; they are saved in `config.json` and do not change predictions.
        model: The Keras model; `None` before the first training.
        tokenizer: The vocabulary, with `tokenize`, `encode` and `save_pretrained`.
        device: `"cpu"`, or `"cuda:0"` if the backend uses a GPU.

    Raises:
        ValueError: if the model is of another type, or numbers of labels do not match.
        TypeError: for an unknown argument, with the nearest name.

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

    args: ClassificationArgs
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
        super().__init__(model_type, model_name, args, use_cuda, cuda_device, keywords)

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
        """Trains on labelled texts, or continues to train a trained model.

        Args:
            train_df: A DataFrame, or the path of a table, with the columns `text` and `labels`, or
                `text_a`, `text_b` and `labels`.
            multi_label: Not needed, as there is a class for each task.
            output_dir: Folder for all files; by default `args.output_dir`.
            show_running_loss: Has no effect; see `args.silent`.
            args: Settings to change, also for later calls.
            eval_data: Rows to evaluate during training, with `evaluate_during_training`.
            verbose: Whether the end of the training is logged.
            eval_df: Another name of `eval_data`.
            auto_weights: Whether to weight labels by their frequencies, so that they are balanced.
            **metrics: Functions of labels and predictions, both as indices of labels. A function
                whose name begins with `prob_` receives probabilities instead of predictions.

        Returns:
            The number of steps, and the mean loss; with `evaluate_during_training` instead of the
            loss a dict of lists, the columns of `training_progress_scores.csv`.

        Raises:
            ValueError: if the output folder is not empty, or the settings do not allow the labels.
            keras_mm.TableError: listing every row that cannot be used.
        """
        return self._train_texts(
            train_df,
            {"eval_data": eval_data, "eval_df": eval_df},
            multi_label,
            args,
            output_dir=output_dir,
            auto_weights=auto_weights,
            metrics=metrics,
            verbose=verbose,
        )

    def _check(self) -> None:
        super()._check()
        labels = self._labels()
        if self.args.regression:
            if self.num_labels not in (None, 1):
                raise InvalidValueError(
                    f"`num_labels` must be 1 for regression. Received: {self.num_labels}"
                )
            return
        if self.num_labels == 1:
            raise InvalidValueError(
                "`num_labels` must be >= 2; to predict numbers, set args={'regression': True}. "
                "Received: 1"
            )
        check_labels("labels_list", labels, self.num_labels, self._trained_head)
        check_each("weight", self.weight, len(labels) or self.num_labels or NUM_LABELS)

    def _head(self, table: pd.DataFrame) -> Head:
        if self.args.regression:
            return Head("regression")
        labels = self._labels()
        return Head("multiclass", classes_of(table, labels, self.num_labels or NUM_LABELS))

    def _weights(self) -> Any:
        return self.weight
