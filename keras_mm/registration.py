"""Registers this package's classes with Keras, whichever of the two is imported first.

A `.keras` file names its classes, and Keras looks them up in its public registry. This module adds
a placeholder for each class, which imports the real class when a file needs it. So `import
keras_mm` does not load Keras, and `import keras` does not load this package's layers.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

from keras_mm.backend_logs import hidden_backend_logs

# The classes that are registered as `keras_mm>Class`, by module.
CLASSES = {
    "losses.cross_entropy": ("CrossEntropy",),
    "losses.focal": ("FocalLoss",),
    "losses.logit_adjusted": ("LogitAdjusted",),
    "losses.binary": ("MultilabelCrossEntropy", "MultilabelFocalLoss"),
    "losses.numeric": ("AbsoluteError", "HuberLoss", "SquaredError"),
    "models.backbones.applications": ("ApplicationsPreprocessing",),
    "models.layers.augmentation": ("ImageAugmentation",),
    "models.layers.batch_normalization": ("BatchNormalization",),
    "models.layers.average": ("AveragePrediction", "MemberFeatures"),
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
    "models.layers.standardization": ("Standardization",),
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
    """Registers the placeholders: now, or as soon as Keras has been imported."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _register() -> None:
    registry = import_module("keras.saving").get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            # A class whose module is imported already has registered itself.
            registry.setdefault(f"keras_mm>{name}", _placeholder(f"keras_mm.{module}", name))


def _placeholder(module: str, name: str) -> type:
    """A class whose `from_config` imports the real class and calls its `from_config`."""

    def from_config(config: dict, **options: Any) -> Any:
        import_module(module)  # registers the real class, which replaces the placeholder
        registry = import_module("keras.saving").get_custom_objects()
        return registry[f"keras_mm>{name}"].from_config(config, **options)

    return type(name, (), {"__module__": module, "from_config": staticmethod(from_config)})


class _AfterKeras(MetaPathFinder):
    """Registers the placeholders after the first `import keras`; finds no modules itself.

    While Keras loads its backend, the backend's log lines are hidden.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The usual spec of Keras, with a loader that registers the placeholders after loading it.

        Args:
            name: The module that is imported.
            path: As in `importlib.abc.MetaPathFinder`; not used.
            target: As in `importlib.abc.MetaPathFinder`; not used.

        Returns:
            The spec; `None` for other modules.
        """
        if name != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            with hidden_backend_logs():  # Keras loads its backend
                execute(module)
            if module.__name__ == "keras" and self in sys.meta_path:
                sys.meta_path.remove(self)
                _register()

        loader.exec_module = exec_module
