"""The formats in which a cleaned table of labels is written for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from tdctl.csv_files import write_csv
from tdctl.errors import ConfigError
from tdctl.files import write_text
from tdctl.inputs.all_labels import NO_CSV

__all__ = ["LABEL_FORMATS", "LabelFormat", "check_writable", "format_of", "write_labels"]

# csv: the table that --labels reads, also for cleanlab and FiftyOne. json: a flat list of class
# numbers. metadata: the file that ``imagefolder`` of Hugging Face reads beside the images.
LabelFormat = Literal["csv", "json", "metadata"]
LABEL_FORMATS: tuple[LabelFormat, ...] = get_args(LabelFormat)
METADATA = "metadata.csv"


def format_of(out: Path, asked: str | None = None) -> LabelFormat:
    """The format of a file: the one that was asked for, or the one that its name says.

    Raises:
        ConfigError: the format is unknown, or the name belongs to another format.
    """
    json_name = out.suffix.lower() == ".json"
    if asked is None:
        asked = "json" if json_name else "metadata" if out.name == METADATA else "csv"
    if asked not in LABEL_FORMATS:
        raise ConfigError(f"format: '{asked}' is unknown; use one of {', '.join(LABEL_FORMATS)}")
    if asked == "json" and not json_name:
        raise ConfigError(f"{out}: a list of labels is JSON; give --out a name with .json")
    if asked == "metadata" and out.name != METADATA:
        raise ConfigError(
            f"{out}: imagefolder looks for {METADATA}; give --out {out.with_name(METADATA)}"
        )
    if asked == "csv" and out.suffix.lower() in NO_CSV:
        raise ConfigError(f"{out}: the table is written as CSV; give --out a name with .csv")
    return asked


def check_writable(kind: LabelFormat, table: pd.DataFrame, dropped: int) -> None:
    """Refuses a table that the format cannot hold.

    Args:
        kind: the format.
        table: ``index, file_name, label``, sorted by index.
        dropped: the number of images that have no row.

    Raises:
        ConfigError: a list has a place for each image, so none may be dropped, and the images
            must have the indices 0 to n - 1; or metadata needs file names.
    """
    if kind == "metadata" and (table["file_name"] == "").any():
        raise ConfigError(
            "format: metadata names each image by its file, and these images have no file names; "
            "use --format csv"
        )
    if kind != "json":
        return
    if dropped:
        raise ConfigError(
            f"format: a JSON list has a label for every image, and {dropped} are dropped; use "
            "--action relabel --below keep, or --format csv"
        )
    if not np.array_equal(table["index"].to_numpy(), np.arange(len(table))):
        raise ConfigError(
            f"format: a JSON list has a label for every image from index 0 on, and this run has "
            f"{len(table)} images with indices up to {table['index'].max()}; use --format csv"
        )


def write_labels(
    out: Path, kind: LabelFormat, table: pd.DataFrame, class_names: Sequence[str]
) -> None:
    """Writes a table of labels.

    Args:
        out: the file.
        kind: the format.
        table: ``index, file_name, label, action``, and ``split`` last where it has one, sorted by
            index; labels are class names.
        class_names: k names, for class numbers.
    """
    if kind == "json":
        numbers = {name: number for number, name in enumerate(class_names)}
        write_text(out, json.dumps([numbers[label] for label in table["label"]]) + "\n")
    elif kind == "metadata":
        write_csv(out, table[["file_name", "label"]])
    else:
        write_csv(out, table)
