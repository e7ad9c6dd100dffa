"""Tiny networks in Hugging Face's format, and what they should answer, in NumPy."""

import json
import math
from pathlib import Path

import numpy as np

from tests.families import byte_pairs, sentence_piece

LAYERS, HEADS, WIDTH, INNER, POSITIONS = 2, 2, 6, 10, 19
_BERT = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "o": "attention.output.dense", "norm": "attention.output.LayerNorm",
    "up": "intermediate.dense", "down": "output.dense", "last": "output.LayerNorm",
}  # fmt: skip
# By family: prefix of the file's keys, place of a layer, names within a layer.
NAMES = {
    "bert": ("", "encoder.layer.{}", _BERT),
    "roberta": ("roberta.", "encoder.layer.{}", _BERT),
    "xlm-roberta": ("roberta.", "encoder.layer.{}", _BERT),
    "distilbert": (
        "distilbert.",
        "transformer.layer.{}",
        {
            "q": "attention.q_lin", "k": "attention.k_lin", "v": "attention.v_lin",
            "o": "attention.out_lin", "norm": "sa_layer_norm", "up": "ffn.lin1",
            "down": "ffn.lin2", "last": "output_layer_norm",
        },
    ),
    "albert": (
        "albert.",
        "encoder.albert_layer_groups.0.albert_layers.0",
        {
            "q": "attention.query", "k": "attention.key", "v": "attention.value",
            "o": "attention.dense", "norm": "attention.LayerNorm", "up": "ffn",
            "down": "ffn_output", "last": "full_layer_layer_norm",
        },
    ),
}  # fmt: skip
OFFSETS = {"roberta": 2, "xlm-roberta": 2}
SHAPES = {
    "q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "o": (WIDTH, WIDTH),
    "norm": (WIDTH,), "up": (INNER, WIDTH), "down": (WIDTH, INNER), "last": (WIDTH,),
}  # fmt: skip


def write_text_folder(folder: Path, family: str, vocabulary_size: int) -> dict[str, np.ndarray]:
    """Writes config.json, model.safetensors and the tokenizer's files; gives the weights."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = _weights(family, vocabulary_size)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    sizes = {
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_size": WIDTH,
        "intermediate_size": INNER, "hidden_dropout_prob": 0.1, "type_vocab_size": 2,
        "attention_probs_dropout_prob": 0.1,
    }  # fmt: skip
    if family == "distilbert":
        sizes = {"n_layers": LAYERS, "n_heads": HEADS, "dim": WIDTH, "hidden_dim": INNER,
                 "dropout": 0.1}  # fmt: skip
    if family == "albert":
        sizes |= {"embedding_size": 4, "num_hidden_groups": 1, "inner_group_num": 1}
    config = {
        "model_type": family, "vocab_size": vocabulary_size,
        "max_position_embeddings": POSITIONS + OFFSETS.get(family, 0), **sizes,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, family)
    return weights


def write_tokenizer(folder: Path, family: str) -> None:
    """The vocabulary, under the names of the family's repositories on the hub."""
    if family in ("bert", "distilbert"):
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "left", "the", "##s"]
        (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    elif family == "roberta":
        vocabulary, merges = byte_pairs()
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        lines = ["#version: 0.2", *merges]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        name = {"xlm-roberta": "sentencepiece.bpe.model", "albert": "spiece.model"}[family]
        (folder / name).write_bytes(sentence_piece(family.replace("-", "_")))


def _weights(family: str, vocabulary_size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)

    def draw(*shape):
        return rng.normal(0, 0.4, shape).astype("float32")

    prefix, place, names = NAMES[family]
    width = 4 if family == "albert" else WIDTH
    found = {
        "embeddings.word_embeddings.weight": draw(vocabulary_size, width),
        "embeddings.position_embeddings.weight": draw(POSITIONS + OFFSETS.get(family, 0), width),
        "embeddings.LayerNorm.weight": draw(width),
        "embeddings.LayerNorm.bias": draw(width),
    }
    if family != "distilbert":
        kinds = {"roberta": 1, "xlm-roberta": 1}.get(family, 2)
        # All zero in the RoBERTa of the hub.
        segments = draw(kinds, width) * (family != "roberta")
        found["embeddings.token_type_embeddings.weight"] = segments
    if family == "bert":
        found |= {"pooler.dense.weight": draw(WIDTH, WIDTH), "pooler.dense.bias": draw(WIDTH)}
    if family == "albert":
        mapping = "encoder.embedding_hidden_mapping_in"
        found |= {f"{mapping}.weight": draw(WIDTH, width), f"{mapping}.bias": draw(WIDTH)}
        found |= {"pooler.weight": draw(WIDTH, WIDTH), "pooler.bias": draw(WIDTH)}
    for layer in range(LAYERS):
        for short, shape in SHAPES.items():
            name = f"{place.format(layer)}.{names[short]}"
            found[f"{name}.weight"], found[f"{name}.bias"] = draw(*shape), draw(shape[0])
    return {prefix + name: value for name, value in found.items()}


def forward(weights: dict, family: str, token_ids, segment_ids) -> np.ndarray:
    """Last hidden states of one sequence without padding, `(tokens, width)`."""
    prefix, place, names = NAMES[family]
    weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    exact = family in ("roberta", "xlm-roberta", "distilbert")
    epsilon = 1e-5 if family in OFFSETS else 1e-12

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    places = np.arange(len(token_ids)) + OFFSETS.get(family, 0)
    x = weights["embeddings.word_embeddings.weight"][token_ids]
    x = x + weights["embeddings.position_embeddings.weight"][places]
    if "embeddings.token_type_embeddings.weight" in weights:
        segments = np.zeros_like(segment_ids) if family in OFFSETS else segment_ids
        x = x + weights["embeddings.token_type_embeddings.weight"][segments]
    x = norm(x, "embeddings.LayerNorm")
    if family == "albert":
        x = dense(x, "encoder.embedding_hidden_mapping_in")
    for layer in range(LAYERS):
        own = {short: f"{place.format(layer)}.{name}" for short, name in names.items()}
        q, k, v = (
            dense(x, own[part]).reshape(len(x), HEADS, -1).transpose(1, 0, 2) for part in "qkv"
        )
        scores = np.exp(q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS))
        heads = (scores / scores.sum(-1, keepdims=True)) @ v
        attended = dense(heads.transpose(1, 0, 2).reshape(len(x), WIDTH), own["o"])
        x = norm(x + attended, own["norm"])
        inner = dense(x, own["up"])
        erf = np.vectorize(math.erf)(inner / math.sqrt(2))
        tanh = np.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3))
        x = norm(x + dense(inner * 0.5 * (1 + (erf if exact else tanh)), own["down"]), own["last"])
    return x
