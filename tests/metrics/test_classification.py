import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from keras_mm.metrics import classification_metrics, majority_baseline, wilson_interval
from keras_mm.metrics.head_metrics import EXTENDED

pytestmark = pytest.mark.backend_free

CLASSES = ["a", "b", "c", "d", "e"]


def random_rows(num_rows, seed, labelled=(0, 1, 2, 3, 4), answered=(0, 1, 2, 3, 4)):
    """Labels and probabilities in which only these classes occur."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(5), num_rows)
    probabilities[:, [i for i in range(5) if i not in answered]] *= 1e-9
    return rng.choice(labelled, num_rows), probabilities / probabilities.sum(1, keepdims=True)


CASES = {
    "all": {},
    "class_never_labelled": {"labelled": (0, 2, 3)},
    "class_never_answered": {"answered": (1, 4)},
    "class_never_seen": {"labelled": (0, 1), "answered": (1, 3)},
    "one_class": {"labelled": (2,), "answered": (2,)},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("num_rows", [1, 7, 101])
def test_equals_sklearn(case, num_rows):
    labels, probabilities = random_rows(num_rows, 1, **CASES[case])
    answers = probabilities.argmax(axis=1)
    got = classification_metrics(labels, probabilities, CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": sk.accuracy_score(labels, answers),
            "macro_f1": sk.f1_score(labels, answers, average="macro"),
            "weighted_f1": sk.f1_score(labels, answers, average="weighted"),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, answers),
            "log_loss": sk.log_loss(labels, probabilities, labels=range(5)),
            "mcc": sk.matthews_corrcoef(labels, answers),
        }
        columns = sk.precision_recall_fscore_support(
            labels, answers, labels=range(5), zero_division=0
        )
        report = sk.classification_report(labels, answers, output_dict=True, zero_division=0)
    for name in ("macro avg", "weighted avg"):
        assert list(got["averages"][name].values()) == pytest.approx(list(report[name].values()))
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    for i, name in enumerate(("precision", "recall", "f1", "support")):
        np.testing.assert_allclose([got["per_class"][c][name] for c in CLASSES], columns[i])
    expected_matrix = sk.confusion_matrix(labels, answers, labels=range(5)).tolist()
    assert got["confusion_matrix"] == expected_matrix and got["num_rows"] == num_rows


def test_is_json_and_warns_of_nothing():
    labels, probabilities = random_rows(11, 2, labelled=(0, 1), answered=(2,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = classification_metrics(labels.astype("int32"), probabilities.astype("f4"), CLASSES)
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert got["accuracy_interval"] == list(wilson_interval(0, 11))


def test_rows_without_label_are_left_out():
    labels, probabilities = random_rows(13, 3)
    present = np.arange(13) % 3 > 0
    masked = np.where(present, labels, -1)
    expected = classification_metrics(labels[present], probabilities[present], CLASSES)
    assert classification_metrics(masked, probabilities, CLASSES) == expected


def test_certain_but_wrong_stays_finite():
    got = classification_metrics([1], [[1.0, 0.0]], ["no", "yes"])
    assert got["log_loss"] == pytest.approx(-np.log(np.finfo("float64").eps))


def test_majority_answers_the_training_majority():
    train, labels = np.repeat([0, 1, 2, -1], [2, 5, 3, 7]), np.repeat([0, 1, 2], [7, 3, 1])
    got = majority_baseline(train, labels, ["a", "b", "c"])
    assert got["accuracy"] == 3 / 11
    assert np.array(got["confusion_matrix"]).sum(axis=0).tolist() == [0, 11, 0]
    shares = np.array([0.2, 0.5, 0.3])
    assert got["log_loss"] == pytest.approx(-np.log(shares[labels]).mean())


def test_majority_of_the_entailment_test_set():
    train, labels = np.repeat([0, 1, 2], [93, 93, 1011]), np.repeat([0, 1, 2], [11, 11, 118])
    got = majority_baseline(train, labels, ["Contradictory", "Implies", "NoEntailment"])
    assert got["accuracy"] == pytest.approx(0.8429, abs=5e-5)
    assert got["macro_f1"] == pytest.approx(0.305, abs=5e-4)
    assert set(got) == set(classification_metrics([0, 1, 2], np.eye(3), ["a", "b", "c"]))


@pytest.mark.parametrize(
    ("labels", "probabilities", "match"),
    [
        ([0, 1], [[3.0, -2.0], [0.5, 0.5]], "softmax"),
        ([0, 1], [[0.5, 0.2], [0.5, 0.5]], "sum to 1"),
        ([0, 1], [[0.5, 0.5], [float("nan"), 0.2]], "NaN in 1 row, first in row 1"),
        ([0, 1], [[0.5, 0.5]], r"shape \(2, 2\)"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "below the number of classes, 2"),
        ([-1, -1], [[0.5, 0.5], [0.5, 0.5]], "no label"),
        ([], np.empty((0, 2)), "no label"),
        (["no", "yes"], [[0.5, 0.5], [0.5, 0.5]], "integers"),
    ],
)
def test_mistakes(labels, probabilities, match):
    with pytest.raises(ValueError, match=match):
        classification_metrics(labels, probabilities, ["no", "yes"])


def test_import_loads_no_backend():
    code = (
        "import sys, keras_mm.metrics as m; m.classification_metrics([0], [[1.0]], ['a']); "
        "print(sorted({'keras', 'jax', 'tensorflow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_two_classes_are_ranked():
    """The documented example: one of two positives found, nothing given without reason."""
    logits = np.array([[0, 2], [2, 0], [2, 0], [2, 0]], "float64")
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    got = classification_metrics([1, 0, 1, 0], found, ["no", "yes"])
    assert got["confusion_matrix"] == [[2, 0], [1, 1]]
    assert got["mcc"] == pytest.approx(0.57735, abs=1e-5)
    assert got["macro_f1"] == pytest.approx(0.73333, abs=1e-5)
    assert (got["accuracy"], got["auroc"], got["auprc"]) == (0.75, 0.75, 0.75)
    one = classification_metrics([1, 1], found[:2], ["no", "yes"])
    assert "auroc" not in one and "auprc" not in one


def test_many_classes_give_the_cells_that_scikit_learn_counts():
    rng = np.random.default_rng(5)
    labels, answers = rng.integers(0, 1009, (2, 4001))
    answers[::2] = labels[::2]
    got = classification_metrics(labels, np.eye(1009)[answers], range(1009))
    matrix = sk.confusion_matrix(labels, answers, labels=range(1009))
    assert "confusion_matrix" not in got
    cells = np.asarray(got["confusions"])
    assert cells[:, :2].tolist() == np.argwhere(matrix).tolist()
    assert cells[:, 2].tolist() == matrix[matrix > 0].tolist()
    assert got["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, answers))


def test_many_classes_are_ranked():
    """Means over the classes that occur; a class absent from the rows changes nothing."""
    labels, found = random_rows(31, 4, labelled=(0, 2, 3))
    got = classification_metrics(labels, found, CLASSES)
    hot = labels[:, None] == [0, 2, 3]
    assert got["auroc"] == pytest.approx(sk.roc_auc_score(hot, found[:, [0, 2, 3]]))
    assert got["auprc"] == pytest.approx(sk.average_precision_score(hot, found[:, [0, 2, 3]]))
    for k in (2, 3, 4):
        expected = sk.top_k_accuracy_score(labels, found, k=k, labels=range(5))
        assert got[f"top_{k}_accuracy"] == pytest.approx(expected)
    assert "top_5_accuracy" not in got
    one = classification_metrics([1, 1], found[:2], CLASSES)
    assert "auroc" not in one and one["top_4_accuracy"] <= 1


def test_equal_probabilities_are_ranked_as_predictions_are():
    labels = np.arange(5)
    got = classification_metrics(labels, np.full((5, 5), 0.2), CLASSES)
    assert (got["accuracy"], got["top_2_accuracy"], got["top_4_accuracy"]) == (0.2, 0.4, 0.8)
    assert (got["auroc"], got["auprc"]) == (0.5, pytest.approx(0.2))


def test_what_takes_long_can_be_left_out():
    labels, found = random_rows(31, 4)
    full = classification_metrics(labels, found, CLASSES)
    short = classification_metrics(labels, found, CLASSES, extended=False)
    left_out = set(full) - set(short)
    assert left_out < set(EXTENDED) and {"auroc", "brier_score_loss", "top_4_accuracy"} < left_out
    assert short == {name: full[name] for name in short}
