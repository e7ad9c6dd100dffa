"""Outputs appear whole or not at all."""

import pytest

from keras_mm.errors import ExistingFileError
from keras_mm.files import (
    check_vacant,
    check_writable,
    new_file,
    new_files,
    new_folder,
    write_text,
)

pytestmark = pytest.mark.backend_free


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "scores.txt"
    with new_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half" and names(path.parent) == ["scores.txt"]
    with pytest.raises(KeyboardInterrupt), new_file(path) as temporary:
        temporary.write_text("other")
        raise KeyboardInterrupt
    assert path.read_text() == "half" and names(path.parent) == ["scores.txt"]
    write_text(path, "ü")
    assert path.read_bytes() == "ü".encode()


def test_a_folder_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), new_folder(target) as folder:
        (folder / "a").write_text("a")
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    with new_folder(target) as folder:
        (folder / "a").write_text("a")
        assert not target.exists()
    assert names(target) == ["a"]
    with pytest.raises(ExistingFileError, match="not empty"), new_folder(target):
        pass
    with new_folder(target, overwrite=True) as folder:
        (folder / "b").write_text("b")
    assert names(target) == ["b"] and names(tmp_path) == ["run"]
    with pytest.raises(FileExistsError, match="is a file"):
        check_vacant(target / "b")


def test_the_working_folder_is_filled(tmp_path, monkeypatch):
    (tmp_path / "old").write_text("old")
    monkeypatch.chdir(tmp_path)
    with new_folder(".", overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert names(tmp_path) == ["new"]


def test_files_come_into_a_folder_beside_others(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), new_files(target, last="spec") as folder:
        (folder / "spec").write_text("1")
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    with new_files(target, last="spec") as folder:
        (folder / "spec").write_text("1")
        assert not target.exists()
    (target / "other").write_text("other")
    with pytest.raises(KeyboardInterrupt), new_files(target, last="spec") as folder:
        (folder / "spec").write_text("2")
        raise KeyboardInterrupt
    assert names(target) == ["other", "spec"] and (target / "spec").read_text() == "1"
    with new_files(target, last="spec") as folder:
        with new_folder(folder, overwrite=True) as made:  # as a writer of whole folders does
            (made / "spec").write_text("2")
        (folder / "weights").write_text("2")
    assert names(target) == ["other", "spec", "weights"]
    assert (target / "spec").read_text() == "2"


def test_the_file_that_marks_the_others_as_complete_goes_first_and_comes_last(tmp_path):
    (tmp_path / "spec").write_text("1")
    (tmp_path / "weights" / "inner").mkdir(parents=True)
    with pytest.raises(OSError), new_files(tmp_path, last="spec") as folder:
        (folder / "spec").write_text("2")
        (folder / "weights").write_text("2")  # which cannot replace a folder
    assert names(tmp_path) == ["weights"]


def test_whether_a_folder_can_be_written(tmp_path):
    check_writable(tmp_path / "deep" / "run")
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        check_writable(tmp_path / "file" / "run")
    assert names(tmp_path) == ["file"]
