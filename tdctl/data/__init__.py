"""Data sets as tensors: the embedded digits, image folders, torchvision's sets."""

from __future__ import annotations

from tdctl.config import DataConfig
from tdctl.data.dataset import DataSet, Images
from tdctl.data.folder import open_folder
from tdctl.data.named import open_digits, open_torchvision

__all__ = ["DataSet", "Images", "open_dataset"]


def open_dataset(config: DataConfig) -> DataSet:
    """The data set that the settings name, decoded and resized, with its labels.

    Raises:
        DataError: something is missing or malformed; the message names the path and the
            layout that is expected there.
    """
    if config.dataset == "digits":
        return open_digits(config)
    if config.dataset == "folder":
        return open_folder(config)
    return open_torchvision(config)
