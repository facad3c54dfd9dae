"""Writes scikit-learn's digits as an image folder in which one training file of ten is misfiled.

A stand-in for a folder of your own: FOLDER/train/<class>/<number>_is_<true class>.png, so that
a reader can see from the name whether a file lies in the wrong class, and FOLDER/test, every
third of the 1,797 digits, in the right ones.

usage: python scripts/digits_folder.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from tdctl import corrupt

SHARE, SEED = 0.1, 7


def main() -> None:
    """Writes the folder."""
    root = Path(sys.argv[1])
    digits = load_digits()
    index = np.arange(len(digits.target))
    given = corrupt(digits.target.astype(np.int64), index, 10, "uniform", SHARE, SEED)
    test = index % 3 == 0
    given[test] = digits.target[test]
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    for number in index:
        folder = root / ("test" if test[number] else "train") / str(given[number])
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{number:04}_is_{digits.target[number]}.png"
        Image.fromarray(pixels[number]).resize((16, 16)).save(folder / name)
    wrong = int((given != digits.target).sum())
    print(f"{root}: {(~test).sum()} training files, {wrong} of them misfiled; {test.sum()} to test")


if __name__ == "__main__":
    main()
