"""Features of texts without a network: TF-IDF of words and characters, and overlap of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from keras_mm.evaluation.baselines.text_overlap import Texts, text_counts

# Vocabularies are capped at the most frequent entries, which limits time and memory.
_VOCABULARIES: tuple[dict[str, Any], ...] = (
    {"ngram_range": (1, 2), "max_features": 20_000},
    {"analyzer": "char_wb", "ngram_range": (2, 5), "max_features": 30_000},
)
_FEW = 100  # up to this number of distinct texts, entries of a single text count, too
_COMPONENTS = 16
_COUNTS_SCALE = 0.3  # of standardised counts beside TF-IDF vectors, which have length 1


class TextFeatures(NamedTuple):
    """Features of rows.

    Attributes:
        sparse: For linear models: TF-IDF of each text and standardised counts, CSR float64
            `(num_rows, num_entries)`.
        dense: For trees: counts, and a summary of the TF-IDF of each text, float32
            `(num_rows, num_features)`.
    """

    sparse: Any
    dense: np.ndarray


def text_features(
    texts: Texts, test_texts: Texts, *, seed: int = 0
) -> tuple[TextFeatures, TextFeatures]:
    """Computes features of training and test rows, with the vocabulary of the training texts.

    The counts are those of `text_counts`, and of a pair also the cosines of its TF-IDF vectors.

    Args:
        texts: Training texts by column, each a list over the rows; a missing text, `None`, counts
            as an empty one.
        test_texts: Texts of the test rows.
        seed: Seed of the summary.

    Returns:
        The features of the training rows, and of the test rows.
    """
    tables = [_Distinct(texts), _Distinct(test_texts)]
    blocks: list[list[list]] = [[[] for _ in texts], [[] for _ in texts]]
    for options in _VOCABULARIES:
        for matrix, table, columns in zip(_tf_idf(options, *tables), tables, blocks, strict=False):
            for column, places in zip(columns, table.places, strict=True):
                column.append(matrix[places])
    counts = [_counts(*pair) for pair in zip((texts, test_texts), blocks, strict=True)]
    scaler = StandardScaler().fit(counts[0])
    svd = _summary(blocks[0], seed)
    train, test = (
        TextFeatures(
            _joined(columns, scaler.transform(count)),
            _dense(count, columns, svd),
        )
        for columns, count in zip(blocks, counts, strict=True)
    )
    return train, test


class _Distinct:
    """The distinct texts of a table, and where they are: each is analysed once."""

    def __init__(self, texts: Texts):
        columns = [[text or "" for text in column] for column in texts]
        places = {t: i for i, t in enumerate(dict.fromkeys(t for c in columns for t in c))}
        self.texts = list(places)
        self.places = [[places[text] for text in column] for column in columns]


def _tf_idf(options: dict[str, Any], train: _Distinct, test: _Distinct) -> tuple:
    """TF-IDF of distinct training and test texts; nothing if training texts have no entries."""
    smallest = 2 if len(train.texts) > _FEW else 1
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=smallest, **options)
    try:
        return vectorizer.fit_transform(train.texts), vectorizer.transform(test.texts)
    except ValueError:  # an empty vocabulary: for example, emoji are no words
        return ()


def _counts(texts: Texts, columns: Sequence[list]) -> np.ndarray:
    counts = text_counts(texts)
    if len(texts) < 2:
        return counts
    cosines = [one.multiply(other).sum(axis=1) for one, other in zip(*columns, strict=True)]
    return np.hstack([counts, *map(np.asarray, cosines)])


def _summary(columns: Sequence[list], seed: int) -> TruncatedSVD | None:
    """A projection of TF-IDF vectors to few numbers; `None` if there is nothing to project."""
    if not columns[0]:
        return None
    matrix = sparse.vstack([sparse.hstack(blocks) for blocks in columns])
    components = min(_COMPONENTS, *(side - 1 for side in matrix.shape))
    return TruncatedSVD(components, random_state=seed).fit(matrix) if components > 0 else None


def _joined(columns: Sequence[list], scaled: np.ndarray) -> Any:
    entries = [block for column in columns for block in column]
    return sparse.hstack([*entries, sparse.csr_matrix(scaled * _COUNTS_SCALE)], format="csr")


def _dense(counts: np.ndarray, columns: Sequence[list], svd: TruncatedSVD | None) -> np.ndarray:
    summaries = [] if svd is None else [svd.transform(sparse.hstack(b)) for b in columns]
    return np.hstack([counts, *summaries]).astype("float32")
