"""The estimator with given settings, beside simple models of scikit-learn on the same features.

    python benchmarks/defaults.py TABLE.csv --images a,b --texts a,b [--groups image] \
        [--seeds 0,1,2] [--rows 500] [--set head=multilabel] [--set vision_weights=W.h5] ...

Trains on all rows outside each of five folds (or outside the rows that the column `split` calls
test) and predicts these. The rivals are logistic (ridge) regression, its penalty chosen by inner
validation, and an MLP of 256 units, on the standardised features of the frozen encoders: all of
them, the texts' alone and the images' alone. Prints macro-F1, mean average precision or R2 over all
rows, the mean of the seeds, and the difference to the best rival.
"""

import argparse
import time

import keras
import numpy as np
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from tables import add_table_arguments, outer_splits, read_labelled, read_settings
from threadpoolctl import threadpool_limits

import keras_mm
from keras_mm.metrics.head_metrics import measure
from keras_mm.metrics.probabilities import probabilities

METRICS = {"multilabel": "auprc", "regression": "r2"}  # of other kinds macro-F1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--outer", type=int, default=5)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", type=int, help="take so many rows, drawn by the seed")
    options = parser.parse_args()
    settings, table = read_settings(options), read_labelled(options)
    lines = []
    for seed in map(int, options.seeds.split(",")):
        rows = table
        if options.rows:
            rows = table.sample(options.rows, random_state=seed)
            counts = rows[options.labels].map(rows[options.labels].value_counts())
            if settings.get("head", "multiclass") == "multiclass":
                rows = rows[counts >= 2 * options.outer]
        lines.append(one_seed(rows, options, settings, seed))
        print(f"seed {seed}: {told(lines[-1])}", flush=True)
    print(
        f"mean of {len(lines)} seeds: {told({n: np.mean([x[n] for x in lines]) for n in lines[0]})}"
    )
    print(f"backend {keras.backend.backend()}, {len(table)} rows")


def one_seed(table, options, settings: dict, seed: int) -> dict[str, float]:
    """The metric of the estimator and of each rival, and the seconds of training."""
    found: dict[str, list] = {}
    labels, seconds = [], 0.0
    for train, test in outer_splits(table, options, options.outer, seed):
        model = keras_mm.MultimodalClassifier(**settings, seed=seed)
        begun = time.perf_counter()
        model.fit(train, groups=options.groups)
        seconds += time.perf_counter() - begun
        ((name, head),) = model.heads_.items()
        predictor = model.predictor_
        parts = [predictor.rows(part, heads=model.heads_) for part in (train, test)]
        features = [predictor.features(part) for part in parts]
        logits = predictor.logits(parts[1], features[1])[name]
        predicted = logits if head.kind == "regression" else probabilities(logits, head.kind)
        found.setdefault("estimator", []).append(predicted)
        truth = [part.labels[name] for part in parts]
        labels.append(truth[1])
        vectors = {
            key: [np.asarray(of[key], "float32").reshape(len(of[key]), -1) for of in features]
            for key in features[0]
            if key.endswith("pooled_output")
        }
        subsets = [tuple(vectors), *((key,) for key in vectors if len(vectors) > 1)]
        for subset in subsets:
            joined = [np.concatenate([vectors[k][i] for k in subset], axis=1) for i in (0, 1)]
            scaler = StandardScaler().fit(joined[0])
            joined = [scaler.transform(x) for x in joined]
            where = "all" if len(subset) == len(vectors) else subset[0].split("_")[0]
            for rival, predict in (("linear", linear), ("mlp", mlp)):
                with threadpool_limits(1):
                    values = predict(head, *joined, truth[0], seed)
                found.setdefault(f"{rival} {where}", []).append(values)
    metric = METRICS.get(head.kind, "macro_f1")
    truth = np.concatenate(labels)
    # With preset=auto, a model may do without images: then its fold has no rivals that read them.
    whole = {n: np.concatenate(p) for n, p in found.items() if len(p) == len(labels)}
    scores = {n: measure(head, truth, values)[metric] for n, values in whole.items()}
    return {**scores, "seconds": seconds}


def linear(head, train, test, labels, seed: int) -> np.ndarray:
    if head.kind == "regression":
        return RidgeCV(alphas=(1e2, 1e3, 1e4)).fit(train, labels[:, 0]).predict(test)[:, None]
    model = LogisticRegressionCV(
        Cs=(1e-4, 1e-3, 1e-2, 1e-1),
        l1_ratios=(0.0,),
        cv=3,
        max_iter=200,
        tol=1e-3,
        scoring="neg_log_loss",
        use_legacy_attributes=False,
    )
    if head.kind == "multilabel":
        return OneVsRestClassifier(model).fit(train, labels).predict_proba(test)
    return of_classes(head, model.fit(train, labels), test)


def mlp(head, train, test, labels, seed: int) -> np.ndarray:
    options = {"hidden_layer_sizes": (256,), "alpha": 1e-2, "early_stopping": True}
    options |= {"random_state": seed, "max_iter": 60}
    if head.kind == "regression":
        mean, scale = labels[:, 0].mean(), labels[:, 0].std()
        model = MLPRegressor(**options).fit(train, (labels[:, 0] - mean) / scale)
        return model.predict(test)[:, None] * scale + mean
    model = MLPClassifier(**options).fit(train, labels)
    return model.predict_proba(test) if head.kind == "multilabel" else of_classes(head, model, test)


def of_classes(head, model, test) -> np.ndarray:
    """The probabilities of all classes of the head."""
    found = np.zeros((len(test), head.num_classes))
    found[:, model.classes_] = model.predict_proba(test)
    return found


def told(line: dict[str, float]) -> str:
    rivals = {n: v for n, v in line.items() if n not in ("estimator", "seconds")}
    best = max(rivals, key=rivals.get)
    each = ", ".join(f"{name} {value:.4f}" for name, value in rivals.items())
    return (
        f"estimator {line['estimator']:.4f}, {line['estimator'] - rivals[best]:+.4f} to {best} "
        f"({each}); {line['seconds']:.0f} s"
    )


if __name__ == "__main__":
    main()
