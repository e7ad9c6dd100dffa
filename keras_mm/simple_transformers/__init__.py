"""Simple Transformers' classification models on keras_mm: change the import, keep the script."""

from keras_mm.simple_transformers.args import (
    ClassificationArgs,
    ModelArgs,
    MultiLabelClassificationArgs,
    MultiModalClassificationArgs,
)
from keras_mm.simple_transformers.assessments import InputExample
from keras_mm.simple_transformers.classification import ClassificationModel
from keras_mm.simple_transformers.multi_label import MultiLabelClassificationModel
from keras_mm.simple_transformers.multimodal import MultiModalClassificationModel

__all__ = [
    "ClassificationArgs",
    "ClassificationModel",
    "InputExample",
    "ModelArgs",
    "MultiLabelClassificationArgs",
    "MultiLabelClassificationModel",
    "MultiModalClassificationArgs",
    "MultiModalClassificationModel",
]
