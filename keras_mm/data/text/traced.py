"""The TensorFlow layer and traced functions of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from threading import RLock
from typing import Any

from keras_mm.load_order import load_tensorflow


class TracedLayer:
    """A tokenizer's layer with its traced functions; rebuilt where TensorFlow drops its kernels.

    Args:
        create: Creates the layer.
        ids_of: Gives, for a layer, the function from a string tensor to ragged ids.
    """

    def __init__(self, create: Callable[[], Any], ids_of: Callable[[Any], Callable[[Any], Any]]):
        self._create, self._ids_of = create, ids_of
        self._functions: dict[Hashable, Any] = {}
        self._tracing = RLock()

    @cached_property
    def layer(self) -> Any:
        """KerasHub's tokenizer layer."""
        return self._create()

    @cached_property
    def ids(self) -> Any:
        """Texts to ragged ids, traced once for all texts and lengths: byte pairs take seconds."""
        tf = load_tensorflow()

        signature = [tf.TensorSpec([None], tf.string)]
        function = tf.function(self._ids_of(self.layer), input_signature=signature, autograph=False)
        # Also where functions run eagerly: KerasHub's layer would give lists there.
        return function.get_concrete_function()

    def function(self, key: Hashable, trace: Callable[[], Any]) -> Any:
        """A traced function.

        Args:
            key: What distinguishes it from the others.
            trace: Traces it; called the first time, and again after the layer was rebuilt.

        Returns:
            What `trace` returned.
        """
        with self._tracing:
            if key not in self._functions:
                self._functions[key] = trace()
            return self._functions[key]

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function that uses the layer; rebuilds the layer if its kernels are gone.

        Seeding TensorFlow drops cached kernels, among them those that own SentencePiece's model.

        Args:
            work: The function. It must take the layer and the functions from this object.
            *arguments: Its arguments.

        Returns:
            What `work` returns.
        """
        tf, layer = load_tensorflow(), self.layer
        try:
            return work(*arguments)
        except tf.errors.NotFoundError:
            with self._tracing:
                if vars(self).get("layer") is layer:  # else another thread has rebuilt it
                    for name in ("layer", "ids"):
                        vars(self).pop(name, None)
                    self._functions.clear()
            return work(*arguments)
