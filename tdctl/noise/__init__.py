"""Noise: how true labels become given labels, with the expected noise rate and confusion.

Needs numpy, and scipy for the normal distribution. Only ``instance`` noise looks at pixels.
"""

from __future__ import annotations

from tdctl.noise.confusion import Confusion, confusion_of
from tdctl.noise.draws import Drawn, Noise, PixelSource, fixed
from tdctl.noise.flip_pairs import known_pairs, read_pairs
from tdctl.noise.instance import InstanceNoise
from tdctl.noise.making import file_facts, make_noise
from tdctl.noise.matrix import read_matrix
from tdctl.noise.transition import (
    Mapped,
    Matrix,
    OfClass,
    Transition,
    Uniform,
    UniformInclusive,
    corrupt,
    cyclic,
    flip_rates,
)

__all__ = [
    "Confusion",
    "Drawn",
    "InstanceNoise",
    "Mapped",
    "Matrix",
    "Noise",
    "OfClass",
    "PixelSource",
    "Transition",
    "Uniform",
    "UniformInclusive",
    "confusion_of",
    "corrupt",
    "cyclic",
    "file_facts",
    "fixed",
    "flip_rates",
    "known_pairs",
    "make_noise",
    "read_matrix",
    "read_pairs",
]
