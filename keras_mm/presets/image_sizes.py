"""The size of the images that a vision backbone was trained with. Loads no backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_mm.presets.backbones import BACKBONES

_USUAL = (224, 224)

# Sides in pixels of the ImageNet weights of `keras.applications`, where they are not 224.
_APPLICATIONS = {
    "xception": 299,
    "inceptionv3": 299,
    "inceptionresnetv2": 299,
    "nasnetlarge": 331,
    "efficientnetb1": 240,
    "efficientnetb2": 260,
    "efficientnetb3": 300,
    "efficientnetb4": 380,
    "efficientnetb5": 456,
    "efficientnetb6": 528,
    "efficientnetb7": 600,
    "efficientnetv2b1": 240,
    "efficientnetv2b2": 260,
    "efficientnetv2b3": 300,
    "efficientnetv2s": 384,
    "efficientnetv2m": 480,
    "efficientnetv2l": 480,
}


def trained_image_size(backbone: Any) -> tuple[int, int]:
    """The size of the images that a backbone's weights were trained with.

    Args:
        backbone: A name, a handle, a local folder or a `keras.Model`, as in
            `create_vision_encoder`; or `None`, of models without images.

    Returns:
        `(height, width)` in pixels. 224 x 224 where nothing states it.

    Example:
        >>> trained_image_size("xception")
        (299, 299)
    """
    shape = getattr(backbone, "input_shape", None)
    if isinstance(shape, tuple) and len(shape) == 4:
        return shape[1:3] if None not in shape[1:3] else _USUAL
    name = str(backbone)
    if name in BACKBONES:
        return BACKBONES[name].trained_size
    side = _APPLICATIONS.get(name.replace("_", "").lower())
    if side is not None:
        return side, side
    for file in ("preprocessor_config.json", "config.json"):
        size = _stated(Path(name) / file)
        if size is not None:
            return size
    return _USUAL


def _stated(path: Path) -> tuple[int, int] | None:
    """The size that a file of a Hugging Face or KerasHub folder states, if it does."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        config = {**content, **content.get("config", {})}
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    for key in ("crop_size", "size", "image_size", "image_shape"):
        size = config.get(key)
        if isinstance(size, dict):
            size = [size.get("height"), size.get("width")]
        size = [size, size] if isinstance(size, int) else list(size or ())[:2]
        if len(size) == 2 and all(isinstance(side, int) for side in size):
            return size[0], size[1]
    return None
