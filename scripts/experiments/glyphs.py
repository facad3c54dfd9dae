"""Renders the 26 letters as an image folder: grey, 28x28, in many fonts, distorted and cluttered.

A data set with another number of classes that needs no download: capital and small letters in the
DejaVu and STIX fonts that matplotlib ships, with random size, angle,
shear and position, on a random gradient with parts of other letters and strokes, and noise on every
pixel. The same arguments, Pillow and fonts give the same files:
FOLDER/train/<character>/<number>.png.

usage: .venv/bin/python -m scripts.experiments.glyphs FOLDER [options]
  --characters abc...   the classes, one character each; Greek letters and digits are possible
  --each 115            images of each class
  --seed 0
  --clutter 1           strength of the background and the noise; 0 leaves plain characters
"""

from __future__ import annotations

import argparse
import shutil
import string
import sys
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE = 28
# Drawn larger and averaged down, so that edges are smooth at every angle.
DRAWN = 4 * SIDE
FAMILIES = ("DejaVuSans*.ttf", "DejaVuSerif*.ttf", "STIXGeneral*.ttf")

Floats = NDArray[np.float64]


def fonts() -> list[Path]:
    """The font files, without those that hold symbols alone."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = {path for family in FAMILIES for path in folder.glob(family)}
    return sorted(path for path in found if "Display" not in path.name)


def glyph(letter: str, font: Path, rng: np.random.Generator) -> Floats:
    """A letter as shares of ink, float64 [28, 28]: random case, size, angle, shear and offset."""
    drawn = str(letter.upper() if rng.random() < 0.5 else letter)
    face = ImageFont.truetype(str(font), int(DRAWN * rng.uniform(0.55, 0.95)))
    canvas = Image.new("L", (DRAWN, DRAWN))
    middle = DRAWN / 2
    ImageDraw.Draw(canvas).text((middle, middle), drawn, fill=255, font=face, anchor="mm")
    angle = np.deg2rad(rng.uniform(-25, 25))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    bent = turn @ np.array([[1, rng.uniform(-0.35, 0.35)], [0, rng.uniform(0.85, 1.2)]])
    shift = middle - bent @ (middle + rng.uniform(-0.1, 0.1, 2) * DRAWN)
    matrix = (*bent[0], shift[0], *bent[1], shift[1])
    turned = canvas.transform(
        canvas.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    small = turned.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64) / 255


def background(faces: list[Path], rng: np.random.Generator) -> Floats:
    """A ramp of grey with strokes and pieces of other letters, float64 [28, 28] around 0."""
    slope = rng.uniform(-0.3, 0.3, 2)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    grey: Floats = slope[0] * rows + slope[1] * columns
    for _ in range(rng.integers(1, 4)):
        piece = glyph(str(rng.choice(list(string.ascii_lowercase))), faces[0], rng)
        # Rolled by half a side, so that what reaches into the image is a part.
        away = rng.integers(SIDE // 3, 2 * SIDE // 3, 2)
        grey += rng.uniform(-0.35, 0.35) * np.roll(piece, away, axis=(0, 1))
    strokes = Image.new("L", (DRAWN, DRAWN))
    for _ in range(rng.integers(0, 3)):
        ends = rng.integers(0, DRAWN, 4).tolist()
        ImageDraw.Draw(strokes).line(ends, fill=255, width=int(rng.integers(4, 10)))
    small = np.asarray(strokes.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    return grey + rng.uniform(-0.5, 0.5) * small / 255


def picture(
    letter: str, faces: list[Path], rng: np.random.Generator, clutter: float
) -> NDArray[np.uint8]:
    """One image of a letter, uint8 [28, 28]."""
    chosen = [faces[number] for number in rng.permutation(len(faces))]
    ink = rng.uniform(0.3, 0.7) * rng.choice([-1, 1])
    grey = 0.5 - ink / 2 + clutter * background(chosen[1:], rng)
    ink_share = glyph(letter, chosen[0], rng)
    grey = grey + ink_share * ink + rng.normal(0, clutter * rng.uniform(0.03, 0.15), grey.shape)
    return np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)


def write_glyphs(folder: Path, characters: str, each: int, seed: int, clutter: float) -> None:
    """Writes ``each`` images a character; the folder appears when it is whole."""
    faces = fonts()
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for number, letter in enumerate(characters):
        place = part / "train" / letter
        place.mkdir(parents=True)
        for at in range(each):
            # A generator for each image: more images leave the first ones as they are.
            rng = np.random.default_rng([seed, number, at])
            Image.fromarray(picture(letter, faces, rng, clutter)).save(place / f"{at:04}.png")
    part.rename(folder)


def main() -> None:
    """Writes the folder that the command line names."""
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--characters", default=string.ascii_lowercase)
    parser.add_argument("--each", type=int, default=115)
    parser.add_argument("--clutter", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.folder.exists():
        sys.exit(f"glyphs: error: {asked.folder} exists already; name a new folder")
    write_glyphs(asked.folder, asked.characters, asked.each, asked.seed, asked.clutter)
    print(f"{len(asked.characters) * asked.each} images in {asked.folder}")


if __name__ == "__main__":
    main()
