"""The user's folders: what they contain, how they are laid out, which data set they hold."""

from __future__ import annotations

from tdctl.folders.account import Account
from tdctl.folders.finding import FoundDataSet, data_set_in, found_in, packed_in
from tdctl.folders.hints import LAYOUT, saved_otherwise
from tdctl.folders.inside import is_below, read_as_data
from tdctl.folders.layout import Layout, Split, find_layout
from tdctl.folders.pictures import image_suffixes
from tdctl.folders.splits import split_kind
from tdctl.folders.walk import Place, Tree, Walk, is_left_over

__all__ = [
    "LAYOUT",
    "Account",
    "FoundDataSet",
    "Layout",
    "Place",
    "Split",
    "Tree",
    "Walk",
    "data_set_in",
    "find_layout",
    "found_in",
    "image_suffixes",
    "is_below",
    "is_left_over",
    "packed_in",
    "read_as_data",
    "saved_otherwise",
    "split_kind",
]
