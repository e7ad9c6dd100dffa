"""Presets: combinations of backbones and default settings, as plain data. Loads no backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.presets.backbones import BACKBONES, Backbone
from keras_mm.presets.image_sizes import trained_image_size

# Named here, apart from their layers, so that settings are checked without a backend.
FUSIONS = ("concat", "bilinear", "gated", "cross_attention", "bottleneck", "mmbt")


@dataclass(frozen=True)
class Preset:
    """Defaults for the keywords of `MultimodalClassifier`, under one name.

    Each field except `name` and `description` is the default of the keyword of its name; `training`
    holds defaults for some fields of `keras_mm.Training`. If a backbone is `None`, the preset's
    models have no such side.
    """

    name: str
    description: str
    vision_backbone: str | None
    text_backbone: str | None
    vision_weights: str = "pretrained"
    text_weights: str = "pretrained"
    sequence_length: int = 128
    text_pairing: str = "packed"
    vision_pooling: str = "mean"
    text_pooling: str = "mean"
    fusion: str = "concat"
    compare: bool = False
    vision_trainable: bool = False
    text_trainable: bool = False
    modality_dropout: float = 0.0
    augmentation: Mapping = field(default_factory=dict)
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 2e-5
    folds: int = 1
    members: str | tuple[str, ...] = ("trunk",)
    training: Mapping = field(default_factory=dict)

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """The preset's backbones, vision first; the two towers of one network count once."""
        names = dict.fromkeys((self.vision_backbone, self.text_backbone))
        return tuple(BACKBONES[name] for name in names if name is not None)

    @property
    def image_size(self) -> tuple[int, int]:
        """Size of the images in pixels: what the vision backbone was trained with."""
        return trained_image_size(self.vision_backbone)

    @property
    def parameters(self) -> int:
        """Total number of weights of the backbones."""
        return sum(backbone.parameters for backbone in self.backbones)

    @property
    def download_mb(self) -> float:
        """Size of the download at the first use, in MB (10^6 bytes)."""
        return sum(backbone.download_mb for backbone in self.backbones)

    @property
    def license(self) -> str:
        """Licences of the pretrained weights."""
        return ", ".join(sorted({backbone.license for backbone in self.backbones}))


_SMALL = Preset(
    "mobilenet_v2_minilm",
    "Small and pretrained: MobileNetV2 0.35 and all-MiniLM-L6-v2, frozen; texts compared.",
    "mobilenet_v2_0.35",
    "all_minilm_l6_v2",
    text_pairing="separate",
    compare=True,
    modality_dropout=0.3,
    folds=5,
    members="auto",
    training={"standardize": True},
)

_PRESETS = (
    Preset(
        "tiny",
        "Small random encoders trained from scratch; what the sample data needs. No download.",
        "tiny_cnn",
        "tiny_bert",
        vision_weights="random",
        text_weights="random",
        sequence_length=48,
        fusion="bilinear",
        compare=True,
        vision_trainable=True,
        text_trainable=True,
        epochs=12,
        encoder_learning_rate=5e-4,
        training={"projection_dims": 128},
    ),
    _SMALL,
    replace(
        _SMALL,
        name="auto",
        description="Searched: the encoders of mobilenet_v2_minilm; members with many settings are "
        "tried.",
        members="search",
    ),
    Preset(
        "resnet50v2_bert_base",
        "The Keras multimodal entailment example's encoders: ResNet50V2 and BERT base, frozen.",
        "resnet50v2",
        "bert_base_en_uncased",
        sequence_length=256,
        text_pooling="pooler",
        folds=5,
        members="auto",
        training={"standardize": True},
    ),
    Preset(
        "distil_bert_text",
        "Text only: DistilBERT base, fine-tuned on one packed sequence.",
        None,
        "distil_bert_base_en_uncased",
        text_pooling="cls",
        text_trainable=True,
        epochs=4,
        batch_size=16,
    ),
    Preset(
        "minilm_text",
        "Text only: all-MiniLM-L6-v2, frozen; two texts are compared.",
        None,
        "all_minilm_l6_v2",
        text_pairing="separate",
        compare=True,
        folds=5,
        members="auto",
        training={"standardize": True},
    ),
    Preset(
        "siglip2_base",
        "Strong: the image and text towers of SigLIP 2 base, frozen; images and texts compared.",
        "siglip2_base_patch16_224",
        "siglip2_base_patch16_224",
        sequence_length=64,
        text_pairing="separate",
        vision_pooling="pooler",
        text_pooling="pooler",
        compare=True,
        folds=5,
        members="auto",
        training={"standardize": True},
    ),
    Preset(
        "dinov2_bge_m3",
        "Strong on details and languages: DINOv2 base and bge-m3, frozen; texts compared.",
        "dinov2_base",
        "bge_m3",
        text_pairing="separate",
        vision_pooling="cls",
        text_pooling="cls",
        compare=True,
        folds=5,
        members="auto",
        training={"standardize": True},
    ),
    Preset(
        "xlm_roberta_text",
        "Text only, 100 languages: XLM-RoBERTa base, fine-tuned on one packed sequence.",
        None,
        "xlm_roberta_base_multi",
        text_pooling="cls",
        text_trainable=True,
        epochs=4,
        batch_size=16,
    ),
    Preset(
        "bge_m3_text",
        "Text only, 100 languages: bge-m3, frozen; two texts are compared.",
        None,
        "bge_m3",
        text_pairing="separate",
        text_pooling="cls",
        compare=True,
        folds=5,
        members="auto",
        training={"standardize": True},
    ),
    Preset(
        "minilm_heads",
        "Text only: linear heads on all-MiniLM-L6-v2, frozen; for many heads, added over time.",
        None,
        "all_minilm_l6_v2",
        folds=5,
        training={"projection_dims": 0, "decay": "plateau"},
    ),
    Preset(
        "bge_m3_heads",
        "Text only, 100 languages: linear heads on bge-m3's first token, frozen; for many heads.",
        None,
        "bge_m3",
        text_pooling="cls",
        folds=5,
        training={"projection_dims": 0, "decay": "plateau"},
    ),
)

_BY_NAME = {preset.name: preset for preset in _PRESETS}


def list_presets() -> dict[str, Preset]:
    """Lists all presets.

    Returns:
        Presets by name, a new dict.

    Example:
        >>> "tiny" in list_presets()
        True
    """
    return dict(_BY_NAME)


def get_preset(name: str) -> Preset:
    """Finds a preset by name.

    Args:
        name: Name of a preset, see `list_presets`.

    Returns:
        The preset.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest.

    Example:
        >>> get_preset("tiny").download_mb
        0.0
    """
    if not isinstance(name, str) or name not in _BY_NAME:
        raise InvalidValueError(unknown_name("preset", name, _BY_NAME))
    return _BY_NAME[name]
