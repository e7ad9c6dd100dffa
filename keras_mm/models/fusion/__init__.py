"""Fusions by name. A fusion is a layer from the list of projected sides to one vector."""

from __future__ import annotations

from typing import Any

from keras_mm.models.fusion.bilinear import Bilinear
from keras_mm.models.fusion.concat import Concat
from keras_mm.presets import unknown_name

FUSIONS = {"concat": Concat, "bilinear": Bilinear}


def create_fusion(fusion: Any):
    """The fusion layer of this name, or the layer itself.

    Raises:
        ValueError: if there is none of this name; the nearest is offered.
    """
    if not isinstance(fusion, str):
        return fusion
    if fusion not in FUSIONS:
        raise ValueError(unknown_name("fusion", fusion, FUSIONS))
    return FUSIONS[fusion](name=f"{fusion}_fusion")
