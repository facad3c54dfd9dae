"""Folders of the user's: what lies in them, how they are laid out, which data set they hold."""

from __future__ import annotations

from tdctl.folders.account import Account
from tdctl.folders.finding import Found, data_set_in, found_in
from tdctl.folders.hints import LAYOUT, table_hint
from tdctl.folders.inside import read_as_data
from tdctl.folders.layout import Layout, Split, find_layout
from tdctl.folders.splits import split_kind
from tdctl.folders.walk import Place, Tree, Walk

__all__ = [
    "LAYOUT",
    "Account",
    "Found",
    "Layout",
    "Place",
    "Split",
    "Tree",
    "Walk",
    "data_set_in",
    "find_layout",
    "found_in",
    "read_as_data",
    "split_kind",
    "table_hint",
]
