"""Errors of the settings and checks of tables need no backend."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.backend_free

CODE = """
import sys
from keras_mm.cli.main import main
status = main(sys.argv[1:])
print(status, [name for name in ("keras", "tensorflow", "jax", "torch") if name in sys.modules])
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
    ],
)
def test_no_backend_is_loaded(arguments, status, tmp_path):
    rows = "".join(f"words {i},{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "rows.csv").write_text("text_1,label\n" + rows)
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == f"{status} []", done.stdout + done.stderr
