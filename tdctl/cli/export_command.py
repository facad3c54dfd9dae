"""The subcommand that writes a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, print_json, untouched_by_torchrun
from tdctl.cli.flags import AsJson, DetectorFile, Device, Overwrite, Run, the_source
from tdctl.cli.output import echo
from tdctl.errors import ConfigError

__all__ = ["export"]


@guarded
def export(
    td: Run,
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            help="cleanlab: pred_probs and labels as npz, label quality as CSV; datamap: CSV of "
            "confidence, variability, correctness; interpretdl: its training_dynamics.npz; "
            "order: order and predictions as its interpreter returns them.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write: .npz; .csv for datamap.")],
    detector: DetectorFile = None,
    score: Annotated[
        str | None,
        typer.Option("--score", help="Hand-made score instead of a detector (cleanlab, order)."),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out",
            help="Write the softmax of networks that had not seen the sample (needs a run with "
            "--folds). cleanlab expects such pred_probs.",
        ),
    ] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a run for cleanlab, InterpretDL or a data map.

    Example: tdctl export --td runs/a --format cleanlab --score aum --out probs.npz

    Example: tdctl export --td runs/a --format cleanlab --score oof-aum --held-out --out p.npz

    Example: tdctl export --td runs/a --format datamap --out map.csv
    """
    untouched_by_torchrun("export")
    source = None if detector is None and score is None else the_source(detector, score)
    from tdctl import runner

    if kind not in runner.FORMATS:
        raise ConfigError(f"format: '{kind}' is unknown; use one of {', '.join(runner.FORMATS)}")
    files = runner.export(
        td, kind, out, source, held_out=held_out, overwrite=overwrite, device=device
    )
    if as_json:
        print_json({"run": str(td), "format": kind, "files": [str(path) for path in files]})
        return
    for path in files:
        echo(f"written    {path}")
