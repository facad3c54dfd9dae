"""How far the labels of the nearest neighbours agree, against a written out search."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from tdctl.training.neighbours import agreement

N, CLASSES = 90, 7


def made() -> tuple[torch.Tensor, torch.Tensor]:
    """Features [90, 12] around a centre for each given label, and the given labels."""
    generator = torch.Generator().manual_seed(0)
    given = torch.randint(0, CLASSES, (N,), generator=generator)
    centres = torch.randn(CLASSES, 12, generator=generator)
    return centres[given] + torch.randn(N, 12, generator=generator) + 5, given


def written_out(
    features: torch.Tensor, given: torch.Tensor, k: int, among: Iterable[int]
) -> list[float]:
    vectors = features.double().numpy() - features.double().numpy().mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    among, found = list(among), []
    for i in range(len(vectors)):
        others = [j for j in among if j != i]
        nearest = sorted(others, key=lambda j: -float(vectors[i] @ vectors[j]))[:k]
        shares = np.bincount(given.numpy()[nearest], minlength=CLASSES) / k
        found.append(shares[given[i]] - np.delete(shares, given[i]).max())
    return found


@pytest.mark.parametrize("k", [1, 4, N - 1])
@pytest.mark.parametrize("block", [1, 7 * 4 * N, 1 << 20])
def test_blocks_give_what_a_search_one_by_one_gives(
    k: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tdctl.training.neighbours.BLOCK", {"cpu": block})
    features, given = made()
    found = agreement(features, given, k)
    assert found.dtype == torch.float16 and found.shape == (N,)
    assert found.tolist() == pytest.approx(written_out(features, given, k, range(N)), abs=1e-3)


def test_among_many_samples_neighbours_are_sought_in_a_drawn_part() -> None:
    features, given = made()
    drawn = torch.randperm(N, generator=torch.Generator().manual_seed(3))[:40].tolist()
    found = agreement(features, given, 5, seed=3, references=40)
    assert found.tolist() == pytest.approx(written_out(features, given, 5, drawn), abs=1e-3)
    assert not torch.equal(found, agreement(features, given, 5, seed=4, references=40))


def test_a_sample_is_not_its_own_neighbour() -> None:
    features, _ = made()
    alone = torch.arange(N)  # a label of its own for each
    assert (agreement(features, alone, 1) == -1).all()
    assert (agreement(features, torch.zeros_like(alone), 3) == 1).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_neither_scale_nor_a_common_shift_changes_the_agreement(scale: float) -> None:
    features, given = made()
    assert torch.equal(agreement(scale * features + 2, given, 5), agreement(features, given, 5))
