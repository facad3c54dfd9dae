"""How well the given label of a sample agrees with the given labels of its nearest neighbours.

Shape suffixes: n samples, F features, r references, b rows of a block, K neighbours.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from tdctl.streams import NEIGHBOURS

__all__ = ["REFERENCES", "agreement"]

# With more samples than this, neighbours are searched among this many, drawn again in each epoch.
# The time then grows with n, not with its square.
REFERENCES = 20_000
# Bytes of similarities that are in memory at the same time.
BLOCK = {"cpu": 16 << 20}
BLOCK_ELSEWHERE = 256 << 20


@torch.no_grad()
def agreement(
    features_nF: torch.Tensor,
    given_n: torch.Tensor,
    neighbours: int,
    seed: int = 0,
    references: int = REFERENCES,
) -> torch.Tensor:
    """The agreement of each sample's label with its neighbours' labels, float16 [n] in [-1, 1].

    It is the share of neighbours with the sample's own given label, minus the largest share of
    another label. Low means more likely mislabeled. Neighbours are nearest by cosine similarity of
    the features, after their mean over all samples is subtracted. A sample is never its own
    neighbour.

    Args:
        features_nF: float [n, F] of any precision, finite.
        given_n: int64 [n], the given labels.
        neighbours: K, at least 1, and less than n and ``references``.
        seed: seed of the draw of references.
        references: neighbours are searched among this many samples, drawn at random if there are
            more. The n x n similarities are never in memory at once.

    Source: neighbours' votes as in Bahri et al., "Deep k-NN for Noisy Labels", ICML 2020 (arXiv
        2004.12289).
    """
    n, device = len(features_nF), features_nF.device
    chosen_r = _chosen(n, references, seed).to(device)
    place_n = torch.full((n,), -1, dtype=torch.int64, device=device)
    place_n[chosen_r] = torch.arange(len(chosen_r), device=device)
    mean_F = features_nF.mean(dim=0, dtype=torch.float32)

    def directions(rows: torch.Tensor) -> torch.Tensor:
        return functional.normalize(features_nF[rows].float() - mean_F, dim=1)

    towards_Fr, given_r = directions(chosen_r).t().contiguous(), given_n[chosen_r]
    found_n = torch.empty(n, dtype=torch.float16, device=device)
    size = max(1, BLOCK.get(device.type, BLOCK_ELSEWHERE) // (4 * len(chosen_r)))
    for rows in torch.split(torch.arange(n, device=device), size):
        cosine_br = directions(rows) @ towards_Fr
        own_b1 = place_n[rows, None]
        # A sample that is not a reference has no column of its own, so nothing is excluded.
        itself_b1 = torch.where(own_b1 < 0, cosine_br[:, :1], -torch.inf)
        cosine_br.scatter_(1, own_b1.clamp_min(0), itself_b1)
        nearest_bK = cosine_br.topk(neighbours, dim=1, sorted=False).indices
        found_n[rows] = _vote(given_r[nearest_bK], given_n[rows]).half()
    return found_n


def _chosen(n: int, references: int, seed: int) -> torch.Tensor:
    """Int64 [r], rising: the samples among which neighbours are searched."""
    if n <= references:
        return torch.arange(n)
    drawn = torch.randperm(n, generator=NEIGHBOURS.torch_generator(seed))[:references]
    return drawn.sort().values


def _vote(labels_bK: torch.Tensor, own_b: torch.Tensor) -> torch.Tensor:
    """Float [b]: the share of the own label minus the largest share of another label."""
    sorted_bK = labels_bK.sort(dim=1).values
    first = torch.searchsorted(sorted_bK, sorted_bK)
    count_bK = torch.searchsorted(sorted_bK, sorted_bK, right=True) - first
    own_bK = sorted_bK == own_b[:, None]
    other_b = count_bK.masked_fill(own_bK, 0).amax(dim=1)
    return (own_bK.sum(dim=1) - other_b) / labels_bK.shape[1]
