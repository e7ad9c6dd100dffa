"""The data of the Keras example "multimodal entailment": pairs of tweets with text and image.

The repository that publishes it is Apache-2.0; the tweets belong to their authors.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import warnings
import zlib
from pathlib import Path

import pandas as pd

from keras_mm.checks import is_whole
from keras_mm.errors import DownloadError, InvalidValueError, MissingFileError
from keras_mm.files import new_file, new_folder
from keras_mm.progress import keras_output, loading_output

_REPOSITORY = "https://github.com/sayakpaul/Multimodal-Entailment-Baseline"
TWEETS_URL = f"{_REPOSITORY}/raw/main/csvs/tweets.csv"
IMAGES_URL = f"{_REPOSITORY}/releases/download/v1.0.0/tweet_images.tar.gz"

_COLUMNS = ["id_1", "text_1", "image_1", "id_2", "text_2", "image_2", "label"]
_IMAGES = "tweet_images"
_LAYOUT = f"a folder with tweets.csv and {_IMAGES}/<id>.<jpg or png>"


def load_multimodal_entailment(
    folder: str | os.PathLike | None = None,
    *,
    num_rows: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Reads the multimodal entailment data: 1400 pairs of tweets, three imbalanced classes.

    Without `folder` the data is downloaded once, into the cache of Keras (`~/.keras` or
    `KERAS_HOME`). Image cells become file paths. If an image file does not exist, its cell is
    emptied, so that the image counts as missing; one warning says how many there are.

    Args:
        folder: A local folder with `tweets.csv` and the images `tweet_images/<id>.<extension>`; or
            a CSV file with the same columns (such as `train_df.csv` of the official split) beside
            such a `tweet_images` folder. `None` downloads the data.
        num_rows: Number of rows to keep from the beginning, >= 1; the Keras example uses 1000.
            `None` keeps all.
        progress: Whether to show a progress bar during the download.

    Returns:
        A DataFrame with columns `id_1`, `text_1`, `image_1`, `id_2`, `text_2`, `image_2` and
        `label` (`"Contradictory"`, `"Implies"`, `"NoEntailment"`). Ids and texts stay strings, even
        a text "NA". `attrs["keras_mm"]` has `source` (the CSV file) and `image_dir` (the folder
        that image paths are relative to).

    Raises:
        FileNotFoundError: if `folder` or its `tweets.csv` does not exist.
        ValueError: if the file is not a CSV file with these columns, or `num_rows` is invalid.
        ConnectionError: if the download fails.

    Warns:
        UserWarning: if image files are missing.

    Example:
        table = load_multimodal_entailment(num_rows=1000)
    """
    if num_rows is not None and not is_whole(num_rows, 1):
        raise InvalidValueError(
            f"`num_rows` must be an integer >= 1, or None. Received: num_rows={num_rows!r}"
        )
    source = _csv_file(_download(progress) if folder is None else Path(folder))
    table = _read(source)[:num_rows].copy()
    present = _files(source.parent / _IMAGES)
    blanked = sum(_point_to_files(table, slot, present) for slot in (1, 2))
    if blanked:
        warnings.warn(
            f"{blanked} of {2 * len(table)} image files are not in "
            f"{str(source.parent / _IMAGES)!r}; their cells were emptied (missing images).",
            stacklevel=2,
        )
    table.attrs["keras_mm"] = {"source": str(source), "image_dir": str(source.parent)}
    return table


def _csv_file(path: Path) -> Path:
    source = path / "tweets.csv" if path.is_dir() else path
    if not source.is_file():
        raise MissingFileError(
            f"No such file: {str(source)!r}. Pass {_LAYOUT}, a CSV file, or None to download."
        )
    return source


def _read(source: Path) -> pd.DataFrame:
    try:
        # Only empty cells are missing: pandas would also drop texts such as "NA" and "None".
        table = pd.read_csv(
            source, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8"
        )
    except (ValueError, OSError) as error:
        raise InvalidValueError(f"{str(source)!r} cannot be read as a CSV file: {error}") from error
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise InvalidValueError(
            f"{str(source)!r} must have the columns {_COLUMNS}. Missing: {missing}. "
            f"Received: {list(table)}"
        )
    return table[_COLUMNS]


def _files(folder: Path) -> frozenset[str]:
    if not folder.is_dir():
        return frozenset()
    return frozenset(entry.name for entry in os.scandir(folder) if entry.is_file())


def _point_to_files(table: pd.DataFrame, slot: int, present: frozenset[str]) -> int:
    """Turns the URLs of a slot into paths relative to the CSV file; counts those without a file."""
    paths: list[str | None] = []
    urls = table[f"image_{slot}"]
    for name, url in zip(table[f"id_{slot}"], urls, strict=True):
        file = f"{name}.{str(url).rsplit('.', 1)[-1]}"
        # Only the names of existing files are used, so that no id can lead out of the folder.
        paths.append(f"{_IMAGES}/{file}" if file in present else None)
    blanked = sum(path is None for path in paths) - int(urls.isna().sum())
    table[f"image_{slot}"] = pd.Series(paths, index=table.index, dtype=object)
    return blanked


def _download(progress: bool) -> Path:
    """The folder in the cache of Keras with the data; what is missing is downloaded."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    folder = home / "datasets" / "multimodal_entailment"
    tweets, images = folder / "tweets.csv", folder / _IMAGES
    if not tweets.exists():
        with new_file(tweets) as draft:
            _fetch(TWEETS_URL, draft, progress)
    if not images.exists():
        with new_folder(images) as draft:
            archive = draft / ".archive"  # no clash: `_extract` ignores names that begin with a dot
            _fetch(IMAGES_URL, archive, progress)
            _extract(archive, draft)
            archive.unlink()
    return folder


def _fetch(url: str, target: Path, progress: bool) -> None:
    import keras  # not at the top: a local folder needs no backend

    try:
        with keras_output(show=progress), loading_output(url):
            keras.utils.get_file(target.name, url, cache_dir=str(target.parent), cache_subdir="")
    except Exception as error:  # `get_file` raises a bare Exception for network errors
        raise DownloadError(
            f"Cannot download the multimodal entailment data from {url} ({error}). To provide it "
            f"by hand, download {TWEETS_URL} and {IMAGES_URL}, make {_LAYOUT}, and call "
            "load_multimodal_entailment(folder)."
        ) from error


def _extract(archive: Path, folder: Path) -> None:
    """Copies the files of the archive into `folder`; their paths are ignored, for safety."""
    try:
        # Read the whole archive first, which checks its checksum: `tarfile` stops at a broken
        # header without an error.
        with gzip.open(archive) as compressed:
            while compressed.read(1 << 20):
                pass
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.replace("\\", "/").rsplit("/", 1)[-1]
                content = tar.extractfile(member) if member.isfile() else None
                if content is None or name.startswith("."):
                    continue
                with content, open(folder / name, "wb") as file:
                    shutil.copyfileobj(content, file)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DownloadError(
            f"The archive from {IMAGES_URL} is damaged ({error}); try again, or make {_LAYOUT} by "
            "hand and call load_multimodal_entailment(folder)."
        ) from error
