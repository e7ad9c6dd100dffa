"""Converts the data of Simple Transformers' calls to tables with known column names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from keras_mm.checks import quote
from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import has_images, load_table, read_folder
from keras_mm.data.tables.sources import cells_of, is_table, type_name
from keras_mm.errors import InvalidValueError
from keras_mm.simple_transformers.args import MultiModalClassificationArgs
from keras_mm.warn import warn

SINGLE, PAIR = ("text",), ("text_a", "text_b")
LABELS, IMAGES = "labels", "images"
COLUMNS = "simple_transformers.columns"  # key in `attrs`: the column names of the user


def text_table(data: Any) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Converts labelled texts to a table.

    Args:
        data: A DataFrame (or another table that `keras_mm.load_table` takes), a path, or a list of
            rows, with the columns `text` and `labels`, or `text_a`, `text_b` and `labels`. Instead
            of `labels`, the name `label` is allowed. If there are none of these names, the first
            two columns are text and label.

    Returns:
        The table, and the names of its text columns.

    Warns:
        UserWarning: if the column `label`, or the first two columns are used.

    Raises:
        ValueError: if there are fewer columns, or only some of these names.
    """
    table = _with_labels(load_table(_as_frame(data)))
    names = list(table.columns)
    for texts in (SINGLE, PAIR):
        if {*texts, LABELS} <= set(names):
            return _with_texts(table, texts), texts
    if set(names) & {*SINGLE, *PAIR}:
        raise InvalidValueError(
            "A table must have the columns 'text' and 'labels', or 'text_a', 'text_b' and "
            f"'labels'. Received: {names}"
        )
    if len(names) < 2:
        raise InvalidValueError(
            f"A table must have a column of texts and one of labels. Received: {names}"
        )
    warn(
        f"The table has no columns 'text' and 'labels': {names[0]!r} is used as the text, and "
        f"{names[1]!r} as the label."
    )
    wanted = dict(zip(names[:2], [*SINGLE, LABELS], strict=True))
    return _renamed_to(table, wanted), SINGLE


def texts_to_predict(to_predict: Any, texts: Sequence[str]) -> pd.DataFrame:
    """Converts texts, or pairs of texts, to a table.

    Args:
        to_predict: A list of texts, or of pairs.
        texts: Text columns of the model: one, or two for pairs.

    Returns:
        A table with these columns.

    Raises:
        ValueError: for a single text, an empty list, or texts instead of pairs and vice versa.
    """
    each = "texts" if len(texts) == 1 else "pairs of texts"
    others = str | bytes | Mapping | set | frozenset
    if is_table(to_predict):
        raise InvalidValueError(
            f"`to_predict` must be a list of {each}. Received: {type_name(to_predict)}"
        )
    if isinstance(to_predict, others) or not hasattr(to_predict, "__len__"):
        raise InvalidValueError(
            f"`to_predict` must be a list of {each}. Received: {quote(to_predict)}"
        )
    rows = cells_of(to_predict)
    if not rows:
        raise InvalidValueError(f"`to_predict` must be a list of {each}, not empty. Received: []")
    columns: list[list] = [[] for _ in texts]
    for place, row in enumerate(rows):
        cells = [row] if isinstance(row, str) or not hasattr(row, "__len__") else list(row)
        if len(cells) != len(texts):
            raise InvalidValueError(
                f"The model was trained on {each}. Received: to_predict[{place}]={quote(row)}"
            )
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
    table = pd.DataFrame(dict(zip(texts, columns, strict=True)), dtype=object)
    return _with_texts(table, texts)


def image_table(
    data: Any,
    args: MultiModalClassificationArgs,
    *,
    files_list: Sequence[str] | str | PathLike | None = None,
    image_path: str | PathLike | None = None,
    beside: str | PathLike | None = None,
    argument: str = "image_path",
) -> tuple[pd.DataFrame, str]:
    """Converts labelled texts and images to a table.

    Args:
        data: A DataFrame, or another table that `keras_mm.load_table` takes; or a folder with
            images and a JSON file for each row.
        args: Settings with names of columns and extensions of files.
        files_list: The JSON files of the folder to read, with or without extension: a list, or the
            path of a JSON file with such a list. By default all.
        image_path: Folder of the images; by default the folder `data`, or that of the table file.
        beside: Folder of the images of the training rows. Without `image_path`, it is used if the
            rows have no folder of their own, or if this has none of their images.
        argument: Name of the argument `image_path` in the caller, for error messages.

    Returns:
        The table, and the folder that image paths are relative to.

    Raises:
        ValueError: if columns or `image_path` are missing, or files of the folder cannot be read.
    """
    if isinstance(data, str | PathLike) and Path(data).is_dir():
        folder = Path(data)
        names = _file_names(folder, files_list, args.data_type_extension)
        suffixes = [_suffix(args.image_type_extension)] if args.image_type_extension else None
        table = read_folder(folder, names, images=args.images_label, image_suffixes=suffixes)
        table.attrs["keras_mm"] = {"source": str(folder), "image_dir": str(folder)}
    else:
        if isinstance(data, str | PathLike) and not Path(data).exists():
            raise InvalidValueError(
                f"The rows must be a table, or a path that exists. Received: {str(data)!r}"
            )
        if files_list is not None:
            raise InvalidValueError(
                "`files_list` can only be used with a folder of JSON files. Received: a table"
            )
        table = load_table(_as_frame(data))
    wanted = {args.text_label: "text", args.images_label: IMAGES, args.labels_label: LABELS}
    table = _with_labels(table) if args.labels_label == LABELS else table
    table = _with_extension(_renamed(table, wanted), args.image_type_extension)
    images = _own_folder(table, beside) if image_path is None else image_path
    if images is None:
        raise InvalidValueError(
            f"`{argument}` must be given with a DataFrame: it is the folder of the images."
        )
    return table, str(images)


def _own_folder(table: pd.DataFrame, beside: str | PathLike | None) -> Any:
    """The folder of the images of a table: its own, or `beside` if it has none of the images."""
    origin = table.attrs["keras_mm"]
    own = origin.get("image_dir")
    if beside is None or origin.get("confined"):
        return own
    return own if own is not None and has_images(table, [IMAGES], Path(own)) else beside


def images_to_predict(
    to_predict: Any, args: MultiModalClassificationArgs, *, image_type_extension: str | None = None
) -> pd.DataFrame:
    """Converts unlabelled texts and images to a table.

    Args:
        to_predict: A dict with a list of texts and one of images, or a DataFrame; not changed.
        args: Settings with names of columns and the extension of images.
        image_type_extension: The extension of images; by default that of the settings.

    Returns:
        A table with the columns `text` and `images`.

    Raises:
        ValueError: if it is not a dict of two lists with the same length, or they are empty.
    """
    index = None
    if isinstance(to_predict, pd.DataFrame):
        index = to_predict.index
        to_predict = {name: list(to_predict[name]) for name in to_predict.columns}
    keys = _keys_to_predict(to_predict, args)
    columns = [to_predict[key] for key in keys]
    for key, column in zip(keys, columns, strict=True):
        if isinstance(column, str) or not hasattr(column, "__len__"):
            raise InvalidValueError(
                f"`to_predict[{key!r}]` must be a list. Received: {quote(column)}"
            )
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise InvalidValueError(
            f"`to_predict` must have as many images as texts, and at least one. Received: "
            f"{lengths[0]} texts and {lengths[1]} images"
        )
    cells = dict(zip(keys, map(list, columns), strict=True))
    extension = args.image_type_extension if image_type_extension is None else image_type_extension
    renamed = _renamed_to(
        pd.DataFrame(cells, dtype=object, index=index),
        dict(zip(keys, ("text", IMAGES), strict=True)),
    )
    return _with_extension(renamed, extension)


def _keys_to_predict(to_predict: Any, args: MultiModalClassificationArgs) -> tuple[str, str]:
    """The keys of texts and images: names in the settings, or `text` and `images`."""
    named, documented = (args.text_label, args.images_label), ("text", IMAGES)
    for keys in (named, (named[0], IMAGES), ("text", named[1]), documented):
        if isinstance(to_predict, Mapping) and len({*keys}) == 2 and {*keys} <= set(to_predict):
            return keys
    forms = dict.fromkeys(f"{{{text!r}: [...], {image!r}: [...]}}" for text, image in
                          (named, documented))  # fmt: skip
    raise InvalidValueError(
        f"`to_predict` must be a dict of lists, {' or '.join(forms)}, or a DataFrame with these "
        f"columns. Received: {quote(to_predict)}"
    )


def _as_frame(data: Any) -> Any:
    """A DataFrame from a list of rows that are lists; other data unchanged."""
    if isinstance(data, pd.DataFrame | str | PathLike):
        return data
    if isinstance(data, Sequence) and all(isinstance(row, list | tuple) for row in data):
        return pd.DataFrame([list(row) for row in data])
    return data


def _with_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Renames the column `label` to `labels`, if the table has no column `labels`."""
    if LABELS in table.columns or "label" not in table.columns:
        return table
    warn("The table has no column 'labels': 'label' is used as the label.")
    renamed = table.rename(columns={"label": LABELS})
    renamed.attrs = {**table.attrs, COLUMNS: {LABELS: "label"}}
    return renamed


def _with_texts(table: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """Converts numbers in text columns to text."""
    cells = {
        name: [str(v) if isinstance(v, Real) and not is_missing(v) else v for v in table[name]]
        for name in texts
    }
    columns = {name: pd.Series(c, index=table.index, dtype=object) for name, c in cells.items()}
    converted = table.assign(**columns)
    converted.attrs = table.attrs
    return converted


def _renamed(table: pd.DataFrame, wanted: Mapping[str, str]) -> pd.DataFrame:
    """Checks that the table has the columns in `wanted`, and renames them; see `_renamed_to`."""
    if len({*wanted}) < len(wanted):
        raise InvalidValueError(
            "`text_label`, `images_label` and `labels_label` must be three different columns. "
            f"Received: {list(wanted)}"
        )
    absent = [name for name in wanted if name not in table.columns]
    if absent:
        raise InvalidValueError(
            f"The rows must have the columns in `text_label`, `images_label` and `labels_label`. "
            f"Missing: {', '.join(map(repr, absent))}. Received: {list(map(str, table.columns))}"
        )
    return _renamed_to(table, wanted)


def _renamed_to(table: pd.DataFrame, wanted: Mapping[Any, str]) -> pd.DataFrame:
    """The columns in `wanted`, with their new names; `attrs` keeps the names of the user."""
    renamed = table[list(wanted)].set_axis(list(wanted.values()), axis=1)
    before = table.attrs.get(COLUMNS, {})
    users = {ours: before.get(name, str(name)) for name, ours in wanted.items()}
    renamed.attrs = {**table.attrs, COLUMNS: users}
    return _with_texts(renamed, SINGLE)


def _file_names(folder: Path, files_list: Any, extension: str) -> list[str] | None:
    """Names of the JSON files to read, with extension; `None` for all."""
    suffix = _suffix(extension) if extension else ".json"
    if files_list is None:
        return sorted(path.name for path in folder.glob(f"*{suffix}")) if extension else None
    if isinstance(files_list, str | PathLike):
        source = Path(files_list)
        try:
            files_list = json.loads(source.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise InvalidValueError(
                f"`files_list` must be a list, or the path of a JSON file with a list. {source}: "
                f"{getattr(error, 'strerror', None) or error}"
            ) from None
    if isinstance(files_list, Mapping) or not hasattr(files_list, "__len__"):
        raise InvalidValueError(
            f"`files_list` must be a list of names. Received: {quote(files_list)}"
        )
    names = [str(name) for name in files_list]
    whole = [(folder / n).is_file() or n.lower().endswith(suffix.lower()) for n in names]
    return [n if is_whole else f"{n}{suffix}" for n, is_whole in zip(names, whole, strict=True)]


def _suffix(extension: str) -> str:
    return extension if extension.startswith(".") else f".{extension}"


def _with_extension(table: pd.DataFrame, extension: str) -> pd.DataFrame:
    """Adds the extension to the names of images that do not have it."""
    if not extension:
        return table
    suffix = _suffix(extension)

    def whole(cell: Any) -> Any:
        lacks = isinstance(cell, str) and cell and not cell.lower().endswith(suffix.lower())
        return f"{cell}{suffix}" if lacks else cell

    cells = [whole(cell) for cell in table[IMAGES]]
    extended = table.assign(**{IMAGES: pd.Series(cells, index=table.index, dtype=object)})
    extended.attrs = table.attrs
    return extended
