"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import tdctl

ROOT = Path(tdctl.__file__).parent
# From the ground up: a module may import only from floors below its own, or from its own package.
FLOORS = [
    {"errors", "catalogue", "recipes", "names", "streams", "versions"},
    {"torchrun"},
    {"processors"},
    {"files"},
    {"config", "claims", "folders"},
    {"csv_files", "settings"},
    {"labels", "cache", "slabs"},
    {"noise"},
    {"metadata"},
    {"dynamics"},
    {"ranking", "metrics", "scores", "bootstrap"},
    {"cuts", "exchange", "plots"},
    {"recorder"},
    {"sources"},
    {"data", "nets", "pretrained"},
    {"training"},
    {"detector"},
    {"run"},
    {"compare_table", "inputs", "rankers"},
    {"classifier"},
    {"robust"},
    {"retraining"},
    {"runner"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
MODULES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    """The module or package right under tdctl that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "tdctl":
                names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("tdctl.")}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward_only(path: Path) -> None:
    own = room(path)
    assert own in FLOOR, f"{own} has no floor"
    upward = {name for name in imported(path) if name != own and FLOOR[name] >= FLOOR[own]}
    assert not upward, f"{path.name} on floor {FLOOR[own]} imports {upward} from above"


def test_the_library_never_prints() -> None:
    for path in MODULES:
        if room(path) != "cli":
            calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
            names = {c.func.id for c in calls if isinstance(c.func, ast.Name)}
            assert "print" not in names, path


@pytest.mark.parametrize("name", tdctl.__all__)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    assert getattr(tdctl, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        tdctl.nonsense  # noqa: B018


def test_every_all_is_true() -> None:
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if name.endswith("__main__"):
            continue
        module = importlib.import_module(name.removesuffix(".__init__"))
        for public in getattr(module, "__all__", []):
            assert hasattr(module, public), f"{name}.{public}"
