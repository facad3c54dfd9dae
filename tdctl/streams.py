"""All streams of random numbers in tdctl: the seed, the numbers and the purpose of each.

Every draw in the package uses one of these streams. The number of draws from one stream does not
affect another stream. The numbers of the streams are fixed: with other numbers, the same seed would
give another run.

A few streams have the same numbers, such as ``RANDOM_REMOVAL`` and ``CLOTHING100K``. They serve
different purposes in different steps, so this affects no result. They stay as they are, so that
earlier runs can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["STREAMS", "Stream"]

# One of a stream's numbers: a fixed number, or a word for a number that the caller gives.
Part = int | str


@dataclass(frozen=True)
class Stream:
    """One stream of random numbers.

    Attributes:
        name: a unique name.
        seed: the setting that gives the seed, or "none" if the stream is the same in every run.
        entropy: the numbers that define the stream, in order. The caller gives the numbers for
            words such as ``seed`` and ``epoch``.
        decides: what is drawn from the stream, in one line.
        spawn_key: the spawn key of numpy's ``SeedSequence``. The caller gives the numbers for
            words here too, after those for ``entropy``.
        direct: if True, the stream has a single number, and the generator gets it as its seed
            without numpy's hash.
    """

    name: str
    seed: str
    entropy: tuple[Part, ...]
    decides: str
    spawn_key: tuple[Part, ...] = ()
    direct: bool = False

    def numpy_generator(self, *at: int) -> np.random.Generator:
        """A numpy generator at the start of the stream.

        Args:
            at: the numbers for the words in ``entropy`` and ``spawn_key``, in order.
        """
        return np.random.default_rng(self._sequence(*at))

    def torch_generator(self, *at: int, device: torch.device | str = "cpu") -> torch.Generator:
        """A torch generator on a device, at the start of the stream.

        Args:
            at: the numbers for the words in ``entropy`` and ``spawn_key``, in order.
            device: the device of the generator.
        """
        import torch

        if self.direct:
            seed = self.number(*at)
        else:
            # torch takes signed 64-bit seeds.
            seed = int(self._sequence(*at).generate_state(1, np.uint64)[0]) >> 1
        return torch.Generator(device).manual_seed(seed)

    @contextmanager
    def of_process(self, *at: int, device: torch.device | str = "cpu") -> Iterator[None]:
        """Sets torch's global generators to the start of the stream, within the block.

        This is for code that takes no generator, such as the construction of a network's layers.
        At the end of the block, the states of the generators of the CPU and the device are
        restored.
        """
        import torch

        where = torch.device(device)
        others = [where] if where.type == "cuda" else []
        with torch.random.fork_rng(devices=others):
            torch.manual_seed(self.number(*at) if self.direct else self.seeds(1, *at)[0])
            yield

    def seeds(self, count: int, *at: int, bits: int = 32) -> list[int]:
        """``count`` seeds for further streams, each in [0, 2 ** bits); ``bits`` is at most 32."""
        states = self._sequence(*at).generate_state(count, np.uint32)
        return [int(state) >> (32 - bits) for state in states]

    def number(self, *at: int) -> int:
        """The single number of a ``direct`` stream, for a library that takes a seed."""
        (part,) = _filled((self.entropy,), at)[0]
        return part

    def _sequence(self, *at: int) -> np.random.SeedSequence:
        entropy, key = _filled((self.entropy, self.spawn_key), at)
        return np.random.SeedSequence(entropy, spawn_key=key)


def _filled(places: Sequence[Sequence[Part]], at: Sequence[int]) -> list[list[int]]:
    """The parts, with each word replaced by its number from ``at``."""
    words = sum(isinstance(part, str) for parts in places for part in parts)
    if words != len(at):
        raise TypeError(f"a stream takes {words} numbers; got {len(at)}")
    left = iter(at)
    return [[next(left) if isinstance(part, str) else part for part in parts] for parts in places]


# Labels, from --noise-seed. Each sample's draw is found by its index.
NOISE_WHO = Stream(
    "noise who", "noise.noise_seed", ("seed",), "whose label noise replaces", spawn_key=(0,)
)
NOISE_WHERE = Stream(
    "noise where", "noise.noise_seed", ("seed",), "by which class it is replaced", spawn_key=(1,)
)
NOISE_PROJECTION = Stream(
    "noise projection",
    "noise.noise_seed",
    ("seed",),
    "the projection of the pixels in instance noise, one for each true class",
    spawn_key=(2, "class"),
)

# Splits, from --split-seed.
HELD_OUT = Stream(
    "held out",
    "data.split_seed",
    ("seed", 1),
    "images of --num-valid, the share that becomes a test set, and (from --seed) the rows of a "
    "single run that train-detector holds out",
)
CLOTHING100K = Stream(
    "clothing100k",
    "data.split_seed",
    ("seed", 2),
    "which 100,000 images of Clothing1M are used",
)
FOLDS = Stream("folds", "data.split_seed", ("seed", 4), "the fold of each image")

# One training, from --seed.
WEIGHTS = Stream(
    "weights", "seed", ("seed",), "the first weights of a network or of a pair's first", direct=True
)
SECOND_NETWORK = Stream(
    "second network", "seed", ("seed", 4), "the seed of the weights of a pair's second network"
)
FOLD_NETWORKS = Stream(
    "fold networks", "seed", ("seed", 5), "a seed for each network of a run with folds"
)
THRESHOLD_SAMPLES = Stream(
    "threshold samples", "seed", ("seed", 3), "which samples get the extra class"
)
ORDER = Stream("order", "seed", ("seed", "epoch", 0), "the order of the images in an epoch")
AUGMENTATION = Stream(
    "augmentation", "seed", ("seed", "epoch", 1), "how each image of an epoch is augmented"
)
CAPTURE_AUGMENTATION = Stream(
    "capture augmentation",
    "seed",
    ("seed", "epoch", 2),
    "how each image is augmented in the extra pass of --capture eval-pass",
)
MIXUP = Stream("mixup", "seed", ("seed", "epoch", 3), "the share of each batch's mixture")
DROPOUT = Stream(
    "dropout",
    "seed",
    ("seed", "epoch", 7, "step", "process"),
    "what a network with dropout or random depth drops in a step",
)
ROBUST_DROPOUT = Stream(
    "robust dropout",
    "seed",
    ("seed", "epoch", 8, "step", "network"),
    "what such a network drops in a step of a robust training",
)
ROBUST_ORDER = Stream(
    "robust order",
    "seed",
    ("seed", "epoch", 4, "network"),
    "the order of a robust training's images in an epoch, and which are mixed",
)
ROBUST_VIEWS = Stream(
    "robust views",
    "seed",
    ("seed", "epoch", 5, "network"),
    "how each view of each image is augmented in a robust training",
)
ROBUST_MIXTURE = Stream(
    "robust mixture",
    "seed",
    ("seed", "epoch", 6, "network"),
    "the share of each batch's mixture in a robust training",
)
ROBUST_DIVISION = Stream(
    "robust division", "none", (0,), "the first guess of a division in two components", direct=True
)
HEAD_ORDER = Stream(
    "head order", "seed", ("seed", "epoch", 7), "the order of the samples for heads on features"
)
FEATURE_SAMPLE = Stream(
    "feature sample",
    "none",
    (1,),
    "by which features the transform before a head is computed",
    direct=True,
)
FEATURE_CELLS = Stream(
    "feature cells",
    "none",
    (2,),
    "among which features neighbours are sought, and the first centres of their cells",
    direct=True,
)
NEIGHBOURS = Stream(
    "neighbours",
    "none",
    ("epoch",),
    "among which samples of a large set neighbours are sought",
    direct=True,
)
# Its seed, one for each image, is drawn from AUGMENTATION or CAPTURE_AUGMENTATION.
POLICY = Stream(
    "policy",
    "none",
    ("image",),
    "what train.augment_policy does to one image",
    direct=True,
)

# After a training.
RANDOM_REMOVAL = Stream(
    "random removal", "seed", ("seed", 2), "which samples denoise --baselines drops at random"
)
RESAMPLES = Stream(
    "resamples", "compare --seed", ("seed", 4), "the rows of each resample for an interval"
)
DETECTOR = Stream(
    "detector",
    "seed",
    ("seed", "start"),
    "first weights, batches and augmented curves of each start of train-detector",
)

# The same in every run.
DIGITS_TEST = Stream(
    "digits test", "none", (0,), "which 599 of the digits are the test set", direct=True
)
CHANNEL_SAMPLE = Stream(
    "channel sample",
    "none",
    (0,),
    "by which images of a streamed folder mean and deviation are computed",
)
LOADER = Stream(
    "loader", "none", (0,), "seeds of the worker processes, which draw nothing", direct=True
)

STREAMS = tuple(value for value in list(globals().values()) if isinstance(value, Stream))
