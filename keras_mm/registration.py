"""Keras finds this package's classes by their registered names, whichever is imported first.

A `.keras` file names its classes, and Keras looks them up in its public registry. There each class
has a stand-in that imports the real one when a file asks for it; so `import keras_mm` needs no
Keras, and `import keras` none of this package's layers.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

# By module, the classes that are registered under the name `keras_mm>Class`.
CLASSES = {
    "losses.cross_entropy": ("CrossEntropy",),
    "losses.focal": ("FocalLoss",),
    "losses.logit_adjusted": ("LogitAdjusted",),
    "losses.binary": ("MultilabelCrossEntropy", "MultilabelFocalLoss"),
    "losses.numeric": ("AbsoluteError", "HuberLoss", "SquaredError"),
    "models.backbones.applications": ("ApplicationsPreprocessing",),
    "models.layers.augmentation": ("ImageAugmentation",),
    "models.layers.batch_normalization": ("BatchNormalization",),
    "models.layers.comparison": ("PairComparison",),
    "models.encoder": ("Encoder",),
    "models.fusion.attention": ("AttentionBlock",),
    "models.fusion.bilinear": ("Bilinear",),
    "models.fusion.bottleneck": ("Bottleneck",),
    "models.fusion.concat": ("Concat",),
    "models.fusion.cross_attention": ("AttentionWeights", "CrossAttention"),
    "models.fusion.gated": ("Gated",),
    "models.fusion.mmbt": ("MMBT",),
    "models.layers.missing": ("MissingModality", "ModalityDropout"),
    "models.multimodal_model": ("MultimodalModel",),
    "models.layers.projection": ("TokenProjection",),
    "models.layers.scaling": ("TargetScaling",),
    "models.layers.slots": ("JoinSlots", "SlotsToRows"),
    "models.backbones.keras_hub": ("WithoutClassToken",),
    "training.optimizers": (
        "PolynomialDecay",
        "RatedAdafactor",
        "RatedAdam",
        "RatedAdamW",
        "RatedSGD",
    ),
}


def register_classes() -> None:
    """Registers the stand-ins, now or as soon as Keras has been imported."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _register() -> None:
    registry = import_module("keras.saving").get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            # What is imported already has registered itself.
            registry.setdefault(f"keras_mm>{name}", _stand_in(f"keras_mm.{module}", name))


def _stand_in(module: str, name: str) -> type:
    """A class from whose config Keras makes the real one."""

    def from_config(config: dict, **options: Any) -> Any:
        import_module(module)  # which registers the real class in the place of this one
        registry = import_module("keras.saving").get_custom_objects()
        return registry[f"keras_mm>{name}"].from_config(config, **options)

    return type(name, (), {"__module__": module, "from_config": staticmethod(from_config)})


class _AfterKeras(MetaPathFinder):
    """Registers the stand-ins at the end of the first `import keras`; finds nothing itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Keras' own spec, whose loader registers the stand-ins when it is done."""
        if name != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            if module.__name__ == "keras" and self in sys.meta_path:
                sys.meta_path.remove(self)
                _register()

        loader.exec_module = exec_module
