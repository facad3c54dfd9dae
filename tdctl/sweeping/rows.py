"""The rows of a sweep: one training each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tdctl.errors import ConfigError
from tdctl.scores import score_names
from tdctl.sweeping.sweep_file import BEST_SCORE, CLEANINGS, RowGroup, SweepFile

__all__ = ["Row", "plan_rows"]


@dataclass(frozen=True)
class Row:
    """One training of a sweep.

    Attributes:
        noise: name of the noise.
        seed: of the recording and of the training.
        labels: the labels of the training; a word of ``LABELS``.
        detector: the detector or score that ranks; None if no ranking is needed.
        remove_ratio: as in the file; None if the row has no ratio.
        algorithm: name of the algorithm.
        equal: ``epochs`` or ``steps``.
        keep_per_class, relabel_by, confidence_floor, below: as in the file.
        control: whether the row was added as a control, and not asked for.
    """

    noise: str
    seed: int
    labels: str
    detector: str | None
    remove_ratio: str | None
    algorithm: str
    equal: str
    keep_per_class: float | None = None
    relabel_by: str | None = None
    confidence_floor: float | None = None
    below: str | None = None
    control: bool = field(default=False, compare=False)

    @property
    def needs_truth(self) -> bool:
        """Whether the row cannot be made if no label is known to be wrong."""
        return self.labels in ("clean", "true") or self.detector == BEST_SCORE

    @property
    def name(self) -> str:
        """Its folder, below the folder of all rows."""
        return f"{self.recording}/{self.what}"

    @property
    def recording(self) -> str:
        """The folder of its recording."""
        return f"{self.noise}_seed{self.seed}"

    @property
    def what(self) -> str:
        """The name of the row without noise and seed."""
        detector = None if self.detector is None else self.detector.replace("/", "-")
        parts = [self.algorithm, self.labels, detector, self.remove_ratio]
        named = [part.replace(":", "-") for part in parts if part is not None]
        if self.keep_per_class is not None:
            named.append(f"keep{self.keep_per_class:g}")
        if self.confidence_floor is not None:
            named.append(f"floor{self.confidence_floor:g}")
        named += [f"{part}" for part in (self.relabel_by, self.below) if part is not None]
        return "_".join(named) + ("_steps" if self.equal == "steps" else "")

    def key(self) -> dict[str, Any]:
        """The values that identify the row, except the seed; JSON-ready."""
        found = asdict(self)
        del found["seed"], found["control"]
        return found


def plan_rows(sweep: SweepFile) -> list[Row]:
    """All rows of a sweep, each once. All rows of one seed come before those of the next seed.

    Raises:
        ConfigError: two different rows would have the same folder.
    """
    rows = (
        row
        for seed in sweep.seeds
        for noise in sweep.noises
        for group in sweep.rows
        for row in _of_group(group, noise, seed)
    )
    once: dict[Row, Row] = {}
    for one in rows:
        # A row that is asked for is not a control, even if a group also adds it as one.
        once[one] = one if not one.control else once.get(one, one)
    found = list(once.values())
    named: dict[str, Row] = {}
    for one in found:
        if (other := named.setdefault(one.name, one)) is not one:
            differ = [name for name in one.key() if getattr(one, name) != getattr(other, name)]
            raise ConfigError(
                f"sweep: two rows would have the folder {one.name}: they differ only in "
                f"{', '.join(differ)}; choose other names or values"
            )
    return found


def _of_group(group: RowGroup, noise: str, seed: int) -> Iterator[Row]:
    cleans = [word for word in group.labels if word in CLEANINGS]
    for algorithm in group.algorithms:

        def row(
            labels: str,
            detector: str | None = None,
            ratio: str | None = None,
            equal: str = "epochs",
            algorithm: str = algorithm,
        ) -> Row:
            keeps = detector is not None and labels != "reweight"
            floor = group.keep_per_class if keeps else None
            made = Row(noise, seed, labels, detector, ratio, algorithm, equal, floor)
            if labels != "relabel":
                return made
            return replace(
                made,
                relabel_by=group.relabel_by,
                confidence_floor=group.confidence_floor,
                below=group.below,
            )

        if cleans and group.controls:
            yield from (replace(one, control=True) for one in _controls(group, row))
        for word in group.labels:
            for equal in group.equal if word not in ("all", "true") else ("epochs",):
                for ratio in group.remove_ratios:
                    for detector in group.detectors:
                        if word in ("prune", "relabel"):
                            yield row(word, detector, ratio, equal)
                        elif word == "random":
                            yield _random(group, row, detector, ratio, equal)
                        elif word == "reweight":
                            # auto and scores may give no P(mislabeled), so they need the share.
                            yield row(word, detector, ratio if _may_be_score(detector) else None)
                        else:
                            yield row(word, equal=equal)


def _may_be_score(detector: str) -> bool:
    return detector in ("auto", BEST_SCORE) or detector in score_names()


def _controls(group: RowGroup, row: Any) -> Iterator[Row]:
    """The controls, with which the cleanings of a group are compared."""
    yield row("all")
    yield row("clean")
    if "relabel" in group.labels:
        yield row("true")
    for ratio in group.remove_ratios:
        for equal in group.equal:
            for detector in group.detectors:
                yield _random(group, row, detector, ratio, equal)
            yield row("prune", BEST_SCORE, ratio, equal)


def _random(group: RowGroup, row: Any, detector: str, ratio: str, equal: str) -> Row:
    """A random removal. It has a detector only if the number of removed samples depends on it."""
    decides = ratio.startswith("auto") or group.keep_per_class is not None
    found: Row = row("random", detector if decides else None, ratio, equal)
    return found
