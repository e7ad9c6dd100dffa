"""What a training leaves to the next of its kind: the frozen encoders, and the compiled step."""

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
    """Makes models, out of the networks of the last one where that is of the same kind.

    Frozen encoders are taken over if nothing in them has changed and nobody holds the last model.
    What is trained is a twin of the new model's trunk that nobody else ever sees: for trunks of the
    same layers it is the same object, with its compiled step, and begins with the new one's weights
    and random state. The answers are those of a model that is built anew.

    A classifier shares one with its clones. A copy in another process is an empty one.
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
        """A model as `build_model` makes it within `keras_mm.random_state.seeded(seed)`.

        It is called within that, and begins the draws anew.

        Args:
            spec: As in `build_model`.
            vision_weights: As in `build_model`.
            text_weights: As in `build_model`.
            seed: Seed of the weights and of dropout.

        Returns:
            The model; and the twin of its trunk to be trained, whose weights are the trunk's
            afterwards. `None` where not all encoders are frozen, or nothing could serve again.
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
        set_states(_trunk_seed(seed))  # of its own: encoders taken over draw nothing
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
        # Whoever uses the model sees views of the encoders, which vanish with it.
        users = [weakref.ref(user) for user in (model, *found.encoders.values())]
        self._kept.append(_Kept(kind, encoders, layers, twin, state, users))
        return model, twin

    def set_aside(self, model: keras.Model) -> Callable[[], keras.Model]:
        """What gives a model back, although nobody need hold it meanwhile.

        Args:
            model: The last model. Where its encoders are kept here, they may serve the next one.

        Returns:
            A function that gives the model: the same object while anybody holds it, else one of the
            same layers.
        """
        found = parts(model)
        kept = self._kept[-1] if self._kept else None
        if kept is None or not kept.serves(found.encoders.values()):
            return lambda: model
        # A view, as the trunk itself holds the model that it is a part of.
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
        """The last networks, if they are of this kind, and nobody's, and as they were."""
        try:
            last = self._kept.pop()
        except IndexError:
            return None
        return last if last.kind == kind and last.is_free() and last.is_unchanged() else None


@dataclass
class _Kept:
    """The networks of a model, and who uses them."""

    kind: str
    encoders: dict[str, keras.Model]
    layers: str | None
    twin: keras.Model | None
    state: str
    users: list[weakref.ref]

    def is_free(self) -> bool:
        if any(user() is not None for user in self.users):
            gc.collect()  # a model is full of cycles
        return all(user() is None for user in self.users)

    def serves(self, views: Iterable[keras.Model]) -> bool:
        """Whether all of these are views of the encoders that were given to the last model."""
        known = [user() for user in self.users]
        return all(any(view is user for user in known) for view in views)

    def is_unchanged(self) -> bool:
        return _state(self.encoders) == self.state


def _state(encoders: Mapping[str, keras.Model]) -> str | None:
    """What tells that nothing has changed in frozen encoders.

    `None` where nothing can tell: with layers of the user's own, or an encoder that learns.
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
    """The seed of a trunk's weights: another than the encoders', which follows from it."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def _kind(spec: Mapping, vision_weights: Any, text_weights: Any, seed: int) -> str | None:
    """What decides the encoders, as text; `None` if no text can."""
    sides = [spec["vision_encoder"], spec["text_encoder"]]
    pairs = zip(sides, (vision_weights, text_weights), strict=True)
    sources = [source for side, weights in pairs if side for source in (weights, side["backbone"])]
    drawn = seed if "random" in sources else None
    return _text([spec["precision"], *sides, drawn, *map(_stamp, sources)])


def _stamp(source: Any) -> Any:
    """A file, or the files of a folder, with size and time; anything else as it is."""
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
