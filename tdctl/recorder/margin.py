"""The logit margin of AUM."""

from __future__ import annotations

import torch

__all__ = ["logit_margin"]


def logit_margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The logit of a label minus the largest other logit; low means more likely mislabeled.

    AUM, the area under the margin, is its mean over the epochs (the score ``aum``). The recorder
    computes the same number in a faster way while it collects batches; a test compares the two.

    Args:
        logits: float [..., k], the network's output before the softmax; k is at least 2.
        labels: int64 [...], the label of each row, in [0, k).

    Returns:
        Float [...], with the type of the logits.

    Example::

        >>> logit_margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
        tensor([1.])

    Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking",
        NeurIPS 2020 (arXiv 2001.10528), equation 1.
    """
    given = labels.unsqueeze(-1)
    own = logits.gather(-1, given).squeeze(-1)
    return own - logits.scatter(-1, given, -torch.inf).amax(dim=-1)
