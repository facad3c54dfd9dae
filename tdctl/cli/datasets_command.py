"""The subcommand that lists the data sets known by name, and says which are present."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from tdctl.catalogue import CATALOGUE, Entry, class_folders, find, known_name, nearest
from tdctl.cli.boundary import guarded, print_json
from tdctl.cli.console import table_of
from tdctl.cli.output import echo
from tdctl.config import NetConfig
from tdctl.errors import ConfigError, DataError, TdctlError
from tdctl.folders import Account, Tree, find_layout, packed_in
from tdctl.recipes import preset_of
from tdctl.settings import load_config

__all__ = ["datasets"]


@dataclass(frozen=True)
class ListedDataSet:
    """What a folder contains of a data set.

    Attributes:
        there: whether the data set is present; None if that is not sure.
        path: where it is.
        words: the same in words.
        notes: if it is present, the notes that a training would begin with.
        error: if it is present, why a training would not begin.
    """

    there: bool | None
    path: Path | None
    words: str
    notes: tuple[str, ...] = ()
    error: str | None = None

    def lines(self) -> list[str]:
        """The notes and the error, as they are printed."""
        return [
            *(f"note: {note}" for note in self.notes),
            *([] if self.error is None else [f"error: {self.error}"]),
        ]


@guarded
def datasets(
    name: Annotated[
        str | None, typer.Argument(help="Show everything about this data set (default: list all).")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Say which data sets are in this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the data sets known by name: layout, sizes, the paper's settings, terms.

    With --data-dir, it also checks the data sets in that folder, as before a training.

    Example: tdctl datasets --data-dir ~/data
    """
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"{data_dir}: no such folder; give an existing one with --data-dir")
    names = list(CATALOGUE) if name is None else [_known(name)]
    found = {} if data_dir is None else _look_at_all(names, data_dir)
    if as_json:
        rows = [_row(key, found.get(key)) for key in names]
        print_json(rows if name is None else rows[0])
        return
    if name is not None:
        _show_one(names[0], found.get(names[0]))
        return
    _show_list(found)


def _known(name: str) -> str:
    try:
        return known_name(name)
    except ValueError as error:
        raise ConfigError(f"datasets: {error}") from None


def _look_at_all(names: list[str], data_dir: Path) -> dict[str, ListedDataSet]:
    """What a folder contains of each data set, and what is wrong with those that are present."""
    found = {name: _look(name, data_dir) for name in names}
    there = {name for name, here in found.items() if here.there and here.path is not None}
    if len(there) > 1:
        there -= {"folder"}  # any unpacked data set also consists of folders
    return {
        name: _checked(name, data_dir, here) if name in there else here
        for name, here in found.items()
    }


def _checked(name: str, data_dir: Path, found: ListedDataSet) -> ListedDataSet:
    """The same, with the notes or the error that a training would begin with."""
    from tdctl.runner import look  # torch takes seconds to import, so it is imported only here

    config = load_config(None, {"data.dataset": name, "data.data_dir": str(data_dir)})
    try:
        return replace(found, notes=look(config))
    except TdctlError as error:
        return replace(found, error=str(error))


def _look(name: str, data_dir: Path) -> ListedDataSet:
    """What a folder contains of a data set."""
    if name == "digits":
        return ListedDataSet(True, None, "inside scikit-learn")
    if name == "folder":
        return _image_folder(data_dir)
    if name in ("table", "embeddings"):
        return ListedDataSet(False, None, "yours: not looked for")
    if not CATALOGUE[name].landmarks:
        there = packed_in(data_dir)
        if name in there.fits:
            return ListedDataSet(True, data_dir, there.fits[name])
        return ListedDataSet(False, None, there.lacks[name])
    home = find(name, data_dir)
    return (
        _otherwise(name, data_dir)
        if home is None
        else ListedDataSet(True, home, f"found in {home}")
    )


def _image_folder(data_dir: Path) -> ListedDataSet:
    """How a folder would be read as an image folder and what would be left out; or why not."""
    account = Account()
    try:
        layout = find_layout(Tree(data_dir), account)
    except DataError as error:
        return ListedDataSet(False, None, str(error).removeprefix(f"folder {data_dir}: "))
    parts = {"test": layout.test, "validation": layout.held}
    also = "".join(f", {kind} in {part.top}/" for kind, part in parts.items() if part is not None)
    where = f"{layout.train.top}/" if layout.train.top else data_dir
    notes = "".join(f"; {note}" for note in layout.notes)
    count = len(layout.train.classes)
    return ListedDataSet(True, data_dir, f"{count} folders of classes in {where}{also}{notes}")


def _otherwise(name: str, data_dir: Path) -> ListedDataSet:
    """What a folder contains of a data set, if it is not as its archive unpacks."""
    entry = CATALOGUE[name]
    for home, perhaps in ((data_dir / name, ""), (data_dir, "perhaps ")):
        if (home / "train").is_dir() and class_folders(home) == entry.classes:
            words = f"{perhaps}as an image folder of {entry.classes} classes in {home}"
            return ListedDataSet(None if perhaps else True, home, words)
    home, lacks = nearest(name, data_dir)
    if len(lacks) < len(entry.landmarks):
        return ListedDataSet(False, home, f"in part: {home} lacks {', '.join(lacks)}")
    return ListedDataSet(False, None, "not found")


def _row(name: str, found: ListedDataSet | None) -> dict[str, Any]:
    entry = CATALOGUE[name]
    row: dict[str, Any] = {
        "name": name,
        "title": entry.title,
        "layout": entry.layout,
        "classes": entry.classes,
        "train": entry.train,
        "test": entry.test,
        "total": _total(entry),
        "image_size": entry.size,
        "net": _net(name),
        "pretrained": entry.pretrained,
        "preset": preset_of(name),
        "terms": entry.terms,
    }
    if found is not None:
        path = None if found.path is None else str(found.path)
        row |= {"found": found.there, "path": path, "says": found.words}
        row |= {"notes": list(found.notes), "error": found.error}
    return row


def _total(entry: Entry) -> int | None:
    if entry.total is None and entry.train is not None:
        return entry.train + (entry.test or 0)
    return entry.total


def _net(name: str) -> str | None:
    """The paper's network, such as ``resnet32``; None if the paper does not use the data set."""
    preset = preset_of(name)
    return NetConfig.model_validate(preset["net"]).label if preset else None


def _images(entry: Entry) -> str:
    if entry.train is not None:
        return f"{entry.train:,} + {entry.test:,}"
    return "-" if entry.total is None else f"{entry.total:,}, split by seed"


def _settings(name: str) -> str:
    pairs = ((s, key, value) for s, part in preset_of(name).items() for key, value in part.items())
    return ", ".join(f"{section}.{key} {_plain(value)}" for section, key, value in pairs)


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _show_one(name: str, found: ListedDataSet | None) -> None:
    entry = CATALOGUE[name]
    lines = {
        "name": name,
        "title": entry.title,
        "layout": entry.layout,
        "classes": "-" if entry.classes is None else str(entry.classes),
        "images": _images(entry) + (" (train + test)" if entry.train is not None else ""),
        "pixels": entry.size,
        "settings": _settings(name) or "the defaults; the paper does not use it",
        "weights": "starts from ImageNet's: --pretrained FILE" if entry.pretrained else "random",
        "terms": entry.terms,
    }
    if found is not None:
        lines["here"] = found.words
    for key, value in lines.items():
        echo(f"{key:<10} {value}")
    for line in [] if found is None else found.lines():
        echo(line)


def _show_list(found: dict[str, ListedDataSet]) -> None:
    """Prints two tables that fit the width of the terminal."""
    # Names and paths are printed unchanged, including brackets and colons.
    console = Console(highlight=False, markup=False, emoji=False)
    headers = ("name", "classes", "train + test", "pixels", "the paper's network")
    sizes = table_of(headers, right=headers[1:3], title="data sets")
    sizes.title_justify = "left"
    layouts = Table(
        box=box.SIMPLE_HEAD, title="what is expected below --data-dir", title_justify="left"
    )
    layouts.add_column("name", no_wrap=True)
    layouts.add_column("layout", overflow="fold", ratio=3)
    layouts.add_column("terms", overflow="fold", ratio=2)
    for name, entry in CATALOGUE.items():
        net = (_net(name) or "-") + (", from ImageNet's" if entry.pretrained else "")
        classes = "-" if entry.classes is None else str(entry.classes)
        sizes.add_row(name, classes, _images(entry), entry.size, net)
        layouts.add_row(name, entry.layout, entry.terms)
    console.print(sizes)
    console.print(layouts)
    for name, here in found.items():
        echo(f"{name:<14} {here.words}")
    for name, here in found.items():
        for line in here.lines():
            echo(f"{name}: {line}")
