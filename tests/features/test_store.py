"""The store on disk: damage, full and read-only disks, other processes, the oldest thrown out."""

import json
import logging
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_mm.features import store as module
from keras_mm.features.store import (
    FeatureStore,
    Shelf,
    cache_folder,
    cache_limit,
    open_store,
    reserve,
)

ROWS = 50


def keys(start: int, stop: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(start, stop)]


def values(start: int, stop: int) -> np.ndarray:
    return np.stack([np.full((3, 4), number, "float32") for number in range(start, stop)])


def found(shelf: Shelf, wanted: list[bytes]) -> np.ndarray:
    return np.stack([block.values[position] for block, position in shelf.find(wanted)])


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "cache", max_bytes=10**9)


def test_what_was_put_is_found_again(store):
    shelf = Shelf(store, "encoder")
    shelf.put(keys(0, 10), values(0, 10))
    shelf.put(keys(10, ROWS), values(10, ROWS))
    for one in (
        shelf,
        Shelf(store, "encoder"),
        Shelf(FeatureStore(store.folder.parent), "encoder"),
    ):
        np.testing.assert_array_equal(found(one, keys(0, ROWS)[::-1]), values(0, ROWS)[::-1])
        assert keys(ROWS, ROWS + 1)[0] not in one
    assert keys(0, 1)[0] not in Shelf(store, "another encoder")
    mapped = Shelf(store, "encoder").find(keys(0, 1))[0][0].values
    assert isinstance(mapped, np.memmap)


def test_without_a_store_nothing_is_written(tmp_path):
    shelf = Shelf()
    shelf.put(keys(0, 5), values(0, 5))
    assert not shelf.is_kept
    np.testing.assert_array_equal(found(shelf, keys(0, 5)), values(0, 5))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["cut in half", "one bit", "keys cut", "keys gone", "empty"])
def test_damage_is_found_and_the_rest_kept(store, caplog, what):
    shelf = Shelf(store, "encoder")
    shelf.put(keys(0, 10), values(0, 10))
    (block,) = (store.folder / "encoder").glob("*.npy")
    shelf.put(keys(10, ROWS), values(10, ROWS))
    content = bytearray(block.read_bytes())
    if what == "cut in half":
        block.write_bytes(content[: len(content) // 2])
    elif what == "one bit":
        content[-7] ^= 1
        block.write_bytes(content)
    elif what == "empty":
        block.write_bytes(b"")
    elif what == "keys cut":
        index = block.with_suffix(".npz")
        index.write_bytes(index.read_bytes()[:40])
    else:
        block.with_suffix(".npz").unlink()
    with caplog.at_level(logging.WARNING, "keras_mm"):
        shelf = Shelf(store, "encoder")
    assert not any(key in shelf for key in keys(0, 10))
    np.testing.assert_array_equal(found(shelf, keys(10, ROWS)), values(10, ROWS))
    if what != "keys gone":  # which is what a killed process leaves
        assert "damaged" in caplog.text and str(block) in caplog.text
        assert not block.exists()
    shelf.put(keys(0, 10), values(0, 10))
    np.testing.assert_array_equal(found(Shelf(store, "encoder"), keys(0, 10)), values(0, 10))


def test_a_folder_that_cannot_be_written_is_told_and_done_without(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    shelf = Shelf(FeatureStore(tmp_path / "file"), "encoder")
    with caplog.at_level(logging.WARNING, "keras_mm"):
        shelf.put(keys(0, 5), values(0, 5))
        shelf.put(keys(5, 9), values(5, 9))
    np.testing.assert_array_equal(found(shelf, keys(0, 9)), values(0, 9))
    assert len(caplog.records) == 1 and "cannot be written" in caplog.text
    assert "cache=False" in caplog.text


FULL = """
import resource, sys
import numpy as np
from keras_mm.features.store import FeatureStore, Shelf
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
shelf = Shelf(FeatureStore(sys.argv[1]), "encoder")
keys = [i.to_bytes(16, "big") for i in range(100)]
shelf.put(keys[:2], np.ones((2, 10), "float32"))
shelf.put(keys, np.ones((100, 1000), "float32"))
print(all(key in shelf for key in keys), shelf.is_kept)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on files here")
def test_a_disk_that_is_full_in_the_middle(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]
    assert "cannot be written" in done.stderr
    store = FeatureStore(tmp_path)
    assert store.info()["entries"] == 2
    assert not [file for file in store.folder.rglob("*") if file.name.endswith(".part")]


def test_no_room_on_the_disk_is_seen_before_it_is_taken(store, caplog, monkeypatch):
    monkeypatch.setattr(module, "_free", lambda folder: module._SPARE + 10**6)
    shelf = Shelf(store, "encoder")
    reserve([shelf], 10**6)
    assert shelf.is_kept
    with caplog.at_level(logging.WARNING, "keras_mm"):
        reserve([shelf], 10**6 + 1)
    assert not shelf.is_kept and "1 MB to spare" in caplog.text


def test_what_was_not_used_for_longest_goes_first(tmp_path, caplog):
    Shelf(FeatureStore(tmp_path / "one"), "a").put(keys(0, 10), values(0, 10))
    one = sum(file.stat().st_size for file in (tmp_path / "one").rglob("*.np?"))
    store = FeatureStore(tmp_path, max_bytes=3 * one)
    now = time.time()
    for age, name in ((30, "old"), (20, "older than it looks"), (10, "young")):
        Shelf(store, name).put(keys(0, 10), values(0, 10))
        (block,) = (store.folder / name).glob("*.npy")
        os.utime(block, (now - age, now - age))
    Shelf(store, "old").find(keys(0, 1))  # used again
    shelf = Shelf(store, "new")
    reserve([shelf], one)
    shelf.put(keys(0, 10), values(0, 10))
    left = {name for name in ("old", "older than it looks", "young", "new")
            if keys(0, 1)[0] in Shelf(store, name)}  # fmt: skip
    assert left == {"old", "young", "new"}
    assert sum(file.stat().st_size for file in store.folder.rglob("*.np?")) <= 3 * one
    # More than fits in any case, and more than the others would leave.
    for too_much in (4 * one, 3 * one):
        shelf = Shelf(store, "new")
        with caplog.at_level(logging.WARNING, "keras_mm"):
            reserve([shelf], too_much)
        assert not shelf.is_kept and "KERAS_MM_CACHE_GB" in caplog.text
    assert all(keys(0, 1)[0] in Shelf(store, name) for name in left)


WRITER = """
import sys
import numpy as np
from keras_mm.features.store import FeatureStore, Shelf
shelf = Shelf(FeatureStore(sys.argv[1]), "encoder", {"side": "vision"})
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, 200, 10):
    keys = [number.to_bytes(16, "big") for number in range(start, start + 10)]
    shelf.put(keys, np.repeat(np.arange(start, start + 10, dtype="float32"), 12).reshape(10, 3, 4))
"""


def test_two_processes_write_the_same(tmp_path):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in running:
        assert process.stdout.readline().strip() == "ready"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        process.communicate()
        assert process.returncode == 0
    shelf = Shelf(FeatureStore(tmp_path), "encoder")
    np.testing.assert_array_equal(found(shelf, keys(0, 200)), values(0, 200))


def test_unfinished_files_of_killed_processes_go_in_time(store):
    Shelf(store, "encoder").put(keys(0, 10), values(0, 10))
    folder = store.folder / "encoder"
    parts = [folder / ".a.npy-1.part", folder / ".b.npy-2.part"]
    for part in parts:
        part.write_bytes(b"half")
    long_ago = time.time() - 2 * module._ABANDONED
    os.utime(parts[0], (long_ago, long_ago))
    assert store.make_room(1) == ""
    assert [part.exists() for part in parts] == [False, True]
    assert keys(0, 1)[0] in Shelf(store, "encoder")


def test_info_and_clear(store):
    assert store.info() == {
        "folder": str(store.folder), "bytes": 0, "max_bytes": 10**9, "entries": 0, "encoders": [],
    }  # fmt: skip
    assert store.clear() == 0
    Shelf(store, "a", {"side": "vision", "network": "cnn"}).put(keys(0, 10), values(0, 10))
    Shelf(store, "b", {"side": "text"}).put(keys(0, 4), values(0, 4))
    (store.folder.parent / "mine.txt").write_text("not of the cache")
    info = store.info()
    assert info["entries"] == 14
    assert {one["side"]: one["entries"] for one in info["encoders"]} == {"vision": 10, "text": 4}
    assert info["bytes"] > values(0, 14).nbytes
    assert json.loads(json.dumps(info)) == info
    assert store.clear() == info["bytes"]
    assert store.info()["entries"] == 0
    assert (store.folder.parent / "mine.txt").exists()


def test_where_and_how_much(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_MM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert open_store(True).folder.parent == tmp_path
    assert open_store(tmp_path / "own").folder.parent == tmp_path / "own"
    assert open_store(False) is None
    assert cache_limit() == 20 * 10**9
    monkeypatch.setenv("KERAS_MM_CACHE_GB", "0.5")
    assert cache_limit() == 5 * 10**8
    for wrong in ("x", "-1", "inf", "nan"):
        monkeypatch.setenv("KERAS_MM_CACHE_GB", wrong)
        with pytest.raises(ValueError, match="KERAS_MM_CACHE_GB"):
            cache_limit()
    monkeypatch.delenv("KERAS_MM_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert tmp_path in cache_folder().parents
