"""Groups rows whose texts come from one template, so that a split can keep them together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from keras_mm.checks import is_number
from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.sources import cells_of, type_name
from keras_mm.errors import InvalidValueError

# What changes from text to text of a template: links, mentions and numbers.
_VARYING = re.compile(r"https?://\S+|@\w+|\d+")
_SHINGLE = 5  # characters; so many are rare enough to mean something, also without spaces
_HASHES = 256  # more of them miss fewer pairs, and take longer
_RECALL = 0.9999  # smallest probability that a pair at the threshold has an equal part
_ODD, _ONE = np.array([0x9E3779B97F4A7C15, 1], "uint64")
_NEIGHBOURS = 8  # texts with an equal part that a text is compared with: time stays linear
_PAIRS = 20_000  # pairs of texts that are compared at once: limits memory


def near_duplicates(*texts: Any, threshold: float = 0.5) -> np.ndarray:
    """Numbers groups of rows whose texts are nearly the same, such as the copies of a template.

    If copies of a template are in training and in test rows, scores are too high: the model has
    seen almost the same row. Pass the result as `groups`, and a template's rows stay on one side.

    Texts are compared without case, and without links, mentions and numbers, which differ within a
    template. Two texts are similar if their sets of five successive characters have a Jaccard index
    of at least `threshold`. Rows are in one group if any text of the one is similar to any text of
    the other, or if a chain of such pairs joins them.

    Only texts with an equal part of their MinHash signatures are compared, so that time grows with
    the number of rows, not of pairs: 100,000 short texts take less than a minute. With thousands of
    copies, few of the pairs are compared, which join the others. The same texts in the same order
    always give the same groups.

    Args:
        *texts: One column or more, each with one text per row, such as a list or a pandas Series.
            Missing and blank texts are similar to none.
        threshold: Smallest Jaccard index of similar texts, in (0, 1]. Below 0.3 unrelated texts are
            similar, too.

    Returns:
        The number of each row's group, int64 `(num_rows,)`; numbers count from 0, in the order of
        the groups' first rows. A row that is similar to no other has a group of its own.

    Raises:
        ValueError: if there is no column, a column is no sequence of texts, columns differ in
            length, or `threshold` is out of range.

    Example:
        >>> first = ["Win a prize @ann https://a.b/1", "Rain in Bern", "WIN a prize @bob @eve"]
        >>> near_duplicates(first).tolist()
        [0, 1, 0]

    Reference:
        Broder 1997, "On the resemblance and containment of documents", for shingles and MinHash;
        Leskovec et al. 2014, "Mining of massive datasets", section 3.4, for bands of signatures.
    """
    columns = _checked(texts, threshold)
    num_rows = len(columns[0])
    owners = np.tile(np.arange(num_rows), len(columns))
    bare = [_without_varying(text) for column in columns for text in column]
    codes, distinct = pd.factorize(np.array([text or None for text in bare], dtype=object))
    filled = codes >= 0  # a blank text has no code
    similar = num_rows + _similar_texts(list(distinct), threshold)[codes[filled]]
    # A graph of the rows and of the groups of texts: a row is joined to the group of each text.
    found = _components(num_rows + len(distinct), owners[filled], similar)
    return pd.factorize(found[:num_rows])[0].astype("int64")


def _checked(texts: Sequence[Any], threshold: Any) -> list[list[str]]:
    """The columns as lists of strings; raises an error that lists all mistakes."""
    mistakes = []
    if not (is_number(threshold) and 0 < threshold <= 1):
        mistakes.append(f"`threshold` must be in (0, 1], e.g. 0.5. Received: {threshold!r}")
    if not texts:
        mistakes.append('Pass at least one column of texts, e.g. table["text_1"].')
    columns = []
    for number, column in enumerate(texts, 1):
        if np.ndim(column) != 1:
            mistakes.append(
                f"Column {number} must hold one text per row. Received: {type_name(column)}"
            )
            continue
        cells = ["" if is_missing(cell) else cell for cell in cells_of(column)]
        wrong = next((row for row, cell in enumerate(cells) if not isinstance(cell, str)), None)
        if wrong is not None:
            mistakes.append(
                f"Column {number} must hold texts. Received in row {wrong}, counted from 0: "
                f"{cells[wrong]!r}"
            )
        columns.append(cells)
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        mistakes.append(f"The columns must have the same number of rows. Received: {lengths}")
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    return columns


def _without_varying(text: str) -> str:
    """The text in lower case without what varies; with it, if nothing else is there."""
    lower = text.lower()
    return " ".join(_VARYING.sub(" ", lower).split()) or " ".join(lower.split())


def _similar_texts(texts: Sequence[str], threshold: float) -> np.ndarray:
    """Numbers the groups of distinct texts, none of them empty, by chains of similar pairs."""
    groups, joined = np.arange(len(texts)), np.empty((0, 2), int)
    if len(texts) < 2:
        return groups
    from sklearn.feature_extraction.text import HashingVectorizer  # slow to import

    vectorizer = HashingVectorizer(
        analyzer=_shingles, n_features=2**30, norm=None, alternate_sign=False, binary=True
    )
    shingles = vectorizer.transform(texts).astype("float32")
    random = np.random.default_rng(0)
    length = _band_length(threshold)
    for _ in range(_HASHES // length):
        pairs = _candidates(_band(shingles, length, random))
        pairs = pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]
        joined = np.concatenate([joined, pairs[_jaccard(shingles, pairs) >= threshold]])
        groups = _components(len(texts), *joined.T)
    return groups


def _shingles(text: str) -> list[str]:
    return [text[i : i + _SHINGLE] for i in range(max(len(text) - _SHINGLE, 0) + 1)]


def _band_length(threshold: float) -> int:
    """The most hashes that may have to agree: few texts are compared, and few pairs are missed."""
    lengths = np.arange(1, _HASHES + 1)
    recalls = 1 - (1 - threshold**lengths) ** (_HASHES // lengths)
    return int(lengths[recalls >= _RECALL].max(initial=1))


def _band(shingles: Any, length: int, random: np.random.Generator) -> np.ndarray:
    """A part of the MinHash signature as one number, uint64 `(num_texts,)`."""
    # A random line modulo 2**64 orders the shingles: integers of NumPy wrap around.
    values, starts = shingles.indices.astype("uint64"), shingles.indptr[:-1]
    keys = np.zeros(shingles.shape[0], "uint64")
    for factor, offset in random.integers(0, 2**64, (length, 2), dtype="uint64"):
        keys = keys * _ODD + np.minimum.reduceat(values * (factor | _ONE) + offset, starts)
    return keys


def _candidates(keys: np.ndarray) -> np.ndarray:
    """Pairs of texts with equal keys: of each text with the first of its key and some before it.

    All pairs would be too many where thousands of texts share a template.
    """
    order = np.argsort(keys, kind="stable")
    ranked, places = keys[order], np.arange(len(keys))
    begins = np.append(True, ranked[1:] != ranked[:-1])
    firsts = np.maximum.accumulate(np.where(begins, places, 0))
    pairs = [np.c_[firsts, places][places - firsts > _NEIGHBOURS]]
    for distance in range(1, _NEIGHBOURS + 1):
        later = places[places - firsts >= distance]
        pairs.append(np.c_[later - distance, later])
    return order[np.concatenate(pairs)]


def _jaccard(shingles: Any, pairs: np.ndarray) -> np.ndarray:
    """The Jaccard index of each pair of sets, shape `(num_pairs,)`."""
    sizes = np.diff(shingles.indptr)
    values = np.zeros(len(pairs))
    for start in range(0, len(pairs), _PAIRS):
        part = slice(start, start + _PAIRS)
        first, second = pairs[part].T
        common = np.asarray(shingles[first].multiply(shingles[second]).sum(axis=1)).ravel()
        values[part] = common / (sizes[first] + sizes[second] - common)
    return values


def _components(num_nodes: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Numbers the connected parts of a graph with edges from `first` to `second`."""
    edges = sparse.coo_matrix((np.ones(len(first)), (first, second)), (num_nodes, num_nodes))
    return connected_components(edges, directed=False)[1]
