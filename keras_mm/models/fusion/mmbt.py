"""MMBT: one BERT reads image regions as additional tokens."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_mm.errors import InvalidValueError
from keras_mm.models.fusion.attention import masked_mean
from keras_mm.models.keras_settings import build_settings
from keras_mm.models.layers.missing import MissingModality

# Rows and columns of the grid that a feature map is averaged to, by the number of image tokens.
GRIDS = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2), 5: (5, 1), 6: (3, 2), 7: (7, 1), 8: (4, 2),
         9: (3, 3)}  # fmt: skip


@keras.saving.register_keras_serializable("keras_mm")
class MMBT(layers.Layer):
    """One BERT over `[CLS] image tokens [SEP]` and the text.

    The image part has segment 0, and the text (both texts of a packed pair, separated by `[SEP]`)
    has segment 1; positions start at 0 in each. The tokens of an image are averages of its feature
    map over the cells of a grid, projected to BERT's width. The BERT is that of the text encoder,
    whose features depend on the images and therefore cannot be cached. In addition to BERT's pooled
    output, the layer returns the product of the mean output at the image tokens and the mean output
    at the text tokens: from small data sets, the pooled output alone learns combinations of the
    modalities slowly.

    Args:
        num_image_tokens: Number of tokens per image, 1 to 9; see `GRIDS`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        sides: `[vision, text]`.
        vision: dict of `sequence_output` `(batch, N * T, width)`, `sequence_mask`
            `(batch, N * T)`, bool, and optionally `pooled_output` `(batch, width)`, which becomes
            an additional image token.
        text: dict of `token_ids`, `segment_ids` (not used), `padding_mask` `(batch, L)`, as packed
            by the tokenizer, and `text_mask` `(batch, T)`, bool.

    Call returns:
        `(batch, 2 * hidden_dim)`: BERT's pooled output, and the product.

    Raises:
        ValueError: if `num_image_tokens` is not in 1 to 9; or from `read_from`.

    Reference:
        Kiela et al. 2019, "Supervised Multimodal Bitransformers", arXiv:1909.02950, section 3.
    """

    needs_tokens = True

    def __init__(self, num_image_tokens: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        if num_image_tokens not in GRIDS:
            raise InvalidValueError(
                f"`num_image_tokens` must be 1 to 9. Received: num_image_tokens={num_image_tokens}"
            )
        self.num_image_tokens = num_image_tokens
        self.grid: tuple[int, int] | None = None
        self.backbone: keras.Model | None = None

    def read_from(self, grid: tuple[int, int] | None, text: keras.Model) -> None:
        """Sets the size of the image encoder's feature map, and the network of the text encoder.

        Args:
            grid: Rows and columns of the feature map; `None` if the encoder has none.
            text: The text encoder.

        Raises:
            ValueError: if there is no feature map, or the text encoder is not a BERT over packed
                texts.
        """
        if grid is None:
            raise InvalidValueError(
                "fusion='mmbt' needs an image encoder with a feature map (height x width of "
                "regions); this one returns vectors, or tokens of unknown layout."
            )
        network = next(layer for layer in text.layers if isinstance(layer, keras.Model))
        if type(network).__name__ != "BertBackbone":
            raise InvalidValueError(
                "fusion='mmbt' puts image tokens into BERT's own input embeddings; the text "
                f"encoder {network.name!r} is a {type(network).__name__}. Use a BERT, or "
                "fusion='cross_attention'."
            )
        if text.output["pooled_output"].shape[1] != 1:
            raise InvalidValueError(
                "fusion='mmbt' reads one packed sequence: use text_pairing='packed'."
            )
        self._read(grid, network)

    def _read(self, grid: tuple[int, int], network: keras.Model) -> None:
        self.grid, self.backbone = grid, network
        # The text encoder may have frozen the pooler as unused; this layer uses it.
        network.pooled_dense.trainable = network.trainable

    def _encoders(self) -> tuple[tuple[int, int], keras.Model]:
        """The size of the feature map, and BERT."""
        if self.grid is None or self.backbone is None:
            raise InvalidValueError(
                "An MMBT layer needs `read_from(grid, text_encoder)` before its first call; "
                "`create_multimodal_model` does this for fusion='mmbt'."
            )
        return self.grid, self.backbone

    def build(self, shapes: Any) -> None:
        """Creates the projection of the image tokens and the vector for a missing text."""
        vision, text = shapes
        grid, network = self._encoders()
        self.slots = vision["sequence_output"][1] // (grid[0] * grid[1])
        width = network.hidden_dim
        self.project = layers.Dense(width, name="project", dtype=self.dtype_policy)
        self.project.build(vision["sequence_output"])
        if "pooled_output" in vision:
            self.project_pooled = layers.Dense(
                width, name="project_pooled", dtype=self.dtype_policy
            )
            self.project_pooled.build(vision["pooled_output"])
        self.missing = MissingModality(slots=1, name="missing_text", dtype=self.dtype_policy)
        self.missing.build(
            {"sequence_output": (None, None, width), "sequence_mask": (None, None),
             "mask": text["text_mask"]}
        )  # fmt: skip

    def call(self, sides: Any, training: bool | None = None) -> Any:
        """Runs BERT over the image part and the text."""
        vision, text = sides
        _, network = self._encoders()
        # A frozen network runs in inference mode, also in training.
        training = bool(training) and network.trainable
        words = self.missing(
            {
                "sequence_output": network.token_embedding(text["token_ids"]),
                "sequence_mask": text["padding_mask"],
                "mask": text["text_mask"],
            }
        )
        tokens, word_mask = words["sequence_output"], words["sequence_mask"]
        regions, valid = self._image_tokens(vision)
        # The tokenizer has put [CLS] first and [SEP] last; the image part needs both, too.
        start, end = tokens[:, :1], _last_token(tokens, text["padding_mask"])
        image = ops.concatenate([start, ops.cast(regions, start.dtype), end], axis=1)
        always = ops.ones_like(valid[:, :1])
        x = ops.concatenate([self._embedded(image, 0), self._embedded(tokens[:, 1:], 1)], axis=1)
        x = network.embeddings_layer_norm(x)
        x = network.embeddings_dropout(x, training=training)
        mask = ops.concatenate([always, valid, always, word_mask[:, 1:]], axis=1)
        for layer in network.transformer_layers:
            x = layer(x, padding_mask=mask, training=training)
        x, count = ops.cast(x, "float32"), 1 + regions.shape[1]
        image = masked_mean(x[:, 1:count], valid)
        if "pooled_output" in vision:  # its token is the last one of the image part
            image = image + x[:, count - 1]
        words = masked_mean(x[:, 1 + count :], word_mask[:, 1:])
        pooled = ops.cast(network.pooled_dense(x[:, 0]), "float32")
        return ops.concatenate([pooled, image * words], axis=-1)

    def _embedded(self, tokens: Any, segment: int) -> Any:
        """Token embeddings plus the embeddings of their positions, from 0, and of the segment."""
        _, network = self._encoders()
        segments = network.segment_embedding(ops.full_like(tokens[..., 0], segment, dtype="int32"))
        return network.embeddings_add((tokens, network.position_embedding(tokens), segments))

    def _image_tokens(self, vision: Any) -> tuple:
        """The projected mean of the valid regions of each grid cell, and the mask of the cells."""
        grid, _ = self._encoders()
        cells = cell_weights(grid, GRIDS[self.num_image_tokens])
        regions = grid[0] * grid[1]
        x, mask = vision["sequence_output"], vision["sequence_mask"]
        x = ops.reshape(x, (-1, self.slots, regions, x.shape[-1]))
        mask = ops.reshape(mask, (-1, self.slots, regions, 1))
        count = ops.matmul(cells, ops.cast(mask, "float32"))
        total = ops.matmul(cells, ops.where(mask, x, 0.0))
        tokens = self.project(total / ops.maximum(count, 1.0))
        tokens = ops.reshape(tokens, (-1, self.slots * len(cells), tokens.shape[-1]))
        valid = ops.reshape(count > 0, (-1, self.slots * len(cells)))
        if "pooled_output" in vision:
            pooled = ops.expand_dims(self.project_pooled(vision["pooled_output"]), 1)
            tokens = ops.concatenate([tokens, pooled], axis=1)
            valid = ops.concatenate([valid, ops.ones_like(valid[:, :1])], axis=1)
        return tokens, valid

    def compute_output_shape(self, shapes: Any) -> tuple:
        """`(batch, 2 * hidden_dim)`."""
        return (shapes[0]["sequence_output"][0], 2 * self._encoders()[1].hidden_dim)

    def get_config(self) -> dict:
        """The layer's arguments, the grid and the text network."""
        config = {**super().get_config(), "num_image_tokens": self.num_image_tokens}
        if self.grid is not None:
            config["grid"] = list(self.grid)
            config["backbone"] = keras.saving.serialize_keras_object(self.backbone)
        return config

    @classmethod
    def from_config(cls, config: dict) -> MMBT:
        """Creates the layer of a config, with a new text network if the config has one."""
        config = dict(config)  # the caller's is not changed
        grid, network = config.pop("grid", None), config.pop("backbone", None)
        layer = cls(**config)
        if network is not None:
            with build_settings():
                layer._read(tuple(grid), keras.saving.deserialize_keras_object(network))
        return layer


def cell_weights(grid: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """The regions of a feature map that each grid cell covers, as in adaptive average pooling.

    Args:
        grid: Rows and columns of the feature map.
        cells: Rows and columns of cells; if they do not divide the map, neighbours overlap.

    Returns:
        float32 `(num_cells, num_regions)`, 1 for a region that the cell covers, else 0.

    Example:
        >>> cell_weights((3, 1), (2, 1)).tolist()
        [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]
    """
    sides = []
    for size, count in zip(grid, cells, strict=True):
        # Cell i covers regions floor(i * size / count) to ceil((i + 1) * size / count).
        start, stop = np.arange(count) * size // count, -(-np.arange(1, count + 1) * size // count)
        places = np.arange(size)
        sides.append((places >= start[:, None]) & (places < stop[:, None]))
    rows, columns = sides
    return np.kron(rows, columns).astype("float32")


def _last_token(tokens: Any, padding_mask: Any) -> Any:
    """The last token of each row before the padding, which is `[SEP]`: `(batch, 1, width)`."""
    last = ops.sum(ops.cast(padding_mask, "int32"), axis=1, keepdims=True) - 1
    chosen = ops.arange(ops.shape(tokens)[1], dtype="int32") == ops.maximum(last, 0)
    return ops.sum(ops.where(chosen[..., None], tokens, 0), axis=1, keepdims=True)
