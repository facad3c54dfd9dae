"""Linear heads on vectors: what they learn, and which of them judges a sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tdctl.errors import TrainingError
from tdctl.features.heads import Course, HeadTrainer, stable_course, weights_of_margins
from tdctl.features.transform import Transform
from tdctl.labels import stratified_folds
from tests.vectors_made import Cloud, cloud


class Rows:
    def __init__(self, values: np.ndarray) -> None:
        self.values = torch.from_numpy(values)

    def __len__(self) -> int:
        return len(self.values)

    def batches(self, parts):  # type: ignore[no-untyped-def]
        return (self.values[torch.from_numpy(part)] for part in parts)


def trainer_of(made: Cloud, epochs: int = 20, **more: object) -> HeadTrainer:
    transform = Transform.of(torch.from_numpy(made.values), 0.25)
    folds = stratified_folds(made.given, 3, 0)
    course = Course(epochs, 128, 1.0)
    return HeadTrainer(
        Rows(made.values),
        made.given,
        4,
        folds,
        transform,
        course,
        **more,  # type: ignore[arg-type]
    )


def margins(trainer: HeadTrainer, made: Cloud, epochs: int = 20) -> np.ndarray:
    """Float [n], the mean held-out margin."""
    total, given = torch.zeros(len(made.given)), torch.from_numpy(made.given)

    def watch(rows, seen, heldout) -> None:  # type: ignore[no-untyped-def]
        own = given[rows][:, None]
        other = heldout.scatter(1, own, -torch.inf).max(dim=1).values
        total[rows] += heldout.gather(1, own)[:, 0] - other

    for epoch in range(epochs):
        trainer.train_epoch(epoch, watch)
    return (total / epochs).numpy()


def test_held_out_margins_of_planted_errors_are_the_lowest() -> None:
    made = cloud()
    found = margins(trainer_of(made), made)
    worst = np.argsort(found)[: made.flipped.sum()]
    assert set(worst) == set(np.flatnonzero(made.flipped))


def test_a_head_never_trains_on_its_fold() -> None:
    """Whatever the label of a sample is, the head of its fold says the same of it."""
    made = cloud(n=60)
    folds = stratified_folds(made.given, 3, 0)
    other = made.given.copy()
    rows = folds == 1
    other[rows] = (other[rows] + 1) % 4

    def heldout_of(given: np.ndarray) -> torch.Tensor:
        logits = torch.zeros(60, 4)

        def watch(rows_B, seen, heldout) -> None:  # type: ignore[no-untyped-def]
            logits[rows_B] = heldout

        transform = Transform.of(torch.from_numpy(made.values), 0.25)
        trainer = HeadTrainer(Rows(made.values), given, 4, folds, transform, Course(5, 16, 1.0))
        for epoch in range(5):
            trainer.train_epoch(epoch, watch)
        return logits[torch.from_numpy(rows)]

    assert torch.equal(heldout_of(made.given), heldout_of(other))


def test_the_same_seed_gives_the_same_heads_in_memory_or_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = cloud(n=90)
    first, again = trainer_of(made), trainer_of(made)
    monkeypatch.setattr("tdctl.features.heads.HELD_BYTES", 0)
    streamed = trainer_of(made)
    for trainer in (first, again, streamed):
        for epoch in range(3):
            trainer.train_epoch(epoch, None)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        assert torch.allclose(value, streamed.state_dict()[name], atol=1e-5)


def test_a_rate_that_diverges_is_halved_until_it_does_not() -> None:
    made = cloud()
    folds = stratified_folds(made.given, 3, 0)
    transform = Transform.of(torch.from_numpy(made.values), 0.25)

    def make(course: Course) -> HeadTrainer:
        return HeadTrainer(Rows(made.values), made.given, 4, folds, transform, course)

    good, wild = Course(20, 128, 0.5), Course(20, 128, 64.0)
    assert stable_course(make, good, 4) == good
    found = stable_course(make, wild, 4)
    assert found.rate in {64.0 / 2**times for times in range(1, 8)}
    trainer = make(found)
    losses = [trainer.train_epoch(epoch, None).train_loss for epoch in range(20)]
    assert losses[3] < 1.1 * np.log(4) and np.isfinite(losses).all()
    with pytest.raises(TrainingError, match="the heads diverge at each rate from 1e\\+09"):
        stable_course(make, Course(20, 128, 1e9), 4)


def test_a_doubted_sample_counts_less() -> None:
    weights = weights_of_margins(np.array([-4.0, -0.1, 0.1, 4.0], dtype=np.float32))
    assert weights[0] == pytest.approx(0.02) and weights[3] > 0.99
    assert (np.diff(weights) > 0).all()


def test_a_transform_does_not_depend_on_the_scale_of_the_features() -> None:
    made = cloud()
    vectors = torch.from_numpy(made.values)
    small, large = Transform.of(vectors, 0.5), Transform.of(vectors * 1000, 0.5)
    assert torch.allclose(small(vectors).abs(), large(vectors * 1000).abs(), atol=1e-4)
    moved = small(vectors)
    assert moved.mean(dim=0).abs().max() < 1e-4
    assert (moved**2).sum(dim=1).mean() == pytest.approx(1, abs=1e-3)
    variances = moved.var(dim=0, unbiased=False)
    assert variances.max() == pytest.approx(small.largest, rel=1e-3)
