"""Reuses frozen encoders and the compiled training step from one training to the next."""

from __future__ import annotations

import gc
import json
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mm.features.fingerprint import fingerprint
from keras_mm.inference.bundle import build_encoders, build_model
from keras_mm.models.multimodal import copy_variables, cut, join, parts
from keras_mm.random_state import set_states


class Workbench:
    """Builds models, with the networks of the last model where the two are of the same kind.

    Frozen encoders are reused if they have not changed and nothing else holds the last model. The
    training runs on a twin of the new model's trunk, which nothing else sees. For trunks with the
    same layers the twin is the same object, with its compiled training step; it starts with the new
    trunk's weights and random state. The results are the same as without any reuse.

    A classifier shares its workbench with its clones. A pickled workbench is empty.
    """

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque(maxlen=1)

    def __reduce__(self):
        return Workbench, ()

    def model(
        self,
        spec: Mapping[str, Any],
        *,
        vision_weights: str | PathLike | None,
        text_weights: str | PathLike | None,
        seed: int,
    ) -> tuple[keras.Model, keras.Model | None]:
        """The model that a spec describes.

        Call it within `keras_mm.random_state.seeded(seed)`; it restarts the random states.

        Args:
            spec: As in `build_model`.
            vision_weights: As in `build_encoders`.
            text_weights: As in `build_encoders`.
            seed: Seed of the weights and of dropout.

        Returns:
            The model; and the twin of its trunk to train, whose weights are then copied to the
            trunk. The twin is `None` if an encoder is not frozen, or nothing can be reused.
        """
        set_states(seed)
        kind = _kind(spec, vision_weights, text_weights, seed)
        last = self._take(kind)
        if last is None:
            encoders = build_encoders(
                spec, vision_weights=vision_weights, text_weights=text_weights
            )
        else:
            encoders = last.encoders
        set_states(_trunk_seed(seed))  # reused encoders draw no random numbers
        state = last.state if last is not None else _state(encoders)
        if kind is None or state is None:
            return build_model(spec, encoders), None
        model = _on_views(spec, encoders)
        found = parts(model)
        if set(found.encoders) != set(encoders):  # a part of the trunk, with MMBT
            return model, None
        layers = _text([spec["trunk"], spec["heads"]])
        if last is not None and last.twin is not None and last.layers == layers:
            twin = last.twin
        else:
            twin = None if layers is None else cut(_on_views(spec, encoders))
        if twin is not None:
            copy_variables(found.trunk, parts(twin).trunk)
        # Users of the model hold views of the encoders, which are freed with the model.
        users = [weakref.ref(user) for user in (model, *found.encoders.values())]
        self._kept.append(_Kept(kind, encoders, layers, twin, state, users))
        return model, twin

    def set_aside(self, model: keras.Model) -> Callable[[], keras.Model]:
        """Puts the last model aside, so that the next one can use its encoders.

        Args:
            model: The last model.

        Returns:
            A function that returns the model: the same object while something else holds it, else
            a model of the same layers.
        """
        found = parts(model)
        kept = self._kept[-1] if self._kept else None
        if kept is None or not kept.serves(found.encoders.values()):
            return lambda: model
        # A view, since the trunk itself holds the model that it is a part of.
        return partial(self._given_back, kept, _view(found.trunk), weakref.ref(model))

    def _given_back(
        self, kept: _Kept, trunk: keras.Model, known: weakref.ref[keras.Model]
    ) -> keras.Model:
        model = known()
        if model is None:
            views = {side: _view(encoder) for side, encoder in kept.encoders.items()}
            model = join(views, trunk)
            kept.users = [weakref.ref(user) for user in (model, *views.values())]
        self._kept.append(kept)
        return model

    def _take(self, kind: str | None) -> _Kept | None:
        """The last networks, if they are of this kind, unused and unchanged."""
        try:
            last = self._kept.pop()
        except IndexError:
            return None
        return last if last.kind == kind and last.is_free() and last.is_unchanged() else None


@dataclass
class _Kept:
    """The networks of a model, and the objects that use them."""

    kind: str
    encoders: dict[str, keras.Model]
    layers: str | None
    twin: keras.Model | None
    state: str
    users: list[weakref.ref]

    def is_free(self) -> bool:
        if any(user() is not None for user in self.users):
            gc.collect()  # models contain reference cycles
        return all(user() is None for user in self.users)

    def serves(self, views: Iterable[keras.Model]) -> bool:
        """Whether all of these are the views of the encoders in the last model."""
        known = [user() for user in self.users]
        return all(any(view is user for user in known) for view in views)

    def is_unchanged(self) -> bool:
        return _state(self.encoders) == self.state


def _state(encoders: Mapping[str, keras.Model]) -> str | None:
    """The state of frozen encoders as text, to find changes.

    `None` if that is not possible: with the user's own layers, or an encoder that is trained.
    """
    if any(encoder.trainable_variables for encoder in encoders.values()):
        return None
    digests = [fingerprint(encoder) for encoder in encoders.values()]
    if None in digests:
        return None
    return json.dumps([digests, *(e.get_config() for e in encoders.values())], default=repr)


def _on_views(spec: Mapping[str, Any], encoders: Mapping[str, keras.Model]) -> keras.Model:
    """A new model on views of the encoders."""
    return build_model(spec, {side: _view(encoder) for side, encoder in encoders.items()})


def _view(model: keras.Model) -> keras.Model:
    """The same layers as a model of its own."""
    view = type(model)(model.input, model.output, name=model.name)
    if not model.trainable:
        view.trainable = False
    return view


def _trunk_seed(seed: int) -> int:
    """The seed of a trunk's weights, derived from the seed of the encoders' weights."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def _kind(spec: Mapping, vision_weights: Any, text_weights: Any, seed: int) -> str | None:
    """Everything that determines the encoders, as text; `None` if it is not JSON-serialisable."""
    sides = [spec["vision_encoder"], spec["text_encoder"]]
    pairs = zip(sides, (vision_weights, text_weights), strict=True)
    sources = [source for side, weights in pairs if side for source in (weights, side["backbone"])]
    drawn = seed if "random" in sources else None
    return _text([spec["precision"], *sides, drawn, *map(_stamp, sources)])


def _stamp(source: Any) -> Any:
    """Size and time of a file, or of the files in a folder; any other value unchanged."""
    if not isinstance(source, str | PathLike) or not Path(source).exists():
        return source
    path = Path(source)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    times = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return [str(path.resolve()), times]


def _text(value: Any) -> str | None:
    try:
        return json.dumps(value, sort_keys=True)
    except TypeError:  # a network or a layer of the user's own
        return None
