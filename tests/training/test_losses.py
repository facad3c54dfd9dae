"""Losses against their formulas, written out in float64, and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from processes import in_world
from torch.nn import functional

from tdctl.config import TrainConfig
from tdctl.errors import ConfigError
from tdctl.settings import load_config
from tdctl.training import World
from tdctl.training.losses import (
    EarlyLearning,
    Loss,
    generalised_cross_entropy,
    hard_bootstrapping,
    soft_bootstrapping,
    symmetric_cross_entropy,
)

B, K = 7, 5
TARGETS = torch.tensor([0, 3, 1, 4, 4, 2, 0])
PerSample = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, PerSample] = {
    "bootstrap-soft": soft_bootstrapping,
    "bootstrap-hard": hard_bootstrapping,
    "gce": generalised_cross_entropy,
    "sce": symmetric_cross_entropy,
}


def some_logits(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(B, K, generator=generator, dtype=torch.float64)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def written_out(name: str, z: np.ndarray, t: int) -> float:
    """One sample's loss as its paper has it."""
    p = softmax(z)
    one_hot = np.eye(len(z))[t]
    if name == "bootstrap-soft":
        return float(-np.sum((0.95 * one_hot + 0.05 * p) * np.log(p)))
    if name == "bootstrap-hard":
        return float(-np.sum((0.8 * one_hot + 0.2 * np.eye(len(z))[p.argmax()]) * np.log(p)))
    if name == "gce":
        return float((1 - p[t] ** 0.7) / 0.7)
    log_t = np.where(one_hot > 0, 0.0, -4.0)
    return float(0.1 * -np.log(p[t]) + 1.0 * -np.sum(p * log_t))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_papers_formula(name: str) -> None:
    logits = some_logits()
    expected = [written_out(name, z.numpy(), int(t)) for z, t in zip(logits, TARGETS, strict=True)]
    assert np.allclose(LOSSES[name](logits, TARGETS).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_is_that_of_the_formula(name: str) -> None:
    logits = some_logits().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: LOSSES[name](z, TARGETS), (logits,))


@pytest.mark.parametrize("name", LOSSES)
def test_neither_loss_nor_gradient_breaks_where_the_network_is_sure(name: str) -> None:
    logits = torch.zeros(2, K)
    logits[:, 0] = 200.0
    logits.requires_grad_()
    loss = LOSSES[name](logits, torch.tensor([0, 1]))
    loss.sum().backward()
    assert loss.isfinite().all() and logits.grad is not None and logits.grad.isfinite().all()
    right, wrong = loss.tolist()
    assert right == pytest.approx(0, abs=1e-6) and wrong > 1


def gradient(of: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(of.sum(), at)[0]


def test_detached_soft_bootstrapping_is_cross_entropy_times_its_share() -> None:
    logits = some_logits().requires_grad_()
    held = gradient(soft_bootstrapping(logits, TARGETS, detach=True), logits)
    plain = gradient(functional.cross_entropy(logits, TARGETS, reduction="none"), logits)
    assert torch.allclose(held, 0.95 * plain)
    free = gradient(soft_bootstrapping(logits, TARGETS), logits)
    assert not torch.allclose(free, held, rtol=0.01)
    # What is free draws p towards one class: the entropy falls along the step it adds.
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(dim=1)
    assert torch.allclose(free - held, 0.05 * gradient(entropy, logits))


def early_learning(logits: torch.Tensor, running: np.ndarray) -> np.ndarray:
    """Liu et al. (NeurIPS 2020), written out; changes ``running`` as they do."""
    losses = []
    for row, (z, t) in enumerate(zip(logits.detach().numpy(), TARGETS, strict=True)):
        p = softmax(z)
        kept = np.clip(p, 1e-4, 1 - 1e-4)
        running[row] = 0.7 * running[row] + 0.3 * kept / kept.sum()
        losses.append(-np.log(p[t]) + 3 * np.log(1 - np.sum(running[row] * kept)))
    return np.array(losses)


def test_early_learning_is_its_papers_formula_epoch_after_epoch() -> None:
    loss, running = EarlyLearning(B), np.zeros((B, K))
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
    for seed in range(3):
        logits = some_logits(seed)
        expected = early_learning(logits, running)
        found = loss(logits[order], TARGETS[order], order)
        assert np.allclose(found.numpy(), expected[order.numpy()], rtol=1e-5)
        loss.share(World())
    assert loss.running is not None and np.allclose(loss.running, running, atol=1e-6)


def test_the_gradient_of_early_learning_leaves_the_running_targets_alone() -> None:
    rows, before = torch.arange(B), EarlyLearning(B)
    before(some_logits(1), TARGETS, rows)
    running = before.running
    assert running is not None and not running.requires_grad

    def pulled(z: torch.Tensor) -> torch.Tensor:
        """The second term alone, with the targets of this batch held."""
        loss = EarlyLearning(B)
        loss.load(running.clone())
        held = 0.7 * running + 0.3 * some_logits().softmax(1)
        return functional.cross_entropy(z, TARGETS, reduction="none") + 3 * torch.log(
            1 - (held * z.softmax(1)).sum(dim=1)
        )

    logits = some_logits().requires_grad_()
    loss = EarlyLearning(B)
    loss.load(running.clone())
    found = gradient(loss(logits, TARGETS, rows), logits)
    assert torch.allclose(found, gradient(pulled(logits), logits), atol=2e-3)
    assert torch.autograd.gradcheck(pulled, (logits,))


def test_processes_share_what_early_learning_found() -> None:
    logits = some_logits().float()
    alone = EarlyLearning(B)
    alone(logits, TARGETS, torch.arange(B))

    def run() -> torch.Tensor | None:
        with World.joined("cpu") as world:
            rows = torch.arange(B)[world.part(0, B)]
            loss = EarlyLearning(B)
            loss(logits[rows], TARGETS[rows], rows)
            loss.share(world)
            return loss.running

    assert alone.running is not None
    for running in in_world(2, run):
        assert torch.equal(running, alone.running)


def test_cross_entropy_is_torchs_own() -> None:
    logits = some_logits().float()
    for smoothing in (0.0, 0.1):
        loss = Loss(TrainConfig(label_smoothing=smoothing), B)(logits, TARGETS, torch.arange(B))
        assert loss == functional.cross_entropy(
            logits, TARGETS, label_smoothing=smoothing, reduction="sum"
        )


@pytest.mark.parametrize("name", LOSSES)
def test_the_settings_choose_the_loss(name: str) -> None:
    config = load_config(None, {"train.loss": name}).train
    found = Loss(config, B)(some_logits(), TARGETS, torch.arange(B))
    assert torch.allclose(found, LOSSES[name](some_logits(), TARGETS).sum())


@pytest.mark.parametrize("name", ["ce", "bootstrap-soft", "bootstrap-hard", "gce", "sce", "elr"])
def test_a_weight_counts_its_sample_as_often(name: str) -> None:
    logits, targets = torch.randn(3, 4), torch.tensor([0, 3, 1])
    config = TrainConfig(loss=name)  # type: ignore[arg-type]
    weights = np.array([9, 0, 2, 1], dtype=np.float32)
    weighed = Loss(config, 4, weights)(logits, targets, torch.tensor([2, 1, 3]))
    rows = torch.tensor([2, 2, 3])
    repeated = Loss(config, 4)(logits[[0, 0, 2]], targets[[0, 0, 2]], rows)
    torch.testing.assert_close(weighed, repeated)


def test_a_loss_takes_back_only_a_state_of_its_own() -> None:
    elr, plain = Loss(TrainConfig(loss="elr"), B), Loss(TrainConfig(), B)
    assert plain.state_dict() == {} == elr.state_dict()
    elr(some_logits().float(), TARGETS, torch.arange(B))
    cpu = torch.device("cpu")
    with pytest.raises(ValueError, match="another loss"):
        plain.load_state_dict(elr.state_dict(), cpu)
    with pytest.raises(ValueError, match="of 7 images, not 9"):
        Loss(TrainConfig(loss="elr"), 9).load_state_dict(elr.state_dict(), cpu)


@pytest.mark.parametrize("section", ["train", "retrain"])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": "focal"}, "loss: "),
        ({"loss": "gce", "label_smoothing": 0.1}, "goes with --loss ce, not with 'gce'"),
        ({"loss_detach": True}, "goes with --loss bootstrap-soft, not with 'ce'"),
        ({"loss": "elr", "mixup": 0.2, "capture": "eval-pass"}, "mixup: 'elr' keeps a target"),
    ],
)
def test_what_does_not_go_together_is_refused(
    section: str, settings: dict[str, object], says: str
) -> None:
    named = {f"{section}.{key}": value for key, value in settings.items()}
    if section == "retrain":
        named.pop("retrain.capture", None)
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(None, named)
    assert "\n" not in str(caught.value)
