"""What a pretrained network expects of its input."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OwnInput"]


@dataclass(frozen=True)
class OwnInput:
    """The images that the published weights of a network were trained on.

    Attributes:
        size: the side of the square images in pixels.
        fixed: whether the network takes images of this size only.
        mean, std: three values each, for pixel values in [0, 1]; ``std`` is above 0.
    """

    size: int
    fixed: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
