"""Reads the training rows of a run again, for the baselines of `keras-mm evaluate`."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

import numpy as np

from keras_mm.cli.output import note
from keras_mm.cli.run_rows import prepare_run
from keras_mm.errors import KerasMMError
from keras_mm.estimator.prepare import Prepared
from keras_mm.metrics.head_metrics import head_prior
from keras_mm.settings.settings import RunSettings, settings_from
from keras_mm.settings.toml import read_toml

if TYPE_CHECKING:
    import keras_mm


def training_rows(
    options: argparse.Namespace, classifier: keras_mm.MultimodalClassifier
) -> Prepared | None:
    """Reads the rows that a run trained on, with the settings and splits in its `config.toml`.

    Args:
        options: The command's arguments; `model` and `quiet` are read.
        classifier: The classifier of the run.

    Returns:
        The rows by part. `None` if there are none, or if they are not those of the training; a line
        on stderr says so.
    """
    config = os.path.join(options.model, "config.toml")
    problem = f"{options.model!r} has no config.toml that names them"
    if os.path.isfile(config):
        try:
            settings = settings_from(read_toml(config), RunSettings, config)
            _, prepared = prepare_run(settings, progress=not options.quiet, hints=False)
        except (KerasMMError, OSError) as error:
            problem = str(error).splitlines()[-1].strip(" -")
        else:
            if _are_same(prepared, classifier):
                return prepared
            problem = "the table has changed since then"
    note(options, f"no baseline is trained, as the run's training rows are not here: {problem}")
    return None


def _are_same(prepared: Prepared, classifier: keras_mm.MultimodalClassifier) -> bool:
    """Whether rows have the number and the labels of the rows that a classifier was trained on."""
    rows, heads = prepared.rows, prepared.heads
    if len(rows) != classifier.num_rows_ or not set(heads) <= set(classifier.priors_):
        return False
    return all(
        classifier.heads_[name].names == head.names
        and np.allclose(
            head_prior(head, rows.labels[name], rows.sample_weight), classifier.priors_[name]
        )
        for name, head in heads.items()
    )
