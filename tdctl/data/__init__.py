"""Data sets as tensors: the embedded digits, image folders, torchvision's sets."""

from __future__ import annotations

from dataclasses import replace

from tdctl.config import DataConfig
from tdctl.data.channels import channels
from tdctl.data.dataset import DataSet, Images
from tdctl.data.folder import open_folder
from tdctl.data.named import open_digits, open_torchvision

__all__ = ["DataSet", "Images", "open_dataset"]


def open_dataset(config: DataConfig) -> DataSet:
    """The data set that the settings name, decoded and resized, with its labels.

    Raises:
        DataError: something is missing or malformed; the message names the path and the
            layout that is expected there.
        ConfigError: the images have not the channels that the settings normalise by.
    """
    if config.dataset == "digits":
        dataset = open_digits(config)
    elif config.dataset == "folder":
        dataset = open_folder(config)
    else:
        dataset = open_torchvision(config)
    mean, std = channels(config, dataset.mean, dataset.std)
    return replace(dataset, mean=mean, std=std)
