"""`MultiModalClassificationModel`: predicts labels or numbers for texts with images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.errors import InvalidValueError
from keras_mm.inference.answers import label_cells, predictions
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ModelArgs, MultiModalClassificationArgs
from keras_mm.simple_transformers.keywords import check_metrics
from keras_mm.simple_transformers.label_checks import check_each, check_labels
from keras_mm.simple_transformers.labels import classes_of, has_names, in_order
from keras_mm.simple_transformers.model import Model
from keras_mm.simple_transformers.plain import plain
from keras_mm.simple_transformers.rows import with_images
from keras_mm.simple_transformers.setting_fields import unchanged_on_error
from keras_mm.simple_transformers.tables import IMAGES, SINGLE, image_table, images_to_predict
from keras_mm.simple_transformers.translation import text_settings


class MultiModalClassificationModel(Model):
    """Predicts a class, several labels or a number for a text with an image.

    BERT reads tokens of the image and of the text in one sequence (the `mmbt` fusion). The text
    encoder is trained; the image encoder is frozen and runs once for each image.

    Args:
        model_type: `"bert"`; with another `args.fusion` any type of `ClassificationModel`.
        model_name: As in `ClassificationModel`.
        multi_label: Whether a row can have any number of labels.
        label_list: All labels, in the order of the outputs; by default those of the training rows.
        num_labels: Number of labels, >= 1; by default that of `label_list` or the training rows.
        pos_weight: With `multi_label`, for each label the weight, in the loss, of the rows that
            have it.
        args: Settings: a `MultiModalClassificationArgs` or a dict. `image_encoder` and
            `image_weights` name the encoder of the images.
        use_cuda: As in `ClassificationModel`.
        cuda_device: As in `ClassificationModel`.
        **keywords: As in `ClassificationModel`.

    Attributes:
        multi_label: The argument; for a loaded model, whether it was trained with `multi_label`.
        label_list: The argument as a list; a change takes effect in the next call.
        pos_weight: The argument; a change takes effect in the next call.

    Raises:
        ValueError: if the model is of another type, or numbers of labels do not match.
        TypeError: for an unknown argument, with the nearest name.

    Example:
        >>> model = MultiModalClassificationModel("bert", "tiny_bert", label_list=["cat", "dog"])
        >>> model.config.label2id
        {'cat': 0, 'dog': 1}
    """

    args: MultiModalClassificationArgs
    _args_class = MultiModalClassificationArgs
    _reads_images = True

    @property
    def _kind(self) -> str:
        if self.multi_label:
            return "multilabel"
        return "regression" if self.args.regression else "multiclass"

    def __init__(
        self,
        model_type: str,
        model_name: str | PathLike,
        multi_label: bool = False,
        label_list: Sequence | None = None,
        num_labels: int | None = None,
        pos_weight: Any = None,
        args: ModelArgs | Mapping | None = None,
        use_cuda: bool = True,
        cuda_device: int = -1,
        **keywords: Any,
    ):
        self.multi_label, self.label_list = multi_label, in_order(plain(label_list))
        self.num_labels, self.pos_weight = plain(num_labels), plain(pos_weight)
        super().__init__(model_type, model_name, args, use_cuda, cuda_device, keywords)

    def _check(self) -> None:
        super()._check()
        trained = self._trained_head
        if trained is not None:
            self.multi_label = trained.kind == "multilabel"
        check_labels("label_list", self.label_list, self.num_labels, trained)
        if self.pos_weight is not None and not self.multi_label:
            raise InvalidValueError(
                "`pos_weight` needs multi_label=True; to weight classes, use `auto_weights`."
            )
        if self.multi_label and self.args.regression:
            raise InvalidValueError(
                "`multi_label` and `args.regression` must not both be true: a row has labels or a "
                "number."
            )
        count = len(self.label_list) or self.num_labels
        check_each("pos_weight", self.pos_weight, count)
        if self.multi_label:
            check_each("threshold", self.args.threshold, count, single=True)
            Head("multilabel", count, threshold=self.args.threshold)

    def _head(self, table: pd.DataFrame) -> Head:
        if self.args.regression:
            return Head("regression")
        labels, trained = tuple(self.label_list), self._trained_head
        if trained is not None and not labels and (not self.multi_label or has_names(trained)):
            labels = trained.names
        if self.multi_label:
            return Head("multilabel", labels or self.num_labels, threshold=self.args.threshold)
        return Head("multiclass", classes_of(table, labels, self.num_labels))

    def _labels(self) -> Sequence:
        return self.label_list

    def _weights(self) -> Any:
        return self.pos_weight

    def _structure(self, texts: Sequence[str]) -> dict[str, Any]:
        fusion, weights = self.args.fusion, self.args.image_weights
        if fusion == "mmbt":
            fusion = {"name": "mmbt", "num_image_tokens": self.args.num_image_embeds}
        return {
            "images": (IMAGES,),
            "texts": tuple(texts),
            "preset": "mobilenet_v2_minilm",
            "fusion": fusion,
            "vision_backbone": self.args.image_encoder,
            "vision_weights": "pretrained" if weights == "imagenet" else weights,
            "image_size": self.args.image_size,
            **text_settings(self.args),
        }

    def train_model(
        self,
        train_data: Any,
        files_list: Sequence[str] | str | PathLike | None = None,
        image_path: str | PathLike | None = None,
        text_label: str | None = None,
        labels_label: str | None = None,
        images_label: str | None = None,
        image_type_extension: str | None = None,
        data_type_extension: str | None = None,
        auto_weights: bool = False,
        output_dir: str | PathLike | None = None,
        show_running_loss: bool = True,
        args: Mapping | None = None,
        eval_data: Any = None,
        verbose: bool = True,
        *,
        eval_files_list: Sequence[str] | str | PathLike | None = None,
        eval_image_path: str | PathLike | None = None,
        **metrics: Any,
    ) -> tuple[int, Any]:
        """Trains on labelled texts and images, or continues to train a trained model.

        Args:
            train_data: A DataFrame with a text, a label and the path of an image in each row; or a
                folder with images and JSON files, one for each row. By default the image of a JSON
                file has the same name.
            files_list: The JSON files to read, or a JSON file with a list of them; by default all.
            image_path: Folder of the images; needed with a DataFrame.
            text_label: Column of the text. This and the next four arguments are kept as settings.
            labels_label: Column of the label.
            images_label: Column of the path of the image.
            image_type_extension: Extension to add to names of images without it.
            data_type_extension: Extension to add to names in `files_list` without it.
            auto_weights: Whether to weight labels so that they are balanced.
            output_dir: Folder for all files; by default `args.output_dir`.
            show_running_loss: Has no effect; see `args.silent`.
            args: As in `train_model` of `ClassificationModel`.
            eval_data: Rows to evaluate during training, with `evaluate_during_training`.
            verbose: Whether the end of the training is logged.
            eval_files_list: As `files_list`, for `eval_data`.
            eval_image_path: Folder of the images of `eval_data`; by default that of `eval_data`, if
                they are there, else `image_path`.
            **metrics: As in `ClassificationModel.train_model`.

        Returns:
            As `ClassificationModel.train_model`.

        Raises:
            ValueError: if columns, files or `image_path` are missing, or `output_dir` is not empty.
            keras_mm.TableError: listing every row that cannot be used.
        """
        check_metrics(metrics, self.train_model)
        columns = (text_label, labels_label, images_label)
        extensions = (image_type_extension, data_type_extension)
        with unchanged_on_error(self.args):
            self._change_args(args, *columns, *extensions)
            tables = {"train_data": self._table(train_data, files_list, image_path)}
            if eval_data is not None:
                tables["eval_data"] = self._evaluation_table(
                    eval_data, eval_files_list, eval_image_path, beside=image_path
                )
            return self._train(
                tables,
                SINGLE,
                output_dir=output_dir,
                auto_weights=auto_weights,
                metrics=metrics,
                verbose=verbose,
            )

    def eval_model(
        self,
        eval_data: Any,
        files_list: Sequence[str] | str | PathLike | None = None,
        image_path: str | PathLike | None = None,
        text_label: str | None = None,
        labels_label: str | None = None,
        images_label: str | None = None,
        image_type_extension: str | None = None,
        data_type_extension: str | None = None,
        output_dir: str | PathLike | None = None,
        verbose: bool = True,
        silent: bool = False,
        *,
        auto_weights: bool = False,
        show_running_loss: bool = True,
        args: Mapping | None = None,
        eval_files_list: Sequence[str] | str | PathLike | None = None,
        eval_image_path: str | PathLike | None = None,
        **metrics: Any,
    ) -> tuple[dict[str, float], np.ndarray]:
        """Evaluates labelled texts and images.

        Args:
            eval_data: As `train_data` of `train_model`.
            files_list: As in `train_model`.
            image_path: As in `train_model`.
            text_label: As in `train_model`.
            labels_label: As in `train_model`.
            images_label: As in `train_model`.
            image_type_extension: As in `train_model`.
            data_type_extension: As in `train_model`.
            output_dir: Folder for `eval_results.txt`; by default `args.output_dir`.
            verbose: Whether the results are logged.
            silent: Whether progress bars are hidden.
            auto_weights: Has no effect; the weights are those of the training.
            show_running_loss: Has no effect, as nothing is trained.
            args: Settings to change, also for later calls.
            eval_files_list: Another name of `files_list`.
            eval_image_path: Another name of `image_path`.
            **metrics: As in `train_model`.

        Returns:
            Results by name, and the outputs as in `predict`.

        Raises:
            ValueError: as `train_model`.
            keras_mm.TableError: listing every row that cannot be used.
        """
        check_metrics(metrics, self.eval_model)
        columns = (text_label, labels_label, images_label)
        extensions = (image_type_extension, data_type_extension)
        with unchanged_on_error(self.args):
            self._change_args(args, *columns, *extensions)
            assessment = self._assess(
                self._table(
                    eval_data,
                    eval_files_list if files_list is None else files_list,
                    eval_image_path if image_path is None else image_path,
                ),
                argument="eval_data",
                metrics=metrics,
                output_dir=output_dir,
                verbose=verbose,
                silent=silent,
            )
        return assessment.results, assessment.probabilities

    def predict(
        self,
        to_predict: Mapping[str, Sequence] | pd.DataFrame,
        image_path: str | PathLike,
        image_type_extension: str | None = None,
    ) -> tuple[Any, np.ndarray]:
        """Predicts the labels of texts with their images.

        Args:
            to_predict: `{"text": [...], "images": [...]}`, or a DataFrame with these columns. The
                names in `text_label` and `images_label` are used first, if there are such keys.
            image_path: Folder of the images.
            image_type_extension: Extension to add to names of images without it; by default that of
                the settings.

        Returns:
            A list of labels, and probabilities, shape `(num_rows, num_labels)`. With `multi_label`
            the list has for each row a list of labels, or of 0 and 1 if labels have no names. For a
            regression the numbers, shape `(num_rows,)`, twice.

        Raises:
            ValueError: if the numbers of images and texts differ, or are 0.
        """
        classifier, head = self._ready()
        table = images_to_predict(to_predict, self.args, image_type_extension=image_type_extension)
        logits = self._logits(classifier, with_images(table, str(image_path)))
        predicted = predictions(head, logits)
        if head.kind == "regression":
            return predicted, predicted
        named = head.kind == "multilabel" and has_names(head)
        labels = (label_cells(head, predicted) if named else predicted).tolist()
        return labels, probabilities(logits, head.kind)

    def _change_args(
        self,
        args: Mapping | None,
        text_label: str | None,
        labels_label: str | None,
        images_label: str | None,
        image_type_extension: str | None,
        data_type_extension: str | None,
    ) -> None:
        """Changes settings: first those in `args`, then those that are arguments of a call."""
        self.args.update_from_dict({} if args is None else args)
        values = {
            "text_label": text_label,
            "labels_label": labels_label,
            "images_label": images_label,
            "image_type_extension": image_type_extension,
            "data_type_extension": data_type_extension,
        }
        self.args.update_from_dict({n: value for n, value in values.items() if value is not None})

    def _table(
        self,
        data: Any,
        files_list: Sequence[str] | str | PathLike | None,
        image_path: str | PathLike | None,
    ) -> pd.DataFrame:
        """Labelled rows as a table with the folder of its images; see `image_table`."""
        table, folder = image_table(data, self.args, files_list=files_list, image_path=image_path)
        return with_images(table, folder)

    def _evaluation_table(
        self,
        data: Any,
        files_list: Sequence[str] | str | PathLike | None,
        image_path: str | PathLike | None,
        *,
        beside: str | PathLike | None,
    ) -> pd.DataFrame:
        """As `_table`, for rows that are evaluated during training."""
        table, folder = image_table(
            data,
            self.args,
            files_list=files_list,
            image_path=image_path,
            beside=beside,
            argument="eval_image_path",
        )
        return with_images(table, folder, "eval_image_path")
