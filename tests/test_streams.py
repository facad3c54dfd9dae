"""Every random stream by name: the same seed gives the same numbers as ever, and none is nameless.

``golden/streams.json`` holds what the code drew before ``tdctl.streams`` was there, all of seed 5.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import tdctl
from tdctl import streams
from tdctl.bootstrap import _resampled
from tdctl.config import NetConfig
from tdctl.cuts.threshold_samples import draw_threshold_samples
from tdctl.labels import held_out_for_test, stratified_folds, stratified_holdout
from tdctl.nets import TwoNetworks, build_net
from tdctl.noise import corrupt
from tdctl.noise.draws import numbers_by_index
from tdctl.noise.instance import _weights
from tdctl.sources.named import list_digits
from tdctl.streams import STREAMS, Stream
from tdctl.training import ThresholdSamples, fold_seeds
from tdctl.training.neighbours import _chosen

BEFORE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "streams.json").read_text(encoding="utf-8")
)
SEED = 5
LABELS = np.arange(40) % 4
ROOT = Path(tdctl.__file__).parent


def rows(chosen: NDArray[np.bool_]) -> list[int]:
    return [int(row) for row in np.flatnonzero(chosen)]


def first_weights(net: torch.nn.Module) -> torch.Tensor:
    return next(net.parameters()).detach().flatten()[:4]


def drawn() -> dict[str, Any]:
    """What each stream decides, by the function that draws from it where it can be called alone."""
    net = NetConfig(net_type="resnet", depth=8)

    def build(seed: int, extra_classes: int = 0) -> torch.nn.Module:
        return build_net(net, 3 + extra_classes, (1, 8, 8), seed)

    second = cast(TwoNetworks, ThresholdSamples(3).build(build, SEED)).networks[1]
    who, where = numbers_by_index(np.array([0, 3, 17]), SEED)
    with streams.DETECTOR.of_process(SEED, 1):
        detector = torch.rand(4)
    hit = np.arange(30) % 3 == 0
    return {
        "noise_who": who,
        "noise_where": where,
        "noise_uniform": corrupt(LABELS, np.arange(40), 4, "uniform", 0.4, SEED),
        "noise_projection": _weights(SEED, 2, 2, 3).ravel(),
        "held_out": rows(stratified_holdout(LABELS, 9, SEED)),
        "test_share": rows(held_out_for_test(LABELS, 0.2, SEED)),
        "folds": stratified_folds(LABELS, 3, SEED),
        "clothing": sorted(
            streams.CLOTHING100K.numpy_generator(SEED).choice(1000, 8, replace=False)
        ),
        "order": torch.randperm(12, generator=streams.ORDER.torch_generator(SEED, 3)),
        "augmentation": torch.rand(4, generator=streams.AUGMENTATION.torch_generator(SEED, 3)),
        "capture_augmentation": torch.rand(
            4, generator=streams.CAPTURE_AUGMENTATION.torch_generator(SEED, 3)
        ),
        "mixup": streams.MIXUP.numpy_generator(SEED, 3).beta(0.4, 0.4, 4),
        "weights": first_weights(build_net(net, 3, (1, 8, 8), SEED)),
        "second_of_a_pair": first_weights(second),
        "fold_seeds": fold_seeds(SEED, 3),
        "threshold": [rows(chosen) for chosen in draw_threshold_samples(40, 4, SEED)],
        "neighbours": _chosen(50, 6, SEED),
        "bootstrap": _resampled(hit, np.arange(30), np.arange(30)[::-1].copy(), 4, SEED),
        "random_removal": streams.RANDOM_REMOVAL.numpy_generator(SEED).permutation(12),
        "detector_start": detector,
        "channel_sample": sorted(
            streams.CHANNEL_SAMPLE.numpy_generator().choice(np.arange(1000), 8, replace=False)
        ),
        "digits_test": list_digits().test_index[:12],
    }


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    return drawn()


@pytest.mark.parametrize("name", BEFORE)
def test_the_same_seed_gives_the_same_numbers_as_before(name: str, now: dict[str, Any]) -> None:
    before, found = BEFORE[name], now[name]
    if isinstance(before, dict):
        for figure, values in before.items():
            assert found[figure] == pytest.approx(values, abs=1e-8)
    elif name == "threshold":
        assert found == before
    else:
        # Whole numbers must be the same ones; real ones are float32 of torch, written to 9 digits.
        assert np.asarray(found).astype(np.float64) == pytest.approx(before, abs=1e-7)


def test_every_stream_has_a_name_of_its_own_and_says_what_it_decides() -> None:
    assert len({stream.name for stream in STREAMS}) == len(STREAMS) >= 20
    for stream in STREAMS:
        assert stream.decides and (stream.seed != "none" or stream.direct or stream.entropy == (0,))


# What makes a generator or seeds one: allowed in tdctl/streams.py alone.
MAKERS = {"default_rng", "SeedSequence", "manual_seed", "RandomState", "seed", "fork_rng"}
# Draws from torch's generator of the process, unless they are given a generator.
DRAWS = {"rand", "randn", "randint", "randperm", "bernoulli", "multinomial", "normal"}
# These run inside a stream's ``of_process``, as their docstrings say.
INSIDE = {"detector/distort_curves.py", "detector/train_net.py"}


def nameless(code: str, place: str) -> list[str]:
    """The draws in a module that name no stream."""
    found = []
    for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        name = call.func.id if isinstance(call.func, ast.Name) else name
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        text = ast.unparse(call)
        bare = name in MAKERS or (name == "Generator" and "torch" in text)
        bare |= "random.choice" in text or text.startswith("random.")
        on_torch = text.startswith("torch.") and name in DRAWS
        bare |= on_torch and "generator" not in said and place not in INSIDE
        named = "Stream" in text or any(stream in text for stream in NAMES)
        bare |= "random_state" in said and not any(n in said["random_state"] for n in NAMES)
        if bare and not named:
            found.append(f"{place}:{call.lineno}: {text[:80]}")
    return found


NAMES = [name for name, value in vars(streams).items() if isinstance(value, Stream)]


def test_every_draw_names_its_stream() -> None:
    found = [
        one
        for path in ROOT.rglob("*.py")
        if path.name != "streams.py"
        for one in nameless(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    ]
    # torch's own policies draw from the process's generator: it is put back after each batch.
    left = [one for one in found if not one.startswith("data/distortions.py")]
    assert left == []


@pytest.mark.parametrize(
    "code",
    [
        "np.random.default_rng(seed)",
        "np.random.default_rng([seed, 7]).permutation(n)",
        "torch.manual_seed(3)",
        "torch.Generator().manual_seed(3)",
        "torch.randperm(n)",
        "train_test_split(a, random_state=seed)",
    ],
)
def test_a_draw_without_a_name_would_be_found(code: str) -> None:
    assert nameless(code, "somewhere.py")


def test_every_stream_is_drawn_from() -> None:
    code = "".join(p.read_text(encoding="utf-8") for p in ROOT.rglob("*.py") if p.stem != "streams")
    # Once where it is imported, and again where it is used.
    assert [name for name in NAMES if len(re.findall(rf"\b{name}\b", code)) < 2] == []


def test_a_stream_is_told_which_numbers_it_takes() -> None:
    with pytest.raises(TypeError, match="takes 2 numbers; got 1"):
        streams.ORDER.torch_generator(5)


def test_the_generator_of_the_process_is_put_back() -> None:
    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    with streams.DETECTOR.of_process(SEED, 0):
        torch.rand(3)
    assert torch.rand(1) == first
