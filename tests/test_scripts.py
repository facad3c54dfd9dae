from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import tdctl, tiny_config
from typer.testing import CliRunner

from tdctl import runner
from tdctl.cli import app
from tdctl.config import Config

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"


def call(script: str, *arguments: object, cwd: Path) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TDCTL": str(cwd / "tdctl")}
    (cwd / "tdctl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tdctl "$@"\n')
    (cwd / "tdctl").chmod(0o755)
    environment["TESTRUN"] = "1"
    outcome = subprocess.run(
        [SCRIPTS / script, *map(str, arguments)],
        cwd=cwd, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        (
            "generate_td.sh",
            ["/data", "cifar10", 1, 0.2, "uniform", "resnet", 32, "out"],
            "tdctl generate-td --dataset cifar10 --data-dir /data --seed 1 --noise-ratio 0.2 "
            "--noise-type uniform --net-type resnet --depth 32 --recipe paper --out "
            "out/cifar10_resnet32_percmislabeled0.2_uniform/computation4td_seed1",
        ),
        (
            "generate_td.sh",
            ["/data", "cifar100", 1, 0.4, "asym", "resnet", 34],
            "tdctl generate-td --dataset cifar100 --data-dir /data --seed 1 --noise-ratio 0.4 "
            "--noise-type asym --net-type resnet34 --recipe paper --out "
            "replication/cifar100_resnet34_percmislabeled0.4_asym/computation4td_seed1",
        ),
        (
            "generate_td.sh",
            ["/data", "tiny_imagenet", 1, 0.2, "uniform", "resnet", 32],
            "tdctl generate-td --dataset tiny_imagenet --data-dir /data --seed 1 --noise-ratio 0.2 "
            "--noise-type uniform --net-type resnet --depth 32 --recipe paper --out "
            "replication/tiny_imagenet_resnet32_percmislabeled0.2_uniform/computation4td_seed1",
        ),
        (
            "generate_td.sh",
            [
                "/data",
                "cub_200_2011",
                1,
                0.2,
                "uniform",
                "resnet",
                34,
                "out",
                "--pretrained",
                "w.pth",
            ],
            "tdctl generate-td --dataset cub_200_2011 --data-dir /data --seed 1 --noise-ratio 0.2 "
            "--noise-type uniform --net-type resnet34 --recipe paper --out "
            "out/cub_200_2011_resnet34_percmislabeled0.2_uniform/computation4td_seed1 "
            "--pretrained w.pth",
        ),
        (
            "generate_td.sh",
            ["/data", "webvision50", 1, 0, "uniform", "resnet", 50],
            "tdctl generate-td --dataset webvision50 --data-dir /data --seed 1 --noise-ratio 0 "
            "--noise-type uniform --net-type resnet50 --recipe paper --out "
            "replication/webvision50_resnet50/computation4td_seed1",
        ),
        (
            "train_detector.sh",
            ["cifar10", 0.2, "runs/a"],
            "tdctl train-detector --td runs/a --out cifar10_0.2_lstm_detector.pth.tar",
        ),
        (
            "train_detector.sh",
            ["cifar10", 0.2, "runs/a", "old.pth.tar"],
            "tdctl train-detector --td runs/a --init-from old.pth.tar --out "
            "cifar10_0.2_lstm_detector.pth.tar",
        ),
        (
            "small_dataset_sym_denoise.sh",
            ["/data", "cifar10", 1, 0.2, "uniform", "out", "d.pth.tar", 0.15],
            "tdctl denoise --td out/cifar10_resnet32_percmislabeled0.2_uniform/"
            "computation4td_seed1 --dataset cifar10 --data-dir /data --net-type resnet --depth 32 "
            "--detector d.pth.tar --remove-ratio 0.15 --out "
            "out/cifar10_resnet32_percmislabeled0.2_uniform/prune4retrain_seed1",
        ),
        (
            "large_dataset_denoise.sh",
            ["/data", "webvision50", 1, "out", "d.pth.tar", 0.2],
            "tdctl denoise --td out/webvision50_resnet50/computation4td_seed1 --dataset "
            "webvision50 --data-dir /data --net-type resnet50 --detector d.pth.tar "
            "--remove-ratio 0.2 --set retrain.lr_drops=0.33\\,0.67 --out "
            "out/webvision50_resnet50/prune4retrain_seed1",
        ),
    ],
)
def test_the_papers_form(
    tmp_path: Path, script: str, arguments: list[object], expected: str
) -> None:
    assert call(script, *arguments, cwd=tmp_path).strip() == expected


@pytest.mark.parametrize(
    ("name", "net", "depth", "label"),
    [
        ("tiny_imagenet", "resnet", 32, "resnet32"),
        ("cub_200_2011", "resnet", 34, "resnet34"),
        ("caltech256", "resnet", 50, "resnet50"),
        ("webvision50", "resnet", 50, "resnet50"),
        ("clothing100k", "resnet50", 50, "resnet50"),
    ],
)
def test_the_papers_names_of_data_and_net_are_settings(
    tmp_path: Path, name: str, net: str, depth: int, label: str
) -> None:
    printed = call("generate_td.sh", "/data", name, 1, 0.2, "asym", net, depth, cwd=tmp_path)
    result = CliRunner().invoke(app, [*shlex.split(printed)[1:], "--print-config"])
    assert result.exit_code == 0, result.output
    config = Config.model_validate(yaml.safe_load(result.stdout))
    assert (config.data.dataset, config.net.label) == (name, label)
    assert config.data.normalise == "imagenet", "the rest is the data set's preset"


def test_a_folder_with_a_space_stays_one_word(tmp_path: Path) -> None:
    printed = call(
        "generate_td.sh", "/my photos", "folder", 1, 0, "asym", "resnet18", 18, cwd=tmp_path
    )
    words = shlex.split(printed)
    assert words[words.index("--data-dir") + 1] == "/my photos"
    assert "folder_resnet18_percmislabeled0_asym" in printed


def test_a_dry_sweep_prints_every_command(tmp_path: Path) -> None:
    printed = call("sweep.sh", "run", "d.pth.tar", 0.1, 0.2, cwd=tmp_path)
    assert len(printed.strip().splitlines()) == 3


@pytest.mark.parametrize(
    "script", ["generate_td.sh", "train_detector.sh", "small_dataset_sym_denoise.sh", "sweep.sh"]
)
def test_too_few_arguments_show_the_usage(tmp_path: Path, script: str) -> None:
    outcome = subprocess.run([SCRIPTS / script, "x"], capture_output=True, text=True)
    assert outcome.returncode == 2 and "usage:" in outcome.stderr


# In place of tdctl: hands its words to the test, which has imported torch once, and waits.
ASKS = """#!/bin/sh
printf '%s\\n' "$@" > ask.part && mv ask.part ask
while [ ! -e answer ]; do sleep 0.02; done
code=$(cat answer); rm answer; cat said; exit "$code"
"""


def test_a_sweep_over_remove_ratios_leaves_one_table(tmp_path: Path, detector_file: Path) -> None:
    run = runner.generate_td(tiny_config(), tmp_path / "run" / "a").folder
    (tmp_path / "tdctl").write_text(ASKS)
    (tmp_path / "tdctl").chmod(0o755)
    words = [run, detector_file, 0.1, 0.2, "--", "--epochs", 1, "--quiet", "--out"]
    script = subprocess.Popen(
        [SCRIPTS / "sweep.sh", *map(str, words), tmp_path / "out"],
        cwd=tmp_path, env=os.environ | {"TDCTL": str(tmp_path / "tdctl")},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    asked, ask = [], tmp_path / "ask"
    while script.poll() is None:
        if not ask.exists():
            time.sleep(0.01)
            continue
        asked.append(ask.read_text().splitlines())
        ask.unlink()
        result = tdctl(*asked[-1])
        (tmp_path / "said").write_text(result.stdout)
        (tmp_path / "code").write_text(str(result.exit_code))
        (tmp_path / "code").rename(tmp_path / "answer")
    output, _ = script.communicate()
    assert script.returncode == 0 and [words.count("--resume") for words in asked] == [0, 1, 1]
    assert "without the worst 0.1" in output and "without the worst 0.2" in output
    table = pd.read_csv(tmp_path / "out" / "detector_hand" / "denoise.csv")
    assert table["remove_ratio"].tolist() == [0.1, 0.2]


@pytest.mark.parametrize("name", ["demo", "test", "check", "../.ci/run"])
def test_the_commands_can_be_run(name: str) -> None:
    assert os.access(SCRIPTS / name, os.X_OK)


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.index("scripts/demo") < readme.index("scripts/test")
