"""Errors of the settings and checks of tables need no backend."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.backend_free

CODE = """
import sys
from keras_mm.cli.main import main
status = main(sys.argv[1:])
heavy = ("keras", "tensorflow", "jax", "torch", *(["sklearn", "pandas"] if status else []))
print(status, [name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["check", "--data", "rows.csv"], 0),
        (["check", "--data", "none.csv"], 2),
        (["train", "--set", "epochz=3"], 2),
        (["train", "--data", "rows.csv", "--texts", "none"], 2),
        (["train", "--data", "rows.csv", "--preset", "tiny", "--dry-run", "--quiet"], 0),
        (["presets", "--json"], 0),
        (["predict", "--model", "saved", "--data", "rows.csv"], 2),
        (["predict", "--model", "saved", "--data", "none.csv"], 2),
        (["evaluate", "--model", "saved", "--data", "labelled.csv"], 2),
        (["evaluate", "--model", "saved", "--data", "labelled.csv", "--heads", "mood"], 2),
    ],
)
def test_no_backend_is_loaded(arguments, status, tmp_path):
    rows = "".join(f"words {i},{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "rows.csv").write_text("text_1,label\n" + rows)
    (tmp_path / "labelled.csv").write_text("title,mood\na,b\n")
    (tmp_path / "saved").mkdir()
    spec = {
        "format_version": 3,
        "settings": {"images": [], "texts": ["title"]},
        "heads": {"label": {"kind": "multiclass", "classes": ["a", "b"], "column": "label"}},
    }
    (tmp_path / "saved" / "model.json").write_text(json.dumps(spec))
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == f"{status} []", done.stdout + done.stderr
    if status == 2:
        words = ("olumn", "epochz", "No such table", "Unknown head 'mood'")
        assert any(word in done.stderr for word in words)
