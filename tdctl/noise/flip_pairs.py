"""Pair noise: the class that each class is mistaken for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tdctl.errors import ConfigError, DataError
from tdctl.noise.draws import Ints
from tdctl.noise.noise_files import read_rows

__all__ = ["CIFAR10_PAIRS", "CIFAR100_SUPERCLASSES", "known_pairs", "read_pairs"]

CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
# Source: Patrini et al., "Making Deep Neural Networks Robust to Label Noise" (CVPR 2017).
CIFAR10_PAIRS = {
    "truck": "automobile",
    "bird": "airplane",
    "deer": "horse",
    "cat": "dog",
    "dog": "cat",
}
# Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). Names are
# spelt as in the archive, in the order of its labels.
CIFAR100_SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
HEADER = ["from", "to"]


def known_pairs(class_names: list[str]) -> tuple[str, Ints]:
    """The pairs of CIFAR-10 or CIFAR-100, which are recognised by their class names.

    Args:
        class_names: k names, in any order.

    Returns:
        ``cifar10`` or ``cifar100``; and, int64 [k], the class that each class is mistaken for. A
        class without a pair is its own. In CIFAR-100 it is the next class of the same superclass;
        after the last comes the first.

    Raises:
        ConfigError: the names are not those of CIFAR-10 or CIFAR-100.
    """
    names = set(class_names)
    if names == set(CIFAR10):
        return "cifar10", _targets(CIFAR10_PAIRS, class_names)
    cycles = CIFAR100_SUPERCLASSES.values()
    if names == {name for cycle in cycles for name in cycle}:
        steps = {
            a: b for cycle in cycles for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True)
        }
        return "cifar100", _targets(steps, class_names)
    raise ConfigError(
        f"noise_type: no pairs are known for classes such as '{class_names[0]}'; give --pairs "
        "FILE, a table 'from,to' of class names"
    )


def read_pairs(path: Path, class_names: list[str]) -> Ints:
    """The pairs of a table ``from,to`` of class names.

    A class that is not in the column ``from`` keeps its label.

    Args:
        path: the table.
        class_names: k names.

    Returns:
        int64 [k], the class that each class is mistaken for.

    Raises:
        DataError: the table is not readable; or a line names an unknown class, has a class in
            ``from`` a second time, or pairs a class with itself.
    """
    (line, header), *rows = read_rows(path, "pairs")
    if header != HEADER:
        raise DataError(
            f"{path}: line {line} is '{','.join(header)}'; expected the header 'from,to'"
        )
    if not rows:
        raise DataError(f"{path}: line {line} is the last; expected a line for each pair")
    known, pairs = set(class_names), dict[str, str]()
    for line, values in rows:
        if len(values) != len(HEADER):
            raise DataError(
                f"{path}: line {line} has {len(values)} values; expected two, 'from,to'"
            )
        for column, name in zip(HEADER, values, strict=True):
            if name not in known:
                raise DataError(
                    f"{path}: line {line}, column '{column}', names the class '{name}'; expected "
                    f"one of {_listed(class_names)}"
                )
        old, new = values
        if old == new:
            raise DataError(
                f"{path}: line {line} pairs '{old}' with itself; leave out what keeps its label"
            )
        if old in pairs:
            raise DataError(
                f"{path}: line {line} names '{old}' in 'from' a second time; expected it once"
            )
        pairs[old] = new
    return _targets(pairs, class_names)


def _targets(pairs: dict[str, str], class_names: list[str]) -> Ints:
    label_of = {name: label for label, name in enumerate(class_names)}
    return np.array([label_of[pairs.get(name, name)] for name in class_names], dtype=np.int64)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
