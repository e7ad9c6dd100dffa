"""Reads tables from files and from memory, without converting their cells."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from keras_mm.data.tables.image_lists import list_images
from keras_mm.data.tables.sources import memory_parts, rows_frame
from keras_mm.errors import InvalidValueError, MissingFileError, NotAFolderError
from keras_mm.settings.image_columns import image_counts

_READERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
}

_IMAGE_SUFFIXES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif",
                   ".tiff", ".webp")  # fmt: skip
_MOST_NAMED = 20  # most broken files of a folder that a message lists
_IMAGE_COLUMN = re.compile(r"(images?|img|picture|photo)(_?\d+)?(_path)?$", re.IGNORECASE)
_TEXT_COLUMN = re.compile(
    r"(text|sentence|caption|question|premise|hypothesis)(_?([\da-z]|\d+))?$", re.IGNORECASE
)


def load_table(source: Any, *, image_dir: str | PathLike | None = None) -> pd.DataFrame:
    """Reads a table of rows. Cells are not converted.

    All cells of a CSV file stay strings, and only empty cells are missing: a text "NA" stays a
    text, and an id keeps its leading zeros. Image cells may be paths, encoded bytes, dicts with
    `bytes` and `path` (as in Hugging Face datasets), Pillow images or arrays.

    Args:
        source: A file (`.csv`, `.tsv`, `.parquet`, `.jsonl`); a DataFrame of pandas, polars or
            another library with the Arrow or DataFrame interchange protocol; an Arrow table; a
            Hugging Face dataset, whose images stay encoded; a `tf.data.Dataset` of dicts; a list or
            generator of dicts; or one dict (a table of one row). Or a folder with a `.json` file
            for each row, which is an object of column and cell. If a row names no image, an image
            file of the same name in the folder becomes its cell of the column `image`.
        image_dir: Folder that image paths are relative to; images outside it are refused. By
            default the folder of the table file, or for tables in memory the working directory.

    Returns:
        A pandas DataFrame, whatever the library of the table; `attrs["keras_mm"]` has its `source`
        and `image_dir`. Error messages name rows by the index: for files, and tables of other
        libraries, the row number from 0; for folders the name of the file.

    Raises:
        FileNotFoundError: if the file does not exist.
        NotADirectoryError: if `image_dir` is not a folder.
        ValueError: if the format of the file is unknown, it cannot be parsed, or has no rows.

    Example:
        >>> table = load_table([{"text": "NA", "label": "yes"}])
        >>> table["text"][0]
        'NA'
    """
    table = _load(source, image_dir)
    return table if len(table) else _empty(table, allowed=False)


def _load(source: Any, image_dir: str | PathLike | None) -> pd.DataFrame:
    if isinstance(source, str | PathLike):
        table, origin = _read_file(Path(source)), _origin(Path(source))
    else:
        table = next(memory_parts(source))
        origin = dict(table.attrs.get("keras_mm", {}))
    table.attrs["keras_mm"] = _with_image_dir(origin, image_dir)
    return table


def table_parts(
    source: Any,
    num_rows: int,
    *,
    image_dir: str | PathLike | None = None,
    allow_empty: bool = False,
) -> Iterator[pd.DataFrame]:
    """Reads a table in parts. Only one part of a CSV file or a generator is in memory at a time.

    Args:
        source: As in `load_table`.
        num_rows: Largest number of rows in a part, >= 1.
        image_dir: As in `load_table`.
        allow_empty: Whether a table with columns but without rows is a single part without rows;
            otherwise it is an error.

    Yields:
        Parts in order, each in the form that `load_table` returns.

    Raises:
        ValueError: as `load_table`, once the part with the problem is read.

    Example:
        >>> [len(part) for part in table_parts([{"text": "a"}] * 5, 2)]
        [2, 2, 1]
    """
    path = Path(source) if isinstance(source, str | PathLike) else None
    if path is None or _READERS.get(path.suffix.lower()) != "csv" or not path.is_file():
        for part in memory_parts(source if path is None else _load(source, image_dir), num_rows):
            origin = dict(part.attrs.get("keras_mm", {}))
            part.attrs["keras_mm"] = _with_image_dir(origin, image_dir)
            yield part if len(part) else _empty(part, allow_empty)
        return
    origin = _with_image_dir(_origin(path), image_dir)
    header, empty = pd.DataFrame(), True
    with _reading(path), pd.read_csv(path, chunksize=num_rows, **_csv_options(path)) as parts:
        while True:
            with _extra_cells_raise():
                part = next(parts, None)
            if part is None:
                break
            part.attrs["keras_mm"] = origin
            if len(part):
                empty = False
                yield part
            else:
                header = part
    if empty:
        header.attrs["keras_mm"] = origin
        yield _empty(header, allow_empty)


def _empty(table: pd.DataFrame, allowed: bool) -> pd.DataFrame:
    """Returns a table without rows, if that is allowed and it has columns.

    Raises:
        ValueError: otherwise.
    """
    if not (allowed and len(table.columns)):
        raise InvalidValueError(f"The table {table_name(table)} has no rows.")
    return table


def _origin(path: Path) -> dict[str, Any]:
    return {"source": str(path), "image_dir": str(path if path.is_dir() else path.parent)}


def _with_image_dir(origin: dict[str, Any], image_dir: str | PathLike | None) -> dict[str, Any]:
    if image_dir is None:
        return origin
    if not Path(image_dir).is_dir():
        raise NotAFolderError(
            f"`image_dir` must be a folder that exists. Received: image_dir={str(image_dir)!r}"
        )
    return {**origin, "image_dir": str(image_dir), "confined": True}


def load_beside(
    source: Any, image_dir: str | PathLike | None, images: Sequence[str] | Mapping[str, int]
) -> pd.DataFrame:
    """Loads the validation or test rows of a training.

    Their image paths are relative to the folder of the table file, or to the folder that the table
    was loaded with. Only if this folder has none of the images, paths are relative to `image_dir`.
    So the tables of a training may have folders with images of equal names, or share one folder.

    Args:
        source: As in `load_table`.
        image_dir: The `image_dir` of the training table; `None` if there is none.
        images: Image columns, as in `keras_mm.data.tables.rows.read_rows`.

    Returns:
        As `load_table`. If `image_dir` is not `None`, images outside the chosen folder are refused.

    Raises:
        ValueError: as `load_table`.
    """
    table = load_table(source)
    origin = table.attrs["keras_mm"]
    own_folder = origin.get("image_dir")
    if image_dir is None or origin.get("confined"):
        return table
    if own_folder is not None and has_images(table, images, Path(own_folder)):
        image_dir = own_folder
    return load_table(table, image_dir=image_dir)


def has_images(
    table: pd.DataFrame, columns: Sequence[str] | Mapping[str, int], folder: Path
) -> bool:
    """Whether a folder has at least one image file of a table.

    Args:
        table: The table.
        columns: Image columns, as in `keras_mm.data.tables.rows.read_rows`; missing columns are
            skipped.
        folder: The folder to search.

    Returns:
        True if a path in these columns is a file, relative to the folder.
    """
    counts = [(name, count) for name, count in image_counts(columns) if name in table.columns]
    cells = (
        image
        for name, count in counts
        for cell in table[name]
        for image in ([cell] if count is None else list_images(cell))
    )
    paths = (cell.get("path") if isinstance(cell, Mapping) else cell for cell in cells)
    for path in paths:
        if isinstance(path, str | PathLike):
            # Raised by paths that are too long or have a NUL; `read_rows` reports them by row.
            with suppress(OSError, ValueError):
                if path and (folder / path).is_file():
                    return True
    return False


def table_name(table: pd.DataFrame) -> str:
    """The name of a table in messages.

    Args:
        table: A table from `load_table`.

    Returns:
        The file or folder that it was read from, or `"<table>"`.
    """
    return str(table.attrs.get("keras_mm", {}).get("source", "<table>"))


def _read_file(path: Path) -> pd.DataFrame:
    kind = _READERS.get(path.suffix.lower())
    if not path.exists():
        raise MissingFileError(f"No such table: {str(path)!r}. Check the path.")
    if path.is_dir():
        return read_folder(path)
    if kind is None:
        raise InvalidValueError(
            f"Unknown format of table: {str(path)!r}. Pass a file that ends in one of "
            f"{', '.join(_READERS)}, or a folder of .json files."
        )
    with _reading(path):
        return {"csv": _read_csv, "parquet": pd.read_parquet, "json_lines": _read_json_lines}[kind](
            path
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns the errors of a parser into errors whose message names the file."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise InvalidValueError(f"The table {str(path)!r} is empty.") from None
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"Cannot read {str(path)!r}: {error}. Save it as UTF-8.") from error
    except pd.errors.ParserWarning:
        raise InvalidValueError(
            f"Cannot read {str(path)!r}: a row has more cells than the header has columns."
        ) from None
    except (ValueError, OSError) as error:
        raise InvalidValueError(f"Cannot read {str(path)!r}: {error}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    with _extra_cells_raise():
        return pd.read_csv(path, **_csv_options(path))


@contextmanager
def _extra_cells_raise() -> Iterator[None]:
    """Raises for a row with more cells than the header, where pandas warns and drops cells."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        yield


def _csv_options(path: Path) -> dict[str, Any]:
    return {
        "sep": "\t" if path.suffix.lower() == ".tsv" else ",",
        "dtype": object,
        "keep_default_na": False,
        "na_values": [""],
        "encoding": "utf-8-sig",
        "index_col": False,
    }


def _read_json_lines(path: Path) -> pd.DataFrame:
    rows = []
    # Not `splitlines()`, which also splits at U+2028 and other characters that are valid in JSON.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidValueError(f"line {number} is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise InvalidValueError(f"line {number} must be a JSON object. Received: {line[:60]}")
        rows.append(row)
    return rows_frame(rows)


def read_folder(
    folder: str | PathLike,
    files: Sequence[str] | None = None,
    *,
    images: str | None = None,
    image_suffixes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Reads a folder with a JSON file for each row.

    Args:
        folder: The folder.
        files: Names of the JSON files in the order of the rows; by default all `.json` files,
            sorted.
        images: The key of the image path; by default the keys that are usual names of an image
            column. A row without an image path gets the image file of the same stem, if there is
            one.
        image_suffixes: Suffixes of image files, such as `.png`; by default the usual ones.

    Returns:
        A DataFrame whose index is the names of the JSON files. An image file of the same stem is in
        the column `images`, in the first usual image column of the row, or in `image`.

    Raises:
        ValueError: if there are no files, or listing every file that does not exist, is not JSON or
            not an object.
    """
    folder = Path(folder)
    names = sorted(path.name for path in folder.glob("*.json")) if files is None else list(files)
    if not names:
        raise InvalidValueError(
            f"The folder {str(folder)!r} has no .json file; there must be one for each row."
        )
    suffixes = tuple(suffix.lower() for suffix in image_suffixes or _IMAGE_SUFFIXES)
    image_files: dict[str, str] = {}
    for parent in sorted({Path(name).parent for name in names}):
        for path in sorted((folder / parent).iterdir()) if (folder / parent).is_dir() else ():
            if path.name.lower().endswith(suffixes):
                image_files.setdefault(str(parent / path.stem), str(parent / path.name))
    rows, problems = [], []
    for name in names:
        try:
            row = json.loads((folder / name).read_text(encoding="utf-8-sig"))
            if not isinstance(row, dict):
                raise InvalidValueError(f"it must be a JSON object. Received: {type(row).__name__}")
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{name}: {getattr(error, 'strerror', None) or error}")
            continue
        image_keys = [images] if images else [key for key in row if _IMAGE_COLUMN.fullmatch(key)]
        stem = str(Path(name).with_suffix(""))
        if stem in image_files and not any(row.get(key) for key in image_keys):
            row = {**row, (image_keys or ["image"])[0]: image_files[stem]}
        rows.append(row)
    if problems:
        more = len(problems) - _MOST_NAMED
        shown = problems[:_MOST_NAMED] + ([f"... and {more} more"] if more > 0 else [])
        count = "1 file" if len(problems) == 1 else f"{len(problems)} files"
        raise InvalidValueError(
            f"Cannot read {count} of the folder {str(folder)!r}:\n  - " + "\n  - ".join(shown)
        )
    table = rows_frame(rows)
    table.index = pd.Index(names)
    return table


def guess_columns(table: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Finds image and text columns by their usual names, such as `image_1` or `caption`.

    Args:
        table: The table.

    Returns:
        The image columns and the text columns, each in the order of the table.

    Example:
        >>> guess_columns(load_table({"id": "7", "image_1": "a.png", "text_1": "b", "label": "c"}))
        (('image_1',), ('text_1',))
    """
    names = [str(column) for column in table.columns]
    images = tuple(n for n in names if _IMAGE_COLUMN.fullmatch(n))
    with_path = {n for n in images if n.endswith("_path")}
    # If a table has both `image_1` and `image_1_path`, the latter is the path.
    images = tuple(n for n in images if n in with_path or f"{n}_path" not in with_path)
    return images, tuple(n for n in names if _TEXT_COLUMN.fullmatch(n))
