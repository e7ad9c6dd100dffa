"""The TensorFlow layer and traced functions of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from threading import RLock
from typing import Any

from keras_mm.load_order import load_tensorflow


class TracedLayer:
    """A tokenizer's layer with its traced functions; they are rebuilt if TensorFlow drops kernels.

    Args:
        create: Creates the layer.
        ids_of: Returns, for a layer, the function from a string tensor to ragged ids.
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
        """The function from texts to ragged ids, traced once: for byte pairs this takes seconds."""
        tf = load_tensorflow()

        signature = [tf.TensorSpec([None], tf.string)]
        function = tf.function(self._ids_of(self.layer), input_signature=signature, autograph=False)
        # A concrete function also runs as a graph if the user has switched functions to eager mode,
        # in which KerasHub's layer would return lists.
        return function.get_concrete_function()

    def function(self, key: Hashable, trace: Callable[[], Any]) -> Any:
        """Returns a traced function, which is traced at the first call.

        Args:
            key: Key of the function.
            trace: Traces the function; called at the first use, and again after a rebuild.

        Returns:
            The result of `trace`.
        """
        with self._tracing:
            if key not in self._functions:
                self._functions[key] = trace()
            return self._functions[key]

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function that uses the layer; rebuilds the layer if its kernels were dropped.

        `tf.random.set_seed` drops cached kernels, and with them the SentencePiece models.

        Args:
            work: The function. It must use the layer and the traced functions of this object.
            *arguments: Its arguments.

        Returns:
            The result of `work`.
        """
        tf, layer = load_tensorflow(), self.layer
        try:
            return work(*arguments)
        except tf.errors.NotFoundError:
            with self._tracing:
                if vars(self).get("layer") is layer:  # no other thread has rebuilt it meanwhile
                    for name in ("layer", "ids"):
                        vars(self).pop(name, None)
                    self._functions.clear()
            return work(*arguments)
