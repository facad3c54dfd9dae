"""How an image folder is laid out: where its splits are, and at which level its classes."""

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

# Deeper than anybody wraps a folder.
DEEPEST = 8


@dataclass(frozen=True)
class Split:
    """One part of the data: a folder whose folders are classes.

    Attributes:
        top: the folder, below the data folder; ``""`` for the data folder itself.
        classes: names of its class folders, in sorted order.
    """

    top: str
    classes: list[str]


@dataclass(frozen=True)
class Layout:
    """Where the images of an image folder are.

    Attributes:
        train: of the training images.
        test: of the test images; None where there are none apart.
        held: of images for validation beside ``test``.
        notes: what was chosen where more than one reading was possible, one line each.
    """

    train: Split
    test: Split | None = None
    held: Split | None = None
    notes: list[str] = field(default_factory=list)


def find_layout(tree: Tree, account: Account) -> Layout:
    """The splits and classes of a data folder, by the names of its folders and what they hold.

    A split's folder holds class folders, and a class folder holds images: so a class may be called
    ``test``. A lone folder that wraps the data is looked into.

    Args:
        tree: of the data folder.
        account: takes up what lies beside the folders that are read.

    Raises:
        DataError: there are no class folders, or a single one; or there are class folders inside
            class folders, and which are meant is not clear. Names the folders found.
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
        """The layout of a folder with ``train/``; None where it has none."""
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
        # Said first, and counted first, in the order of the splits.
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
        """Whether the one folder called as a split is a class, with images and folders in it."""
        name, *others = (name for names in of_kind.values() for name in names)
        plain = [joined(top, n) for n, kind in kinds.items() if kind is None]
        own = bool(self.tree.look(joined(top, name)).images)
        return own and not others and any(self.tree.look(path).images for path in plain)

    def _opened(self, top: str) -> Split:
        """The class folders of a split, whose folder may wrap another one."""
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
        """Says which folders beside the training images are not read, and why."""
        read = [name for names in of_kind.values() for name in names]
        unread = [name for name in folders if name not in read]
        flat = [n for n in unread if kinds[n] and self.tree.look(joined(top, n)).images]
        self.notes += [no_labels(self.tree, joined(top, name)) for name in flat]
        rest = [joined(top, name) for name in unread if name not in flat]
        if rest:
            self.notes.append(f"not read beside {of_kind['train'][0]}/: {listed(rest)}")

    def _without_splits(self, top: str, folders: Sequence[str], holding: Sequence[str]) -> Layout:
        """The layout of a folder whose own folders are the classes."""
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
        """The folders in a folder, runs of tdctl aside; what else is in it is accounted for."""
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
    """The splits that names of folders say."""
    kinds = {name: split_kind(name) for name in folders}
    if "train" in kinds.values():
        return kinds
    # As in seg_train beside seg_test; one such name alone says nothing.
    loose = {name: mentioned_kind(name) for name in folders}
    return loose if {"train"} < {kind for kind in loose.values() if kind} else kinds
