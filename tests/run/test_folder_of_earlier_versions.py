"""A run folder of an earlier version still serves every command that reads runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import yaml
from conftest import tdctl

from tdctl.dynamics import read_run
from tdctl.files import read_json


def of_earlier_version(run: Path, folder: Path) -> Path:
    """The run as a version recorded it that had neighbours: a setting, a recipe and an array."""
    shutil.copytree(run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["recipe"] = "neighbours"
    config["train"]["neighbours"] = 20
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    file = folder / "training_dynamics.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    votes = np.zeros(arrays["td"].shape[:2], np.float16)
    np.savez(file, **(arrays | {"neighbours": votes}))
    return folder


def test_a_run_of_an_earlier_version_with_neighbours_is_read_ranked_and_denoised(
    tmp_path: Path, digits_run: Path
) -> None:
    old = of_earlier_version(digits_run, tmp_path / "old")
    dynamics, labels, held_out = read_run(old)
    expected, same_labels, same_held_out = read_run(digits_run)
    assert (np.asarray(dynamics.td) == np.asarray(expected.td)).all()
    assert (labels.assigned == same_labels.assigned).all() and (held_out == same_held_out).all()
    for run, out in ((old, "old.csv"), (digits_run, "now.csv")):
        shown = tdctl("detect", "--td", run, "--score", "aum", "--out", tmp_path / out)
        assert shown.exit_code == 0, shown.output
    assert (tmp_path / "old.csv").read_bytes() == (tmp_path / "now.csv").read_bytes()
    denoised = tdctl(
        "denoise", "--td", old, "--score", "aum", "--remove-ratio", 0.2, "--epochs", 1,
        "--out", tmp_path / "d",
    )  # fmt: skip
    assert denoised.exit_code == 0, denoised.output
    row = read_json(tmp_path / "d" / "score_aum" / "denoise.json")["rows"][0]
    assert row["test_error_last"] is not None
