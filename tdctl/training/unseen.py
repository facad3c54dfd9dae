"""What a network says, after each epoch, of images that it is not trained on."""

from __future__ import annotations

import torch
from torch import nn

from tdctl.data.dataset import Images
from tdctl.recorder import EpochRows, Recorder
from tdctl.training.feed import Feed
from tdctl.training.pipeline import Pipeline
from tdctl.training.world import World

__all__ = ["Unseen"]

BATCH = 512


class Unseen:
    """Images that a training leaves out, predicted after each of its epochs."""

    def __init__(self, images: Images, pipeline: Pipeline, world: World) -> None:
        self._pipeline, self._feed = pipeline, Feed(images, pipeline.device)
        # Each process predicts a part of them.
        part = world.part(0, len(images))
        self._rows = torch.split(torch.arange(part.start, part.stop), BATCH)
        self._index = torch.from_numpy(images.index).to(pipeline.device)

    @torch.no_grad()
    def record(self, net: nn.Module, recorder: Recorder | EpochRows) -> None:
        """Records the logits in eval mode of each image as it is; leaves the network in it.

        Where the training mirrors images they are the mean of those of the image and of its
        mirror image.
        """
        net.eval()
        for rows, pixels in zip(self._rows, self._feed.batches(self._rows), strict=True):
            logits = self._pipeline.logits(net, pixels)
            if self._pipeline.augment.mirrors:
                logits = (logits + self._pipeline.logits(net, pixels.flip(3))) / 2
            recorder.record(self._index[rows.to(self._index.device)], logits)
