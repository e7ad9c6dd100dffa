"""What one backend does, in a process of its own: python per_backend.py FOLDER.

FOLDER holds `bundles.json`: saved models by name, each with the table to answer. For each it writes
the probabilities. Then it trains `tiny` twice from one seed and saves the result, which is exported
where no other model is.
"""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np

import keras_mm


def train():
    classifier = keras_mm.MultimodalClassifier(preset="tiny", epochs=1, seed=5, verbose=0)
    return classifier.fit(keras_mm.load_sample_data()[0][:160], validation_split=0)


def main(folder: Path) -> None:
    backend = keras.backend.backend()
    assert backend == os.environ["KERAS_BACKEND"]
    out = folder / backend
    out.mkdir()
    jobs = json.loads((folder / "bundles.json").read_text())
    for name, job in jobs.items():
        classifier = keras_mm.MultimodalClassifier.load(job["model"])
        found = {"probabilities": classifier.predict_proba(job["table"])}
        if job["again"]:
            classifier = keras_mm.MultimodalClassifier.load(job["model"])
            found["again"] = classifier.predict_proba(job["table"])
        np.savez(out / f"{name}.npz", **found)
        if backend in job["export"]:
            found = classifier.export(out / f"{name}-export", data=job["table"])
            (out / f"{name}-export.json").write_text(json.dumps(found))

    first, second = train(), train()
    weights = [np.asarray(w) for w in first.model_.get_weights()]
    same = all(
        np.array_equal(a, b) for a, b in zip(weights, second.model_.get_weights(), strict=True)
    )
    rows = keras_mm.load_sample_data()[1][:40]
    np.savez(out / "trained.npz", same=same, probabilities=first.predict_proba(rows))
    first.save(out / "trained")
    if not any(backend in job["export"] for job in jobs.values()):
        found = first.export(out / "trained-export", data=rows)
        (out / "trained-export.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
