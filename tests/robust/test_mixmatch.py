"""One step of DivideMix and of SSR on a linear network equals what numpy writes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.config import RobustConfig
from tdctl.robust.learner import Learner
from tdctl.robust.mix_step import MixStep, auto_weight, mixmatch_loss, warmup_epochs
from tdctl.robust.mixmatch import MixedLoss, confidence_penalty, prior_penalty, ramp, sharpened
from tdctl.robust.ssr import ssr_loss
from tdctl.training import Pipeline

FEATURES, CLASSES, LABELLED, UNLABELLED = 5, 3, 4, 3
RNG = np.random.default_rng(3)
Floats = NDArray[np.float64]


def learner(weights: Floats, **settings: Any) -> Learner:
    net = nn.Linear(FEATURES, CLASSES, bias=False, dtype=torch.float64)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(weights))
    pipeline = Pipeline(None, None, torch.device("cpu"), "float32")  # type: ignore[arg-type]
    config = RobustConfig(algorithm="dividemix", **settings)
    made = Learner(net, config, pipeline, "toy")
    # Else the answers would be rounded to float32 as of a real network.
    made.logits = net  # type: ignore[method-assign]
    return made


def softmax(logits: Floats) -> Floats:
    raised: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def sharp(p: Floats, temperature: float) -> Floats:
    powers: Floats = p ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def through_softmax(p: Floats, of_p: Floats) -> Floats:
    """The gradient by the logits, from that by the probabilities."""
    return p * (of_p - (of_p * p).sum(axis=1, keepdims=True))


def rows(count: int) -> Floats:
    return RNG.normal(size=(count, FEATURES))


@pytest.mark.parametrize("weight", [0.0, 25.0])
@pytest.mark.parametrize("prior", [True, False])
@pytest.mark.parametrize("unlabelled", [0, UNLABELLED])
def test_a_step_of_dividemix_is_as_written_out(weight: float, prior: bool, unlabelled: int) -> None:
    own, other = (RNG.normal(size=(CLASSES, FEATURES)) for _ in range(2))
    count = LABELLED + unlabelled
    weak, strong = [rows(count), rows(count)], [rows(count), rows(count)]
    given = np.eye(CLASSES)[RNG.integers(0, CLASSES, LABELLED)]
    clean, share, order = RNG.random(LABELLED), 0.7, RNG.permutation(2 * count)
    temperature = 0.5

    # Written out: co-refinement, co-guessing, mixing, losses and the gradient.
    p_own = [softmax(view @ own.T) for view in weak]
    mean = (p_own[0] + p_own[1])[:LABELLED] / 2
    label = sharp(clean[:, None] * given + (1 - clean[:, None]) * mean, temperature)
    p_other = [softmax(view @ other.T) for view in weak]
    guess = sharp((p_own[0] + p_own[1] + p_other[0] + p_other[1])[LABELLED:] / 4, temperature)
    inputs = np.concatenate(
        [strong[0][:LABELLED], strong[1][:LABELLED], strong[0][LABELLED:], strong[1][LABELLED:]]
    )
    targets = np.concatenate([label, label, guess, guess])
    inputs = share * inputs + (1 - share) * inputs[order]
    targets = share * targets + (1 - share) * targets[order]
    p = softmax(inputs @ own.T)
    x, u = slice(0, 2 * LABELLED), slice(2 * LABELLED, None)
    of_labelled = -(targets[x] * np.log(p[x])).sum(axis=1).mean()
    of_unlabelled = ((p[u] - targets[u]) ** 2).mean() if unlabelled else 0.0
    even = np.full(CLASSES, 1 / CLASSES)
    penalty = float((even * np.log(even / p.mean(axis=0))).sum()) if prior else 0.0
    by_logits = np.zeros_like(p)
    by_logits[x] = (p[x] - targets[x]) / (2 * LABELLED)
    if unlabelled:
        by_p = 2 * (p[u] - targets[u]) / p[u].size
        by_logits[u] += weight * through_softmax(p[u], by_p)
    if prior:
        by_mean = -even / p.mean(axis=0)
        by_logits += through_softmax(p, np.tile(by_mean / len(p), (len(p), 1)))
    gradient = by_logits.T @ inputs

    first, second = learner(own), learner(other)
    step = MixStep(
        [torch.from_numpy(view) for view in weak],
        [torch.from_numpy(view) for view in strong],
        torch.from_numpy(given),
        torch.from_numpy(clean),
        torch.from_numpy(order),
        share,
    )
    found = mixmatch_loss(first, second, step, temperature, weight, prior)
    torch.autograd.backward(found.total)
    found = MixedLoss(*(part.detach() for part in found))
    assert float(found.labelled) == pytest.approx(of_labelled, rel=1e-9)
    assert float(found.unlabelled) == pytest.approx(of_unlabelled, rel=1e-9)
    assert float(found.penalty) == pytest.approx(penalty, abs=1e-7)
    total = of_labelled + weight * of_unlabelled + penalty
    assert float(found.total) == pytest.approx(total, rel=1e-6)
    (parameter,) = first.net.parameters()
    assert parameter.grad is not None
    np.testing.assert_allclose(parameter.grad.numpy(), gradient, rtol=1e-7, atol=1e-12)
    assert next(second.net.parameters()).grad is None


def test_a_step_of_ssr_is_as_written_out() -> None:
    own = RNG.normal(size=(CLASSES, FEATURES))
    views, share, order = [rows(4), rows(4)], 0.6, RNG.permutation(8)
    targets = np.eye(CLASSES)[RNG.integers(0, CLASSES, 4)]
    inputs, soft = np.concatenate(views), np.concatenate([targets, targets])
    inputs = share * inputs + (1 - share) * inputs[order]
    soft = share * soft + (1 - share) * soft[order]
    p = softmax(inputs @ own.T)
    expected = -(soft * np.log(p)).sum(axis=1).mean()
    gradient = ((p - soft) / len(p)).T @ inputs

    one = learner(own)
    both = (torch.from_numpy(views[0]), torch.from_numpy(views[1]))
    loss = ssr_loss(one, both, torch.from_numpy(targets), torch.from_numpy(order), share)
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-9)
    (parameter,) = one.net.parameters()
    assert parameter.grad is not None
    np.testing.assert_allclose(parameter.grad.numpy(), gradient, rtol=1e-7, atol=1e-12)


def test_a_step_of_the_optimiser_is_as_written_out() -> None:
    own = RNG.normal(size=(CLASSES, FEATURES))
    one = learner(own, lr=0.3, momentum=0.9, weight_decay=0.01)
    x = torch.from_numpy(rows(6))
    loss = (one.logits(x) ** 2).mean()
    values = x.numpy()
    gradient = 2 * (values @ own.T).T @ values / (6 * CLASSES) + 0.01 * own
    one.set_rate(0, 0, 5)
    one.descend(loss)
    # Nesterov's first step: the gradient and 0.9 of it.
    expected = own - 0.3 * 1.9 * gradient
    (parameter,) = one.net.parameters()
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-7)


def test_penalties_and_sharpening() -> None:
    even, one_sided = torch.zeros(4, 3), torch.tensor([[9.0, 0.0, 0.0]] * 4)
    assert float(prior_penalty(even)) == pytest.approx(0, abs=1e-6)
    assert float(prior_penalty(one_sided)) > 1
    assert float(confidence_penalty(even)) == pytest.approx(-np.log(3))
    assert float(confidence_penalty(one_sided)) > -0.01
    p = torch.tensor([[0.6, 0.3, 0.1]])
    torch.testing.assert_close(sharpened(p, 1.0), p)
    torch.testing.assert_close(sharpened(p, 0.5), p**2 / (p**2).sum())


def test_the_weight_of_the_unlabelled_loss_follows_the_estimate() -> None:
    assert [auto_weight(wrong, 10) for wrong in (0.2, 0.3, 0.5, 0.8, 0.9)] == [0, 0, 25, 25, 50]
    assert [auto_weight(wrong, 100) for wrong in (0.2, 0.5, 0.9)] == [0, 150, 150]
    assert [ramp(epochs, 16) for epochs in (-1, 0, 8, 16, 40)] == [0, 0, 0.5, 1, 1]


def test_the_warm_up_is_the_published_one_and_shorter_in_short_runs() -> None:
    assert warmup_epochs(None, 300, 10) == 10
    assert warmup_epochs(None, 300, 100) == 30
    assert warmup_epochs(None, 15, 10) == 6
    assert warmup_epochs(None, 1, 10) == 1
    assert warmup_epochs(7, 15, 10) == 7
