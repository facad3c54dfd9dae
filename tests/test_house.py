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
    {"torchrun", "cells"},
    {"processors"},
    {"files"},
    {"config", "claims", "folders"},
    {"csv_files", "settings"},
    {"labels", "cache", "slabs"},
    {"noise"},
    {"metadata"},
    {"dynamics"},
    {"ranking", "metrics", "scores", "bootstrap"},
    {"cuts", "exchange", "figures"},
    {"recorder"},
    {"nets"},
    {"sources", "pretrained"},
    {"data"},
    {"training"},
    {"detector"},
    {"adapters"},
    {"run"},
    {"features"},
    {"compare_table", "inputs", "rankers"},
    {"classifier"},
    {"finding"},
    {"robust"},
    {"retraining"},
    {"sweeping"},
    {"report"},
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
    said = getattr(tdctl, name).__doc__
    # A dataclass without a docstring is given its signature as one, an Enum or tuple its base's.
    assert said and not said.startswith(f"{name}("), f"{name} has no docstring of its own"
    assert said not in {base.__doc__ for base in (object, tuple, dict, list, Exception)}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        tdctl.nonsense  # noqa: B018


# These need the packages that they adapt. Their own tests import what they list.
ADAPTERS = {
    f"tdctl.adapters.{name}"
    for name in ("lightning", "huggingface", "accelerate", "skorch", "keras")
}


def test_every_all_is_true() -> None:
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if name.endswith("__main__"):
            continue
        if name in ADAPTERS:
            continue
        module = importlib.import_module(name.removesuffix(".__init__"))
        for public in getattr(module, "__all__", []):
            assert hasattr(module, public), f"{name}.{public}"


TESTS = Path(__file__).parent
# What is no module: the rules of the house, the documentation and the scripts.
BESIDE = {"house", "docs", "scripts"}


def subjects(folder: Path) -> set[str]:
    """What the tests of a folder may be named after: the package, and its modules and packages."""
    entries = (ROOT / folder).iterdir()
    own = BESIDE if folder == Path() else {folder.name}
    return own | {entry.stem for entry in entries if entry.is_dir() or entry.suffix == ".py"}


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.stem)
def test_a_test_file_is_named_after_what_it_tests(path: Path) -> None:
    """tests/<package>/test_<module>.py, or test_<module>_<topic>.py."""
    folder = path.parent.relative_to(TESTS)
    assert (ROOT / folder).is_dir(), f"tdctl/{folder} is no package"
    name = path.stem.removeprefix("test_")
    of = [one for one in subjects(folder) if name == one or name.startswith(f"{one}_")]
    assert of, f"tests/{folder}: tdctl/{folder} has no module that {path.name} is named after"


# What fails a test beside assert: a call of one of these, or of a function that asserts.
FAILS = {"raises", "warns", "fail", "assert_frame_equal", "assert_allclose", "assert_close"}


def called(node: ast.AST) -> set[str]:
    calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    names = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    return names | {call.id for call in calls if isinstance(call, ast.Name)}


def test_every_test_can_fail() -> None:
    functions = [
        (path, node)
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    calls = [called(node) for _, node in functions]
    failing = FAILS | {
        node.name
        for _, node in functions
        if any(isinstance(one, ast.Assert) for one in ast.walk(node))
    }
    for _ in range(3):  # a helper that calls a helper that asserts
        failing |= {
            node.name for (_, node), names in zip(functions, calls, strict=True) if names & failing
        }
    tests = [(path, node.name) for path, node in functions if node.name.startswith("test_")]
    assert len(tests) > 1000
    assert [f"{path.name}::{name}" for path, name in tests if name not in failing] == []
