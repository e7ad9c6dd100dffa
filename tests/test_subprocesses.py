"""Processes that end badly say how."""

import signal
import sys

import pytest

from keras_mm.subprocesses import FAULT_HANDLER, ChildError, run, run_on_tensorflow

pytestmark = pytest.mark.backend_free


def failure(code: str, *options: str, **environment: str) -> str:
    """What is said about a process that runs some code and fails."""
    with pytest.raises(ChildError) as error:
        run([sys.executable, *options, "-c", code], "painting the shed", environment)
    return str(error.value)


def killed(number: int, *options: str) -> str:
    return failure(f"import os; os.kill(os.getpid(), {int(number)})", *options)


def test_a_signal_is_named():
    said = killed(signal.SIGSEGV)
    assert said.startswith("painting the shed failed: the process died by signal 11 (SIGSEGV).")
    assert "nothing to stderr" in said
    assert "signal 6 (SIGABRT)" in failure("import os; os.abort()")
    assert "signal 9 (SIGKILL): the machine may have run out of memory" in killed(9)
    if hasattr(signal, "SIGRTMIN"):
        nameless = signal.SIGRTMIN + 1
        assert f"died by signal {int(nameless)}." in killed(nameless)


def test_a_crash_is_told_with_its_place_and_what_came_before():
    code = (
        "import os, sys\n"
        "def inner(depth):\n"
        "    if depth: return inner(depth - 1)\n"
        "    print('a check failed', file=sys.stderr, flush=True)\n"
        "    os.abort()\n"
        "inner(40)\n"
    )
    said = failure(code, *FAULT_HANDLER).splitlines()
    assert "SIGABRT" in said[0] and said[1] == "a check failed"
    assert "Fatal Python error: Aborted" in said and any("in inner" in line for line in said)
    assert len(said) < 20


def test_an_exception_is_told_by_its_last_lines():
    said = failure("raise ValueError('the shed is dry')")
    assert "ended with exit status 1." in said
    assert said.endswith("ValueError: the shed is dry")
    assert failure("raise SystemExit(3)").endswith("exit status 3.\nIt wrote nothing to stderr.")


def test_bytes_that_are_no_text_do_not_hide_the_failure():
    code = r"import sys; sys.stderr.buffer.write(b'K\xc3\xa4se \xff'); sys.exit(1)"
    assert "Käse \ufffd" in failure(code)


def test_a_child_has_tensorflow_for_its_backend(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert failure("import os, sys; sys.exit(os.environ['KERAS_BACKEND'])").endswith("tensorflow")


def test_a_module_that_fails_is_told(tmp_path):
    with pytest.raises(ChildError, match="writing it failed: the process ended with exit status"):
        run_on_tensorflow("keras_mm.nothing_here", tmp_path, doing="writing it")
