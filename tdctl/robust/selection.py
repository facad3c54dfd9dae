"""Which labels SSR changes, which samples it keeps, and in which order it trains on them.

Shape suffixes: n samples, F features, r references, b rows of a block, K neighbours, k classes.

Source: Feng, Tzimiropoulos and Patras, "SSR: An Efficient and Robust Framework for Learning with
    Unknown Label Noise", BMVC 2022 (arXiv 2111.11288), section 3.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tdctl.streams import NEIGHBOURS
from tdctl.training.neighbours import BLOCK, BLOCK_ELSEWHERE, REFERENCES

__all__ = ["balanced_order", "consistency", "default_neighbours", "relabelled", "votes"]

MOST_NEIGHBOURS = 200


def default_neighbours(n: int, num_classes: int) -> int:
    """200, as published for 5,000 images of each class; with fewer images, half of a class."""
    return max(1, min(MOST_NEIGHBOURS, n // (2 * num_classes), n - 1))


def relabelled(p_nk: torch.Tensor, given_n: torch.Tensor, above: float) -> torch.Tensor:
    """Int64 [n]: the predicted class if its probability is above ``above``, else the given one."""
    confidence_n, predicted_n = p_nk.max(dim=1)
    return torch.where(confidence_n > above, predicted_n, given_n)


@torch.no_grad()
def votes(
    features_nF: torch.Tensor,
    labels_n: torch.Tensor,
    neighbours: int,
    num_classes: int,
    seed: int = 0,
    references: int = REFERENCES,
) -> torch.Tensor:
    """Float32 [n, k]: the number of neighbours with each label, divided by the label's share.

    Neighbours are the nearest samples by the cosine of their features, after the mean over the
    samples is subtracted. A sample is never its own neighbour. A label that no sample has gets no
    vote.

    Args:
        features_nF: the features of the samples.
        labels_n: int64 [n], the labels that are voted for.
        neighbours: K, at least 1 and less than n and ``references``.
        num_classes: k.
        seed: seed of the drawn references, if there are more samples than ``references``.
        references: the largest number of samples that can be neighbours.
    """
    n, device = len(features_nF), features_nF.device
    chosen_r = torch.arange(n, device=device)
    if n > references:
        drawn = torch.randperm(n, generator=NEIGHBOURS.torch_generator(seed))[:references]
        chosen_r = drawn.sort().values.to(device)
    place_n = torch.full((n,), -1, dtype=torch.int64, device=device)
    place_n[chosen_r] = torch.arange(len(chosen_r), device=device)
    mean_F = features_nF.float().mean(dim=0)

    def directions(rows: torch.Tensor) -> torch.Tensor:
        return functional.normalize(features_nF[rows].float() - mean_F, dim=1)

    towards_Fr = directions(chosen_r).t().contiguous()
    labels_r = labels_n[chosen_r]
    share_k = torch.bincount(labels_r, minlength=num_classes).float() / len(chosen_r)
    found_nk = torch.zeros(n, num_classes, device=device)
    size = max(1, BLOCK.get(device.type, BLOCK_ELSEWHERE) // (4 * len(chosen_r)))
    for rows in torch.split(torch.arange(n, device=device), size):
        cosine_br = directions(rows) @ towards_Fr
        own_b1 = place_n[rows, None]
        # A sample that is not among the references cannot be its own neighbour.
        itself_b1 = torch.where(own_b1 < 0, cosine_br[:, :1], -torch.inf)
        cosine_br.scatter_(1, own_b1.clamp_min(0), itself_b1)
        labels_bK = labels_r[cosine_br.topk(neighbours, dim=1, sorted=False).indices]
        ones_bK = torch.ones_like(labels_bK, dtype=torch.float32)
        found_nk[rows] = found_nk[rows].scatter_add_(1, labels_bK, ones_bK)
    return torch.where(share_k > 0, found_nk / share_k.clamp_min(1e-12), 0.0)


def consistency(votes_nk: torch.Tensor, labels_n: torch.Tensor) -> torch.Tensor:
    """Float [n] in [0, 1]: a label's vote over the largest vote; 1 if it is the largest."""
    own_n = votes_nk.gather(1, labels_n[:, None])[:, 0]
    return own_n / votes_nk.amax(dim=1).clamp_min(1e-12)


def balanced_order(
    labels: NDArray[np.int64], rows: NDArray[np.int64], total: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Int64 [total]: the rows in random order; all labels have the same number of rows.

    The rows of a rare label are repeated. The numbers of repeats within a label differ by at most
    one.

    Args:
        labels: the labels of all samples.
        rows: the rows of the samples that are trained on, at least one.
        total: the length of the result.
        rng: random numbers.
    """
    present = rng.permutation(np.unique(labels[rows]))
    parts = []
    for place, label in enumerate(present):
        count = total // len(present) + (place < total % len(present))
        own = rows[labels[rows] == label]
        rounds = [rng.permutation(own) for _ in range(-(-count // len(own)))]
        parts.append(np.concatenate([own[:0], *rounds])[:count])
    return rng.permutation(np.concatenate(parts))
