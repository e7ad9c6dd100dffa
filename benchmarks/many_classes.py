"""What many classes cost: training, answers, evaluation, its report and the model card.

    python benchmarks/many_classes.py [--classes 1000] [--rows 4000] [--test-rows 2000]

Each class has a word of its own; `tiny` is trained on texts for an epoch. Rows are drawn evenly.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import keras_mm
from keras_mm.evaluation.report.model_card import render_model_card
from keras_mm.inference.answers import written_frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--head", default="multiclass", choices=("multiclass", "multilabel"))
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    found |= {"classes": options.classes, "rows": options.rows, "test_rows": options.test_rows}
    for name, value in found.items():
        print(f"{name}: {value:,.2f}" if isinstance(value, float) else f"{name}: {value:,}")
    if options.output:
        options.output.write_text(json.dumps(found, indent=1))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Seconds of each step, sizes in MB."""
    names = [f"class {i}" for i in range(options.classes)]
    train, test = table(names, options.rows, 0), table(names, options.test_rows, 1)
    classifier = keras_mm.MultimodalClassifier(
        texts=["text"], preset="tiny", epochs=1, head=options.head, classes=names, verbose=0
    )
    steps: dict[str, Callable] = {
        "fit": lambda: classifier.fit(train, validation_data=test),
        "predict": lambda: classifier.predict(test),
        "predict_frame": lambda: classifier.predict_frame(test),
        "evaluate": lambda: classifier.evaluate(test),
    }
    found = {name: seconds(step) for name, step in steps.items()}
    begun = time.perf_counter()
    evaluation = classifier.evaluate(test)
    evaluation.save(folder / "report.html")
    found["evaluate_and_save"] = time.perf_counter() - begun
    found["save_report"] = seconds(lambda: evaluation.save(folder / "report.html"))
    found["report_mb"] = os.path.getsize(folder / "report.html") / 1e6
    found["card"] = seconds(lambda: render_model_card(evaluation, {}))
    found["card_mb"] = len(render_model_card(evaluation, {})) / 1e6
    found["text"] = seconds(lambda: str(evaluation))
    found["metrics_json"] = seconds(
        lambda: (folder / "metrics.json").write_text(json.dumps(evaluation.to_dict(), indent=2))
    )
    found["metrics_json_mb"] = os.path.getsize(folder / "metrics.json") / 1e6
    found["predictions_csv"] = seconds(
        lambda: written_frame(evaluation.predictions, classifier.heads_).to_csv(
            folder / "predictions.csv", index=False
        )
    )
    found["predictions_csv_mb"] = os.path.getsize(folder / "predictions.csv") / 1e6
    found["save_model"] = seconds(lambda: classifier.save(folder / "model"))
    found["load_model"] = seconds(lambda: keras_mm.MultimodalClassifier.load(folder / "model"))
    found["memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def table(names: list[str], num_rows: int, seed: int) -> pd.DataFrame:
    """Rows whose texts say their class among other words."""
    generator = np.random.default_rng(seed)
    codes = generator.permutation(np.resize(np.arange(len(names)), num_rows))
    words = generator.integers(0, 1000, num_rows)
    texts = [f"word{word} name{code}" for word, code in zip(words, codes, strict=True)]
    return pd.DataFrame({"text": texts, "label": [names[code] for code in codes]})


def seconds(step: Callable) -> float:
    """How long a step takes."""
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
