"""The store on disk: damage, full and read-only disks, other processes, the oldest thrown out."""

import json
import logging
import os
import resource
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest

from keras_mm.features.store import blocks as block_files
from keras_mm.features.store import shelf as shelves
from keras_mm.features.store import store as module
from keras_mm.features.store.location import cache_folder, cache_limit
from keras_mm.features.store.shelf import Shelf, reserve
from keras_mm.features.store.store import FeatureStore, open_store

pytestmark = pytest.mark.backend_free

ROWS = 50


def keys(start: int, stop: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(start, stop)]


def values(start: int, stop: int) -> np.ndarray:
    return np.stack([np.full((3, 4), number, "float32") for number in range(start, stop)])


def name(word: str) -> str:
    return f"{word.encode().hex():0>40}.output"


def found(shelf: Shelf, wanted: list[bytes]) -> np.ndarray:
    assert not shelf.missing(wanted)
    return np.stack([block.values[position] for block, position in shelf.find(wanted)])


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "cache", max_bytes=10**9)


def test_what_was_put_is_found_again(store):
    shelf = Shelf(store, name("encoder"))
    shelf.put(keys(0, 10), values(0, 10))
    shelf.put(keys(10, ROWS), values(10, ROWS))
    for one in (
        shelf,
        Shelf(store, name("encoder")),
        Shelf(FeatureStore(store.folder), name("encoder")),
    ):
        np.testing.assert_array_equal(found(one, keys(0, ROWS)[::-1]), values(0, ROWS)[::-1])
        assert one.missing(keys(ROWS, ROWS + 1))
    assert Shelf(store, name("another encoder")).missing(keys(0, 1))
    again = Shelf(store, name("encoder"))
    assert not again.missing(keys(0, 1))
    mapped = again.find(keys(0, 1))[0][0].values
    assert not mapped.flags.writeable and not mapped.flags.owndata


def test_a_block_is_written_once(store, monkeypatch):
    written, write = [], shelves.write_block
    monkeypatch.setattr(shelves, "write_block", lambda *a: written.append(1) or write(*a))
    Shelf(store, name("encoder")).put(keys(0, 10), values(0, 10))
    assert len(written) == len(blocks(store, "encoder")) == 1


def test_a_store_reads_each_file_once(store, monkeypatch):
    """As a large table does, part after part."""
    for number in range(3):
        Shelf(FeatureStore(store.folder), name("encoder")).put(
            keys(10 * number, 10 * number + 10), values(10 * number, 10 * number + 10)
        )
    read, files = shelves.read_block, []
    monkeypatch.setattr(shelves, "read_block", lambda path: files.append(path) or read(path))
    for _ in range(4):
        shelf = Shelf(store, name("encoder"))
        assert shelf.missing(keys(5, 35)) == set(keys(30, 35)) == shelf.unplaced(keys(5, 35))
        found = [block.values[place] for block, place in shelf.find(keys(5, 25))]
        np.testing.assert_array_equal(found, values(5, 25))
    assert len(files) == 3
    FeatureStore(store.folder).clear()
    assert len(Shelf(store, name("encoder")).missing(keys(0, 30))) == 30


def test_without_a_store_nothing_is_written(tmp_path):
    shelf = Shelf()
    shelf.put(keys(0, 5), values(0, 5))
    assert not shelf.is_kept
    np.testing.assert_array_equal(found(shelf, keys(0, 5)), values(0, 5))
    assert not any(tmp_path.iterdir())


def blocks(store: FeatureStore, word: str) -> list:
    return list((store.shelves / name(word)).glob("*.features"))


@pytest.mark.parametrize("what", ["cut in half", "empty", *range(8)])
def test_damage_is_found_and_the_rest_kept(store, caplog, what):
    shelf = Shelf(store, name("encoder"))
    shelf.put(keys(0, 10), values(0, 10))
    (block,) = blocks(store, "encoder")
    shelf.put(keys(10, ROWS), values(10, ROWS))
    content = bytearray(block.read_bytes())
    if what == "cut in half":
        content = content[: len(content) // 2]
    elif what == "empty":
        content = b""
    else:  # one bit, anywhere from the first word to the last value
        content[what * (len(content) - 1) // 7] ^= 1 << what
    block.write_bytes(content)
    block_files._verified.clear()  # as in another process
    with caplog.at_level(logging.WARNING, "keras_mm"):
        shelf = Shelf(store, name("encoder"))
        assert shelf.missing(keys(0, ROWS)) == set(keys(0, 10))
    np.testing.assert_array_equal(found(shelf, keys(10, ROWS)), values(10, ROWS))
    assert "damaged" in caplog.text and str(block) in caplog.text
    assert not block.exists()
    shelf.put(keys(0, 10), values(0, 10))
    shelf = Shelf(store, name("encoder"))
    assert not shelf.missing(keys(0, ROWS))
    np.testing.assert_array_equal(found(shelf, keys(0, 10)), values(0, 10))


def test_no_bit_of_a_header_can_turn_without_being_seen(store):
    Shelf(store, name("encoder")).put(keys(0, 1), values(0, 1))
    (block,) = blocks(store, "encoder")
    content = block.read_bytes()
    for place in range(len(content) - values(0, 1).nbytes):
        for bit in range(8):
            broken = bytearray(content)
            broken[place] ^= 1 << bit
            block.write_bytes(broken)
            with pytest.raises(ValueError, match="cut off|header"):
                block_files.read_block(block)


def test_nothing_but_numbers_is_read(store):
    """Whoever can write a file with right checksums still gets no object made of its bytes."""
    Shelf(store, name("encoder")).put(keys(0, 1), values(0, 1).view("int64"))
    (block,) = blocks(store, "encoder")
    magic, length, _ = block_files._WORDS.unpack(block.read_bytes()[: block_files._WORDS.size])
    rest = block.read_bytes()[block_files._WORDS.size :]
    header = rest[:length].replace(b'"<i8"', b'"|O8"')
    assert header != rest[:length]
    words = block_files._WORDS.pack(magic, length, zlib.crc32(header))
    block.write_bytes(words + header + rest[length:])
    with pytest.raises(ValueError, match="not numbers"):
        block_files.read_block(block)


def test_what_cannot_be_read_now_stays(store, monkeypatch):
    """Somebody else's file, or too many open ones, is no damage."""
    Shelf(store, name("encoder")).put(keys(0, 10), values(0, 10))

    def refused(*_, **options):
        raise PermissionError(13, "Permission denied")

    shelf = Shelf(store, name("encoder"))
    with monkeypatch.context() as patch:
        patch.setattr(block_files.Path, "open", refused)
        assert shelf.missing(keys(0, 10)) == set(keys(0, 10))
        assert Shelf(store, name("encoder")).missing(keys(0, 1))
    assert not Shelf(store, name("encoder")).missing(keys(0, 10))


def test_a_folder_that_cannot_be_written_is_told_and_done_without(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    shelf = Shelf(FeatureStore(tmp_path / "file"), name("encoder"))
    with caplog.at_level(logging.WARNING, "keras_mm"):
        shelf.put(keys(0, 5), values(0, 5))
        shelf.put(keys(5, 9), values(5, 9))
    np.testing.assert_array_equal(found(shelf, keys(0, 9)), values(0, 9))
    assert len(caplog.records) == 1 and "cannot be written" in caplog.text
    assert "cache=False" in caplog.text


FULL = """
import resource, sys
import numpy as np
from keras_mm.features.store.shelf import Shelf
from keras_mm.features.store.store import FeatureStore
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
shelf = Shelf(FeatureStore(sys.argv[1]), 40 * "0" + ".output")
keys = [i.to_bytes(16, "big") for i in range(100)]
shelf.put(keys[:2], np.ones((2, 10), "float32"))
shelf.put(keys, np.ones((100, 1000), "float32"))
print(not shelf.missing(keys), shelf.is_kept)
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
    monkeypatch.setattr(module, "free_bytes", lambda folder: module._SPARE + 10**6)
    shelf = Shelf(store, name("encoder"))
    reserve([shelf], 10**6)
    assert shelf.is_kept
    with caplog.at_level(logging.WARNING, "keras_mm"):
        reserve([shelf], 10**6 + 1)
    assert not shelf.is_kept and "1.0 MB to spare" in caplog.text


def test_what_was_not_used_for_longest_goes_first(tmp_path, caplog):
    Shelf(FeatureStore(tmp_path / "one"), name("a")).put(keys(0, 10), values(0, 10))
    one = FeatureStore(tmp_path / "one").info()["bytes"]  # a block, with its keys
    store = FeatureStore(tmp_path, max_bytes=3 * one)
    now = time.time()
    for age, word in ((30, "old"), (20, "older than it l"), (10, "young")):
        Shelf(store, name(word)).put(keys(0, 10), values(0, 10))
        os.utime(blocks(store, word)[0], (now - age, now - age))
    assert not Shelf(store, name("old")).missing(keys(0, 1))  # used again
    shelf = Shelf(store, name("young"))  # the same encoder's are no better than others
    assert not shelf.missing(keys(0, 10))
    reserve([shelf], one)
    shelf.put(keys(10, 20), values(10, 20))
    assert store.info()["bytes"] <= 3 * one
    left = {word: len(blocks(store, word)) for word in ("old", "older than it l", "young")}
    assert left == {"old": 1, "older than it l": 0, "young": 2}
    # More than fits beside what is in use, here and in any case.
    for too_much in (2 * one, 4 * one):
        shelf = Shelf(store, name("young"))
        assert not shelf.missing(keys(0, 20))
        with caplog.at_level(logging.WARNING, "keras_mm"):
            reserve([shelf], too_much)
        assert not shelf.is_kept and "KERAS_MM_CACHE_GB" in caplog.text
        caplog.clear()
    assert {word: len(blocks(store, word)) for word in left} == left


def test_a_block_that_another_process_throws_out_is_still_read(store):
    shelf = Shelf(store, name("encoder"))
    shelf.put(keys(0, 10), values(0, 10))
    shelf = Shelf(store, name("encoder"))
    assert not shelf.missing(keys(0, 10))
    FeatureStore(store.folder).clear()
    np.testing.assert_array_equal(found(shelf, keys(0, 10)), values(0, 10))
    assert Shelf(store, name("encoder")).missing(keys(0, 1))
    shelf.put(keys(10, 20), values(10, 20))  # the folder is made again
    assert shelf.is_kept and not Shelf(store, name("encoder")).missing(keys(10, 20))


def test_what_is_not_the_stores_is_left_alone(tmp_path):
    """A folder may be the user's own, even with a folder called as ours is."""
    own = [tmp_path / "mine.npy", tmp_path / "features" / "train" / "mine.npy",
           tmp_path / "features" / "notes.txt",
           tmp_path / "features" / name("encoder") / "mine.npy"]  # fmt: skip
    for file in own:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"mine")
        os.utime(file, (0, 0))
    store = FeatureStore(tmp_path, max_bytes=2000)
    shelf = Shelf(store, name("encoder"))
    reserve([shelf], 1000)
    shelf.put(keys(0, 10), values(0, 10))
    reserve([Shelf(store, name("another"))], 1900)
    assert not blocks(store, "encoder")
    Shelf(store, name("third")).put(keys(0, 10), values(0, 10))
    assert store.clear() > 0
    assert all(file.read_bytes() == b"mine" for file in own)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(own)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root's rights")
def test_a_folder_that_may_not_be_looked_into(tmp_path):
    """As another user than the owner of a locked folder."""
    tmp_path.chmod(0o700)
    code = (
        "import os, sys, numpy as np\n"
        "from keras_mm.features.store.shelf import Shelf, reserve\n"
        "from keras_mm.features.store.store import FeatureStore\n"
        "os.setuid(65534)\n"
        "shelf = Shelf(FeatureStore(sys.argv[1]), 40 * '0' + '.output')\n"
        "reserve([shelf], 10)\n"
        "shelf.put([b'k' * 16], np.ones((1, 2)))\n"
        "print(shelf.is_kept, not shelf.missing([b'k' * 16]))"
    )
    options = {"capture_output": True, "text": True, "check": True}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a" / "b")], **options)
    assert done.stdout.split() == ["False", "True"], done.stderr


WRITER = """
import sys
import numpy as np
from keras_mm.features.store.shelf import Shelf
from keras_mm.features.store.store import FeatureStore
shelf = Shelf(FeatureStore(sys.argv[1]), 40 * "0" + ".output", {"side": "vision"})
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
    shelf = Shelf(FeatureStore(tmp_path), 40 * "0" + ".output")
    assert not shelf.missing(keys(0, 200))
    np.testing.assert_array_equal(found(shelf, keys(0, 200)), values(0, 200))


def test_unfinished_files_of_killed_processes_go_in_time(store):
    Shelf(store, name("encoder")).put(keys(0, 10), values(0, 10))
    folder = store.shelves / name("encoder")
    parts = [folder / f".{number * 32}.part" for number in "12"]
    for part in parts:
        part.write_bytes(b"half")
    long_ago = time.time() - 2 * module._ABANDONED
    os.utime(parts[0], (long_ago, long_ago))
    assert store.make_room(1) == ""
    assert [part.exists() for part in parts] == [False, True]
    assert not Shelf(store, name("encoder")).missing(keys(0, 1))


def test_info_and_clear(store):
    assert store.info() == {
        "folder": str(store.folder), "bytes": 0, "max_bytes": 10**9, "entries": 0, "encoders": [],
    }  # fmt: skip
    assert store.clear() == 0
    Shelf(store, name("a"), {"side": "vision", "network": "cnn"}).put(keys(0, 10), values(0, 10))
    Shelf(store, name("b"), {"side": "text"}).put(keys(0, 4), values(0, 4))
    info = store.info()
    assert info["entries"] == 14
    assert {one["side"]: one["entries"] for one in info["encoders"]} == {"vision": 10, "text": 4}
    assert info["bytes"] > values(0, 14).nbytes
    assert json.loads(json.dumps(info)) == info
    assert store.clear() == info["bytes"]
    assert store.info()["entries"] == 0


def test_where_and_how_much(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_MM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert open_store(True).folder == tmp_path
    assert open_store(tmp_path / "own").folder == tmp_path / "own"
    assert open_store(False) is None
    monkeypatch.chdir(tmp_path)
    assert open_store("own").folder == tmp_path / "own"
    assert cache_limit() == 20 * 10**9
    monkeypatch.setenv("KERAS_MM_CACHE_GB", "0.5")
    assert cache_limit() == 5 * 10**8
    monkeypatch.setenv("KERAS_MM_CACHE_GB", "0")
    assert open_store(True) is None
    for wrong in ("x", "-1", "inf", "nan"):
        monkeypatch.setenv("KERAS_MM_CACHE_GB", wrong)
        with pytest.raises(ValueError, match="KERAS_MM_CACHE_GB"):
            cache_limit()
    monkeypatch.delenv("KERAS_MM_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("KERAS_MM_CACHE_GB")
    assert tmp_path in FeatureStore().folder.parents
