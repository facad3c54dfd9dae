"""What is done to features before a head reads them.

Shape suffixes: n samples, d features, B batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

__all__ = ["Transform"]

# Directions of almost no variance are not blown up beyond this share of the mean variance.
FLOOR = 1e-3


@dataclass(frozen=True)
class Transform:
    """Length 1, mean 0, and directions of little variance raised.

    A head finds large directions first. ``whiten`` raises the small ones, so that they count
    within the same number of epochs: 0 leaves them, 1 makes all variances equal.

    Attributes:
        mean: float32 [d], of vectors of length 1.
        axes: float32 [d, d], the new axes with their factors.
        largest: the largest variance afterwards; a learning rate is a share of its inverse.
    """

    mean: torch.Tensor
    axes: torch.Tensor
    largest: float

    @property
    def width(self) -> int:
        """d."""
        return self.axes.shape[1]

    @classmethod
    def of(cls, features: torch.Tensor, whiten: float) -> Transform:
        """The transform that suits some features.

        Args:
            features: float [n, d], all samples or a part of them drawn at random.
            whiten: in [0, 1].
        """
        unit = _unit(features)
        mean = unit.mean(dim=0)
        unit = unit - mean
        covariance = (unit.T @ unit).double() / len(unit)
        values, axes = torch.linalg.eigh(covariance)
        values = values.clamp_min(0)
        factors = (values + FLOOR * values.mean().clamp_min(1e-12)) ** (-whiten / 2)
        spread = values * factors**2
        # The mean squared length is 1 afterwards, whatever the number of features.
        scale = spread.sum().clamp_min(1e-12) ** -0.5
        largest = float((spread * scale**2).max())
        return cls(mean, (axes * (factors * scale)).float(), max(largest, 1e-6))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """The transformed features, float32 [B, d]."""
        return (_unit(features) - self.mean) @ self.axes

    def to(self, device: torch.device | str) -> Transform:
        """The transform on a device."""
        return replace(self, mean=self.mean.to(device), axes=self.axes.to(device))


def _unit(features: torch.Tensor) -> torch.Tensor:
    values = features.float()
    unit: torch.Tensor = values / values.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return unit
