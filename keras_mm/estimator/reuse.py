"""Reuses frozen encoders and the compiled training step in the next training."""

from __future__ import annotations

import gc
import json
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

import keras
import numpy as np

from keras_mm.features.fingerprint import fingerprint
from keras_mm.files import stamp
from keras_mm.inference.bundle import build_encoders, build_model
from keras_mm.models.multimodal import copy_variables, cut, join, parts
from keras_mm.random_state import set_states


class Workbench:
    """Builds models, and reuses networks of the last model if a new one needs the same.

    Frozen encoders are reused if they have not changed, and nothing else refers to the last model.
    Training runs on a twin: a copy of the trunk that nothing else refers to. The twin, with its
    compiled training step, is reused for a trunk with the same layers; it starts with the weights
    and the random state of the new trunk. The results are the same as without any reuse.

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
        member: int = 0,
        kind: str = "trunk",
    ) -> tuple[keras.Model, keras.Model | None]:
        """Builds the model that a spec describes.

        Call it inside `keras_mm.random_state.seeded(seed)`; it sets the random states again.

        Args:
            spec: As in `build_model`.
            vision_weights: As in `build_encoders`.
            text_weights: As in `build_encoders`.
            seed: Seed of the weights and of dropout, in [0, 2**32).
            member: Number of the member of an average of models: each has a trunk of its own, and
                the same encoders.
            kind: As in `build_model`.

        Returns:
            The model, and the twin of its trunk. If there is a twin, train it instead of the trunk,
            and then copy its weights to the trunk. The twin is `None` if an encoder is not frozen,
            or if it cannot be known whether the networks are the same.
        """
        set_states(seed)
        encoder_kind = _kind(spec, vision_weights, text_weights, seed)
        last = self._take(encoder_kind)
        if last is None:
            encoders = build_encoders(
                spec, vision_weights=vision_weights, text_weights=text_weights
            )
        else:
            encoders = last.encoders
        set_states(_trunk_seed(seed, member))  # reused encoders draw no random numbers
        state = last.state if last is not None else _state(encoders)
        if encoder_kind is None or state is None:
            return build_model(spec, encoders, kind), None
        model = _on_views(spec, encoders, kind)
        own = parts(model)
        if set(own.encoders) != set(encoders):  # with MMBT, the text encoder is part of the trunk
            return model, None
        layers = _text([spec["trunk"], spec["heads"], kind])
        if last is not None and last.twin is not None and last.layers == layers:
            twin = last.twin
        else:
            twin = None if layers is None else cut(_on_views(spec, encoders, kind))
        if twin is not None:
            copy_variables(own.trunk, parts(twin).trunk)
        # Users of the model hold views of the encoders, which are freed with the model.
        users = [weakref.ref(user) for user in (model, *own.encoders.values())]
        self._kept.append(_Kept(encoder_kind, encoders, layers, twin, state, users))
        return model, twin

    def set_aside(self, model: keras.Model) -> Callable[[], keras.Model]:
        """Prepares for the deletion of the last model, so that the next one can use its encoders.

        Args:
            model: The last model.

        Returns:
            A function that returns the model: the same object as long as something refers to it,
            else a new model with the same layers. It does not refer to the model itself, unless
            the encoders cannot be reused.
        """
        own = parts(model)
        kept = self._kept[-1] if self._kept else None
        if kept is None or not kept.serves(own.encoders.values()):
            return lambda: model
        # A view of the trunk, because the trunk itself refers to the model.
        return partial(self._rebuilt, kept, _view(own.trunk), weakref.ref(model))

    def _rebuilt(
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
        """The last networks, if they are the same, not in use and unchanged."""
        try:
            last = self._kept.pop()
        except IndexError:
            return None
        return last if last.kind == kind and last.is_free() and last.is_unchanged() else None


@dataclass
class _Kept:
    """The networks of a model.

    Attributes:
        kind: The description of the encoders; see `_kind`.
        encoders: The frozen encoders.
        layers: The description of the layers of the trunk.
        twin: The copy of the trunk that is trained; see `Workbench`.
        state: The description of the state of the encoders; see `_state`.
        users: Weak references to the model and to its views of the encoders.
    """

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
        """Whether these models are the views of the encoders in the last model."""
        known = [user() for user in self.users]
        return all(any(view is user for user in known) for view in views)

    def is_unchanged(self) -> bool:
        return _state(self.encoders) == self.state


def _state(encoders: Mapping[str, keras.Model]) -> str | None:
    """Describes the state of frozen encoders as text, to recognise changes.

    `None` if this is not possible: with layers of the user's own, or an encoder that is trained.
    """
    if any(encoder.trainable_variables for encoder in encoders.values()):
        return None
    digests = [fingerprint(encoder) for encoder in encoders.values()]
    if None in digests:
        return None
    return json.dumps([digests, *(e.get_config() for e in encoders.values())], default=repr)


def _on_views(
    spec: Mapping[str, Any], encoders: Mapping[str, keras.Model], kind: str = "trunk"
) -> keras.Model:
    """A new model on views of the encoders."""
    views = {side: _view(encoder) for side, encoder in encoders.items()}
    return build_model(spec, views, kind)


def _view(model: keras.Model) -> keras.Model:
    """A new model with the same layers."""
    view = type(model)(model.input, model.output, name=model.name)
    if not model.trainable:
        view.trainable = False
    return view


def with_new_trunk(
    model: keras.Model, spec: Mapping[str, Any], *, seed: int, member: int, kind: str = "trunk"
) -> keras.Model:
    """Builds another member of an average of models, on the encoders of the first.

    Call it inside `keras_mm.random_state.seeded(seed)`; it sets the random states again.

    Args:
        model: The first member, as `Workbench.model` returned it.
        spec: As in `build_model`.
        seed: As in `Workbench.model`.
        member: As in `Workbench.model`.
        kind: As in `build_model`.

    Returns:
        A model with the same layers, a new trunk and the same encoders.
    """
    set_states(_trunk_seed(seed, member))
    return _on_views(spec, parts(model).encoders, kind)


def model_on(
    encoders: Mapping[str, keras.Model],
    spec: Mapping[str, Any],
    *,
    seed: int,
    member: int = 0,
    kind: str = "trunk",
) -> tuple[keras.Model, keras.Model]:
    """Builds a model with a new trunk on frozen encoders of another model.

    Call it inside `keras_mm.random_state.seeded(seed)`; it sets the random states again.

    Args:
        encoders: The encoders by side; all sides of the new model.
        spec: As in `build_model`.
        seed: As in `Workbench.model`.
        member: As in `Workbench.model`.
        kind: As in `build_model`.

    Returns:
        The model, and the twin of its trunk, as `Workbench.model` returns them.
    """
    set_states(_trunk_seed(seed, member))
    model, twin = _on_views(spec, encoders, kind), cut(_on_views(spec, encoders, kind))
    copy_variables(parts(model).trunk, parts(twin).trunk)
    return model, twin


def _trunk_seed(seed: int, member: int) -> int:
    """The seed of a trunk's weights, derived from the seed of the encoders' weights."""
    entropy = [seed, 1, member] if member else [seed, 1]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _kind(spec: Mapping, vision_weights: Any, text_weights: Any, seed: int) -> str | None:
    """Describes everything that determines the encoders, as JSON; `None` if that is impossible."""
    sides = [spec["vision_encoder"], spec["text_encoder"]]
    pairs = zip(sides, (vision_weights, text_weights), strict=True)
    sources = [source for side, weights in pairs if side for source in (weights, side["backbone"])]
    drawn = seed if "random" in sources else None
    return _text([spec["precision"], *sides, drawn, *map(stamp, sources)])


def _text(value: Any) -> str | None:
    """The value as JSON; `None` if that is impossible."""
    try:
        return json.dumps(value, sort_keys=True)
    except TypeError:  # a network or layer of the user's own
        return None
