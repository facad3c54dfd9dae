"""Makes the listing of images that come with labels, as class numbers or class names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels, held_out_for_test
from tdctl.names import is_utf8, normal
from tdctl.sources.listing import Listing, spread_over_classes
from tdctl.sources.shards.slices import Slices

__all__ = ["Values", "check_class_names", "check_range", "label_columns", "listing_of"]

Ints = NDArray[np.int64]
MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Values:
    """The labels of n images, as their source gives them.

    Attributes:
        values: int64 [n] class numbers, or n class names.
        where: gives the name of a row and its label, for messages.
    """

    values: Ints | Sequence[str]
    where: Callable[[int], str]


def label_columns(config: DataConfig) -> tuple[str, str | None]:
    """The source's own columns of the given and the true labels.

    If a label table is used, the column is ``label`` and there is no column of true labels.
    """
    if config.labels is not None:
        return "label", None  # the columns in the settings are columns of the table
    return config.label_column, config.true_column


def listing_of(
    config: DataConfig,
    split_seed: int,
    images: Slices,
    given: Values,
    true: Values | None,
    test: Values | None,
    class_names: list[str] | None,
    notes: Sequence[str],
) -> Listing:
    """The listing of images whose labels have been read.

    If the source has no test images, a stratified share of the training images becomes the test
    set. Both then keep their position in the one list as ``index``, and the test labels are the
    true labels.

    Args:
        config: names the data set and the share.
        split_seed: seed of the share.
        images: the training images, then the test images.
        given: the given labels of the training images.
        true: the true labels of the training images; None if they are not known.
        test: the labels of the test images; None if the source has no test images.
        class_names: the k classes. None: take those of the training images, that is the numbers up
            to the largest one, or the sorted names.
        notes: the source's notes for the user.

    Returns:
        The listing of the training and test images.

    Raises:
        DataError: a label is not one of the classes. The message names the image.
    """
    learned = [given] if true is None else [given, true]
    if class_names is None:
        class_names = _classes_found(learned, test)
    numbers = [_numbered(column, class_names) for column in learned]
    labels = Labels(np.arange(len(numbers[0]), dtype=np.int64), numbers[0], numbers[-1])
    lines = list(notes)
    if test is not None:
        tested = _numbered(test, class_names)
        index = np.arange(len(tested), dtype=np.int64)
    else:
        apart = held_out_for_test(labels.assigned, config.test_share, split_seed)
        index, tested = labels.index[apart], labels.true[apart]
        if len(index):
            images = images.take(np.concatenate([labels.index[~apart], index]))
            labels = labels.take(~apart)
            lines.append(
                f"no test images of its own: {len(index)} images are held out as test set with the "
                "labels they have, and are not ranked; --test-share 0 ranks all"
            )
    counts = np.bincount(labels.assigned, minlength=len(class_names))
    if not counts.all():
        lines.append(
            f"{np.count_nonzero(counts == 0)} of {len(class_names)} classes have no training "
            f"image, first {class_names[int(counts.argmin())]!r}"
        )
    class_by_class = np.count_nonzero(np.diff(labels.assigned)) < np.count_nonzero(counts)
    return Listing(
        name=config.dataset,
        class_names=class_names,
        labels=labels,
        test_index=index,
        test_targets=tested,
        names=images.names_below(config.data_dir or Path()),
        images=images,
        one_list=test is None,
        # Most shards are shuffled. The first images are then a fair sample and cheap to read.
        first=spread_over_classes(labels.assigned) if class_by_class else None,
        notes=tuple(lines),
    )


def check_class_names(where: str, names: Sequence[str]) -> list[str]:
    """The class names in Unicode's normal form C.

    Raises:
        DataError: a name is empty, appears twice, or cannot be written as UTF-8.
    """
    seen: set[str] = set()
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{where}: class {number} has no name ({name!r}); give it one")
        if normal(name) in seen:
            raise DataError(f"{where}: two classes are named {name!r}; give each a name of its own")
        if not is_utf8(name):
            raise DataError(
                f"{where}: the class name {name!r} cannot be written as UTF-8; rename it"
            )
        seen.add(normal(name))
    return [normal(name) for name in names]


def check_range(column: Values, limit: int, known: str) -> None:
    """Checks that all class numbers are in [0, limit).

    Raises:
        DataError: a number is outside. The message names the row.
    """
    numbers = np.asarray(column.values)
    outside = np.flatnonzero((numbers < 0) | (numbers >= limit))
    if len(outside):
        row = int(outside[0])
        raise DataError(
            f"{column.where(row)}: {numbers[row]} is out of range; expected 0 to {limit - 1} "
            f"{known}"
        )


def _classes_found(learned: Sequence[Values], test: Values | None) -> list[str]:
    columns = [*learned, test] if test is not None else learned
    numbered = [isinstance(column.values, np.ndarray) for column in columns]
    if any(numbered) and not all(numbered):
        number, name = columns[numbered.index(True)], columns[numbered.index(False)]
        raise DataError(
            f"{number.where(0)}: a number, and {name.where(0)}: a name; expected one kind in "
            "all, or a list of the classes"
        )
    if not any(numbered):
        names = {normal(str(name)) for column in learned for name in column.values}
        return check_class_names(learned[0].where(0), sorted(names))
    for column in learned:
        check_range(column, MOST_CLASSES, "without a list of the classes")
    return [str(number) for number in range(1 + max(int(max(c.values)) for c in learned))]


def _numbered(column: Values, class_names: list[str]) -> Ints:
    if isinstance(column.values, np.ndarray):
        check_range(column, len(class_names), f"with {len(class_names)} classes")
        return column.values
    number_of = {name: number for number, name in enumerate(class_names)}
    numbers = np.fromiter(
        (number_of.get(normal(name), -1) for name in column.values), np.int64, len(column.values)
    )
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        row = int(unknown[0])
        raise DataError(
            f"{column.where(row)}: no class is named {column.values[row]!r}; expected one of "
            f"{', '.join(class_names[:12])}{', ...' if len(class_names) > 12 else ''}"
        )
    return numbers
