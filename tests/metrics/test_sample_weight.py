"""Weights of rows in metrics: scikit-learn's numbers, and a row of weight 3 is three rows."""

import json

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk

from keras_mm.metrics import (
    classification_metrics,
    frequency_baseline,
    majority_baseline,
    mean_baseline,
    multilabel_metrics,
    regression_metrics,
    tune_thresholds,
    wilson_interval,
)
from keras_mm.metrics.head_metrics import head_metrics, head_prior, is_labelled, prior_metrics
from keras_mm.metrics.intervals import effective_rows
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

# What a weight counts of: the rows themselves are not repeated, and know less than copies claim.
OF_ROWS = ("num_rows", "interval", "total_weight", "effective_rows")


def classes(num_classes=5, num_rows=43):
    rng = np.random.default_rng(num_classes)
    labels = np.append(rng.integers(0, num_classes, num_rows - num_classes), range(num_classes))
    return labels, rng.dirichlet(np.ones(num_classes), num_rows), list("abcde"[:num_classes])


def tags(missing=False, num_rows=41):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (num_rows, 3))
    if missing:
        labels[rng.random(labels.shape) < 0.2] = -1
    return labels, rng.random((num_rows, 3)).round(2), ["x", "y", "z"]


def numbers(missing=False, num_rows=37):
    rng = np.random.default_rng(3)
    targets = rng.normal(size=(num_rows, 2)).round(1)
    if missing:
        targets[rng.random(targets.shape) < 0.2] = np.nan
    return targets, np.nan_to_num(targets) + rng.normal(size=targets.shape), ["p", "q"]


KINDS = {
    "binary": (classification_metrics, classes(2)),
    "multiclass": (classification_metrics, classes(5)),
    "multilabel": (multilabel_metrics, tags(missing=True)),
    "regression": (regression_metrics, numbers(missing=True)),
}


def flat(found, prefix=""):
    """All numbers by path, without what is said of the rows."""
    items = found.items() if isinstance(found, dict) else enumerate(found)
    values = {}
    for name, value in items:
        if any(word in str(name) for word in OF_ROWS):
            continue
        path = f"{prefix}/{name}"
        values |= flat(value, path) if isinstance(value, dict | list) else {path: value}
    return values


def weights_of(num_rows, seed=7):
    return np.random.default_rng(seed).exponential(size=num_rows)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_classes_equal_sklearn(num_classes):
    labels, found, names = classes(num_classes)
    weights = weights_of(len(labels))
    answers, mine = found.argmax(axis=1), {"sample_weight": weights}
    got = classification_metrics(labels, found, names, sample_weight=weights)
    expected = {
        "accuracy": sk.accuracy_score(labels, answers, **mine),
        "macro_f1": sk.f1_score(labels, answers, average="macro", **mine),
        "weighted_f1": sk.f1_score(labels, answers, average="weighted", **mine),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, answers, **mine),
        "log_loss": sk.log_loss(labels, found, **mine),
        "mcc": sk.matthews_corrcoef(labels, answers, **mine),
        "brier_score_loss": sk.brier_score_loss(labels, found, **mine),
    }
    if num_classes == 5:
        hot = np.eye(5)[labels]
        expected["auroc"] = sk.roc_auc_score(hot, found, **mine)
        expected["auprc"] = sk.average_precision_score(hot, found, **mine)
        expected["top_3_accuracy"] = sk.top_k_accuracy_score(labels, found, k=3, **mine)
    if num_classes == 2:
        expected["auroc"] = sk.roc_auc_score(labels, found[:, 1], **mine)
        expected["auprc"] = sk.average_precision_score(labels, found[:, 1], **mine)
    assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    matrix = sk.confusion_matrix(labels, answers, **mine)
    np.testing.assert_allclose(got["confusion_matrix"], matrix, rtol=1e-12)
    columns = sk.precision_recall_fscore_support(labels, answers, zero_division=0, **mine)
    for name, column in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        np.testing.assert_allclose([got["per_class"][c][name] for c in names], column)
    json.dumps(got)


def test_labels_equal_sklearn():
    labels, found, names = tags()
    weights = weights_of(len(labels))
    answers, mine = (found >= 0.5).astype(int), {"sample_weight": weights}
    got = multilabel_metrics(labels, found, names, sample_weight=weights)
    flat_weights = {"sample_weight": np.repeat(weights, 3)}
    expected = {
        "subset_accuracy": sk.accuracy_score(labels, answers, **mine),
        "hamming_loss": sk.hamming_loss(labels, answers, **mine),
        "lrap": sk.label_ranking_average_precision_score(labels, found, **mine),
        "log_loss": sk.log_loss(labels.ravel(), found.ravel(), **flat_weights),
        "brier_score_loss": sk.brier_score_loss(labels.ravel(), found.ravel(), **flat_weights),
        "auroc": sk.roc_auc_score(labels, found, **mine),
        "auprc": sk.average_precision_score(labels, found, **mine),
    } | {
        f"{name}_f1": sk.f1_score(labels, answers, average=name, zero_division=0, **mine)
        for name in ("micro", "macro", "weighted", "samples")
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    columns = sk.precision_recall_fscore_support(labels, answers, zero_division=0, **mine)
    for name, column in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        np.testing.assert_allclose([got["per_label"][c][name] for c in names], column)
    json.dumps(got)


def test_numbers_equal_sklearn():
    targets, found, names = numbers()
    weights = weights_of(len(targets))
    got = regression_metrics(targets, found, names, sample_weight=weights)
    for place, name in enumerate(names):
        pair = targets[:, place], found[:, place]
        expected = {
            "mean_absolute_error": sk.mean_absolute_error(*pair, sample_weight=weights),
            "root_mean_squared_error": sk.mean_squared_error(*pair, sample_weight=weights) ** 0.5,
            "median_absolute_error": sk.median_absolute_error(*pair, sample_weight=weights),
            "r2": sk.r2_score(*pair, sample_weight=weights),
            "explained_variance": sk.explained_variance_score(*pair, sample_weight=weights),
        }
        mine = got["per_target"][name]
        assert {n: mine[n] for n in expected} == pytest.approx(expected, rel=1e-12)
    json.dumps(got)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_weight_is_the_row_so_many_times(kind):
    metrics, (labels, found, names) = KINDS[kind]
    weights = np.random.default_rng(5).integers(0, 4, len(labels))
    rows = np.repeat(np.arange(len(labels)), weights)
    got = metrics(labels, found, names, sample_weight=weights)
    expected = metrics(labels[rows], found[rows], names)
    assert flat(got) == pytest.approx(flat(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_weight_0_has_no_influence_at_all(kind):
    metrics, (labels, found, names) = KINDS[kind]
    weights = weights_of(len(labels))
    weights[::3] = 0
    kept = weights > 0
    got = metrics(labels, found, names, sample_weight=weights)
    assert got == metrics(labels[kept], found[kept], names, sample_weight=weights[kept])


@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_change_nothing(kind):
    """Not even the intervals, of which whole weights are no copies of rows."""
    metrics, (labels, found, names) = KINDS[kind]
    got = metrics(labels, found, names, sample_weight=np.full(len(labels), 2.0))
    expected = metrics(labels, found, names)
    assert got["effective_rows"] == pytest.approx(expected["num_rows"])
    assert got["num_rows"] == expected["num_rows"]
    for name, value in expected.items():
        if name == "averages":
            for row, scores in value.items():
                doubled = {**scores, "support": 2 * scores["support"]}
                assert got[name][row] == pytest.approx(doubled, rel=1e-9), row
        elif name != "confusion_matrix" and not name.startswith("per_"):
            assert got[name] == pytest.approx(value, rel=1e-9), name


def test_the_interval_is_that_of_the_effective_number_of_rows():
    labels, found, names = classes()
    weights = weights_of(len(labels))
    got = classification_metrics(labels, found, names, sample_weight=weights)
    count = weights.sum() ** 2 / (weights**2).sum()
    assert got["effective_rows"] == pytest.approx(count) and count < len(labels)
    expected = wilson_interval(got["accuracy"] * count, count)
    assert got["accuracy_interval"] == pytest.approx(expected)
    mine = weights[labels == 1]
    expected = {"num_rows": len(mine), "effective_rows": mine.sum() ** 2 / (mine**2).sum()}
    assert {n: got["per_class"]["b"][n] for n in expected} == pytest.approx(expected)


def test_one_row_with_nearly_all_the_weight_is_hardly_more_than_one_row():
    assert effective_rows([1e200, 1, 1]) == 1
    assert effective_rows([0, 0]) == 0
    labels, found, names = numbers()
    weights = np.full(len(labels), 1e-9)
    weights[0] = 1
    got = regression_metrics(labels, found, names, sample_weight=weights)
    low, high = got["per_target"]["p"]["mean_absolute_error_interval"]
    assert high - low > 1


def test_correlations_of_a_sample_that_whole_weights_describe():
    targets, found, names = numbers()
    weights = np.random.default_rng(5).integers(1, 4, len(targets))
    got = regression_metrics(targets, found, names, sample_weight=weights)["per_target"]["p"]
    x, y = (np.repeat(values[:, 0], weights) for values in (targets, found))
    assert got["pearson"] == pytest.approx(pearsonr(x, y).statistic)
    assert got["spearman"] == pytest.approx(spearmanr(x, y).statistic)


def test_thresholds_of_weighted_rows():
    labels, found, _ = tags(missing=True)
    weights = np.random.default_rng(5).integers(0, 4, len(labels))
    rows = np.repeat(np.arange(len(labels)), weights)
    assert (weights == 0).any()
    expected = tune_thresholds(labels[rows], found[rows])
    np.testing.assert_array_equal(tune_thresholds(labels, found, sample_weight=weights), expected)
    assert (tune_thresholds(labels, found) != expected).any()
    own = tune_thresholds(labels, found, sample_weight=weights, metric=sk.jaccard_score)
    np.testing.assert_array_equal(
        own, tune_thresholds(labels[rows], found[rows], metric=sk.jaccard_score)
    )


def test_baselines_are_weighted_too():
    labels, _, names = classes()
    weights = weights_of(len(labels))
    got = majority_baseline([0, 1, 1], labels, names, sample_weight=weights)
    assert got["accuracy"] == pytest.approx(weights[labels == 1].sum() / weights.sum())
    got = frequency_baseline([[1, 0]], [[1, 0], [1, 1]], ["x", "y"], sample_weight=[3, 1])
    assert got["subset_accuracy"] == 0.75
    got = mean_baseline([[1.0]], [[2.0], [4.0]], ["p"], sample_weight=[3, 1])
    assert got["mean_absolute_error"] == 1.5


@pytest.mark.parametrize(
    "head, labels, prior",
    [
        (Head(classes=("a", "b", "c")), [0, 1, 1, -1], [0.75, 0.25, 0]),
        (Head("multilabel", ("x", "y")), [[1, 0], [0, 1], [0, -1], [-1, -1]], [0.75, 0]),
        (Head("regression", ("p",)), [[4.0], [8.0], [9.0], [np.nan]], [5.0]),
    ],
)
def test_the_prior_of_weighted_training_rows(head, labels, prior):
    weights = [3, 1, 0, 2]
    if head.kind == "multilabel":
        prior = [0.75, 0.25]
    np.testing.assert_allclose(head_prior(head, labels, weights), prior)
    np.testing.assert_array_equal(head_prior(head, labels, np.ones(4)), head_prior(head, labels))
    found = prior_metrics(head, head_prior(head, labels, weights), labels, weights)
    assert found["num_rows"] == 2
    logits = np.zeros((4, head.num_logits))
    assert head_metrics(head, labels, logits, sample_weight=weights)["num_rows"] == 2
    assert is_labelled(head, labels, weights) and not is_labelled(head, labels, [0, 0, 0, 1])


@pytest.mark.parametrize(
    "weights, message",
    [
        ([1, np.nan, -1, np.inf, 1], "nan in row 1, -1.0 in row 2, inf in row 3"),
        ([-1, -1, -1, -1, -1], "and 2 more"),
        ([0, 0, 0, 0, 0], "weight above 0"),
        ([1, 1], r"shape \(5,\).*shape \(2,\)"),
        (["1", "1", "1", "1", "1"], "one number per row"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_weights(kind, weights, message):
    metrics, (labels, found, names) = KINDS[kind]
    with pytest.raises(ValueError, match=message):
        metrics(labels[:5], found[:5], names, sample_weight=weights)


def test_labelled_rows_of_weight_0_alone_are_no_rows():
    with pytest.raises(ValueError, match="weight above 0"):
        classification_metrics([0, -1], [[1, 0], [1, 0]], ["a", "b"], sample_weight=[0, 1])
