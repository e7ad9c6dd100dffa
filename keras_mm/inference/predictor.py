"""A trained model with everything that it needs to predict rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from keras_mm.metrics.window_votes import join_windows
from keras_mm.models.multimodal import input_names, parts
from keras_mm.progress import progress_bar
from keras_mm.settings.by_head import by_head
from keras_mm.settings.heads import Head

# Rows that are read, checked and predicted at a time.
_PART = 2048


@dataclass(frozen=True)
class Predictor:
    """Predicts rows with a trained model. Logits are dicts by head, also with one head.

    Attributes:
        model: A model of `create_multimodal_model`.
        preprocessor: Makes the encoders' inputs.
        heads: The model's heads by name, with their classes.
        images: Image columns of a table, as in `MultimodalClassifier`.
        texts: Text columns of a table.
        batch_size: Rows of a batch; it has no influence on the logits.
        store: Cache of frozen encoders' features; `None` for no cache.
        engine: What runs encoders; see `keras_mm.features.engines.choice.choose_engine`.
        progress: Whether to show a progress bar for what takes longer than two seconds.
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

    def rows(
        self,
        data: Any,
        image_dir: str | os.PathLike | None = None,
        *,
        heads: Mapping[str, Head] | None = None,
        sample_weight: str | None = None,
        on_error: str = "raise",
    ) -> Rows:
        """Checked rows of a table.

        Args:
            data: What `keras_mm.load_table` takes.
            image_dir: Folder that image paths are relative to.
            heads: The heads whose labels are read; `None` reads no labels.
            sample_weight: Column of the rows' weights; `None` if all rows count 1.
            on_error: `"raise"`, or `"skip"` to leave out rows that cannot be used.

        Returns:
            The rows, with the labels of `heads`.

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
        """The encoders' features of rows.

        Args:
            rows: Checked rows.

        Returns:
            Those features that the trunk reads, by name of its input; an empty dict with a sliding
            window.
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
        """Logits of rows; those of a row's windows are joined.

        Args:
            rows: Checked rows.
            features: What `features` returned for these rows, if it was called before.
            always_cache: As in `encode_rows`.
            progress: Whether to show a progress bar, if the predictor does.

        Returns:
            float32, shape `(num_rows, num_logits)`, by head.
        """
        cut, window_rows = self.preprocessor.windows(rows)
        found = by_head(
            self.heads,
            self.run(
                self.model, cut, features=features, always_cache=always_cache, progress=progress
            ),
        )
        window = self.preprocessor.sliding_window
        if window_rows is None or window is None:
            return found
        return {
            name: join_windows(
                found[name],
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
        """Outputs of a model for rows, or for windows of rows.

        Args:
            model: The predictor's model, or another one with the same encoders.
            rows: What `Preprocessor.windows` returned.
            features: As in `logits`.
            always_cache: As in `encode_rows`.
            progress: As in `logits`.

        Returns:
            The model's outputs, one array or a dict of them by name.
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
        """Reads and predicts a table, one part after the other.

        Args:
            data: What `keras_mm.load_table` takes.
            image_dir: Folder that image paths are relative to.
            skipped: As in `keras_mm.data.tables.row_parts.read_row_parts`.

        Yields:
            The rows of a part, without those that are left out, and their logits by head.

        Raises:
            TableError: listing every problem of the table, without `skipped`.

        Warns:
            UserWarning: if rows are left out.
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
                # Cells that a part shares with an earlier one are looked up, even if they are few.
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
        """Logits of all rows of a table.

        Args:
            data: What `keras_mm.load_table` takes.
            image_dir: Folder that image paths are relative to.
            skipped: As in `answers`.

        Returns:
            float32, shape `(num_rows, num_logits)`, by head; without the rows that are left out.

        Raises:
            TableError: as `answers`.
        """
        found = [logits for _, logits in self.answers(data, image_dir, skipped=skipped)]
        return {name: np.concatenate([part[name] for part in found]) for name in self.heads}
