"""The sample data "what changed", drawn by this package, so that everything runs offline.

Two images show the same scene; between them, either the light or the size of the shape changes by
one level. `text_1` names what to watch (light or size), and `text_2` claims a direction. The label
is `Implies` if the watched property changed as claimed, `Contradictory` if it changed in the other
direction, and `NoEntailment` if the other property changed. Neither the images nor the texts alone
contain any information on the label; `sample_ceilings` computes the best possible scores for parts
of the inputs.

Everything is drawn in integers, with `numpy.random.RandomState`, which NumPy no longer changes. So
pixels and rows are the same with every version and on every platform.
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
