"""Tiny networks and vocabularies of every KerasHub family, with all-different sizes."""

import io
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import keras
import numpy as np

WORDS = ["red", "blue", "left", "right", "the", "a", "up", "down", "café", "naïve"]
POSITIONS = 23


@contextmanager
def shapes_only() -> Iterator[None]:
    """Models built inside have no weights, and are built in no time."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.backend.clear_session()  # or the next scope of all would initialise the weights of these


def text_network(family: str, vocabulary_size: int = 61) -> keras.Model:
    """A text network with random weights: two layers, two heads, 6 wide."""
    import keras_hub

    models = keras_hub.models
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 6, "intermediate_dim": 7}
    sizes["max_sequence_length"] = POSITIONS
    if family == "clip":
        text = models.CLIPTextEncoder(vocabulary_size=vocabulary_size, embedding_dim=6, **sizes)
        return models.CLIPBackbone(_vision_encoder("clip"), text, projection_dim=5)
    if family == "siglip":
        text = models.SigLIPTextEncoder(
            vocabulary_size=vocabulary_size, embedding_dim=6, projection_dim=5, **sizes
        )
        return models.SigLIPBackbone(_vision_encoder("siglip"), text)
    classes = {
        "bert": models.BertBackbone,
        "distil_bert": models.DistilBertBackbone,
        "roberta": models.RobertaBackbone,
        "xlm_roberta": models.XLMRobertaBackbone,
        "deberta_v3": models.DebertaV3Backbone,
        "albert": models.AlbertBackbone,
        "electra": models.ElectraBackbone,
    }
    if family in ("albert", "electra"):
        sizes["embedding_dim"] = 3
    if family == "deberta_v3":
        sizes["bucket_size"] = 11
    size = "vocab_size" if family == "electra" else "vocabulary_size"
    return classes[family](**{size: vocabulary_size}, **sizes)


def vision_network(family: str) -> keras.Model:
    """An image network with random weights, for images of 28 x 28 where it has a size."""
    import keras_hub

    models = keras_hub.models
    if family in ("clip", "siglip"):
        return text_network(family)
    if family == "vit":
        return models.ViTBackbone(
            image_shape=(28, 28, 3), patch_size=7, num_layers=2, num_heads=2, hidden_dim=6,
            mlp_dim=5,
        )  # fmt: skip
    if family == "dinov2":
        return models.DINOV2Backbone(
            patch_size=7, num_layers=2, hidden_dim=6, num_heads=2, intermediate_dim=5,
            num_register_tokens=3, image_shape=(28, 28, 3), position_embedding_shape=(35, 35),
        )  # fmt: skip
    if family == "resnet_v2":
        return models.ResNetBackbone(
            input_conv_filters=[5], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 3],
            stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2],
            block_type="bottleneck_block", use_pre_activation=True,
        )  # fmt: skip
    if family == "efficientnet":
        return models.EfficientNetBackbone(
            stackwise_width_coefficients=[1.0] * 2, stackwise_depth_coefficients=[1.0] * 2,
            stackwise_kernel_sizes=[3, 3], stackwise_num_repeats=[1, 1],
            stackwise_input_filters=[8, 8], stackwise_output_filters=[8, 16],
            stackwise_expansion_ratios=[1, 2], stackwise_strides=[1, 2],
            stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
            stackwise_block_types=["unfused", "unfused"], stackwise_force_input_filters=[0, 0],
            stackwise_nores_option=[False, False], min_depth=8,
        )  # fmt: skip
    return models.MobileNetBackbone(
        stackwise_expansion=[[8], [16]], stackwise_num_blocks=[1, 1],
        stackwise_num_filters=[[8], [16]], stackwise_kernel_size=[[3], [3]],
        stackwise_num_strides=[[2], [1]], stackwise_se_ratio=[[None], [0.25]],
        stackwise_activation=[["relu"], ["hard_swish"]], stackwise_padding=[[1], [1]],
        output_num_filters=24, depthwise_filters=8, depthwise_stride=1, depthwise_residual=False,
        last_layer_filter=16,
    )  # fmt: skip


def _vision_encoder(family: str) -> keras.Model:
    import keras_hub

    create = {
        "clip": keras_hub.models.CLIPVisionEncoder,
        "siglip": keras_hub.models.SigLIPVisionEncoder,
    }[family]
    return create(
        patch_size=7, hidden_dim=6, num_layers=2, num_heads=2, intermediate_dim=11,
        image_shape=(28, 28, 3),
    )  # fmt: skip


def image_converter(family: str, scale=0.01, offset=-0.5):
    """KerasHub's image converter of a family."""
    import keras_hub

    names = {
        "vit": "ViT", "dinov2": "DINOV2", "resnet_v2": "ResNet", "efficientnet": "EfficientNet",
        "mobilenet": "MobileNet", "clip": "CLIP", "siglip": "SigLIP",
    }  # fmt: skip
    create = getattr(keras_hub.layers, f"{names[family]}ImageConverter")
    return create(image_size=(28, 28), scale=scale, offset=offset)


def randomise(model: keras.Model, seed: int = 7) -> keras.Model:
    """Gives every float weight a value of its own, so that nothing hides behind a zero."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if str(weight.dtype).startswith("float"):
            value = rng.normal(0, 0.3, weight.shape)
            weight.assign(np.abs(value) + 0.3 if "variance" in weight.path else value)
    return model


# --- vocabularies --------------------------------------------------------------------------------


def byte_pairs(family: str = "roberta") -> tuple[dict[str, int], list[str]]:
    """A byte-pair vocabulary of all bytes and a few words, and its merges."""
    from keras_hub.src.tokenizers.byte_pair_tokenizer import bytes_to_unicode

    letters = bytes_to_unicode()[1]
    if family == "clip":
        tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
        merges = ["r e", "re d</w>", "l e", "f t</w>", "le ft</w>"]
        special = ["<|startoftext|>", "<|endoftext|>"]
        tokens += [merge.replace(" ", "") for merge in merges] + special
    else:
        merges = ["Ġ r", "Ġr e", "Ġre d", "l e", "f t", "le ft", "Ġ left", "r e", "re d"]
        tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters]
        tokens += [merge.replace(" ", "") for merge in merges] + ["<mask>"]
    return {token: i for i, token in enumerate(tokens)}, merges


@cache
def sentence_piece(family: str) -> bytes:
    """A SentencePiece model of a few words, with the family's special pieces."""
    import sentencepiece

    special = {
        "xlm_roberta": {"unk_id": 0, "bos_id": 1, "eos_id": 2},
        "albert": {
            "pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, "pad_piece": "<pad>",
            "unk_piece": "<unk>", "bos_piece": "[CLS]", "eos_piece": "[SEP]",
            "control_symbols": "[MASK]",
        },
        "deberta_v3": {
            "pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3, "pad_piece": "[PAD]",
            "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]",
        },
        "siglip": {"unk_id": 2, "bos_id": -1, "eos_id": 1, "pad_id": 0},
        "siglip2": {
            "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "eos_piece": "<eos>",
            "bos_piece": "<bos>",
        },
    }[family]  # fmt: skip
    texts = [f"{word} {other}." for word in WORDS for other in WORDS]
    texts += ["<s> </s> [CLS] [SEP] [PAD] [MASK] <pad> <unk> <eos>"] * 5
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=60, hard_vocab_limit=False,
        model_type="unigram", minloglevel=2, **special,
    )  # fmt: skip
    return model.getvalue()


# --- characters ----------------------------------------------------------------------------------

# Emoji and words that are joined, or turned, by format characters.
JOINED = "👩\u200d🚀 می\u200cخواهم \u200fשלום 🏴\U000e0067\U000e007f\t\r\n"


@cache
def characters(category: str) -> list[str]:
    """All characters of a category of Unicode; of private use and unassigned every 1999th."""
    step = 1999 if category in ("Co", "Cn") else 1
    codes = [c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) == category]
    return [chr(code) for code in codes[::step]]


def odd_characters() -> list[str]:
    """Characters of all categories that hold no letter, mark, number, sign or space."""
    return [c for category in ("Cc", "Cf", "Co", "Cn") for c in characters(category)]
