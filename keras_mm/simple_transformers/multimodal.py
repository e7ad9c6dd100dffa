"""A text and an image to labels: `MultiModalClassificationModel`."""

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
from keras_mm.simple_transformers.labels import (
    check_count,
    check_each,
    check_goes_on,
    check_trained_count,
    classes_of,
    has_names,
    in_order,
)
from keras_mm.simple_transformers.model import Model
from keras_mm.simple_transformers.plain import plain
from keras_mm.simple_transformers.rows import with_images
from keras_mm.simple_transformers.tables import IMAGES, SINGLE, image_table, images_to_predict

# Arguments of a call that change the settings of the model, and stay.
_STAY = (
    "text_label", "labels_label", "images_label", "image_type_extension", "data_type_extension",
)  # fmt: skip


class MultiModalClassificationModel(Model):
    """Classes, several labels or a number for a text with an image.

    The image's tokens are read by BERT together with those of the text (the `mmbt` fusion); the
    text side is trained, the image encoder is not, and runs once for each image.

    Args:
        model_type: `"bert"`; with another `args.fusion` any type of `ClassificationModel`.
        model_name: As in `ClassificationModel`.
        multi_label: Whether a row has any number of labels.
        label_list: All labels, in the order of the outputs.
        num_labels: Their number; without both they are those of the training rows.
        pos_weight: With `multi_label`, what the yes of each label counts in the loss.
        args: Settings: a `MultiModalClassificationArgs` or a dict. `image_encoder` and
            `image_weights` name what reads the images.
        use_cuda: Not read: the backend finds its device by itself.
        cuda_device: The same.
        **keywords: As in `ClassificationModel`.

    Raises:
        ValueError: if the model is of another type, or numbers of labels differ.
        TypeError: for an unknown argument; the nearest is offered.
    """

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
        self._begin(model_type, model_name, args, use_cuda, cuda_device, keywords)

    def _check(self) -> None:
        super()._check()
        if self._is_trained:
            self.multi_label = self._own_head.kind == "multilabel"
            check_goes_on("label_list", self.label_list, self._own_head.names)
            check_trained_count(self.num_labels, self.label_list, self._own_head)
        else:
            check_count("label_list", self.label_list, self.num_labels)
        if self.pos_weight is not None and not self.multi_label:
            raise InvalidValueError(
                "`pos_weight` is for multi_label=True; classes have `auto_weights`."
            )
        if self.multi_label and self.args.regression:
            raise InvalidValueError(
                "A row has labels, or a number: multi_label or regression, not both."
            )
        count = len(self.label_list) or self.num_labels
        check_each("pos_weight", self.pos_weight, count)
        if self.multi_label:
            check_each("threshold", self.args.threshold, count, single=True)
            Head("multilabel", count, threshold=self.args.threshold)

    def _head(self, table: pd.DataFrame) -> Head:
        if self.args.regression:
            return Head("regression")
        labels = tuple(self.label_list)
        if self._is_trained and not labels and (not self.multi_label or has_names(self._own_head)):
            labels = self._own_head.names
        if self.multi_label:
            return Head("multilabel", labels or self.num_labels, threshold=self.args.threshold)
        return Head("multiclass", classes_of(table, labels, self.num_labels))

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
            **self._text_settings(),
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
        """Trains on labelled texts and images; a trained model is trained on.

        Args:
            train_data: A DataFrame with a text, a label and the path of an image a row; or a folder
                with a JSON file a row, and images. In such a file the image may be left out: it is
                the image file of the same name.
            files_list: The folder's files that are read, with or without extension: a list, or the
                path of a JSON file that holds one.
            image_path: The images' folder; needed with a DataFrame.
            text_label: Column of the text. This and the next four stay as they are given.
            labels_label: Column of the label.
            images_label: Column of the image's path.
            image_type_extension: What names of images lack.
            data_type_extension: What names in `files_list` lack.
            auto_weights: Whether labels are weighted so that they balance.
            output_dir: Where everything goes; by default `args.output_dir`.
            show_running_loss: Not read; see `args.silent`.
            args: Settings to change; they stay changed.
            eval_data: Rows that `evaluate_during_training` evaluates.
            verbose: Whether the end is told.
            eval_files_list: The files of a folder `eval_data`; by default all.
            eval_image_path: The folder of the images of `eval_data`. By default the folder or the
                table's folder that `eval_data` names, if it holds them, else `image_path`.
            **metrics: As in `ClassificationModel.train_model`.

        Returns:
            As `ClassificationModel.train_model`.

        Raises:
            ValueError: if columns or `image_path` are missing, a folder's files cannot be read, or
                the output folder is not empty.
            keras_mm.TableError: listing every row that cannot be used.
        """
        check_metrics(metrics, self.train_model)
        stay = (text_label, labels_label, images_label, image_type_extension, data_type_extension)
        with self._settled():
            self.args.update_from_dict({} if args is None else args)
            self._stay(*stay)
            table, folder = image_table(
                train_data, self.args, files_list=files_list, image_path=image_path
            )
            tables = {"train_data": with_images(table, folder)}
            if eval_data is not None:
                table, folder = image_table(
                    eval_data,
                    self.args,
                    files_list=eval_files_list,
                    image_path=eval_image_path,
                    beside=image_path,
                    argument="eval_image_path",
                )
                tables["eval_data"] = with_images(table, folder, "eval_image_path")
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
            output_dir: Where `eval_results.txt` goes; by default `args.output_dir`.
            verbose: Whether the results are logged.
            silent: Whether no bar is shown.
            auto_weights: Not read; labels weigh what they did in training.
            show_running_loss: Not read; nothing is trained.
            args: Settings to change; they stay changed.
            eval_files_list: Another name of `files_list`.
            eval_image_path: Another name of `image_path`.
            **metrics: As in `train_model`.

        Returns:
            Results by name, and what `predict` gives as outputs.

        Raises:
            ValueError: as `train_model`.
            keras_mm.TableError: listing every row that cannot be used.
        """
        check_metrics(metrics, self.eval_model)
        stay = (text_label, labels_label, images_label, image_type_extension, data_type_extension)
        with self._settled():
            self.args.update_from_dict({} if args is None else args)
            self._stay(*stay)
            table, folder = image_table(
                eval_data,
                self.args,
                files_list=eval_files_list if files_list is None else files_list,
                image_path=eval_image_path if image_path is None else image_path,
            )
            found = self._assess(
                with_images(table, folder),
                argument="eval_data",
                metrics=metrics,
                output_dir=output_dir,
                verbose=verbose,
                silent=silent,
            )
        return found.results, found.probabilities

    def predict(
        self,
        to_predict: Mapping[str, Sequence],
        image_path: str | PathLike,
        image_type_extension: str | None = None,
    ) -> tuple[Any, np.ndarray]:
        """Answers texts with their images.

        Args:
            to_predict: `{"text": [...], "images": [...]}`; also by the names of `text_label` and
                `images_label`, which are looked for first.
            image_path: The images' folder.
            image_type_extension: What names of images lack; by default as in the settings.

        Returns:
            A list of labels; with `multi_label` lists of them, or, where labels have no names, of 0
            and 1; and their probabilities, `(num_rows, num_labels)`. For numbers these,
            `(num_rows,)`, twice.

        Raises:
            ValueError: if there are not as many images as texts, or none.
        """
        self._ready()
        table = images_to_predict(to_predict, self.args, image_type_extension=image_type_extension)
        logits, head = self._answered(with_images(table, str(image_path))), self._own_head
        found = predictions(head, logits)
        if head.kind == "regression":
            return found, found
        named = head.kind == "multilabel" and has_names(head)
        return (label_cells(head, found) if named else found).tolist(), probabilities(
            logits, head.kind
        )

    def _stay(self, *values: str | None) -> None:
        """Takes over the arguments of a call that stay."""
        for name, value in zip(_STAY, values, strict=True):
            if value is not None:
                setattr(self.args, name, value)
