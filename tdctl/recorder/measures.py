"""What is recorded of a batch: softmax, margin, loss and entropy, computed from its logits.

Shape suffixes: S samples of a batch or of several, k classes, K kept other classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tdctl.recorder.probabilities import are_probabilities

__all__ = ["Measures", "all_classes", "all_classes_by_row", "largest_classes"]


@dataclass(frozen=True)
class Measures:
    """The recorded values of S samples, on the device of their logits.

    Attributes:
        probs: float16 [S, k], the softmax; column c is class c. Or float16 [S, 1 + K]: the given
            label's probability, then the K largest others in falling order.
        other_class: int32 [S, K], the classes of these K; None if all classes are kept.
        margin: float32 [S], the given label's logit minus the largest other logit.
        loss: float32 [S], cross-entropy of the given label in nats.
        entropy: float32 [S], entropy of the softmax in nats; None if it was not asked for.
        like_probs: bool [S], whether the logits are >= 0 and sum to 1, as probabilities do; None
            if it was not asked for.
    """

    probs: torch.Tensor
    other_class: torch.Tensor | None
    margin: torch.Tensor
    loss: torch.Tensor
    entropy: torch.Tensor | None
    like_probs: torch.Tensor | None


@torch.no_grad()
def all_classes(
    logits_KS: torch.Tensor,
    given_S: torch.Tensor,
    entropy: bool = False,
    like_probs: bool = True,
) -> Measures:
    """Keeps the whole softmax.

    The class axis comes first, because reducing over ten rows is much faster than reducing over
    ten neighbouring values.

    Args:
        logits_KS: float32 [k, S], contiguous; they are overwritten.
        given_S: int64 [S] in [0, k), the given labels.
        entropy: whether the entropy is computed too.
        like_probs: whether it is found out if the logits look like probabilities.
    """
    count = len(given_S)
    place_S = given_S * count
    place_S += torch.arange(count, device=given_S.device)
    flat = logits_KS.view(-1)
    own = flat.index_select(0, place_S)
    top = logits_KS.amax(dim=0)
    like_S = are_probabilities(logits_KS, dim=0) if like_probs else None
    probs_KS = (logits_KS - top).exp_()
    total = probs_KS.sum(dim=0)
    largest_other = flat.index_fill_(0, place_S, -torch.inf).view_as(logits_KS).amax(dim=0)
    probs_KS.div_(total)
    if len(logits_KS) == 1:
        largest_other = own  # there is no other class; the margin is 0
    entropy_S = torch.special.entr(probs_KS).sum(dim=0) if entropy else None
    loss = total.log_().add_(top.sub_(own))
    return Measures(probs_KS.half().t(), None, own - largest_other, loss, entropy_S, like_S)


@torch.no_grad()
def all_classes_by_row(logits_SK: torch.Tensor, given_S: torch.Tensor) -> Measures:
    """Keeps the whole softmax, like ``all_classes`` except for the last bits.

    From about fifty classes on it is faster: one pass along a row computes its softmax.

    Args:
        logits_SK: float32 [S, k], k at least 2; they are overwritten.
        given_S: int64 [S] in [0, k), the given labels.
    """
    given_S1 = given_S[:, None]
    own = logits_SK.gather(1, given_S1)[:, 0]
    log_probs_SK = torch.log_softmax(logits_SK, dim=1)
    loss = -log_probs_SK.gather(1, given_S1)[:, 0]
    largest_other = logits_SK.scatter_(1, given_S1, -torch.inf).amax(dim=1)
    return Measures(log_probs_SK.exp_().half(), None, own - largest_other, loss, None, None)


@torch.no_grad()
def largest_classes(
    logits_SK: torch.Tensor,
    given_S: torch.Tensor,
    others: int,
    entropy: bool = False,
    like_probs: bool = True,
) -> Measures:
    """Keeps the given label's probability and the largest others.

    With many classes a search along each row is fast.

    Args:
        logits_SK: float32 [S, k]; they are overwritten.
        given_S: int64 [S] in [0, k), the given labels.
        others: K, in [1, k).
        entropy: whether the entropy is computed too.
        like_probs: whether it is found out if the logits look like probabilities.
    """
    given_S1 = given_S[:, None]
    own_S1 = logits_SK.gather(1, given_S1)
    total_S1 = logits_SK.logsumexp(dim=1, keepdim=True)
    like_S = are_probabilities(logits_SK, dim=1) if like_probs else None
    entropy_S = None
    if entropy:
        entropy_S = torch.special.entr((logits_SK - total_S1).exp_()).sum(dim=1)
    best = logits_SK.scatter_(1, given_S1, -torch.inf).topk(others, dim=1)
    kept = torch.cat([own_S1, best.values], dim=1)
    margin_S1 = own_S1 - best.values[:, :1]
    return Measures(
        (kept - total_S1).exp_().half(),
        best.indices.int(),
        margin_S1[:, 0],
        (total_S1 - own_S1)[:, 0],
        entropy_S,
        like_S,
    )
