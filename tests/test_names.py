from __future__ import annotations

import unicodedata

import pytest

from tdctl.names import SPLITS, nearly_alike, normal, not_labelled, split_of, trimmed


def test_a_letter_and_its_mark_are_one_name() -> None:
    apart = unicodedata.normalize("NFD", "Café Å")
    assert apart != "Café Å" and normal(apart) == normal("Café Å") == "Café Å"
    assert trimmed(f"\u00a0 {apart}\t") == "Café Å"


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["Cat", "dog", "cat", "CAT"], [("Cat", "cat", "CAT")]),
        (["1", "1.0", "01", "2"], [("1", "1.0", "01")]),
        (["2.0", "1", "2", "1.00"], [("2.0", "2"), ("1", "1.00")]),
        (["polar bear", "polar_bear", "Polar-Bear", "bear"],
         [("polar bear", "polar_bear", "Polar-Bear")]),
        (["cat ", " cat"], [("cat ", " cat")]),
        (["class_01", "Class 1", "class 10"], [("class_01", "Class 1")]),
        (["stra\u00dfe", "STRASSE"], [("stra\u00dfe", "STRASSE")]),
        (["caf\u00e9", "Cafe\u0301"], [("caf\u00e9", "Cafe\u0301")]),
        (["cat", "cat\u200b", "c\u00adat", "\uff43at", "cut"],
         [("cat", "cat\u200b", "c\u00adat", "\uff43at")]),
    ],
)  # fmt: skip
def test_classes_that_differ_in_writing_alone(
    names: list[str], groups: list[tuple[str, ...]]
) -> None:
    assert nearly_alike(names) == groups


@pytest.mark.parametrize(
    "names",
    [
        ["1", "10", "100", "-1", "1.5", "0.1", "0.01", "0", "1.1", "1.01"],
        ["A", "A-", "A+", "-A", "AB"],
        ["1 0", "10", "1.0.1"],
        ["cat", "cats", "", "_", "-", " ", "."],
        ["ель", "ёль", "鳥", "鸟"],
    ],
)
def test_classes_that_differ_in_more(names: list[str]) -> None:
    assert nearly_alike(names) == []


@pytest.mark.parametrize("word", [*SPLITS, "TRAIN", "Testing", " Validation\t", "Valid"])
def test_words_for_a_split_are_read_in_any_case(word: str) -> None:
    assert split_of(word) == SPLITS[word.strip().lower()] in {"train", "val", "test"}


@pytest.mark.parametrize("word", ["", "  ", "trains", "0", "unlabelled", "test set"])
def test_other_words_name_no_split(word: str) -> None:
    assert split_of(word) is None


def test_names_that_stand_for_a_missing_label() -> None:
    assert not_labelled(["cat", "NaN", "n/a", "Not  labelled", "?", "banana", "nana", "-1"]) == [
        "NaN", "n/a", "Not  labelled", "?", "-1",
    ]  # fmt: skip
    assert not_labelled(["-1", "1"]) == [], "two classes of a sign"
