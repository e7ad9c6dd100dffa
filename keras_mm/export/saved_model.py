"""Builds a SavedModel from a bundle; `export_model` runs this module in a TensorFlow process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from keras_mm.data.images.tf_graph.decoding import decode_images
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.export.decision_graph import decision_outputs
from keras_mm.export.window_graph import at_rows, joined_logits, window_parts
from keras_mm.inference.bundle import load_bundle
from keras_mm.inference.decisions.head_decisions import HeadDecisions, decisions_of
from keras_mm.settings.by_head import by_head, head_prefixes
from keras_mm.settings.heads import Head, resolve_threshold
from keras_mm.settings.sliding_window import SlidingWindow


def write_saved_model(
    bundle: str, folder: str, *, custom_objects: Mapping[str, Any] | None = None
) -> None:
    """Writes a SavedModel.

    Args:
        bundle: A folder that `MultimodalClassifier.save` wrote.
        folder: An existing, empty folder.
        custom_objects: Custom classes by name, if the model needs any.
    """
    model, preprocessor, spec = load_bundle(bundle, custom_objects=custom_objects)
    heads = {name: Head(**head) for name, head in spec["heads"].items()}
    decisions = decisions_of(spec)
    # TensorFlow saves only variables and tables that the module holds.
    module = tf.Module()
    module.variables_ = [variable.value for variable in model.variables]
    if preprocessor.tokenizer is not None:
        module.tokenizer_ = preprocessor.tokenizer.resources
    signatures = {
        "serving_default": _raw_signature(model, preprocessor, heads, decisions),
        "encoded": _encoded_signature(model, heads, decisions),
    }
    tf.saved_model.save(module, folder, signatures=signatures)


def _raw_signature(
    model: keras.Model,
    preprocessor: Preprocessor,
    heads: Mapping[str, Head],
    decisions: Mapping[str, HeadDecisions],
) -> Any:
    """Reads encoded images and strings, `image_1`, ..., `text_1`, ...; empty ones are missing."""
    names = (*preprocessor.image_names, *preprocessor.text_names)

    specs = {name: tf.TensorSpec([None], tf.string, name=name) for name in names}

    def predict(raw: dict[str, Any]) -> dict:
        inputs, window_rows = raw_inputs(raw, preprocessor)
        window = preprocessor.sliding_window
        return _outputs(model, inputs, heads, decisions, window_rows, window)

    return _signature(predict, specs)


def raw_inputs(raw: Mapping[str, Any], preprocessor: Preprocessor) -> tuple[dict, Any]:
    """Computes the model's inputs from encoded images and strings, in a TensorFlow graph.

    Args:
        raw: String tensors `(batch,)` by input name, `image_1`, ..., `text_1`, ...
        preprocessor: The preprocessor of the model.

    Returns:
        The inputs by name, and `None`. With a sliding window: the inputs of all windows, and the
        row index of each window, int64 `(num_windows,)`.
    """
    inputs, window_rows = {}, None
    size, text_format = preprocessor.image_size, preprocessor.text_format
    if preprocessor.num_images and size is not None:
        decoded = [decode_images(raw[name], size) for name in preprocessor.image_names]
        inputs.update(
            {n: image for n, (image, _) in zip(preprocessor.image_names, decoded, strict=True)}
        )
        inputs["image_mask"] = tf.stack([mask for _, mask in decoded], axis=1)
    if text_format is not None:
        texts, parts = [raw[name] for name in preprocessor.text_names], None
        inputs["text_mask"] = tf.stack([text != "" for text in texts], axis=1)
        window = preprocessor.sliding_window
        if window is not None:
            parts, window_rows = window_parts(texts, window, preprocessor.sliding_slot, text_format)
            inputs = at_rows(inputs, window_rows)
        tokenizer, length = text_format.tokenizer, text_format.sequence_length
        inputs |= tokenizer.graph(texts, length, text_format.text_pairing, parts)
    return inputs, window_rows


def _encoded_signature(
    model: keras.Model, heads: Mapping[str, Head], decisions: Mapping[str, HeadDecisions]
) -> Any:
    """Reads the inputs of the model, as tensors."""
    specs = {t.name: tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in model.inputs}
    return _signature(lambda inputs: _outputs(model, inputs, heads, decisions), specs)


def _signature(predict: Callable[[dict[str, Any]], dict], specs: dict) -> Any:
    """A concrete function that takes its tensors by name, as signatures do."""

    # Without autograph: nothing here needs it, and it cannot follow properties.
    @partial(tf.function, autograph=False)
    def signature(**tensors: Any) -> dict:
        return predict(tensors)

    return signature.get_concrete_function(**specs)


def _outputs(
    model: keras.Model,
    inputs: dict,
    heads: Mapping[str, Head],
    decisions: Mapping[str, HeadDecisions],
    window_rows: Any = None,
    window: SlidingWindow | None = None,
) -> dict:
    """The outputs by name; with several heads, each name begins with the name of its head."""
    all_logits, prefixes = by_head(heads, model(inputs, training=False)), head_prefixes(heads)
    outputs = {}
    for name, head in heads.items():
        logits = tf.cast(all_logits[name], tf.float32)
        if window_rows is not None and window is not None:
            logits = joined_logits(logits, window_rows, head, window)
        for kind, value in _outputs_of(head, decisions.get(name), logits).items():
            outputs[prefixes[name] + kind] = value
    return outputs


def _outputs_of(
    head: Head, decisions: HeadDecisions | None, logits: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Predictions and decisions of a head."""
    outputs = _predictions(head, logits)
    if decisions is not None:
        outputs |= decision_outputs(head, decisions, logits)
    if "threshold_label" in outputs:
        names = class_names(list(head.names))
        outputs["threshold_label"] = tf.gather(names, outputs["threshold_label"])
    return outputs


def _predictions(head: Head, logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Probabilities and labels of a head, or the predictions of a regression head."""
    if head.kind == "regression":
        return {"prediction": logits}
    if head.kind == "multilabel":
        # A tensor has one width, so labels that are not predicted are empty strings.
        probabilities = tf.sigmoid(logits)
        thresholds = tf.constant(resolve_threshold(head.threshold, head.names), tf.float32)
        names = tf.constant([str(name) for name in head.names])
        label = tf.where(probabilities >= thresholds, names[tf.newaxis], "")
        return {"probabilities": probabilities, "label": label}
    if head.kind == "binary":
        logits = tf.concat([tf.zeros_like(logits), logits], axis=-1)
    label = tf.gather(class_names(list(head.names)), tf.argmax(logits, axis=-1))
    return {"probabilities": tf.nn.softmax(logits), "label": label}


def class_names(classes: list) -> tf.Tensor:
    """Converts label names to a tensor, which holds values of one type.

    Args:
        classes: Label names in order.

    Returns:
        A tensor `(num_classes,)` of the names' type; floats for integers and floats, and strings
        for any other mix of types.
    """
    kinds = {type(c) for c in classes}
    if float in kinds and kinds <= {int, float}:
        return tf.constant(classes, tf.float64)
    return tf.constant(classes if len(kinds) == 1 else [str(c) for c in classes])


if __name__ == "__main__":
    write_saved_model(*sys.argv[1:3])
