"""Makes the noise that the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tdctl.config import NoiseConfig
from tdctl.errors import ConfigError
from tdctl.files import file_digest
from tdctl.noise.draws import Noise
from tdctl.noise.flip_pairs import known_pairs, read_pairs
from tdctl.noise.instance import InstanceNoise
from tdctl.noise.matrix import read_matrix
from tdctl.noise.transition import KINDS, Mapped, Matrix, OfClass

__all__ = ["file_facts", "make_noise"]


def make_noise(config: NoiseConfig, class_names: list[str]) -> tuple[Noise, dict[str, Any]]:
    """The noise that the settings ask for.

    This covers every type that draws labels, so not ``labels``, which reads them from a table.

    Args:
        config: the settings of the noise.
        class_names: k names.

    Returns:
        The noise; and facts for the manifest about its file: name and digest.

    Raises:
        ConfigError: there is a single class, no pairs are known for these classes, or the noise
            type is ``labels``.
        DataError: the file of the pairs or of the matrix is malformed.
    """
    k, ratio = len(class_names), config.noise_ratio
    if config.noise_type == "matrix" and config.matrix is not None:
        rows = read_matrix(config.matrix, class_names)
        return OfClass(Matrix(rows)), {"matrix": file_facts(config.matrix)}
    if k < 2:
        raise ConfigError("noise_ratio: labels of a single class cannot be flipped; use 0")
    if config.noise_type == "pair" and config.pairs is not None:
        to = read_pairs(config.pairs, class_names)
        return OfClass(Mapped(to, ratio)), {"pairs": file_facts(config.pairs)}
    if config.noise_type == "pair":
        name, to = known_pairs(class_names)
        return OfClass(Mapped(to, ratio)), {"pairs": name}
    if config.noise_type == "instance":
        return InstanceNoise(k, ratio), {}
    if config.noise_type not in KINDS:
        raise ConfigError(f"noise_type: '{config.noise_type}' is read from a table, not drawn")
    return OfClass(KINDS[config.noise_type](k, ratio)), {}


def file_facts(path: Path) -> dict[str, str]:
    """Name and SHA-256 of a file that noise comes from."""
    return {"file": path.name, "sha256": file_digest(path)}
