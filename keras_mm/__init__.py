"""Multimodal classification in Keras 3: image(s) + text(s) to labels.

Names are imported on first use, so that `import keras_mm` loads no backend. Keras finds the layers
of a saved model nevertheless: see `keras_mm.registration`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from keras_mm.errors import TableError
from keras_mm.registration import register_classes
from keras_mm.version import __version__ as __version__

# The module that each public name is imported from.
_PUBLIC = {
    "Augmentation": "settings.augmentation",
    "Head": "settings.heads",
    "KerasMMError": "errors",
    "MultimodalClassifier": "estimator.classifier",
    "MultimodalDataset": "data.dataset",
    "Preprocessor": "data.preprocessor",
    "SlidingWindow": "settings.sliding_window",
    "Stage": "settings.stages",
    "TableError": "errors",
    "Trainer": "training.trainer",
    "Training": "settings.training",
    "balanced_class_weight": "losses.class_weights",
    "check_table": "data.tables.rows",
    "compare": "experiments.compare",
    "create_loss": "losses",
    "create_multimodal_model": "models.multimodal",
    "create_text_encoder": "models.text_encoder",
    "create_vision_encoder": "models.vision_encoder",
    "effective_number_class_weight": "losses.class_weights",
    "get_preset": "presets.presets",
    "list_presets": "presets.presets",
    "load_model": "models.loading",
    "load_multimodal_entailment": "data.entailment",
    "load_sample_data": "data.samples",
    "load_table": "data.tables.load",
    "near_duplicates": "data.tables.near_duplicates",
    "plot_augmentation": "plots.augmented_images",
    "plot_rows": "plots.table_rows",
    "project_embeddings": "models.layers.projection",
    "search": "experiments.search",
    "stratified_k_fold": "data.tables.splits",
    "stratified_split": "data.tables.splits",
}

__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from keras_mm.data.dataset import MultimodalDataset as MultimodalDataset
    from keras_mm.data.entailment import load_multimodal_entailment as load_multimodal_entailment
    from keras_mm.data.preprocessor import Preprocessor as Preprocessor
    from keras_mm.data.samples import load_sample_data as load_sample_data
    from keras_mm.data.tables.load import load_table as load_table
    from keras_mm.data.tables.near_duplicates import near_duplicates as near_duplicates
    from keras_mm.data.tables.rows import check_table as check_table
    from keras_mm.data.tables.splits import stratified_k_fold as stratified_k_fold
    from keras_mm.data.tables.splits import stratified_split as stratified_split
    from keras_mm.errors import KerasMMError as KerasMMError
    from keras_mm.errors import TableError as TableError
    from keras_mm.estimator.classifier import MultimodalClassifier as MultimodalClassifier
    from keras_mm.experiments.compare import compare as compare
    from keras_mm.experiments.search import search as search
    from keras_mm.losses import create_loss as create_loss
    from keras_mm.losses.class_weights import balanced_class_weight as balanced_class_weight
    from keras_mm.losses.class_weights import (
        effective_number_class_weight as effective_number_class_weight,
    )
    from keras_mm.models.layers.projection import project_embeddings as project_embeddings
    from keras_mm.models.loading import load_model as load_model
    from keras_mm.models.multimodal import create_multimodal_model as create_multimodal_model
    from keras_mm.models.text_encoder import create_text_encoder as create_text_encoder
    from keras_mm.models.vision_encoder import create_vision_encoder as create_vision_encoder
    from keras_mm.plots.augmented_images import plot_augmentation as plot_augmentation
    from keras_mm.plots.table_rows import plot_rows as plot_rows
    from keras_mm.presets.presets import get_preset as get_preset
    from keras_mm.presets.presets import list_presets as list_presets
    from keras_mm.settings.augmentation import Augmentation as Augmentation
    from keras_mm.settings.heads import Head as Head
    from keras_mm.settings.sliding_window import SlidingWindow as SlidingWindow
    from keras_mm.settings.stages import Stage as Stage
    from keras_mm.settings.training import Training as Training
    from keras_mm.training.trainer import Trainer as Trainer


register_classes()


def __getattr__(name: str):
    """Imports a public name from its module on first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'keras_mm' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"keras_mm.{_PUBLIC[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
