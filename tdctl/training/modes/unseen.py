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
    """Images that a training leaves out, predicted after each of its epochs.

    Args:
        feed: that of the images, where there is one already.
    """

    def __init__(
        self, images: Images, pipeline: Pipeline, world: World, feed: Feed | None = None
    ) -> None:
        self._pipeline = pipeline
        self._feed = Feed(images, pipeline.device) if feed is None else feed
        # Each process predicts a part of them: of few images some predict none.
        part = world.part(0, len(images))
        rows = torch.arange(part.start, part.stop)
        self._rows = torch.split(rows, BATCH) if len(rows) else ()
        self._index = torch.from_numpy(images.index).to(pipeline.device)

    @torch.no_grad()
    def record(self, net: nn.Module, recorder: Recorder | EpochRows) -> None:
        """Records the logits in eval mode of each image as it is; leaves the network in it.

        Where the training mirrors images they are the mean of those of the image and of its
        mirror image.
        """
        net.eval()
        if not self._rows:
            return
        for rows, pixels in zip(self._rows, self._feed.batches(self._rows), strict=True):
            logits = self._pipeline.logits(net, pixels)
            if self._pipeline.augment.mirrors:
                logits = (logits + self._pipeline.logits(net, pixels.flip(3))) / 2
            recorder.record(self._index[rows.to(self._index.device)], logits)
