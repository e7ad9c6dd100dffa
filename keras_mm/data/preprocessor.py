"""Turns rows into the inputs of the model: the same code for training, prediction and export."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np

from keras_mm.data.images.cells import image_key, load_image
from keras_mm.data.tables.rows import Rows
from keras_mm.data.text.packing import check_packing
from keras_mm.data.text.text_format import TextFormat
from keras_mm.data.text.tokenizer import Tokenizer
from keras_mm.data.threads import in_threads
from keras_mm.data.windows import cut_windows, parts_of
from keras_mm.errors import InvalidValueError
from keras_mm.presets.presets import get_preset
from keras_mm.settings.sliding_window import SlidingWindow, as_sliding_window


class Preprocessor:
    """Turns checked rows into the inputs of the model, with their names, dtypes and shapes.

    Args:
        image_size: `(height, width)` in pixels that images are resized to; their aspect ratio is
            not kept. Required with `num_images`.
        num_images: Image slots of a row, >= 0.
        tokenizer: A `keras_mm.data.text.tokenizer.Tokenizer`, the name of a text backbone, a folder
            or vocabulary file, or a KerasHub tokenizer of a supported family. Required with
            `num_texts`.
        sequence_length: Tokens of a sequence, special tokens and padding included, >= 4. Required
            with `num_texts`.
        num_texts: Texts of a row: 0, 1 or 2.
        text_pairing: `"packed"` (two texts in one sequence) or `"separate"` (a sequence for each).
        sliding_window: A `keras_mm.SlidingWindow` that says how texts longer than a sequence are
            cut into windows; with two texts its `text` is `"text_1"` or `"text_2"`. `None`
            truncates them.

    Raises:
        ValueError: if arguments are missing or out of range; the message lists all mistakes.

    Example:
        >>> preprocessor = Preprocessor(tokenizer="tiny_bert", sequence_length=8, num_texts=1)
        >>> sorted(preprocessor.input_names)
        ['padding_mask', 'segment_ids', 'text_mask', 'token_ids']
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int] | None = None,
        num_images: int = 0,
        tokenizer: Any = None,
        sequence_length: int | None = None,
        num_texts: int = 0,
        text_pairing: str = "packed",
        sliding_window: Any = None,
    ):
        problems = []
        if not num_images and not num_texts:
            problems.append("`num_images` or `num_texts` must be at least 1")
        if num_images and not _is_size(image_size):
            problems.append(
                "`image_size` is required with `num_images`: (height, width) in pixels, such as "
                "(128, 128). "
                f"Received: image_size={image_size!r}"
            )
        if num_texts and (tokenizer is None or sequence_length is None):
            problems.append("`tokenizer` and `sequence_length` are required with `num_texts`")
        if num_texts and sequence_length is not None and sequence_length < 4:
            problems.append(f"`sequence_length` must be >= 4. Received: {sequence_length!r}")
        if num_texts not in (0, 1, 2) or num_images < 0:
            problems.append(
                "`num_texts` must be 0, 1 or 2 and `num_images` >= 0. "
                f"Received: num_texts={num_texts}, num_images={num_images}"
            )
        if text_pairing not in ("packed", "separate"):
            problems.append(
                f"`text_pairing` must be 'packed' or 'separate'. Received: {text_pairing!r}"
            )
        if problems:
            raise InvalidValueError("; ".join(problems) + ".")
        self.image_size: tuple[int, int] | None = None
        if image_size is not None:
            self.image_size = (int(image_size[0]), int(image_size[1]))
        self.num_images, self.num_texts = num_images, num_texts
        self.tokenizer = Tokenizer.load(tokenizer) if num_texts else None
        self.text_format: TextFormat | None = None
        if self.tokenizer is not None and sequence_length is not None:
            check_packing(self.tokenizer.family, num_texts, sequence_length, text_pairing)
            self.text_format = TextFormat(self.tokenizer, sequence_length, text_pairing)
        self.sequence_length, self.text_pairing = sequence_length, text_pairing
        self.sliding_window = as_sliding_window(sliding_window)
        if self.sliding_window is not None:
            self.sliding_slot = self._slot_of(self.sliding_window.text)

    @classmethod
    def from_preset(cls, name: str, *, num_images: int = 2, num_texts: int = 2) -> Preprocessor:
        """Creates the preprocessor of a preset.

        Args:
            name: Name of a preset, see `keras_mm.list_presets`.
            num_images: Image slots of a row, >= 0; ignored if the preset has no vision encoder.
            num_texts: Texts of a row, 1 or 2; ignored if the preset has no text encoder.

        Returns:
            The preprocessor.

        Raises:
            ValueError: if there is no such preset.

        Example:
            >>> Preprocessor.from_preset("tiny", num_images=1, num_texts=0).input_names
            ('image_1', 'image_mask')
        """
        preset = get_preset(name)
        return cls(
            image_size=preset.image_size,
            num_images=num_images if preset.vision_backbone else 0,
            tokenizer=preset.text_backbone,
            sequence_length=preset.sequence_length,
            num_texts=num_texts if preset.text_backbone else 0,
            text_pairing=preset.text_pairing,
        )

    def _slot_of(self, text: str | None) -> int:
        if text is None and self.num_texts == 1:
            return 0
        if text not in self.text_names:
            raise InvalidValueError(
                f"`sliding_window.text` must be one of {self.text_names}. Received: text={text!r}"
            )
        return self.text_names.index(text)

    def with_texts(
        self, sequence_length: int, sliding_window: SlidingWindow | None
    ) -> Preprocessor:
        """Makes a copy with another sequence length and sliding window.

        Args:
            sequence_length: As in the constructor.
            sliding_window: As in the constructor.

        Returns:
            The preprocessor.
        """
        return Preprocessor(
            image_size=self.image_size,
            num_images=self.num_images,
            tokenizer=self.tokenizer,
            sequence_length=sequence_length,
            num_texts=self.num_texts,
            text_pairing=self.text_pairing,
            sliding_window=sliding_window,
        )

    def windows(self, rows: Rows) -> tuple[Rows, np.ndarray | None]:
        """Cuts long texts into windows, according to `sliding_window`.

        Args:
            rows: Checked rows.

        Returns:
            Rows with one row for each window; and for each window the index in `rows` of the row
            that it is part of, ascending integers, shape `(num_windows,)`. Without a sliding
            window, or without rows, `rows` itself and `None`.
        """
        if self.sliding_window is None or self.text_format is None or not len(rows):
            return rows, None
        return cut_windows(rows, self.sliding_window, self.sliding_slot, self.text_format)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs that this preprocessor makes."""
        images = (*self.image_names, "image_mask") if self.num_images else ()
        texts = ("token_ids", "segment_ids", "padding_mask", "text_mask") if self.num_texts else ()
        return (*images, *texts)

    @property
    def image_names(self) -> tuple[str, ...]:
        """`image_1` ... `image_N`."""
        return tuple(f"image_{slot}" for slot in range(1, self.num_images + 1))

    @property
    def text_names(self) -> tuple[str, ...]:
        """`text_1` ... `text_T`."""
        return tuple(f"text_{slot}" for slot in range(1, self.num_texts + 1))

    def __call__(self, rows: Rows) -> dict[str, np.ndarray]:
        """Makes all inputs of rows.

        Args:
            rows: Checked rows.

        Returns:
            What `masks_and_tokens` returns, and for each image slot pixels from 0 to 255, float32
            `(batch, H, W, 3)`.

        Raises:
            ValueError: if the rows do not have `num_images` image slots and `num_texts` texts.
            ImageError: if an image cannot be read.
        """
        _check_columns(rows, self)
        inputs = self.masks_and_tokens(rows)
        if self.num_images:
            pixels = self.load_images([cell for cells in rows.images for cell in cells])
            parts = pixels.astype("float32").reshape(self.num_images, len(rows), *pixels.shape[1:])
            inputs.update(zip(self.image_names, parts, strict=True))
        return {name: inputs[name] for name in self.input_names}

    def masks_and_tokens(self, rows: Rows) -> dict[str, np.ndarray]:
        """Makes all inputs except for the images.

        Args:
            rows: Checked rows.

        Returns:
            `image_mask` `(batch, N)` and `text_mask` `(batch, T)`, bool; `token_ids`,
            `segment_ids` (int32) and `padding_mask` (bool), `(batch, L)` or `(batch, 2, L)`.
        """
        inputs = self.masks(rows)
        if self.text_format is not None:
            texts = [["" if text is None else text for text in column] for column in rows.texts]
            parts = None
            if self.sliding_window is not None:
                parts = {slot: parts_of(column) for slot, column in enumerate(texts)}
            tokenizer, length = self.text_format.tokenizer, self.text_format.sequence_length
            inputs |= tokenizer.pack(texts, length, self.text_format.text_pairing, parts)
        return inputs

    def without_images(self, rows: Rows, names: Collection[str]) -> dict[str, np.ndarray]:
        """Makes all inputs except for the images; tokenizes only if tokens are asked for.

        Args:
            rows: Checked rows.
            names: Names of the inputs that are needed.

        Returns:
            What `masks_and_tokens` returns; what `masks` returns if `names` has no tokens.
        """
        tokens = not {"token_ids", "segment_ids", "padding_mask"}.isdisjoint(names)
        return self.masks_and_tokens(rows) if tokens else self.masks(rows)

    def masks(self, rows: Rows) -> dict[str, np.ndarray]:
        """Makes the masks of missing images and texts.

        Args:
            rows: Checked rows.

        Returns:
            `image_mask` `(batch, N)` and `text_mask` `(batch, T)`, bool: False where an image or a
            text is missing.
        """
        masks = {}
        if self.num_images:
            masks["image_mask"] = _present(rows.images, len(rows))
        if self.num_texts:
            masks["text_mask"] = _present(rows.texts, len(rows))
        return masks

    def load_images(self, cells: Sequence) -> np.ndarray:
        """Decodes images in threads, each distinct one once.

        Args:
            cells: Image cells; `None` where an image is missing.

        Returns:
            uint8 `(len(cells), H, W, 3)`; zeros where an image is missing.

        Raises:
            ImageError: if an image cannot be read.
            ValueError: if the preprocessor has no `image_size`.
        """
        size = self.image_size
        if size is None:
            raise InvalidValueError("A preprocessor without `image_size` cannot load images.")
        distinct = {image_key(cell): cell for cell in cells if cell is not None}
        slots = {key: i for i, key in enumerate(distinct, 1)}
        pixels = np.zeros((len(distinct) + 1, *size, 3), "uint8")
        images = in_threads(lambda cell: load_image(cell, size), distinct.values())
        for slot, image in enumerate(images, 1):
            pixels[slot] = image
        return pixels[[0 if cell is None else slots[image_key(cell)] for cell in cells]]

    def get_config(self) -> dict:
        """The arguments of the constructor, without the vocabulary of the tokenizer.

        Returns:
            A JSON-serialisable dict, for `from_config`.
        """
        return {
            "image_size": None if self.image_size is None else list(self.image_size),
            "num_images": self.num_images,
            "tokenizer": self.tokenizer.get_config() if self.tokenizer else None,
            "sequence_length": self.sequence_length,
            "num_texts": self.num_texts,
            "text_pairing": self.text_pairing,
            "sliding_window": None if self.sliding_window is None else asdict(self.sliding_window),
        }

    @classmethod
    def from_config(cls, config: dict, folder: str | PathLike) -> Preprocessor:
        """Creates a preprocessor from its config.

        Args:
            config: What `get_config` returned.
            folder: The folder with the vocabulary.

        Returns:
            A preprocessor with the same arguments.

        Raises:
            FileNotFoundError: if the folder has no vocabulary.
        """
        options = config["tokenizer"]
        tokenizer = Tokenizer.from_config(options, folder) if options is not None else None
        return cls(**{**config, "tokenizer": tokenizer})


def _is_size(value: Any) -> bool:
    try:
        height, width = value
        return min(height, width) > 0
    except (TypeError, ValueError):
        return False


def _check_columns(rows: Rows, preprocessor: Preprocessor) -> None:
    received = len(rows.images), len(rows.texts)
    expected = preprocessor.num_images, preprocessor.num_texts
    if received != expected:
        raise InvalidValueError(
            f"The preprocessor takes {expected[0]} images and {expected[1]} texts a row. "
            f"Received: {received[0]} images and {received[1]} texts"
        )


def _present(columns: Sequence[Sequence], num_rows: int) -> np.ndarray:
    mask = [[cell is not None for cell in column] for column in columns]
    return np.asarray(mask, bool).reshape(len(columns), num_rows).T.copy()
