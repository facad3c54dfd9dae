"""The layout of an image folder: which folders are its splits and which are its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tdctl.errors import DataError
from tdctl.folders.account import BESIDE, OUTPUT, Account
from tdctl.folders.hints import listed, no_class_folders, no_labels, single_class
from tdctl.folders.levels import classes_in, inner_folder, nested_in, tested_apart
from tdctl.folders.splits import mentioned_kind, split_kind
from tdctl.folders.walk import Tree, joined

__all__ = ["Layout", "Split", "find_layout"]

# The largest number of nested wrapping folders that are looked into. Real data have fewer.
DEEPEST = 8


@dataclass(frozen=True)
class Split:
    """One part of the data: a folder that contains class folders.

    Attributes:
        top: the folder, relative to the data folder; ``""`` for the data folder itself.
        classes: the names of its class folders, sorted.
    """

    top: str
    classes: list[str]


@dataclass(frozen=True)
class Layout:
    """The splits of an image folder.

    Attributes:
        train: the split with the training images.
        test: the split with the test images; None if the folder has no such split.
        held: the validation split of a folder that has a test split as well; else None.
        notes: the choices that were made between possible layouts, one line each.
    """

    train: Split
    test: Split | None = None
    held: Split | None = None
    notes: list[str] = field(default_factory=list)


def find_layout(tree: Tree, account: Account) -> Layout:
    """Finds the splits and classes of a data folder from the names and contents of its folders.

    The folder of a split contains class folders. A class folder contains images. So a class may
    also be called ``test``. If a single folder wraps all the data, the search goes on inside it.

    Args:
        tree: the tree of the data folder.
        account: receives the entries that are not read.

    Returns:
        The layout of the data folder.

    Raises:
        DataError: there is no class folder, or only one; or there are class folders inside class
            folders and it is unclear which ones are meant. The message names the folders found.
    """
    return _Finder(tree, account).at("", DEEPEST)


@dataclass
class _Finder:
    tree: Tree
    account: Account
    notes: list[str] = field(default_factory=list)

    def at(self, top: str, deeper: int) -> Layout:
        """The layout of a folder at or below the data folder."""
        tree, here = self.tree, self.tree.look(top)
        folders = self._counted(top)
        split = self._with_splits(top, folders)
        if split is not None:
            self._count_beside(top)
            return split
        holding = [name for name in folders if tree.holds_images(joined(top, name))]
        inner = inner_folder(tree, top, here, holding)
        if inner is None or not deeper:
            return self._without_splits(top, folders, holding)
        others = [name for name in folders if name != inner]
        beside = f"; not read beside it: {listed(others)}" if others else ""
        before = f"the data are those in {top}/"
        if before in self.notes:
            self.notes.remove(before)  # one of several that wrap each other
        self.notes.append(f"the data are those in {joined(top, inner)}/{beside}")
        self._count_beside(top)
        return self.at(joined(top, inner), deeper - 1)

    def _with_splits(self, top: str, folders: Sequence[str]) -> Layout | None:
        """The layout of a folder with ``train/``; None if there is no ``train/``."""
        kinds = _kinds(folders)
        of_kind: dict[str, list[str]] = {"train": [], "test": [], "val": []}
        for name in folders:
            kind = kinds[name]
            if kind is not None and classes_in(self.tree, joined(top, name)):
                of_kind[kind].append(name)
        if not of_kind["train"] or self._is_class(top, of_kind, kinds):
            return None
        for kind, names in of_kind.items():
            if len(names) > 1:
                raise DataError(
                    f"folder {self.tree.path(top)}: {' and '.join(names)} are named as one split, "
                    f"{kind}; leave one of them there, or rename what is a class"
                )
        # The notes and the account should follow the order of the splits, so these come first.
        opened = {k: self._opened(joined(top, n[0])) for k, n in of_kind.items() if n}
        train = opened["train"]
        if len(train.classes) == 1:
            raise single_class(self.tree, train.top, train.classes[0])
        self._note_unread(top, folders, kinds, of_kind)
        if "test" in opened and "val" in opened:
            return Layout(train, opened["test"], opened["val"], self.notes)
        return Layout(train, opened.get("test", opened.get("val")), None, self.notes)

    def _is_class(
        self, top: str, of_kind: dict[str, list[str]], kinds: dict[str, str | None]
    ) -> bool:
        """Whether the only folder with the name of a split is in fact a class."""
        name, *others = (name for names in of_kind.values() for name in names)
        plain = [joined(top, n) for n, kind in kinds.items() if kind is None]
        own = bool(self.tree.look(joined(top, name)).images)
        return own and not others and any(self.tree.look(path).images for path in plain)

    def _opened(self, top: str) -> Split:
        """The class folders of a split. A single folder may wrap them all."""
        folders = self._counted(top)
        holding = classes_in(self.tree, top)
        if len(holding) == 1 and not self.tree.look(top).images:
            lone = joined(top, holding[0])
            if not self.tree.look(lone).images and len(classes_in(self.tree, lone)) > 1:
                self.notes.append(f"the class folders of {top}/ are those in {lone}/")
                return self._opened(lone)
        self._count_beside(top)
        return Split(top, folders)

    def _note_unread(
        self,
        top: str,
        folders: Sequence[str],
        kinds: dict[str, str | None],
        of_kind: dict[str, list[str]],
    ) -> None:
        """Notes which folders beside the training images are not read, and why."""
        read = [name for names in of_kind.values() for name in names]
        unread = [name for name in folders if name not in read]
        flat = [n for n in unread if kinds[n] and self.tree.look(joined(top, n)).images]
        self.notes += [no_labels(self.tree, joined(top, name)) for name in flat]
        rest = [joined(top, name) for name in unread if name not in flat]
        if rest:
            self.notes.append(f"not read beside {of_kind['train'][0]}/: {listed(rest)}")

    def _without_splits(self, top: str, folders: Sequence[str], holding: Sequence[str]) -> Layout:
        """The layout of a folder that contains the class folders directly."""
        refusal = no_class_folders(self.tree, top, holding)
        if refusal is not None:
            raise refusal
        tested = tested_apart(self.tree, top, holding)
        classes = [name for name in folders if name != tested]
        if len(holding) == 1:
            raise single_class(self.tree, top, holding[0])
        for name in holding:
            if split_kind(name) and name != tested:
                self.notes.append(
                    f"{joined(top, name)}/ is read as a class, for what it holds; the folder of a "
                    "split holds class folders"
                )
        nested = nested_in(self.tree, top, [name for name in holding if name != tested])
        if nested:
            self.notes.append(
                f"the images of {len(nested)} of {len(classes)} class folders lie in folders below "
                f"them, first {joined(top, nested[0])}/: the upper folders are taken for the "
                "classes; if the lower ones are, give --data-dir the folder that holds these"
            )
        self._count_beside(top)
        if tested is None:
            return Layout(Split(top, classes), notes=self.notes)
        self.notes.append(f"{joined(top, tested)}/ is read as test set: it has the same folders")
        return Layout(Split(top, classes), self._opened(joined(top, tested)), None, self.notes)

    def _counted(self, top: str) -> list[str]:
        """The folders in a folder, without runs of tdctl. All other entries go to the account."""
        here, called = self.tree.look(top), self._called(top)
        self.account.add_entries(called, top, here.others)
        folders = []
        for name in here.all_folders:
            if self.tree.look(joined(top, name)).is_run:
                self.account.add(called, OUTPUT, joined(top, name))
            else:
                folders.append(name)
        return folders

    def _count_beside(self, top: str) -> None:
        for name in self.tree.look(top).images:
            self.account.add(self._called(top), BESIDE, joined(top, name))

    def _called(self, top: str) -> str:
        return f"{top}/" if top else str(self.tree.root)


def _kinds(folders: Sequence[str]) -> dict[str, str | None]:
    """For each folder name, the split that it stands for, or None."""
    kinds = {name: split_kind(name) for name in folders}
    if "train" in kinds.values():
        return kinds
    # Names such as seg_train and seg_test count only together: one alone may be a class.
    loose = {name: mentioned_kind(name) for name in folders}
    return loose if {"train"} < {kind for kind in loose.values() if kind} else kinds
