"""Folders of the user's: what lies in them, how they are laid out, which data set they hold."""

from __future__ import annotations

from tdctl.folders.account import Account
from tdctl.folders.hints import LAYOUT
from tdctl.folders.layout import Layout, Split, find_layout
from tdctl.folders.splits import split_kind
from tdctl.folders.walk import Place, Tree, Walk

__all__ = [
    "LAYOUT",
    "Account",
    "Layout",
    "Place",
    "Split",
    "Tree",
    "Walk",
    "find_layout",
    "split_kind",
]
