"""The multimodal entailment data: local folders, the download, and what must not go wrong."""

import http.server
import io
import os
import tarfile
import threading
import warnings
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from keras_mm.data import entailment
from keras_mm.data.entailment import load_multimodal_entailment

pytestmark = pytest.mark.backend_free

COLUMNS = ["id_1", "text_1", "image_1", "id_2", "text_2", "image_2", "label"]
ROWS = [
    ["0071", "NA", "http://x.y/p.jpg", "0072", "None", "http://x.y/q.png", "Implies"],
    [
        "0073",
        'a "b", c\nd é',
        "http://x.y/r.jpg",
        "0074",
        "1.0",
        "http://x.y/s.jpg",
        "NoEntailment",
    ],
    ["0075", "text", "http://x.y/t.png", "0071", "nan", "http://x.y/p.jpg", "Contradictory"],
]
FILES = ["0071.jpg", "0072.png", "0073.jpg", "0074.jpg", "0075.png"]


def tweets_csv(path, rows=ROWS):
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path, index=False)


def picture(name):
    buffer = io.BytesIO()
    Image.new("RGB", (5, 3), (int(name[:4]), 0, 0)).save(
        buffer, Image.registered_extensions()[name[4:]]
    )
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "entailment"
    (folder / "tweet_images").mkdir(parents=True)
    tweets_csv(folder / "tweets.csv")
    for name in FILES:
        (folder / "tweet_images" / name).write_bytes(picture(name))
    return folder


def load_quietly(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_multimodal_entailment(*args, **kwargs)


# --- a local folder


def test_cells_are_read_as_they_are(folder):
    table = load_quietly(folder)
    assert list(table) == COLUMNS
    for column in ("id_1", "text_1", "id_2", "text_2", "label"):
        assert list(table[column]) == [row[COLUMNS.index(column)] for row in ROWS]
    assert list(table["image_1"]) == [
        f"tweet_images/{n}" for n in ("0071.jpg", "0073.jpg", "0075.png")
    ]
    assert list(table["image_2"]) == [
        f"tweet_images/{n}" for n in ("0072.png", "0074.jpg", "0071.jpg")
    ]
    assert table.attrs["keras_mm"] == {
        "source": str(folder / "tweets.csv"),
        "image_dir": str(folder),
    }


def test_the_second_image_is_the_second_tweets(folder):
    table = load_quietly(folder)
    for slot in (1, 2):
        for path, name in zip(table[f"image_{slot}"], table[f"id_{slot}"], strict=True):
            with Image.open(Path(table.attrs["keras_mm"]["image_dir"], path)) as image:
                assert abs(image.convert("RGB").getpixel((0, 0))[0] - int(name)) <= 1


def test_absent_images_are_blanked_and_counted_once(folder):
    (folder / "tweet_images" / "0071.jpg").unlink()
    (folder / "tweet_images" / "0073.jpg").unlink()
    with pytest.warns(UserWarning, match="3 of 6 image files are not in") as caught:
        table = load_multimodal_entailment(folder)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert list(table["image_1"]) == [None, None, "tweet_images/0075.png"]
    assert list(table["image_2"]) == ["tweet_images/0072.png", "tweet_images/0074.jpg", None]


def test_an_empty_image_cell_is_missing_but_not_counted(folder):
    rows = [list(row) for row in ROWS]
    rows[0][2] = None
    tweets_csv(folder / "tweets.csv", rows)
    assert list(load_quietly(folder)["image_1"])[:2] == [None, "tweet_images/0073.jpg"]


def test_an_id_cannot_lead_outside_the_folder(folder):
    rows = [list(row) for row in ROWS]
    rows[0][0] = "../secret"
    (folder / "secret.jpg").write_bytes(b"x")
    tweets_csv(folder / "tweets.csv", rows)
    with pytest.warns(UserWarning, match="1 of 6"):
        assert load_multimodal_entailment(folder)["image_1"][0] is None


def test_one_csv_file_with_further_columns(folder):
    wide = pd.read_csv(folder / "tweets.csv", dtype=str, keep_default_na=False)
    wide.assign(label_idx=1, image_1_path="z").to_csv(folder / "val_df.csv", index=False)
    table = load_quietly(str(folder / "val_df.csv"))
    assert table.equals(load_quietly(folder))
    assert table.attrs["keras_mm"]["source"].endswith("val_df.csv")


def test_num_rows_keeps_the_first(folder):
    assert list(load_quietly(folder, num_rows=2)["id_1"]) == ["0071", "0073"]
    assert len(load_quietly(folder, num_rows=99)) == 3


@pytest.mark.parametrize("num_rows", [0, -1, 2.0, "7"])
def test_a_bad_num_rows_is_refused(folder, num_rows):
    with pytest.raises(ValueError, match=f"`num_rows` must be .* Received: num_rows={num_rows!r}"):
        load_multimodal_entailment(folder, num_rows=num_rows)


def test_a_missing_folder_says_what_it_needs(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FileNotFoundError, match="tweets.csv and tweet_images/<id>"):
            load_multimodal_entailment(path)


def test_a_file_that_is_no_such_table_is_refused(tmp_path):
    file = tmp_path / "tweets.csv"
    file.write_text("id_1,text_1\n1,a\n")
    with pytest.raises(ValueError, match=r"Missing: \['image_1', 'id_2'"):
        load_multimodal_entailment(file)
    file.write_bytes(b"id_1\n\xff\xfe\n")
    with pytest.raises(ValueError, match="cannot be read as a CSV"):
        load_multimodal_entailment(file)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read as a CSV"):
        load_multimodal_entailment(file)


# --- the real tables


@pytest.fixture
def real(shared):
    folder = shared / "data" / "entailment"
    if not folder.is_dir():
        pytest.skip("the entailment tables are not here")
    return folder


def test_the_real_table(real):
    with pytest.warns(UserWarning, match="2800 of 2800 image files"):
        table = load_multimodal_entailment(real)
    counts = {"NoEntailment": 1182, "Contradictory": 109, "Implies": 109}
    assert table["label"].value_counts().to_dict() == counts
    assert table[["image_1", "image_2"]].isna().all(axis=None)
    assert not table.drop(columns=["image_1", "image_2"]).isna().any(axis=None)
    assert table["id_1"][0] == "1375936088968200205"


def test_the_examples_first_thousand_rows(real):
    with pytest.warns(UserWarning, match="2000 of 2000"):
        table = load_multimodal_entailment(real, num_rows=1000)
    counts = {"NoEntailment": 819, "Contradictory": 92, "Implies": 89}
    assert table["label"].value_counts().to_dict() == counts


def test_the_official_split_is_readable(real):
    with pytest.warns(UserWarning):
        sizes = [
            len(load_multimodal_entailment(real / f"{n}_df.csv")) for n in ("train", "val", "test")
        ]
    assert sizes == [1197, 63, 140]


# --- the download


def archive(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            else:
                info.type, info.linkname = data
                tar.addfile(info)
    return buffer.getvalue()


GOOD = {f"tweet_images/{name}": picture(name) for name in FILES}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A web server on this machine: `site[path] = (bytes to send, length to announce)`."""
    content = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content.setdefault("asked", []).append(self.path)
            if self.path not in content:
                self.send_error(404)
                return
            data, length = content[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(entailment, "TWEETS_URL", f"{base}/csvs/tweets.csv")
    monkeypatch.setattr(entailment, "IMAGES_URL", f"{base}/tweet_images.tar.gz")
    tweets_csv(tmp_path / "served.csv")
    csv = (tmp_path / "served.csv").read_bytes()
    content["/csvs/tweets.csv"] = csv, len(csv)
    content["cache"] = tmp_path / "home" / "datasets" / "multimodal_entailment"
    serve(content, archive(GOOD))
    yield content
    server.shutdown()
    server.server_close()


def serve(site, data, length=None):
    site["/tweet_images.tar.gz"] = data, length or len(data)


def cached(site):
    root = site["cache"]
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


WHOLE = sorted(["tweets.csv", "tweet_images", *(f"tweet_images/{name}" for name in FILES)])


def test_download_once_then_from_the_cache(site):
    table = load_quietly()
    assert list(table["text_1"]) == [row[1] for row in ROWS]
    assert list(table["image_2"]) == [
        "tweet_images/0072.png",
        "tweet_images/0074.jpg",
        "tweet_images/0071.jpg",
    ]
    assert table.attrs["keras_mm"]["image_dir"] == str(site["cache"])
    assert cached(site) == WHOLE
    assert load_quietly(num_rows=2).equals(table.head(2))
    assert site["asked"] == ["/csvs/tweets.csv", "/tweet_images.tar.gz"]
    assert load_quietly(site["cache"]).equals(table)


def test_an_archive_without_a_top_folder(site):
    serve(site, archive({name: picture(name) for name in FILES}))
    load_quietly()
    assert cached(site) == WHOLE


def test_a_failed_download_says_how_to_provide_the_data(site):
    del site["/tweet_images.tar.gz"]
    with pytest.raises(ConnectionError) as caught:
        load_multimodal_entailment()
    message = str(caught.value)
    for part in ("Cannot download", entailment.IMAGES_URL, entailment.TWEETS_URL, "404"):
        assert part in message
    assert "tweets.csv and tweet_images/<id>" in message
    assert cached(site) == ["tweets.csv"]


def test_a_download_that_breaks_off_leaves_nothing(site):
    data = archive(GOOD)
    serve(site, data[: len(data) // 2], len(data))
    with pytest.raises(ConnectionError, match="Cannot download"):
        load_multimodal_entailment()
    assert cached(site) == ["tweets.csv"]
    serve(site, data)
    load_quietly()
    assert cached(site) == WHOLE


@pytest.mark.parametrize("damage", ["cut", "not an archive", "flipped"])
def test_a_damaged_archive_leaves_nothing(site, damage):
    data = archive(GOOD | {"tweet_images/0099.jpg": os.urandom(20_000)})
    middle = len(data) // 2
    serve(
        site,
        {
            "cut": data[:middle],
            "not an archive": b"<html>sorry</html>",
            "flipped": data[:middle] + bytes(255 - b for b in data[middle:]),
        }[damage],
    )
    with pytest.raises(ConnectionError, match="is damaged"):
        load_multimodal_entailment()
    assert cached(site) == ["tweets.csv"]


def test_an_archive_cannot_write_elsewhere(site, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    serve(
        site,
        archive(
            GOOD
            | {
                "../../../evil.txt": b"x",
                str(target / "absolute.txt"): b"x",
                "tweet_images/link": (tarfile.SYMTYPE, str(target)),
                "tweet_images/link/through.txt": b"x",
                "tweet_images/hard": (tarfile.LNKTYPE, "/etc/hostname"),
                "tweet_images/..": b"x",
                "tweet_images/._0071.jpg": b"x",
            }
        ),
    )
    load_quietly()
    flat = ["absolute.txt", "evil.txt", "through.txt"]
    assert cached(site) == sorted([*WHOLE, *(f"tweet_images/{name}" for name in flat)])
    assert not list(target.iterdir())
    assert not any(path.is_symlink() for path in site["cache"].rglob("*"))
    assert not list(tmp_path.rglob("evil.txt"))[1:]
