"""The sample data "what changed": drawn by the package itself, so that everything runs offline.

Two images show the same scene; between them either the light or the size of the shape moves one
level. `text_1` names what to watch, `text_2` claims a direction. The label is `Implies` where the
watched thing changed as claimed, `Contradictory` where it changed the other way, and `NoEntailment`
where the other thing changed. Neither the images nor the texts alone say anything about the label;
`sample_ceilings` computes how far each part of the inputs can get.

Everything is drawn in integers, from a random stream that NumPy has frozen, so that pixels and rows
are the same on every version and platform.
"""

from keras_mm.data.samples.ceilings import sample_ceilings
from keras_mm.data.samples.tables import load_sample_data, write_sample_data
from keras_mm.data.samples.task import SAMPLE_COLUMNS, SAMPLE_LABELS
from keras_mm.data.samples.texts import SAMPLE_WORDS, sample_vocabulary

__all__ = [
    "SAMPLE_COLUMNS",
    "SAMPLE_LABELS",
    "SAMPLE_WORDS",
    "load_sample_data",
    "sample_ceilings",
    "sample_vocabulary",
    "write_sample_data",
]
