"""A check names control characters by row, and the rows are taken."""

import pytest

import keras_mm
from keras_mm.cli.main import main
from keras_mm.data.tables.rows import check_table, read_rows
from keras_mm.data.text.control_characters import control_characters
from tests.families import JOINED

pytestmark = pytest.mark.backend_free


def test_a_check_warns_by_row_and_the_rows_are_taken():
    bad = ["good\0 bad", "\x01", "\x7f\x7f", "caf\x85", "so\u00adft", "\ufeffa", "\ue000", "\uffff"]
    table = [{"text": "good \t\r\n"}, *({"text": text} for text in bad), {"text": JOINED}]
    warnings = check_table(table, texts="text")
    assert [(p.row, p.column, p.severity) for p in warnings] == [
        (row, "text", "warning") for row in range(1, len(bad) + 1)
    ]
    words = "row 1, column 'text': warning: the text contains control characters: U+0000"
    assert words in str(warnings[0])
    assert "U+007F (2 times)" in warnings[2].message and "Remove them" in warnings[2].message
    assert read_rows(table, texts="text").texts[0] == [row["text"] for row in table]
    found = check_table([*table, {"text": 7}], texts="text")
    assert [p.severity for p in found] == ["error"] + ["warning"] * len(bad)


def test_many_control_characters_are_counted():
    message = control_characters("".join(map(chr, range(1, 9))))
    assert "U+0005 and 3 more" in message and control_characters(JOINED) is None


def test_the_command_line_tells_warnings_from_errors(capsys, tmp_path):
    (tmp_path / "t.csv").write_bytes(b"text,label\ngood\x00 bad,x\nfine,y\n")
    assert main(["check", "--data", str(tmp_path / "t.csv")]) == 0
    out, err = capsys.readouterr()
    assert "row 0, column 'text': warning: " in out and "0 problems, 1 warning\n" in err
    (tmp_path / "t.csv").write_bytes(b"text,label\ngood\x00 bad,x\nfine,\n")
    assert main(["check", "--data", str(tmp_path / "t.csv"), "--json"]) == 2
    assert '"severity": "warning"' in capsys.readouterr().out


def test_a_special_token_holds_no_nul():
    classifier = keras_mm.MultimodalClassifier(preset="tiny", special_tokens=["<\0>"])
    with pytest.raises(ValueError, match="`special_tokens` must be .* with a NUL character"):
        classifier._settings().resolved()
