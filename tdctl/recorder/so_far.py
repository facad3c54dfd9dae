"""The dynamics that a recording has so far, before it is finished.

Shape suffixes: n samples, E epochs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tdctl.dynamics import TD_FILE, Store, TrainingDynamics, read_run, write_kept, write_td
from tdctl.errors import DynamicsError
from tdctl.files import MANIFEST_FILE, read_json
from tdctl.labels import Labels
from tdctl.metadata import METADATA_FILE, read_metadata, write_metadata
from tdctl.recorder.capture import CAPTURE_FOLDERS, COMMITTED
from tdctl.slabs import ArrayFile, open_array

__all__ = ["SoFar", "goes_on", "read_so_far"]

STATE, STATS, FULL = "state", "stats", "probs"
KEPT = ("given", "other", "other_class", "entropy")
SUMS = "total"
# A training that writes two epochs while one is read replaces the sums that are read.
TRIES = 3


@dataclass(frozen=True)
class SoFar:
    """What a recording holds before its end.

    Attributes:
        dynamics: of the E epochs that are over.
        labels: of the n samples.
        planned: how many epochs the recording is to have.
    """

    dynamics: TrainingDynamics
    labels: Labels
    planned: int


def goes_on(folder: Path) -> bool:
    """Whether a run folder holds a recording that is not finished."""
    if not (folder / CAPTURE_FOLDERS[0] / f"{STATE}.npy").exists():
        return False
    manifest = folder / MANIFEST_FILE
    if manifest.exists():
        return bool(read_json(manifest).get("status") != "complete")
    return not (folder / TD_FILE).exists()


def read_so_far(folder: Path) -> SoFar:
    """Reads the whole epochs of a recording that is not finished; the training may go on meanwhile.

    They are the same dynamics as those of a recording of so many epochs. They are written to a
    temporary file, from which they are then read slab by slab. Held-out curves are not read.

    Args:
        folder: a run folder for which ``goes_on`` is true.

    Raises:
        DynamicsError: no epoch is over; or the recording does not read, or is of an earlier tdctl,
            which kept no labels beside it.
    """
    capture = folder / CAPTURE_FOLDERS[0]
    if not (capture / METADATA_FILE).exists():
        raise DynamicsError(
            f"{capture}: holds no labels, because an earlier tdctl began the recording; its labels "
            "are ranked once it is finished"
        )
    labels, _ = read_metadata(capture / METADATA_FILE)
    for _ in range(TRIES):
        try:
            arrays = {name: array for name, array in _opened(capture)}
            state = np.asarray(arrays[STATE])
            done = int(np.argmin(np.append(state == COMMITTED, False)))
            if not done:
                raise DynamicsError(f"{folder}: no epoch is over yet; call again after the second")
            dynamics = _dynamics(arrays, done, labels)
            now = np.asarray(arrays[STATE])
        except (OSError, ValueError, KeyError) as error:
            raise DynamicsError(
                f"{capture}: the recording does not read ({error}); where it has just been "
                "finished, call again"
            ) from None
        if SUMS not in arrays or not now[done + 1 :].any():
            return SoFar(dynamics, labels, len(state))
    raise DynamicsError(
        f"{folder}: its epochs are over faster than they are read; wait for its end"
    )


def _opened(capture: Path) -> list[tuple[str, ArrayFile]]:
    names = [STATE, STATS, *(FULL, SUMS, *KEPT)]
    paths = [capture / f"{name}.npy" for name in names]
    return [(path.stem, open_array(path)) for path in paths if path.exists()]


def _dynamics(arrays: dict[str, ArrayFile], done: int, labels: Labels) -> TrainingDynamics:
    margin, loss = (arrays[STATS].at(i).first(done) for i in (0, 1))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / TD_FILE
        if FULL in arrays:
            write_td(path, arrays[FULL].first(done), margin, labels, loss)
        else:
            kept = {name: arrays[name].first(done) for name in KEPT if name in arrays}
            others = int(kept["other"].shape[2])
            total = arrays[SUMS].at((done - 1) % 2) if SUMS in arrays else None
            store = Store(f"topk:{others}", others, total is not None)
            given = {**kept, "margin": margin, "loss": loss}
            write_kept(path, given, total, labels, store, _classes(arrays, labels))
        write_metadata(Path(place) / METADATA_FILE, labels, np.zeros(0, dtype=np.int64))
        # What is opened stays readable after the folder is gone.
        return read_run(Path(place))[0]


def _classes(arrays: dict[str, ArrayFile], labels: Labels) -> int:
    """K, or with very many classes one more than the largest that occurs."""
    if SUMS in arrays:
        return int(arrays[SUMS].shape[2])
    others = arrays["other_class"]
    most = max(int(others.at(epoch).whole().max()) for epoch in range(len(others)))
    return 1 + max(most, int(labels.assigned.max()))
