"""Log lines of backends are hidden, unless the user asks for them."""

import logging
import os
import signal
import subprocess
import sys

import pytest

from keras_mm.backend_logs import hide_python_logs, is_debugging, quiet_environment
from keras_mm.subprocesses import run

pytestmark = pytest.mark.backend_free

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# What C++ writes to stderr, in the place of a backend.
CODE = f"""
import os
from keras_mm.backend_logs import hidden_backend_logs
before = os.environ.get({LEVEL!r})
with hidden_backend_logs():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to "
             b"STDERR\\nI0000 00:00:1795965714.471710    4163 stub.cc:31] Could not find it.\\n"
             b"2026-11-29 14:35:02.123456: I tensorflow/core/util/port.cc:153] oneDNN is on.\\n"
             b"E0000 00:00:1795965690.947805    2241 platform.cc:52] failed call\\n")
    os.write(2, b"F0000 00:00:1795965690.947805    2241 guard.cc:52] fatal\\nno log line\\n")
    LAST
os.write(2, b"after\\n")
print(before, os.environ.get({LEVEL!r}))
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "None 3"),
        ({LEVEL: "1"}, "1 1"),
        ({"KERAS_MM_DEBUG": "1"}, "None None"),
        ({"KERAS_MM_DEBUG": "0"}, "None 3"),
    ],
)
def test_lines_are_hidden_while_backends_are_loaded(given, expected):
    done = loading("", given)
    assert done.stdout.strip() == expected, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == (3 if expected.endswith("3") else 7)
    assert [line[:11] for line in lines[-3:]] == ["F0000 00:00", "no log line", "after"]


def test_a_process_that_dies_has_written_why():
    done = loading("os.abort()", {})
    assert done.returncode == -signal.SIGABRT
    assert [line[:11] for line in done.stderr.splitlines()] == ["F0000 00:00", "no log line"]


def test_stderr_may_be_closed():
    code = (
        "import os; os.close(2)\n"
        "from keras_mm.backend_logs import hidden_backend_logs\n"
        "with hidden_backend_logs(): print('loaded')"
    )
    environment = {**os.environ, LEVEL: "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"loaded\n")


def loading(last, given, **options):
    kept = {name: value for name, value in os.environ.items() if name not in (LEVEL, *given)}
    kept.pop("KERAS_MM_DEBUG", None)
    code = CODE.replace("LAST", last or "pass")
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([sys.executable, "-c", code], env={**kept, **given}, text=True, **options)


def test_a_child_process_has_the_same_level(monkeypatch, capsys):
    code = f"import os, sys; print('a line', os.environ.get({LEVEL!r}), file=sys.stderr)"
    monkeypatch.delenv(LEVEL, raising=False)
    assert quiet_environment() == {LEVEL: "3"}
    run([sys.executable, "-c", code], "printing")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("KERAS_MM_DEBUG", "1")
    assert is_debugging() and quiet_environment() == {}
    run([sys.executable, "-c", code], "printing")
    assert capsys.readouterr().err == "a line None\n"


def test_warnings_in_python_are_hidden_by_the_command_line(monkeypatch):
    log = logging.getLogger("jax")
    monkeypatch.setattr(log, "level", logging.NOTSET)
    monkeypatch.setenv("KERAS_MM_DEBUG", "1")
    hide_python_logs()
    assert log.level == logging.NOTSET
    monkeypatch.delenv("KERAS_MM_DEBUG")
    hide_python_logs()
    assert log.level == logging.ERROR
