"""What answers rows: a model, its preprocessor and its heads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import Rows, read_row_parts, read_rows
from keras_mm.features.encode import encode_rows
from keras_mm.features.prediction import predict_logits
from keras_mm.features.store.store import FeatureStore
from keras_mm.features.table import FeatureTable
from keras_mm.inference.answers import no_logits
from keras_mm.metrics.window_votes import join_windows
from keras_mm.models.multimodal import input_names, parts
from keras_mm.progress import progress_bar
from keras_mm.settings.heads import Head, by_head

# Rows that are read, checked and answered at a time.
_PART = 2048


@dataclass(frozen=True)
class Predictor:
    """Answers rows by a trained model. Logits are dicts by head, also of one head.

    Attributes:
        model: A model of `create_multimodal_model`.
        preprocessor: What makes the encoders' inputs.
        heads: The model's heads by name, with their classes.
        images: The image columns of a table.
        texts: Its text columns.
        batch_size: Rows of a batch; no answer depends on it.
        store: Where features of frozen encoders are looked up and kept; `None` for nowhere.
        engine: What runs encoders; see `keras_mm.features.engines.choice.choose_engine`.
        progress: Whether to show a bar on what takes longer than two seconds.
    """

    model: keras.Model
    preprocessor: Preprocessor
    heads: Mapping[str, Head]
    images: Sequence[str] = ()
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
        on_error: str = "raise",
    ) -> Rows:
        """Checked rows of a table.

        Args:
            data: What `keras_mm.load_table` takes.
            image_dir: Folder that image paths are relative to.
            heads: The heads whose labels are read; `None` reads none.
            on_error: `"raise"`, or `"skip"` rows that cannot be used.

        Raises:
            TableError: listing every problem of the table.
        """
        return read_rows(
            data,
            images=self.images,
            texts=self.texts,
            labels=heads,
            image_dir=image_dir,
            on_error=on_error,
            progress=self.progress,
        )

    def features(self, rows: Rows) -> dict[str, FeatureTable]:
        """What the encoders give for rows, of what the trunk reads; nothing for windows."""
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
        few: bool = False,
        progress: bool = True,
    ) -> dict[str, np.ndarray]:
        """Logits of rows, the windows of a row joined.

        Args:
            rows: Checked rows.
            features: What `features` gave for these rows, where it has run already.
            few: As in `encode_rows`.
            progress: Whether to show a bar, where the predictor shows any.

        Returns:
            By head, float32 `(num_rows, num_logits)`.
        """
        cut, owners = self.preprocessor.windows(rows)
        found = by_head(
            self.heads, self.run(self.model, cut, features=features, few=few, progress=progress)
        )
        window = self.preprocessor.sliding_window
        if owners is None or window is None:
            return found
        return {
            name: join_windows(
                found[name],
                owners,
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
        few: bool = False,
        progress: bool = True,
    ) -> Any:
        """Outputs of a model on this one's encoders for rows, or for windows of rows.

        Args:
            model: The predictor's model, or another one whose encoders are of the same kind.
            rows: As `Preprocessor.windows` cuts them.
            features: As in `logits`.
            few: As in `encode_rows`.
            progress: As in `logits`.
        """
        return predict_logits(
            model,
            rows,
            self.preprocessor,
            features=features or None,
            batch_size=self.batch_size,
            store=self.store,
            engine=self.engine,
            few=few,
            progress=progress and self.progress,
        )

    def answers(
        self, data: Any, image_dir: str | os.PathLike | None = None
    ) -> Iterator[tuple[Rows, dict[str, np.ndarray]]]:
        """Rows and their logits by head, one part of a table after the other."""
        table_parts = read_row_parts(
            data,
            _PART,
            images=self.images,
            texts=self.texts,
            image_dir=image_dir,
            progress=self.progress,
        )
        with progress_bar(description="predicting", unit="row", show=self.progress) as bar:
            for number, rows in enumerate(table_parts):
                # What a part of many has in common with another is looked up, however little.
                few = len(rows) == _PART
                if len(rows):
                    yield rows, self.logits(rows, few=few, progress=number == 0)
                else:
                    yield rows, no_logits(self.heads)
                bar.update(len(rows))

    def all_logits(
        self, data: Any, image_dir: str | os.PathLike | None = None
    ) -> dict[str, np.ndarray]:
        """The logits of a table's rows by head."""
        found = [logits for _, logits in self.answers(data, image_dir)]
        return {name: np.concatenate([part[name] for part in found]) for name in self.heads}
