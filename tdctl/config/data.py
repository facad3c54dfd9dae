"""Which images and labels are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tdctl.catalogue import CATALOGUE, known_name
from tdctl.config.section import Fraction, Positive, Section, Seed

__all__ = ["DataConfig", "readers_of"]

# The data sets that torchvision reads, and may load.
TORCHVISION = ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")
OWN_FIELDS = ("webdataset", "hf")
FROM_DISK = tuple(name for name in CATALOGUE if name != "digits")
# The data sets that read a setting, where not all do. Those that may lie as an image folder too
# count as such.
READERS = {
    "data_dir": FROM_DISK,
    "split_column": ("table",),
    "test_share": FROM_DISK,
    "download": TORCHVISION,
    "skip_unreadable": FROM_DISK,
    "cache_dir": FROM_DISK,
    "workers": FROM_DISK,
    "drop_clutter": ("caltech256",),
}
# Columns of a label table: of use with every data set that has one, else to these.
COLUMNS = {"label_column": OWN_FIELDS, "true_column": OWN_FIELDS, "file_column": ()}


def readers_of(setting: str, labels: bool) -> tuple[str, ...] | None:
    """The data sets that read a setting of this section; None where all do.

    Args:
        setting: its name.
        labels: whether a label table is given.
    """
    if setting in COLUMNS:
        return None if labels else COLUMNS[setting]
    return READERS.get(setting)


class DataConfig(Section):
    """Which images and labels are read."""

    dataset: str = Field(
        "digits",
        description="Data set: digits (ships inside scikit-learn), folder, table, webdataset or "
        "hf (your images), or one from --data-dir that 'tdctl datasets' lists; without it, what "
        "--data-dir holds.",
    )
    data_dir: Path | None = Field(
        None, description="Folder that holds the data set (of a table: its images)."
    )
    image_size: Annotated[int, Field(ge=4, le=4096)] | None = Field(
        None, description="Bring images to squares of this many pixels a side, as --fit says."
    )
    fit: Literal["crop", "pad", "squash"] = Field(
        "crop",
        description="How images come to --image-size: crop the middle square of the resized "
        "image, pad the whole one with bars, or squash it whatever its shape.",
    )
    max_megapixels: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Refuse an image of more million pixels (default: Pillow's limit, 178.96).",
    )
    normalise: Literal["data", "imagenet"] = Field(
        "data",
        description="Channel statistics that images are normalised by: of the training images, "
        "or ImageNet's, as pretrained weights expect.",
    )
    labels: Path | None = Field(
        None,
        description="Table (CSV, TSV or Parquet) whose labels replace the data set's, one row per "
        "training image; with dataset 'table' it names the images too.",
    )
    label_column: str = Field(
        "label",
        description="Column of --labels (of webdataset and hf: field) with the given label.",
    )
    true_column: str | None = Field(
        None,
        description="Column of --labels (of webdataset and hf: field) with the true label, "
        "where it is known.",
    )
    file_column: str = Field(
        "file_name", description="Column of --labels with the image's path below --data-dir."
    )
    split_column: str = Field(
        "split",
        description="Column of a table's --labels with train, val or test; without it, a share "
        "is held out as test set.",
    )
    limit: Positive | None = Field(
        None,
        description="Use only the first N training images (of a folder or table by file name; "
        "of a set that is sorted by class, each class in turn).",
    )
    num_valid: Annotated[int, Field(ge=0)] = Field(
        0, description="Hold out N training images, stratified by given label, for validation."
    )
    valid_labels: Literal["given", "true"] = Field(
        "given", description="Labels of the images that --num-valid holds out."
    )
    test_share: Fraction = Field(
        0.2, description="Share held out as test set where a data set has none."
    )
    split_seed: Seed | None = Field(
        None, description="Seed of the splits alone; --seed where not given."
    )
    drop_clutter: bool = Field(False, description="Leave out caltech256's class of clutter.")
    skip_unreadable: bool = Field(
        False,
        description="Leave out images that do not decode, and of --labels what has no label, no "
        "file or no row, and list them.",
    )
    download: bool = Field(False, description="Let torchvision download a missing data set.")
    images: Literal["auto", "memory", "cache", "stream"] = Field(
        "auto",
        description="How decoded images are held: in memory, in a cache on the disk, "
        "or not (stream: decoded anew in every pass); auto takes the first that has room.",
    )
    cache_dir: Path | None = Field(
        None, description="Folder of the cache (default: tdctl in the user's cache folder)."
    )
    workers: Positive | None = Field(
        None, description="Processes that decode streamed images (default: one a processor)."
    )

    @property
    def root(self) -> Path:
        """Folder of the data; of a table without ``data_dir``, the one that the table is in."""
        if self.data_dir is None and self.dataset == "table" and self.labels is not None:
            return self.labels.parent
        return Path() if self.data_dir is None else self.data_dir

    @field_validator("dataset")
    @classmethod
    def _dataset_is_known(cls, value: str) -> str:
        return known_name(value)

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.dataset == "table" and self.labels is None:
            raise ValueError("labels: dataset 'table' needs --labels FILE")
        own_fields = self.dataset in {"webdataset", "hf"}
        if self.true_column is not None and self.labels is None and not own_fields:
            raise ValueError("true_column: names a column of --labels, which is not given")
        if self.drop_clutter and self.dataset != "caltech256":
            raise ValueError(
                f"drop_clutter: goes with dataset 'caltech256', not with '{self.dataset}'; leave "
                "it out"
            )
        if self.fit != "crop" and self.image_size is None:
            raise ValueError(
                f"fit: '{self.fit}' says how images come to --image-size, which is not given"
            )
        if self.dataset not in {"digits", "table"} and self.data_dir is None:
            raise ValueError(f"data_dir: dataset '{self.dataset}' needs --data-dir DIR")
        return self
