"""An adapter without its package, and the adapters' package without any."""

from __future__ import annotations

import builtins
import importlib
import subprocess
import sys
from typing import Any

import pytest

from tdctl.errors import MissingPackageError, TdctlError

PACKAGES = {
    "lightning": "lightning",
    "huggingface": "transformers",
    "accelerate": "accelerate",
    "skorch": "skorch",
    "keras": "keras",
}


@pytest.mark.parametrize(("adapter", "package"), PACKAGES.items())
def test_a_missing_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, adapter: str, package: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, f"tdctl.adapters.{adapter}", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TdctlError) as raised:
        importlib.import_module(f"tdctl.adapters.{adapter}")
    assert str(raised.value) == (
        f"tdctl.adapters.{adapter} needs the package {package}: pip install tdctl[{adapter}]"
    )
    assert isinstance(raised.value, MissingPackageError | ImportError)
    assert f"tdctl.adapters.{adapter}" not in sys.modules


def test_what_a_package_itself_lacks_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *rest: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == "skorch":
            raise ModuleNotFoundError("No module named 'tabulate'", name="tabulate")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "tdctl.adapters.skorch", raising=False)
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ModuleNotFoundError, match="No module named 'tabulate'"):
        importlib.import_module("tdctl.adapters.skorch")


def test_importing_the_adapters_imports_no_package() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, tdctl.adapters; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.split(".")[0] for name in said.stdout.split()}
    assert "tdctl" in loaded and not loaded & {*PACKAGES.values(), "torch"}
