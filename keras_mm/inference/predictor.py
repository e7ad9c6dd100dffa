"""A trained model with everything that is needed to predict rows of a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.row_parts import SkippedRows, read_row_parts
from keras_mm.data.tables.rows import Rows, read_rows
from keras_mm.features.encode import encode_rows
from keras_mm.features.prediction import predict_logits
from keras_mm.features.store.store import FeatureStore
from keras_mm.features.table import FeatureTable
from keras_mm.inference.answers import no_logits
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.metrics.window_votes import join_windows
from keras_mm.models.multimodal import input_names, parts
from keras_mm.progress import progress_bar
from keras_mm.settings.by_head import by_head
from keras_mm.settings.heads import Head

# Rows that are read, checked and predicted in one step.
_PART = 2048


@dataclass(frozen=True)
class Predictor:
    """Predicts rows with a trained model. Logits are dicts by head, even if there is one head.

    Attributes:
        model: A model of `create_multimodal_model`.
        preprocessor: Turns rows into the inputs of the model.
        heads: The model's heads by name, with their classes.
        images: Image columns of a table, as in `MultimodalClassifier`.
        texts: Text columns of a table.
        batch_size: Rows of a batch, >= 1; it has no influence on the logits.
        store: Feature cache of frozen encoders; `None` for no cache.
        engine: Library that runs the encoders, see
            `keras_mm.features.engines.choice.choose_engine`.
        progress: Whether to show a progress bar for work that takes longer than two seconds.
        decisions: How logits become decisions, for the heads whose decisions were fitted.
    """

    model: keras.Model
    preprocessor: Preprocessor
    heads: Mapping[str, Head]
    images: Sequence[str] | Mapping[str, int] = ()
    texts: Sequence[str] = ()
    batch_size: int = 32
    store: FeatureStore | None = None
    engine: str = "auto"
    progress: bool = True
    decisions: Mapping[str, HeadDecisions] = field(default_factory=dict)

    def rows(
        self,
        data: Any,
        image_dir: str | os.PathLike | None = None,
        *,
        heads: Mapping[str, Head] | None = None,
        sample_weight: str | None = None,
        on_error: str = "raise",
    ) -> Rows:
        """Reads and checks the rows of a table.

        Args:
            data: What `keras_mm.load_table` takes.
            image_dir: Folder that image paths are relative to.
            heads: The heads whose labels are read; `None` reads no labels.
            sample_weight: Column with the weights of the rows; `None` if all rows count 1.
            on_error: `"raise"`, or `"skip"` to leave out rows with problems.

        Returns:
            The rows, with the encoded labels of `heads`.

        Raises:
            TableError: listing every problem of the table.
        """
        return read_rows(
            data,
            images=self.images,
            texts=self.texts,
            labels=heads,
            sample_weight=sample_weight,
            image_dir=image_dir,
            on_error=on_error,
            progress=self.progress,
        )

    def features(self, rows: Rows) -> dict[str, FeatureTable]:
        """Computes the encoder features of rows, or reads them from the cache.

        Args:
            rows: Checked rows.

        Returns:
            The features that the trunk takes, by the name of its input; an empty dict with a
            sliding window, as `logits` encodes windows.
        """
        if self.preprocessor.sliding_window is not None:
            return {}
        encoders, trunk = parts(self.model)
        return encode_rows(
            encoders,
            rows,
            self.preprocessor,
            names=input_names(trunk),
            store=self.store,
            engine=self.engine,
            progress=self.progress,
        )

    def logits(
        self,
        rows: Rows,
        features: Mapping[str, FeatureTable] | None = None,
        *,
        always_cache: bool = False,
        progress: bool = True,
    ) -> dict[str, np.ndarray]:
        """Computes the logits of rows. With a sliding window, those of its windows are joined.

        Args:
            rows: Checked rows.
            features: What `features` returned for these rows; `None` computes them.
            always_cache: As in `encode_rows`.
            progress: Whether to show a progress bar, if `self.progress` is on.

        Returns:
            float32, shape `(num_rows, num_logits)`, by head.
        """
        windows, window_rows = self.preprocessor.windows(rows)
        window_logits = by_head(
            self.heads,
            self.run(
                self.model, windows, features=features, always_cache=always_cache, progress=progress
            ),
        )
        window = self.preprocessor.sliding_window
        if window_rows is None or window is None:
            return window_logits
        return {
            name: join_windows(
                window_logits[name],
                window_rows,
                head.kind,
                vote=window.vote,
                tie=window.tie_index(head.names),
            )
            for name, head in self.heads.items()
        }

    def run(
        self,
        model: keras.Model,
        rows: Rows,
        *,
        features: Mapping[str, FeatureTable] | None = None,
        always_cache: bool = False,
        progress: bool = True,
    ) -> Any:
        """Computes the outputs of a model for rows, or for windows of rows.

        Args:
            model: The predictor's model, or another one with the same encoders.
            rows: What `Preprocessor.windows` returned.
            features: As in `logits`.
            always_cache: As in `encode_rows`.
            progress: As in `logits`.

        Returns:
            The outputs of the model: one array, or a dict of arrays by name.
        """
        return predict_logits(
            model,
            rows,
            self.preprocessor,
            features=features or None,
            batch_size=self.batch_size,
            store=self.store,
            engine=self.engine,
            always_cache=always_cache,
            progress=progress and self.progress,
        )

    def answers(
        self,
        data: Any,
        image_dir: str | os.PathLike | None = None,
        *,
        skipped: SkippedRows | None = None,
    ) -> Iterator[tuple[Rows, dict[str, np.ndarray]]]:
        """Reads and predicts a table part by part, so that a large table fits into memory.

        Args:
            data: What `keras_mm.load_table` takes.
            image_dir: Folder that image paths are relative to.
            skipped: As in `keras_mm.data.tables.row_parts.read_row_parts`.

        Yields:
            The rows of a part, without those that were left out, and their logits by head.

        Raises:
            TableError: listing every problem of the table, if `skipped` is `None`.

        Warns:
            UserWarning: if rows were left out.
        """
        table_parts = read_row_parts(
            data,
            _PART,
            images=self.images,
            texts=self.texts,
            image_dir=image_dir,
            skipped=skipped,
            progress=self.progress,
        )
        with progress_bar(description="predicting", unit="row", show=self.progress) as bar:
            for number, rows in enumerate(table_parts):
                # A full part always uses the cache, even if its distinct cells are only one batch:
                # earlier parts may have computed them.
                always_cache = len(rows) == _PART
                if len(rows):
                    yield rows, self.logits(rows, always_cache=always_cache, progress=number == 0)
                else:
                    yield rows, no_logits(self.heads)
                bar.update(len(rows))
        if skipped is not None:
            skipped.warn()

    def all_logits(
        self,
        data: Any,
        image_dir: str | os.PathLike | None = None,
        *,
        skipped: SkippedRows | None = None,
    ) -> dict[str, np.ndarray]:
        """Computes the logits of all rows of a table.

        Args:
            data: What `keras_mm.load_table` takes.
            image_dir: Folder that image paths are relative to.
            skipped: As in `answers`.

        Returns:
            float32, shape `(num_rows, num_logits)`, by head; without the rows that were left out.

        Raises:
            TableError: as `answers`.
        """
        parts_of_table = [logits for _, logits in self.answers(data, image_dir, skipped=skipped)]
        return {
            name: np.concatenate([part[name] for part in parts_of_table]) for name in self.heads
        }
