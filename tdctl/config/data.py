"""The settings of the images and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tdctl.catalogue import CATALOGUE, is_own, known_name
from tdctl.config.section import Fraction, Positive, Section, Seed

__all__ = ["DataConfig", "default_test_share", "readers_of", "usual_values"]

# The data sets that torchvision reads and can download.
TORCHVISION = ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")
OWN_FIELDS = ("webdataset", "hf")
FROM_DISK = tuple(name for name in CATALOGUE if name != "digits")
# The share that a named data set without a test set holds out. Of the user's own data none is, so
# that every image gets a rank.
HELD_SHARE = 0.2
IMAGES = tuple(name for name in CATALOGUE if name != "embeddings")
IMAGES_FROM_DISK = tuple(name for name in FROM_DISK if name in IMAGES)
# For each setting that only some data sets read: these data sets. Named data sets that may also
# be image folders are included.
READERS = {
    "data_dir": FROM_DISK,
    "split_column": ("table",),
    "test_share": IMAGES_FROM_DISK,
    "image_size": IMAGES,
    "fit": IMAGES,
    "max_megapixels": IMAGES,
    "normalise": IMAGES,
    "images": IMAGES,
    "download": TORCHVISION,
    "skip_unreadable": FROM_DISK,
    "cache_dir": IMAGES_FROM_DISK,
    "workers": IMAGES_FROM_DISK,
    "drop_clutter": ("caltech256",),
}
# The settings that name columns. With a label table every data set reads them, without one only
# these data sets.
COLUMNS = {"label_column": OWN_FIELDS, "true_column": OWN_FIELDS, "file_column": ()}


def readers_of(setting: str, labels: bool) -> tuple[str, ...] | None:
    """The data sets that read a setting of this section; None if all do.

    Args:
        setting: the name of the setting.
        labels: whether a label table is given.
    """
    if setting in COLUMNS:
        return None if labels else COLUMNS[setting]
    return READERS.get(setting)


def default_test_share(dataset: str) -> float:
    """The share that is held out as test set of a data set without one, if none is asked for."""
    return 0.0 if is_own(dataset) else HELD_SHARE


def usual_values(setting: str) -> tuple[object, ...]:
    """The values of a setting of this section that do not count as a request of the user."""
    if setting == "test_share":
        return (0.0, HELD_SHARE)
    return (DataConfig.model_fields[setting].default,)


class DataConfig(Section):
    """The settings of the images and labels."""

    dataset: str = Field(
        "digits",
        description="Data set: digits (part of scikit-learn); folder, table, webdataset or hf for "
        "your images; embeddings for vectors; or a name from 'tdctl datasets'. If not given, it is "
        "found from the files in --data-dir.",
    )
    data_dir: Path | None = Field(
        None,
        description="Folder of the data set; for a table, the folder of its images; for "
        "embeddings, their file.",
    )
    image_size: Annotated[int, Field(ge=4, le=4096)] | None = Field(
        None,
        description="Resize images to squares with this side in pixels; see --fit (default: for "
        "pretrained networks of torchvision and timm the size that their weights expect).",
    )
    fit: Literal["crop", "pad", "squash"] = Field(
        "crop",
        description="How images are fitted to --image-size. crop: the middle square; pad: the "
        "whole image between bars; squash: the whole image, its shape changed.",
    )
    decode: Literal["reduced", "full"] = Field(
        "reduced",
        description="How a JPEG is decoded that is at least four times as large as --image-size. "
        "reduced: at a half, a quarter or an eighth of its size, several times faster; full: "
        "whole. Both are then resized.",
    )
    max_megapixels: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Refuse images with more million pixels (default: Pillow's limit, 178.96).",
    )
    normalise: Literal["data", "imagenet", "network"] = Field(
        "data",
        description="Channel statistics for normalisation. data: of the training images; "
        "imagenet: of ImageNet; network: those that the published weights of the network expect "
        "(default for pretrained networks of torchvision and timm).",
    )
    labels: Path | None = Field(
        None,
        description="Table (CSV, TSV or Parquet) whose labels replace those of the data set; one "
        "row per training image. With --dataset table, it also names the images. A .json file is a "
        "flat list of class numbers, one per training image.",
    )
    label_column: str = Field(
        "label",
        description="Column of --labels (field of webdataset and hf) with the given label.",
    )
    true_column: str | None = Field(
        None,
        description="Column of --labels (field of webdataset and hf) with the true label, if it "
        "is known.",
    )
    file_column: str = Field(
        "file_name", description="Column of --labels with the image's path below --data-dir."
    )
    split_column: str = Field(
        "split",
        description="Column of a table with train, val or test.",
    )
    limit: Positive | None = Field(
        None,
        description="Use only N training images: for a folder or table the first N by file name; "
        "for data sets sorted by class, from each class in turn.",
    )
    num_valid: Annotated[int, Field(ge=0)] = Field(
        0, description="Hold out N training images, stratified by given label, for validation."
    )
    valid_labels: Literal["given", "true"] = Field(
        "given", description="Labels of the images that --num-valid holds out."
    )
    test_share: Fraction = Field(
        default_factory=lambda values: default_test_share(values.get("dataset", "")),
        description="Share held out as the test set if the data set has none (default: 0 for your "
        "own images, so that each gets a rank, and 0.2 for data sets known by name).",
    )
    split_seed: Seed | None = Field(None, description="Seed of the splits only (default: --seed).")
    drop_clutter: bool = Field(False, description="Leave out the class 'clutter' of caltech256.")
    skip_unreadable: bool = Field(
        False,
        description="Leave out images that cannot be decoded, table rows without a label or a "
        "file, and images without a row; skipped.csv lists them.",
    )
    download: bool = Field(False, description="Let torchvision download a missing data set.")
    images: Literal["auto", "memory", "cache", "stream"] = Field(
        "auto",
        description="Where decoded images are kept: in memory, in a cache on the disk, or nowhere "
        "(stream: they are decoded again in every pass). auto takes the first of these that has "
        "room.",
    )
    cache_dir: Path | None = Field(
        None, description="Folder of the cache (default: tdctl in your cache folder)."
    )
    workers: Positive | None = Field(
        None,
        description="Number of processes that decode streamed images (default: one per processor).",
    )

    @property
    def root(self) -> Path:
        """The folder of the data. For a table without ``data_dir``, the folder of the table."""
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
        if self.dataset == "embeddings" and self.data_dir is None:
            raise ValueError(
                "data_dir: dataset 'embeddings' needs --data-dir FILE (.npy, .safetensors or "
                ".parquet) and --labels TABLE"
            )
        if self.dataset == "embeddings" and self.labels is None:
            raise ValueError(
                f"labels: {self.data_dir} has vectors without labels; give --labels TABLE (CSV, "
                f"TSV or Parquet) with the column '{self.label_column}', and 'index' for the "
                "position of each row in the file (without it, one row for each vector in order)"
            )
        if self.data_dir is not None and "dataset" not in self.model_fields_set:
            raise ValueError(
                "dataset: data_dir is given and no data set; name it, or let load_config find it"
            )
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
