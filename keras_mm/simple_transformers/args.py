"""The settings of Simple Transformers' classification models, with their names there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, fields
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from keras_mm.errors import InvalidArgumentError
from keras_mm.files import write_text
from keras_mm.simple_transformers.plain import is_plain, plain
from keras_mm.simple_transformers.setting_checks import check_savable
from keras_mm.simple_transformers.setting_fields import (
    check_names,
    given_names,
    named,
    note_given,
    refused,
    unused,
    without_unknown,
)

FILE = "model_args.json"
_MAP = "labels_map"
_DEVICE = "the backend finds its device by itself"
_THREADS = "texts and images are read in threads, as many as there are cores"
_CACHES = "outputs of frozen encoders are kept in the feature cache of keras_mm"
_LOGS = "progress goes to stderr and `training_progress_scores.csv`"
_ROWS = "a table is a DataFrame, or the path of a CSV, TSV, Parquet or JSON-lines file"
_ADAFACTOR = "Adafactor is Keras' own: relative steps, scaled by the weights"

Args = TypeVar("Args", bound="ModelArgs")


@named
class ModelArgs:
    """Settings of all classes, with the defaults of Simple Transformers.

    Attributes:
        num_train_epochs: Number of epochs, >= 1.
        train_batch_size: Rows of a batch, >= 1.
        learning_rate: Peak learning rate of all layers that are trained, > 0.
        gradient_accumulation_steps: Number of batches whose gradients are averaged into one step,
            >= 1.
        max_grad_norm: Largest global norm of the gradient.
        max_seq_length: Largest number of tokens of a sequence, with special tokens.
        manual_seed: Seed of all random draws; by default 0.
        optimizer: `"AdamW"`, `"Adam"` or `"Adafactor"`.
        adam_betas: Decay rates of the two moments of AdamW and Adam, in [0, 1).
        adam_epsilon: Added to the denominator of AdamW and Adam.
        weight_decay: Weight decay of AdamW; biases and normalisation have none.
        scheduler: `"linear_schedule_with_warmup"`, `"constant_schedule"`,
            `"constant_schedule_with_warmup"`, `"cosine_schedule_with_warmup"` or
            `"polynomial_decay_schedule_with_warmup"`.
        warmup_ratio: Share of the steps during which the learning rate rises from 0, in [0, 1).
        warmup_steps: The same as a number of steps; 0 to use `warmup_ratio`.
        polynomial_decay_schedule_power: Exponent of the polynomial schedule, > 0.
        loss_type: `None` for cross-entropy, or `"focal"`.
        loss_args: Arguments of the focal loss: `{"gamma": 2.0}`.
        evaluate_during_training: Whether `eval_data` is evaluated during training.
        evaluate_during_training_steps: Steps between two evaluations; 0 for evaluations at the end
            of epochs only.
        evaluate_each_epoch: Whether `eval_data` is evaluated at the end of each epoch.
        use_early_stopping: Whether training stops when `early_stopping_metric` no longer improves;
            the best weights are restored.
        early_stopping_metric: Name of a result of the evaluation, or of a metric that was passed to
            `train_model`.
        early_stopping_metric_minimize: Whether a lower value is better.
        early_stopping_patience: Number of evaluations without improvement after which training
            stops, >= 1.
        early_stopping_delta: The metric must improve by more than this, >= 0.
        early_stopping_consider_epochs: Whether evaluations at the end of an epoch count, too.
        output_dir: Folder of the model, checkpoints and results.
        best_model_dir: Folder of the best model; by default in `output_dir`.
        overwrite_output_dir: Whether `output_dir` may have files already.
        no_save: Whether to write no files.
        save_steps: Steps between two checkpoints; 0 or less for none.
        save_model_every_epoch: Whether to save a checkpoint at the end of each epoch.
        save_eval_checkpoints: Whether to save a checkpoint at each evaluation within an epoch.
        save_best_model: Whether to save the best model to `best_model_dir`.
        no_cache: Whether the outputs of frozen encoders are not cached.
        silent: Whether progress bars are hidden.
        special_tokens_list: Texts that become one token each, with a new embedding that is trained.
        text_pooling: How token features become one vector: `"pooler"`, `"cls"`, `"mean"` or
            `"max"`; by default as the network was trained.
        model_name: Name or folder of the text network.
        model_type: Family of the text network.
        model_class: Name of the class that saved these settings.

    Raises:
        TypeError: for an unknown name, with the nearest name.

    Example:
        >>> ClassificationArgs(num_train_epochs=3).train_batch_size
        8
    """

    num_train_epochs: int = 1
    train_batch_size: int = 8
    learning_rate: float = 4e-5
    gradient_accumulation_steps: int = 1
    max_grad_norm: float = 1.0
    max_seq_length: int = 128
    manual_seed: int | None = None
    optimizer: str = "AdamW"
    adam_betas: Any = (0.9, 0.999)
    adam_epsilon: float = 1e-8
    weight_decay: float = 0.0
    scheduler: str = "linear_schedule_with_warmup"
    warmup_ratio: float = 0.06
    warmup_steps: int = 0
    polynomial_decay_schedule_power: float = 1.0
    loss_type: str | None = None
    loss_args: dict = field(default_factory=dict)
    evaluate_during_training: bool = False
    evaluate_during_training_steps: int = 2000
    evaluate_each_epoch: bool = True
    use_early_stopping: bool = False
    early_stopping_metric: str = "eval_loss"
    early_stopping_metric_minimize: bool = True
    early_stopping_patience: int = 3
    early_stopping_delta: float = 0
    early_stopping_consider_epochs: bool = False
    output_dir: str = "outputs/"
    best_model_dir: str = "outputs/best_model"
    overwrite_output_dir: bool = False
    no_save: bool = False
    save_steps: int = 2000
    save_model_every_epoch: bool = True
    save_eval_checkpoints: bool = True
    save_best_model: bool = True
    no_cache: bool = False
    silent: bool = False
    special_tokens_list: list = field(default_factory=list)
    text_pooling: str | None = None
    model_name: str | None = None
    model_type: str | None = None
    model_class: str | None = None

    n_gpu: int = unused(default=1, why=_DEVICE)
    local_rank: int = unused(default=-1, why=_DEVICE)
    fp16: bool = unused(default=True, why="training is in float32 on every device")
    process_count: int | None = unused(default=None, why=_THREADS)
    thread_count: int | None = unused(default=None, why=_THREADS)
    use_multiprocessing: bool = unused(default=True, why=_THREADS)
    use_multiprocessing_for_evaluation: bool = unused(default=True, why=_THREADS)
    multiprocessing_chunksize: int = unused(default=-1, why=_THREADS)
    dataloader_num_workers: int = unused(default=0, why=_THREADS)
    eval_batch_size: int = unused(
        default=100, why="predictions do not depend on it, and the size is chosen automatically"
    )
    cache_dir: str = unused(default="cache_dir/", why=_CACHES)
    dataset_cache_dir: str | None = unused(default=None, why=_CACHES)
    reprocess_input_data: bool = unused(default=True, why=_CACHES)
    use_cached_eval_features: bool = unused(default=False, why=_CACHES)
    use_hf_datasets: bool = unused(default=False, why=_CACHES)
    logging_steps: int = unused(default=50, why=_LOGS)
    tensorboard_dir: str | None = unused(default=None, why=_LOGS)
    wandb_project: str | None = unused(default=None, why=_LOGS)
    wandb_kwargs: dict = unused(default={}, why=_LOGS)
    evaluate_during_training_silent: bool = unused(default=True, why=_LOGS)
    evaluate_during_training_verbose: bool = unused(default=False, why=_LOGS)
    save_optimizer_and_scheduler: bool = unused(
        default=True, why="a saved model holds no optimizer"
    )
    not_saved_args: list = unused(default=[], why="all settings are saved")
    do_lower_case: bool = unused(
        default=False, why="the vocabulary determines whether it is lower-case"
    )
    encoding: str | None = unused(default=None, why="files are read as UTF-8")
    tokenizer_name: str | None = unused(default=None, why="a vocabulary belongs to its model")
    tokenizer_type: str | None = unused(default=None, why="a vocabulary belongs to its model")
    skip_special_tokens: bool = unused(default=True, why="no text is generated")
    trust_remote_code: bool = unused(default=False, why="no code from a model's folder is executed")
    cosine_schedule_num_cycles: float = unused(default=0.5, why="the schedule ends at 0")
    polynomial_decay_schedule_lr_end: float = unused(default=1e-7, why="the schedule ends at 0")
    adafactor_beta1: float | None = unused(default=None, why=_ADAFACTOR)
    adafactor_clip_threshold: float = unused(default=1.0, why=_ADAFACTOR)
    adafactor_decay_rate: float = unused(default=-0.8, why=_ADAFACTOR)
    adafactor_eps: Any = unused(default=(1e-30, 1e-3), why=_ADAFACTOR)
    adafactor_relative_step: bool = unused(default=True, why=_ADAFACTOR)
    adafactor_scale_parameter: bool = unused(default=True, why=_ADAFACTOR)
    adafactor_warmup_init: bool = unused(default=True, why=_ADAFACTOR)

    config: dict = refused(default={}, instead="use a folder with this config.json")
    custom_layer_parameters: list = refused(
        default=[], instead="see `layer_decay` of keras_mm.Training"
    )
    custom_parameter_groups: list = refused(default=[], instead="see `stages` of keras_mm.Training")
    train_custom_parameters_only: bool = refused(
        default=False, instead="see `stages` of keras_mm.Training"
    )
    dynamic_quantize: bool = refused(
        default=False, instead="see MultimodalClassifier(engine='openvino')"
    )
    quantized_model: bool = refused(
        default=False, instead="see MultimodalClassifier(engine='openvino')"
    )

    def __setattr__(self, name: str, value: Any) -> None:
        check_names(type(self), [name], AttributeError)
        value, default = plain(value), type(self).__dataclass_fields__[name].default
        # JSON has no tuples: a setting is a tuple if its default is one, otherwise a list.
        if isinstance(value, list | tuple):
            value = tuple(value) if isinstance(default, tuple) else list(value)
        super().__setattr__(name, value)
        note_given(self, name)

    def given(self) -> dict[str, Any]:
        """The settings that the user set, also to their default.

        Returns:
            Their values by name.
        """
        names = given_names(self)
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in names}

    def make_plain(self) -> None:
        """Converts all settings to plain values, also items added to their lists; see `plain`."""
        for f in fields(self):
            super().__setattr__(f.name, plain(getattr(self, f.name)))

    def update_from_dict(self, new_values: Mapping[str, Any]) -> None:
        """Changes several settings; unknown names are ignored.

        Args:
            new_values: Values by name.

        Raises:
            TypeError: if `new_values` is not a dict.

        Warns:
            UserWarning: for unknown names, with the nearest ones.
        """
        if not isinstance(new_values, Mapping):
            raise InvalidArgumentError(
                f"`args` must be a dict of settings. Received: {new_values!r}"
            )
        for name, value in without_unknown(type(self), new_values, "`args`").items():
            setattr(self, name, value)

    def get_args_for_saving(self) -> dict[str, Any]:
        """The settings that `save` writes.

        Returns:
            All values by name; settings without effect are left out if JSON cannot hold them.
        """
        self.make_plain()
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if "why" not in f.metadata or is_plain(getattr(self, f.name))
        }

    def save(self, output_dir: str | PathLike) -> None:
        """Writes `model_args.json` into a folder.

        Args:
            output_dir: The folder.

        Raises:
            ValueError: if JSON cannot hold a setting, with its name.
        """
        values = self.get_args_for_saving()
        check_savable(self)
        labels = values.get(_MAP)
        if labels and not all(isinstance(label, str) for label in labels):
            values[_MAP] = list(labels.items())  # keys in JSON can only be texts
        text = json.dumps(values, indent=2)
        write_text(Path(output_dir) / FILE, text + "\n")

    def load(self, input_dir: str | PathLike) -> None:
        """Reads the settings that `save` wrote into a folder, if the file exists.

        Args:
            input_dir: The folder.

        Warns:
            UserWarning: for unknown settings, which are ignored.
        """
        file = Path(input_dir) / FILE
        if not file.is_file():
            return
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values.get(_MAP), list):
            values[_MAP] = dict(values[_MAP])
        self.update_from_dict(without_unknown(type(self), values, repr(str(file))))


@named
class ClassificationArgs(ModelArgs):
    """Settings of `ClassificationModel`, in addition to those of `ModelArgs`.

    Attributes:
        regression: Whether labels are numbers to predict.
        labels_list: Labels in the order of the outputs.
        labels_map: Another form of `labels_list`: a dict from labels to their indices.
        sliding_window: Whether texts longer than `max_seq_length` are read in windows.
        stride: Distance between the starts of two windows: a share of `max_seq_length`, or an
            integer number of tokens.
        tie_value: The label that is predicted if two labels have the same number of windows.
        sliding_window_vote: `"majority"` of the windows' predictions, or `"mean"` of their
            probabilities.
        sliding_window_text: The text of a pair that is read in windows: `"text_a"` or `"text_b"`.
    """

    regression: bool = False
    labels_list: list = field(default_factory=list)
    labels_map: dict = field(default_factory=dict)
    sliding_window: bool = False
    stride: float = 0.8
    tie_value: Any = 1
    sliding_window_vote: str = "majority"
    sliding_window_text: str = "text_b"

    batch_chunk_size: int | None = unused(default=None, why="batches are drawn over all rows")
    lazy_delimiter: str = unused(default="\t", why=_ROWS)
    lazy_labels_column: int = unused(default=1, why=_ROWS)
    lazy_loading_start_line: int = unused(default=1, why=_ROWS)
    lazy_text_a_column: int | None = unused(default=None, why=_ROWS)
    lazy_text_b_column: int | None = unused(default=None, why=_ROWS)
    lazy_text_column: int = unused(default=0, why=_ROWS)
    lazy_loading: bool = refused(default=False, instead=_ROWS)
    onnx: bool = refused(default=False, instead="see MultimodalClassifier.export")
    as_reranker: bool = refused(default=False, instead="keras_mm does not rank texts")
    tourney_mode: bool = refused(default=False, instead="keras_mm does not rank texts")
    pairwise_reranking_format: str = unused(
        default="repeat_query", why="keras_mm does not rank texts"
    )


@named
class MultiLabelClassificationArgs(ClassificationArgs):
    """Settings of `MultiLabelClassificationModel`, in addition to those of `ClassificationArgs`.

    Attributes:
        threshold: Labels with at least this probability are predicted: a number in [0, 1], or one
            for each label.
    """

    threshold: Any = 0.5


@named
class MultiModalClassificationArgs(ModelArgs):
    """Settings of `MultiModalClassificationModel`, in addition to those of `ModelArgs`.

    Attributes:
        regression: Whether labels are numbers to predict.
        num_image_embeds: Number of tokens for an image, 1 to 9.
        text_label: Column or key of the text.
        labels_label: Column or key of the label.
        images_label: Column or key of the image's path.
        image_type_extension: Extension to add to names of images without it, such as `".jpg"`.
        data_type_extension: Extension to add to names in `files_list` without it, such as
            `".json"`.
        threshold: With `multi_label`, as in `MultiLabelClassificationArgs`.
        image_encoder: Encoder of the images, as `backbone` of `keras_mm.create_vision_encoder`.
        image_weights: `"imagenet"`, `"random"`, or a path.
        image_size: Height and width that images are resized to, in pixels, >= 1.
        fusion: The fusion of image and text; see `keras_mm.MultimodalClassifier`.
    """

    regression: bool = False
    num_image_embeds: int = 1
    text_label: str = "text"
    labels_label: str = "labels"
    images_label: str = "images"
    image_type_extension: str = ""
    data_type_extension: str = ""
    threshold: Any = 0.5
    image_encoder: str = "resnet50v2"
    image_weights: str = "imagenet"
    image_size: int = 224
    fusion: Any = "mmbt"


def settings_class(args: Any, default: type[Args]) -> type[Args]:
    """Chooses the class for the settings of a model.

    Args:
        args: The argument `args` of the constructor of the model.
        default: The settings class of the model.

    Returns:
        The class of `args` if it is derived from `default` by the user, else `default`.
    """
    ours = [kind for kind in type(args).__mro__ if kind.__module__ == __name__]
    return type(args) if ours[:1] == [default] else default
