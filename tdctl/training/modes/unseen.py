"""Predictions, after each epoch, for images that a network is not trained on."""

from __future__ import annotations

import torch
from torch import nn

from tdctl.data.dataset import Images
from tdctl.recorder import EpochRows, RunRecorder
from tdctl.training.feed import Feed
from tdctl.training.pipeline import Pipeline
from tdctl.training.world import World

__all__ = ["Unseen"]

BATCH = 512


class Unseen:
    """Images that a training leaves out and predicts after each epoch.

    Args:
        images: these images.
        pipeline: normalisation, device and precision.
        world: the processes.
        feed: a feed of these images, if there is one already.
    """

    def __init__(
        self, images: Images, pipeline: Pipeline, world: World, feed: Feed | None = None
    ) -> None:
        self._pipeline = pipeline
        self._feed = Feed(images, pipeline.device) if feed is None else feed
        # Each process predicts a part of the images. If there are few, some processes have none.
        part = world.part(0, len(images))
        rows = torch.arange(part.start, part.stop)
        self._rows = torch.split(rows, BATCH) if len(rows) else ()
        self._index = torch.from_numpy(images.index).to(pipeline.device)

    @torch.no_grad()
    def record(self, net: nn.Module, recorder: RunRecorder | EpochRows) -> None:
        """Records the logits of each image, without augmentation; leaves the network in eval mode.

        If the training mirrors images, the mean of the logits of the image and of its mirror image
        is recorded.
        """
        net.eval()
        if not self._rows:
            return
        for rows, pixels in zip(self._rows, self._feed.batches(self._rows), strict=True):
            logits = self._pipeline.mirrored_logits(net, pixels)
            recorder.record(self._index[rows.to(self._index.device)], logits)
