"""Training batches of a model whose frozen encoders run only once over the rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras

from keras_mm.data.dataset import RowBatches, rows_in_batches
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import Rows
from keras_mm.features.encode import encode_rows
from keras_mm.features.items import shortened
from keras_mm.features.store.store import FeatureStore
from keras_mm.features.table import FeatureTable
from keras_mm.models.multimodal import cut, input_names, parts


class FeatureBatches:
    """Batches of rows with the inputs of the trained part of a model.

    The features of frozen encoders are kept for all stages of a training, until `forget`.

    Args:
        model: The whole model.
        preprocessor: Makes the encoders' inputs.
        tables: Training rows, and validation rows or `None`.
        store: Store in which features of frozen encoders are cached for other trainings; `None`
            caches nothing.
        engine: Engine that runs frozen encoders, as in `encode_rows`.
        progress: Whether to show a bar for work that takes more than two seconds.
        features: For each table the features that are known, by the trunk's input names.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocessor: Preprocessor,
        tables: Sequence[Rows | None],
        *,
        store: FeatureStore | None = None,
        engine: str = "auto",
        progress: bool = True,
        features: Sequence[Mapping[str, FeatureTable]] | None = None,
    ):
        self.model, self.preprocessor = model, preprocessor
        # Long texts become several windows; `_window_rows` has the table row of each.
        windows = [(None, None) if rows is None else preprocessor.windows(rows) for rows in tables]
        self.tables, self._window_rows = zip(*windows, strict=True)
        self.store, self.engine, self.progress = store, engine, progress
        self._features = [dict(known) for known in features or [{} for _ in tables]]

    def batches(self, trained: keras.Model, batch_size: int, seed: int) -> list[RowBatches | None]:
        """Creates the batches of each table; those of the training table are shuffled and full.

        Args:
            trained: The trained part of the model, as `keras_mm.models.multimodal.cut` returns it.
            batch_size: Rows per batch, >= 1.
            seed: Seed of the order.

        Returns:
            Batches by table, in the order of `tables`; `None` for a table that is `None`.
        """
        training: dict[str, Any] = {"shuffle": True, "fill": True, "seed": seed, "workers": 2}
        return [
            None if rows is None else self._of(place, rows, trained, batch_size, options)
            for (place, rows), options in zip(enumerate(self.tables), (training, {}), strict=False)
        ]

    def training_features(self) -> tuple[Rows, dict[str, FeatureTable]]:
        """The training rows, and the features of all frozen encoders that the trunk reads.

        Returns:
            The rows, with a sliding window their windows; and features by the trunk's input names.
        """
        rows = self.tables[0]
        return rows, self._known(0, rows, input_names(cut(self.model)))

    def forget(self, sides: Collection[str]) -> None:
        """Drops the features of encoders whose weights have changed.

        Args:
            sides: Sides of the encoders, `"vision"` or `"text"`.
        """
        for features in self._features:
            for name in [name for name in features if name.split("_")[0] in sides]:
                del features[name]

    def _known(self, place: int, rows: Rows, names: Sequence[str]) -> dict[str, FeatureTable]:
        """The features of a table, with those of these names."""
        known = self._features[place]
        known |= encode_rows(
            parts(self.model).encoders,
            rows,
            self.preprocessor,
            names=[name for name in names if name not in known],
            store=self.store,
            engine=self.engine,
            progress=self.progress,
        )
        return known

    def _of(
        self, place: int, rows: Rows, trained: keras.Model, batch_size: int, options: dict
    ) -> RowBatches:
        names = input_names(trained)
        known = self._known(place, rows, names)
        batches = rows_in_batches(
            rows,
            self.preprocessor,
            names=names,
            features={name: known[name] for name in names if name in known},
            window_rows=self._window_rows[place],
            batch_size=batch_size,
            **options,
        )
        # Padding does not change predictions, but takes as much time as tokens.
        batches.arrays = shortened(batches.arrays, trained)
        return batches
