"""Every fusion, comparison and kind of head starts near the loss of what sees no input."""

import itertools

import keras
import numpy as np
import pytest

from keras_mm import (
    Head,
    create_multimodal_model,
    create_text_encoder,
    create_vision_encoder,
    list_presets,
)
from keras_mm.data.dataset import MultimodalDataset
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.models.fusion import create_fusion
from keras_mm.models.layers.scaling import standardize_targets, target_scales
from keras_mm.models.multimodal import parts
from keras_mm.models.trunk import create_trunk
from keras_mm.presets.presets import FUSIONS
from keras_mm.training.head_start import start_heads
from keras_mm.training.objectives import create_objectives

pytestmark = [pytest.mark.many_networks, pytest.mark.eager]

HEADS = {
    "mood": Head(classes=5),
    "spam": Head("binary"),
    "topics": Head("multilabel", classes=3),
    "stars": Head("regression", classes=2),
}
ROWS = 40


def labels_of(rows=ROWS):
    """Labels that no row tells, some of them rare."""
    rng = np.random.default_rng(5)
    return {
        "mood": rng.permutation(np.arange(rows) % 20).clip(0, 4),
        "spam": (rng.permutation(rows) < rows // 10).astype(int),
        "topics": (rng.random((rows, 3)) < [0.5, 0.2, 0.1]).astype(int),
        "stars": rng.normal(size=(rows, 2)) * [1e4, 0.1] + [1e5, 3],
    }


def entropy(shares):
    shares = np.asarray(shares)
    return -np.sum(shares * np.log(np.maximum(shares, 1e-30)), axis=-1)


def expected(labels) -> dict[str, float]:
    """The loss of each head's best answer that sees no input."""
    yes = np.stack([labels["topics"].mean(axis=0), 1 - labels["topics"].mean(axis=0)], axis=-1)
    return {
        "mood": entropy(np.bincount(labels["mood"]) / len(labels["mood"])),
        "spam": entropy(np.bincount(labels["spam"]) / len(labels["spam"])),
        "topics": entropy(yes).mean(),
        "stars": 1.0,  # of standardised targets
    }


def first_losses(trunk, features, labels) -> dict[str, float]:
    """The losses of a trunk that is not trained, its heads begun as the estimator does it."""
    sizes = {name: head.num_logits for name, head in HEADS.items()}
    standardize_targets(trunk, "stars", labels["stars"])
    scales = target_scales(trunk)
    objectives = create_objectives(HEADS, sizes, labels, {}, scales=scales)
    fed = {tensor.name: features[tensor.name] for tensor in trunk.inputs}
    start_heads(trunk, [(fed, labels)], objectives)
    logits = trunk.predict_on_batch(fed)
    return {
        name: float(one.loss(*map(keras.ops.convert_to_tensor, (labels[name], logits[name]))))
        for name, one in objectives.items()
    }


def check(trunk, features):
    labels = labels_of(len(features["image_mask"]))
    found, wanted = first_losses(trunk, features, labels), expected(labels)
    ratios = {name: round(found[name] / wanted[name], 3) for name in HEADS}
    assert all(0.75 < ratio < 1.25 for ratio in ratios.values()), ratios


def encoded(encoders, preprocessor, table):
    """Features of a table's rows by the trunk's names, and the rest of its inputs."""
    columns = {"images": ["image_1", "image_2"], "texts": ["text_1", "text_2"]}
    dataset = MultimodalDataset(
        table[:ROWS], preprocessor, **columns, batch_size=ROWS, shuffle=False
    )
    inputs = dict(dataset[0][0] if isinstance(dataset[0], tuple) else dataset[0])
    found = dict(inputs)
    for side, encoder in encoders.items():
        read = {tensor.name: inputs[tensor.name] for tensor in encoder.inputs}
        for name, value in encoder.predict_on_batch(read).items():
            found[f"{side}_{name}"] = np.asarray(value)
    return found


SIDES = ["both", "vision", "text"]
CASES = [
    *((fusion, compare, "both", 64) for fusion in FUSIONS for compare in (False, True)),
    *(("concat", compare, side, width) for compare in (False, True) for side in SIDES
      for width in (0, 64) if (side, width) != ("both", 64)),
]  # fmt: skip


def build(encoders, fusion, compare, side, width, **options):
    """A model on the same encoders, or on one of them."""
    keras.utils.set_random_seed(0)
    chosen = [encoders[one] if side in ("both", one) else None for one in ("vision", "text")]
    model = create_multimodal_model(
        *chosen, HEADS, fusion=fusion, compare=compare, projection_dims=width, **options
    )
    return parts(model).trunk


@pytest.fixture(scope="module")
def tiny(sample):
    """The real encoders of `tiny`, texts packed and separate, and what they give for rows."""
    keras.utils.set_random_seed(1)
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=(64, 64))
    found = {}
    for pairing in ("packed", "separate"):
        text = create_text_encoder(
            "tiny_bert", weights="random", sequence_length=48, text_pairing=pairing
        )
        encoders = {"vision": vision, "text": text}
        preprocessor = Preprocessor(
            image_size=(64, 64), num_images=2, tokenizer="tiny_bert", sequence_length=48,
            num_texts=2, text_pairing=pairing,
        )  # fmt: skip
        found[pairing] = encoders, encoded(encoders, preprocessor, sample[0])
    return found


def pairing_of(fusion, compare):
    return "separate" if compare and fusion != "mmbt" else "packed"


@pytest.mark.parametrize(("fusion", "compare", "side", "width"), CASES, ids=str)
def test_first_losses_of_tiny(tiny, fusion, compare, side, width):
    encoders, features = tiny[pairing_of(fusion, compare)]
    check(build(encoders, fusion, compare, side, width), features)


@pytest.fixture(scope="module")
def pretrained(sample, minilm, shared, once):
    """The real encoders of `mobilenet_v2_minilm`, and what they give for rows."""
    weights = shared / "weights/mobilenet_v2_0.35_224_notop.weights.h5"
    vision = create_vision_encoder("mobilenet_v2_0.35", weights=weights)
    found = {}
    for pairing in ("packed", "separate"):
        text = create_text_encoder(
            "all_minilm_l6_v2", weights=minilm, sequence_length=16, text_pairing=pairing,
            pooling="mean",
        )  # fmt: skip
        encoders = {"vision": vision, "text": text}
        preprocessor = Preprocessor(
            image_size=(128, 128), num_images=2, tokenizer=minilm, sequence_length=16,
            num_texts=2, text_pairing=pairing,
        )  # fmt: skip
        found[pairing] = encoders, encoded(encoders, preprocessor, sample[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("fusion", "compare", "side", "width"), CASES, ids=str)
def test_first_losses_of_mobilenet_and_minilm(pretrained, fusion, compare, side, width):
    encoders, features = pretrained[pairing_of(fusion, compare)]
    check(build(encoders, fusion, compare, side, width), features)


# Widths of what the presets' encoders give, images and texts.
WIDTHS = {
    "resnet50v2_bert_base": (2048, 768),
    "distil_bert_text": (None, 768),
    "minilm_text": (None, 384),
    "siglip2_base": (768, 768),
    "dinov2_bge_m3": (768, 1024),
    "xlm_roberta_text": (None, 768),
    "bge_m3_text": (None, 1024),
    "minilm_heads": (None, 384),
    "bge_m3_heads": (None, 1024),
}


def test_every_preset_is_looked_at():
    assert {*WIDTHS, "tiny", "mobilenet_v2_minilm", "auto"} == set(list_presets())


def drawn(width, slots, scale, seed):
    """Features of one side: vectors, and three tokens for each slot."""
    rng = np.random.default_rng(seed)
    shape = (ROWS, slots * 3)
    return {
        "pooled_output": (rng.normal(size=(ROWS, slots, width)) * scale).astype("float32"),
        "sequence_output": (rng.normal(size=(*shape, width)) * scale).astype("float32"),
        "sequence_mask": rng.random(shape) < 0.8,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDTHS)
def test_first_losses_on_random_features(once, name):
    preset = list_presets()[name]
    width = preset.training.get("projection_dims", 256)
    sides = {}
    scales = (20.0, 0.05)  # as far apart as no two encoders are
    for number, (side, size, scale) in enumerate(
        zip(("vision", "text"), WIDTHS[name], scales, strict=True)
    ):
        if size is not None:
            sides[side] = drawn(size, 2, scale, number)
    fusions = [f for f in FUSIONS if f != "mmbt"] if len(sides) > 1 else ["concat"]
    for fusion, compare in itertools.product(fusions, (False, True)):
        symbols = {
            side: {n: keras.Input(v.shape[1:], dtype=str(v.dtype)) for n, v in outputs.items()}
            for side, outputs in sides.items()
        }
        keras.utils.set_random_seed(0)
        trunk = create_trunk(
            symbols, HEADS, fusion=create_fusion(fusion), compare=compare, projection_dims=width
        )
        features = {f"{s}_{n}": v for s, outputs in sides.items() for n, v in outputs.items()}
        masks = dict.fromkeys(("image_mask", "text_mask"), np.ones((ROWS, 2), bool))
        check(trunk, {**features, **masks})
