"""Vectors in the place of images: features of a frozen network, or any embedding."""

from __future__ import annotations

from tdctl.features.extract import frozen_features
from tdctl.features.feature_scores import write_feature_scores

__all__ = ["frozen_features", "write_feature_scores"]
