"""The pretrained networks of encoders, by name, as plain data. Loads no backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Backbone:
    """One pretrained (or small random) network that encoders are built on.

    Attributes:
        name: Its name in builders and presets.
        modality: `"vision"`, `"text"`, or `"image_text"` for two towers, one per side.
        family: `"applications"` (a `keras.applications` class), `"tiny_cnn"` (of this package), or
            a KerasHub architecture: `"bert"`, `"roberta"`, `"dinov2"`, `"siglip"`, ...
        config: Constructor arguments, with which it can be built offline, with random weights. For
            two towers, the arguments of each, under `"vision"` and `"text"`.
        handle: The handle that `weights="pretrained"` downloads; `None` if there is none.
        parameters: Number of weights; for two towers, their sum.
        download_mb: Size of the pretrained files in MB (10^6 bytes); 4 bytes per weight if the
            publisher does not state it.
        license: SPDX name of the licence of the weights.
        pooling: The pooling that the network was trained with.
        image_size: The only `(height, width)` in pixels that it accepts; `None` for any.
        trained_size: `(height, width)` in pixels of the images that the weights were trained with;
            the size of images by default.
        image_mean: Mean by channel, subtracted from pixels in [0, 1]. Not used if the network or
            its Keras module normalises pixels itself.
        image_std: Standard deviation by channel, by which the difference is divided.
    """

    name: str
    modality: str
    family: str
    config: Mapping
    parameters: int
    handle: str | None = None
    download_mb: float = 0.0
    license: str = "Apache-2.0"
    pooling: str = "mean"
    image_size: tuple[int, int] | None = None
    trained_size: tuple[int, int] = (224, 224)
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)


def _text(
    name: str,
    family: str,
    *,
    layers: int,
    heads: int,
    width: int,
    vocabulary_size: int,
    positions: int = 512,
    **facts: Any,
) -> Backbone:
    """A text network of KerasHub; the handle is its name by default."""
    config = {
        # KerasHub's ELECTRA names this argument differently.
        ("vocab_size" if family == "electra" else "vocabulary_size"): vocabulary_size,
        "num_layers": layers,
        "num_heads": heads,
        "hidden_dim": width,
        "intermediate_dim": 4 * width,
        "max_sequence_length": positions,
        **facts.pop("config", {}),
    }
    if facts.setdefault("handle", name) is not None:
        facts.setdefault("download_mb", _float32_mb(facts["parameters"]))
    return Backbone(name, "text", family, config, **facts)


def _float32_mb(parameters: int) -> float:
    return round(parameters * 4 / 1e6)


def _application(
    name: str, class_name: str, parameters: int, download_mb: float, **config: Any
) -> Backbone:
    return Backbone(
        name,
        "vision",
        "applications",
        {"class_name": class_name, **config},
        parameters,
        handle=f"keras.applications {class_name} (ImageNet, without top)",
        download_mb=download_mb,
    )


_SIGLIP_BASE = {
    "hidden_dim": 768,
    "num_layers": 12,
    "num_heads": 12,
    "intermediate_dim": 3072,
}

# Tests build each network from its config and compare its number of weights with `parameters`.
_BACKBONES = (
    Backbone(
        "tiny_cnn",
        "vision",
        "tiny_cnn",
        {"filters": (16, 32, 64, 64)},
        61_040,
        trained_size=(64, 64),
    ),
    _application("resnet50v2", "ResNet50V2", 23_564_800, 94.7),
    _application("mobilenet_v2_0.35", "MobileNetV2", 410_208, 2.0, alpha=0.35),
    _application("mobilenet_v2", "MobileNetV2", 2_257_984, 9.4),
    Backbone(
        "dinov2_base",
        "vision",
        "dinov2",
        {
            "patch_size": 14,
            "num_layers": 12,
            "hidden_dim": 768,
            "num_heads": 12,
            "intermediate_dim": 3072,
        },
        85_923_072,
        handle="dinov2_base",
        download_mb=351.0,
        pooling="cls",
        image_mean=(0.485, 0.456, 0.406),
        image_std=(0.229, 0.224, 0.225),
    ),
    Backbone(
        "siglip2_base_patch16_224",
        "image_text",
        "siglip",
        {
            "vision": {"patch_size": 16, "image_shape": (224, 224, 3), **_SIGLIP_BASE},
            "text": {
                "vocabulary_size": 256_000,
                "embedding_dim": 768,
                "max_sequence_length": 64,
                **_SIGLIP_BASE,
            },
        },
        375_188_228,
        handle="siglip2_base_patch16_224",
        download_mb=_float32_mb(375_188_230),
        pooling="pooler",
        image_size=(224, 224),
    ),
    _text(
        "tiny_bert",
        "bert",
        layers=2,
        heads=4,
        width=64,
        positions=128,
        vocabulary_size=256,
        parameters=128_960,
        handle=None,
    ),
    _text(
        "all_minilm_l6_v2",
        "bert",
        layers=6,
        heads=12,
        width=384,
        vocabulary_size=30_522,
        parameters=22_713_216,
        handle="hf://sentence-transformers/all-MiniLM-L6-v2",
    ),
    _text(
        "bert_base_en_uncased",
        "bert",
        layers=12,
        heads=12,
        width=768,
        vocabulary_size=30_522,
        parameters=109_482_240,
        pooling="pooler",
    ),
    _text(
        "distil_bert_base_en_uncased",
        "distil_bert",
        layers=6,
        heads=12,
        width=768,
        vocabulary_size=30_522,
        parameters=66_362_880,
        pooling="cls",
    ),
    _text(
        "roberta_base_en",
        "roberta",
        layers=12,
        heads=12,
        width=768,
        vocabulary_size=50_265,
        parameters=124_052_736,
        license="MIT",
        pooling="cls",
    ),
    _text(
        "xlm_roberta_base_multi",
        "xlm_roberta",
        layers=12,
        heads=12,
        width=768,
        vocabulary_size=250_002,
        parameters=277_450_752,
        license="MIT",
        pooling="cls",
    ),
    _text(
        "bge_m3",
        "xlm_roberta",
        layers=24,
        heads=16,
        width=1024,
        positions=8192,
        vocabulary_size=250_002,
        parameters=566_702_080,
        license="MIT",
        pooling="cls",
    ),
    _text(
        "deberta_v3_small_en",
        "deberta_v3",
        layers=6,
        heads=12,
        width=768,
        vocabulary_size=128_100,
        config={"bucket_size": 256},
        parameters=141_304_320,
        license="MIT",
        pooling="cls",
    ),
    _text(
        "albert_base_en_uncased",
        "albert",
        layers=12,
        heads=12,
        width=768,
        vocabulary_size=30_000,
        config={"embedding_dim": 128},
        parameters=11_683_584,
        pooling="pooler",
    ),
    _text(
        "electra_small_discriminator_uncased_en",
        "electra",
        layers=12,
        heads=4,
        width=256,
        vocabulary_size=30_522,
        config={"embedding_dim": 128},
        parameters=13_548_800,
        pooling="cls",
    ),
)

BACKBONES = MappingProxyType({backbone.name: backbone for backbone in _BACKBONES})
