from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import pixels_of
from torch import nn
from torch.utils.data import DataLoader

from scripts.experiments.speed import __main__ as bench
from scripts.experiments.speed import busy, curves, decoding, plain, processes, quality
from scripts.experiments.speed.images import make_folder, read_folder
from scripts.experiments.speed.measure import BenchError, Row, Section, Spread, ratios, table, watch
from scripts.experiments.speed.settings import Settings
from tdctl import read_run
from tdctl.config import DataConfig
from tdctl.data import open_dataset

ROOT = Path(__file__).parents[1]


def test_a_spread_is_median_least_and_greatest() -> None:
    assert Spread.of([5, 1, 2, 4]) == Spread(3, 1, 5, 4)
    with pytest.raises(BenchError, match="nothing was measured"):
        Spread.of([])


def test_ratios_are_of_pairs_not_of_medians() -> None:
    assert ratios([10, 1, 30], [1, 10, 1]) == Spread(10, 0.1, 30, 3)
    with pytest.raises(BenchError, match="expected pairs"):
        ratios([1], [1, 2])


def test_the_table_names_section_ratio_spread_and_target() -> None:
    section = Section([Row("a / b", Spread(2, 1, 3, 5), "x", ">= 2")])
    head, line = table({"bare": section}).splitlines()
    assert head.split()[:2] == ["section", "measured"]
    assert line.split() == ["bare", "a", "/", "b", "2", "1", "..", "3", "5", "x", ">=", "2"]


def test_sections_of_several_calls_stand_beside_each_other(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    options = bench.parse(["2", "--quick", "--out", str(out)])
    section = Section()
    section.add("time", [1.0, 2.0], "s")
    for name in ("pipeline", "bare"):
        bench.store(out, name, section, options)
    content = json.loads(out.read_text())["sections"]
    assert list(content) == ["bare", "pipeline"]
    assert content["bare"]["rows"][0]["value"] == {"median": 1.5, "low": 1, "high": 2, "count": 2}
    assert content["bare"]["quick"] and str(tmp_path) not in out.read_text()


def test_quick_shrinks_all_but_what_is_given() -> None:
    options = bench.parse(["5", "--quick", "--depth", "14"])
    assert (options.sections, options.depth, options.seeds) == (["processes"], 14, 1)
    assert options.out.parent.name == "replication"
    assert bench.parse([]).out.parent.name == "results"
    assert bench.parse([]).sections == list(bench.SECTIONS)


def test_the_made_images_are_read_as_tdctl_reads_them(tmp_path: Path) -> None:
    root = make_folder(tmp_path, 40, 20, side=8)
    data = open_dataset(DataConfig(dataset="folder", data_dir=root, limit=25))
    pixels, index, targets = read_folder(root, "train", 25)
    assert np.array_equal(index, data.train.index)
    assert np.array_equal(targets, data.train.targets)
    assert np.array_equal(pixels.transpose(0, 3, 1, 2), pixels_of(data.train).numpy())
    assert data.test is not None and len(read_folder(root, "test")[1]) == len(data.test) == 20


class _Brightness(nn.Module):
    """Its logits give away which image it saw."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        level = x.mean(dim=(1, 2, 3))
        return torch.stack([level, torch.zeros_like(level)], dim=1)


def test_the_plain_capture_keeps_each_sample_its_own_row() -> None:
    pixels = np.arange(30, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    pixels = pixels.repeat(3, 3) * 8
    transform = plain.build_transforms(pixels, False)
    images = plain.PilImages(pixels, np.zeros(30, dtype=np.int64), transform)
    history: list[list[np.ndarray]] = [[] for _ in range(30)]
    for _ in range(2):
        loader = DataLoader(images, 7, shuffle=True)
        plain.capture(_Brightness(), loader, history, torch.device("cpu"))
    td = np.stack([np.stack(rows) for rows in history])
    assert td.shape == (30, 2, 2)
    assert (np.diff(td[:, :, 0], axis=0) > 0).all()


def test_the_plain_pipeline_writes_what_is_compared(tmp_path: Path) -> None:
    make_folder(tmp_path / "images", 60, 20, side=8)
    options = argparse.Namespace(
        data=tmp_path / "images", out=tmp_path / "out", epochs=2, seed=0, limit=50, depth=8,
        noise_ratio=0.3, workers=0,
    )  # fmt: skip
    outcome = plain.run(options)
    (tmp_path / "out" / "times.json").write_text(json.dumps(outcome))
    with np.load(tmp_path / "out" / "td.npz") as file:
        assert file["td"].shape == (50, 2, 10)
        assert np.allclose(file["td"].sum(axis=2), 1, atol=1e-5)
        assert 0 < (file["assigned"] != file["true"]).sum() < 50
    assert len(outcome["seconds"]) == 2
    assert 0 <= quality.plain_quality(tmp_path / "out")["test_error"] <= 1


def test_the_margin_is_given_minus_largest_other() -> None:
    td = np.asarray([[[0.1, 0.7, 0.2], [0.3, 0.3, 0.4]]])
    assert quality.softmax_margin(td, np.asarray([1])) == pytest.approx([(0.5 - 0.1) / 2])
    assert quality.judge(np.asarray([3, 1, 2]), np.asarray([True, False, False]))["auc"] == 1


def test_made_curves_are_a_run_that_tdctl_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Several slabs, the last not whole.
    monkeypatch.setattr(curves, "SLAB", 30)
    dynamics, labels, _ = read_run(curves.make_run(tmp_path / "run", 100, 12))
    own = dynamics.td[:, :, 0].astype(np.float64).mean(axis=1)
    assert len(dynamics) == 100 and dynamics.epochs == 12
    assert own[labels.flipped].max() < own[~labels.flipped].min()


def test_the_network_costs_what_a_ring_sends() -> None:
    assert processes.gradient_bytes(100, 2) == 400 and processes.gradient_bytes(100, 4) == 600
    free = processes.estimate(10, 40, 0, 0, 0)
    assert all(value == pytest.approx(1) for value in free["1 Gbit/s"].values())
    paid = processes.estimate(10, 40, 0.01, 500_000, 1e6)
    assert 0 < paid["1 Gbit/s"][8] < paid["10 Gbit/s"][8] < paid["10 Gbit/s"][2] < 1


def test_efficiency_is_one_process_over_twice_two(tmp_path: Path) -> None:
    settings = Settings(bench.parse(["5", "--quick"]), tmp_path)
    epochs = {"one": [4.0, 8.0], "two": [2.5, 4.0], "threads": [2.0, 4.0]}
    quality = {kind: [{"aum_logits": {"auc": 0.9, "ap": 0.8}}] * 2 for kind in epochs}
    found = processes._report(settings, epochs, quality, [0, 0])
    assert found.rows[0].what.startswith("efficiency")
    assert found.rows[0].value == Spread(pytest.approx(0.9), 0.8, 1.0, 2)
    assert found.details["on_paper"]["1 Gbit/s"][8] < 1
    json.dumps(found.details)


def test_a_busy_machine_is_judged_by_the_fair_share_of_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(busy, "own_processors", lambda: 2)
    found = {way: {0: [2.0], 1: [4.0], 2: [9.0]} for way in busy.ways(2)}
    found[busy.OURS] = {0: [1.2], 1: [3.0], 2: [4.5]}
    section = Section()
    lines = busy._report(section, "wide", found)
    shares = [row for row in section.rows if row.what.endswith("rule / fair share")]
    # Of two processors one is free beside one program; beside two there are two thirds of one.
    assert [row.value.median for row in shares] == pytest.approx([0.6, 1.5, 1.5])
    assert [row.target for row in shares] == ["", "<= 1.5", "<= 2"]
    assert "| wide | 1 | by tdctl's rule | 3.000 (3.000 to 3.000) | 2.50 | 1.50 |" in lines


def test_a_process_is_watched_from_outside(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys, time\n"
        "block = bytearray(80_000_000)\n"
        "for epoch in range(3):\n"
        "    pathlib.Path(sys.argv[1] + '.part').write_text(str(epoch))\n"
        "    os.replace(sys.argv[1] + '.part', sys.argv[1])\n"
        "    time.sleep(0.1)\n"
    )
    path = tmp_path / "checkpoint"
    seen = watch([sys.executable, "-c", program, path], commits=path)
    assert len(seen.epochs) == 2 and min(seen.epochs) > 0.05
    assert seen.seconds > 0.3 and seen.peak_rss > 80e6
    assert not Path("/proc").is_dir() or 80e6 < seen.peak_anonymous <= seen.peak_rss
    with pytest.raises(BenchError, match="ended with 1; ValueError: no"):
        watch([sys.executable, "-c", "raise ValueError('no')"])


def test_the_recorder_keeps_the_margins_of_aum(tmp_path: Path) -> None:
    pytest.importorskip("aum")
    from scripts.experiments.speed.recording import alternate

    found = alternate(tmp_path, 10, 3, 2)
    assert found["difference"] < 1e-5 < 0.1 < found["largest_aum"]
    assert len(found["aum"]) == len(found["tdctl"]) == 3


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_epochs_of_a_loop(tmp_path: Path) -> None:
    from scripts.experiments.speed.recording_memory import measure

    *epochs, peak = measure(tmp_path / "r", 200_000, 8, 10, "full")
    assert max(epochs[2:]) - min(epochs[2:]) < 8, "an epoch takes 7 MB on the disk"
    assert peak > 50


def test_what_recording_costs_is_told_apart(tmp_path: Path) -> None:
    from scripts.experiments.speed.recording import PARTS, parts, step_overhead

    shares = parts(tmp_path / "a", 10, 3)
    assert set(shares) == {*PARTS, "copies and calls"} and min(shares.values()) > 0
    found = step_overhead(tmp_path / "b", 2, 2, 8)
    assert len(found["share"]) == 2 and min(found["record"]) > 0


def test_each_extra_is_installed_once(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "environment.sh", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n')
    python.chmod(0o755)
    script = 'source scripts/environment.sh; for extra in "$@"; do ensure $extra; done'
    extras = ["test", "", "bench", "test", "bench", "dev", "test", "bench", "dev"]
    environment = os.environ | {"PYTHON": str(python)}
    subprocess.run(
        ["bash", "-euc", script, "-", *extras], cwd=tmp_path, env=environment, check=True
    )
    calls = (tmp_path / "calls").read_text()
    assert calls.count("pip install") == 3
    assert [calls.count(f".[{extra}]") for extra in ("test", "bench", "dev")] == [1, 1, 1]


def test_the_program_can_be_run() -> None:
    assert os.access(ROOT / "scripts" / "bench", os.X_OK)


@pytest.mark.slow
def test_a_quick_section_is_measured_stored_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    options = bench.parse(["bare", "--quick", "--out", str(out)])
    assert bench.run(options, tmp_path) == 0
    content = json.loads(out.read_text())["sections"]["bare"]
    ratio = content["rows"][0]
    assert ratio["what"] == "epoch: tdctl / bare, eager" and ratio["value"]["median"] > 0
    assert content["machine"]["torch"] == torch.__version__
    assert "tdctl / bare" in capsys.readouterr().out


def test_the_run_of_many_samples_can_be_ranked(tmp_path: Path) -> None:
    from scripts.experiments.speed.report_of_many import make_run
    from tdctl.dynamics import read_run
    from tdctl.metrics import detection_metrics
    from tdctl.scores import SCORES

    make_run(tmp_path / "run", 300, 3, 6)
    dynamics, labels, _ = read_run(tmp_path / "run")
    assert dynamics.td.shape == (300, 6, 1)
    found = detection_metrics(SCORES["aum"](dynamics), labels.flipped)
    assert found.auc is not None and found.auc > 0.9


def test_every_way_decodes_the_photographs(tmp_path: Path) -> None:
    # Large enough that a clock of 10 ms sees the fastest way.
    decoding.make_photographs(tmp_path / "photographs", 20, (640, 480))
    for way in decoding.WAYS:
        options = decoding._parser().parse_args(
            [str(tmp_path), "--sample", "20", "--side", "16", "--workers", "1", "--way", way]
        )
        found = decoding._measured(options)
        assert found["count"] == 20 and found["speed"] > 0 and found["cpu"] > 0, way
