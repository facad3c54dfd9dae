"""The features of a frozen network: computed once, kept, and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import models

from tdctl.config import Config
from tdctl.features import extract
from tdctl.files import file_digest, read_json
from tdctl.inputs import open_training_data
from tests.conftest import refused, tdctl

NET = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    torch.save(getattr(models, NET)(num_classes=7).state_dict(), path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(36):
            pixels = rng.integers(0, 128, (32, 32, 3)) + 100 * (name == "dog")
            file = tmp_path / "pictures" / name / f"{i:02}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    return tmp_path / "pictures"


def config_of(pictures: Path, weights: Path, **more: Any) -> Config:
    cache = pictures.parent / "cache"
    data = {"dataset": "folder", "data_dir": pictures, "image_size": 32, "test_share": 0.0}
    return Config(
        recipe="features",
        device="cpu",
        data={**data, "cache_dir": cache, **more},
        net={"net_type": NET, "pretrained": weights},
    )


def values_of(config: Config) -> np.ndarray:
    data = open_training_data(config)
    (values,) = data.train.batches([np.arange(len(data.train))])
    return values.numpy()


def test_features_are_those_of_the_network(pictures: Path, weights: Path) -> None:
    config = config_of(pictures, weights)
    data = open_training_data(config)
    assert data.train.are_vectors and data.train.shape == (1024,)
    assert len(data.file_names or []) == 72
    net: Any = getattr(models, NET)(num_classes=7)
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.fc = torch.nn.Identity()
    from PIL import Image

    with Image.open(pictures / (data.file_names or [""])[5]) as image:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    mean, std = (
        torch.tensor(x)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        expected = net.eval()(((pixels - mean) / std)[None])[0]
    (found,) = data.train.batches([np.array([5])])
    assert torch.allclose(found[0], expected, atol=1e-3)


def test_a_second_call_computes_nothing(
    pictures: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = values_of(config_of(pictures, weights))
    monkeypatch.setattr(extract, "_go_on", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(values_of(config_of(pictures, weights)), first)


def test_an_interrupted_call_is_gone_on_with(
    pictures: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = values_of(config_of(pictures, weights, cache_dir=pictures.parent / "other"))
    monkeypatch.setattr(extract, "MARKED_EVERY", 0.0)

    def stop(done: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    monkeypatch.setattr(extract, "_teller", lambda *_: stop)
    with pytest.raises(KeyboardInterrupt):
        values_of(config_of(pictures, weights))
    begun: list[int] = []
    monkeypatch.setattr(
        extract, "_teller", lambda report, m, done: begun.append(done) or (lambda _: None)
    )
    assert np.array_equal(values_of(config_of(pictures, weights)), whole)
    assert begun == [32]


def test_other_weights_give_other_features(pictures: Path, weights: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = tmp_path / "other.pth"
    torch.save(getattr(models, NET)(num_classes=7).state_dict(), other)
    first, second = (values_of(config_of(pictures, file)) for file in (weights, other))
    assert not np.allclose(first, second)


def test_the_command_line_records_and_ranks_frozen_features(
    pictures: Path, weights: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    more = ("--set", "train.epochs=8", "--cache-dir", tmp_path / "cache", "--device", "cpu")
    flags = ("--dataset", "folder", "--data-dir", pictures, "--test-share", 0, "--image-size", 32)
    net = ("--recipe", "features", "--net-type", NET, "--pretrained", weights)
    asked = ("generate-td", *flags, *net, *more, "--noise-ratio", 0.1, "--out", run)
    assert tdctl(*asked, "--dry-run").exit_code == 0
    assert not (tmp_path / "cache" / "features").exists()
    done = tdctl(*asked)
    assert done.exit_code == 0, done.output
    assert "frozen features of 1024 numbers" in done.stderr
    ranked = tdctl("detect", "--td", run, "--out", tmp_path / "ranking.csv")
    assert ranked.exit_code == 0, ranked.output
    page = tdctl("report", "--td", run, "--out", tmp_path / "page.html")
    assert page.exit_code == 0 and "no pictures" not in page.output


def test_features_need_a_pretrained_network(pictures: Path, tmp_path: Path) -> None:
    flags = ("--dataset", "folder", "--data-dir", pictures, "--recipe", "features")
    refused(tdctl("generate-td", *flags, "--out", tmp_path / "run"), "--pretrained")


def test_the_cache_says_what_its_features_are_of(pictures: Path, weights: Path) -> None:
    values_of(config_of(pictures, weights))
    (state,) = (pictures.parent / "cache").rglob("features.json")
    facts = read_json(state)
    assert facts["of"]["network"].startswith(NET) and facts["of"]["shape"] == [3, 32, 32]
    assert facts["of"]["weights"] == file_digest(weights)
    assert facts["weights file"] == "net.pth"
    assert (facts["rows"], facts["numbers"], facts["done"]) == (72, 1024, 72)
    assert facts["versions"]["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize("damage", ["values", "cut", "state", "rows"])
def test_a_damaged_cache_is_computed_again(pictures: Path, weights: Path, damage: str) -> None:
    first = values_of(config_of(pictures, weights))
    (state,) = (pictures.parent / "cache").rglob("features.json")
    values = state.with_name("features.npy")
    if damage == "values":
        values.write_bytes(b"no array")
    elif damage == "cut":
        values.write_bytes(values.read_bytes()[:-100])
    elif damage == "state":
        state.write_text("{")
    else:
        np.save(values, first[:5])
    assert np.array_equal(values_of(config_of(pictures, weights)), first)


def test_images_of_another_size_than_the_weights_are_told(pictures: Path, weights: Path) -> None:
    notes = open_training_data(config_of(pictures, weights)).notes
    assert f"images of 32 x 32 pixels; the published weights of {NET} expect 224" in notes
