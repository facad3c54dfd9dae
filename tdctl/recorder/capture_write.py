"""Writes a recorded epoch into the capture, one slab of rows at a time.

Shape suffixes: n samples, s rows of a slab, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from tdctl.dynamics import Store
from tdctl.recorder.epoch_rows import EpochRows
from tdctl.slabs import SLAB, ArrayFile, slabs_of

__all__ = ["put_softmax"]


def put_softmax(
    capture: Mapping[str, ArrayFile], epoch: int, rows: EpochRows, store: Store
) -> None:
    """Writes the part of an epoch's softmax that the store keeps."""
    if store.others:
        _put_kept(capture, epoch, rows, store)
        return
    probs = capture["probs"].at(epoch)
    for start, stop in _slabs(rows, 2):
        probs.put(rows.probs[start:stop].cpu().numpy(), start)


def _put_kept(capture: Mapping[str, ArrayFile], epoch: int, rows: EpochRows, store: Store) -> None:
    """Writes the given label's probability, the largest others, their entropy and the sums."""
    slot = epoch % 2
    places = {name: capture[name].at(epoch) for name in ("given", "other", "other_class")}
    if rows.entropy is not None:
        capture["entropy"].at(epoch).put(rows.entropy[:-1].cpu().numpy())
    if rows.other_class is not None:
        columns = (rows.probs[:, 0], rows.probs[:, 1:], rows.other_class)
        for place, values in zip(places.values(), columns, strict=True):
            place.put(values[:-1].cpu().numpy().astype(place.dtype))
        return
    before, total = capture["total"].at(1 - slot), capture["total"].at(slot)
    for start, stop in _slabs(rows, 16):
        probs_sk = rows.probs[start:stop].float()
        given_s1 = rows.given[start:stop, None]
        found = {"given": probs_sk.gather(1, given_s1)[:, 0]}
        sum_sk = probs_sk.cpu().numpy()
        others = probs_sk.scatter(1, given_s1, -1.0).topk(store.others, dim=1)
        found |= {"other": others.values, "other_class": others.indices}
        for name, place in places.items():
            place.put(found[name].cpu().numpy().astype(place.dtype), start)
        total.put(sum_sk + before.block(start, stop) if epoch else sum_sk, start)


def _slabs(rows: EpochRows, value_bytes: int) -> list[tuple[int, int]]:
    # The last row is for samples with an unknown index, so it is not written.
    row = value_bytes * rows.probs.shape[1]
    return list(slabs_of(len(rows.probs) - 1, max(1, SLAB // row)))
