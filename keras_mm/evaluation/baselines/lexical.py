"""The baseline of texts without a network."""

from __future__ import annotations

from collections.abc import Mapping

from threadpoolctl import threadpool_limits

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.baselines.head_model import linear_model, tree_model
from keras_mm.evaluation.baselines.selection import Candidate, Chosen, predict_best
from keras_mm.evaluation.baselines.text_features import text_features
from keras_mm.settings.heads import Head

_PENALTIES = (1.0, 0.1)
_MOST_TREES = 10  # largest number of classes or labels for trees: each has trees of its own


# Small models are slower on several threads, and take seconds if the cores are busy.
@threadpool_limits.wrap(limits=1)
def predict_lexical(
    rows: Mapping[str, Rows], test: Rows, heads: Mapping[str, Head], *, seed: int = 0
) -> dict[str, Chosen]:
    """Trains and applies classifiers of words, characters and the overlap of a pair.

    Candidates are logistic (or ridge) regression on TF-IDF, with two strengths of regularisation,
    and gradient-boosted trees on counts, the overlap of a pair, and a summary of each text.

    Args:
        rows: Training rows for each head, with one or two text columns; they differ in weights.
        test: The rows to predict.
        heads: Heads by name.
        seed: Seed of inner validation, summary and trees.

    Returns:
        For each head the predictions of the best candidate.
    """
    train_features, test_features = text_features(
        next(iter(rows.values())).texts, test.texts, seed=seed
    )
    linear = [
        Candidate(
            f"linear model of TF-IDF, penalty {penalty:g}",
            linear_model(penalty),
            train_features.sparse,
            test_features.sparse,
        )
        for penalty in _PENALTIES
    ]
    trees = Candidate(
        "gradient-boosted trees", tree_model(seed), train_features.dense, test_features.dense
    )
    return {
        name: predict_best(
            name,
            head,
            rows[name],
            [*linear, trees] if head.num_logits <= _MOST_TREES else linear,
            seed=seed,
        )
        for name, head in heads.items()
    }
