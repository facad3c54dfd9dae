"""The subcommand that draws one figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.clean_command import moved_settings
from tdctl.cli.console import console
from tdctl.cli.flags import DetectorFile, Run, the_source
from tdctl.cli.progress_lines import shown_progress

__all__ = ["plot"]


@guarded
def plot(
    td: Run,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="histogram of suspicion, roc, pr (precision over recall), datamap, curves (mean "
            "curves), samples (pictures of the most suspicious), confusion (which class is taken "
            "for which), log (of the training) or sweep (errors over remove ratios).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write: .svg, .png or .pdf.")],
    detector: DetectorFile = None,
    score: Annotated[
        str | None,
        typer.Option(
            "--score", help="Hand-made score instead of a detector; tdctl scores lists them."
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            min=1,
            help="For --kind samples: number of pictures (default: 50). For --kind confusion: "
            "number of class pairs (default: 20).",
            show_default=False,
        ),
    ] = None,
    by_class: Annotated[
        bool,
        typer.Option(
            "--by-class", help="For --kind samples: show the worst of each class, class by class."
        ),
    ] = False,
    denoise: Annotated[
        Path | None,
        typer.Option(
            "--denoise",
            help="For --kind sweep: folder of a denoising (default: the run's own).",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Where the run's data lies now (default: as recorded)."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no progress on stderr.")] = False,
) -> None:
    """Draw one figure of a run.

    Example: tdctl plot --kind histogram --td runs/a --out histogram.svg

    Example: tdctl plot --kind samples --top 50 --by-class --td runs/a --out worst.png
    """
    untouched_by_torchrun("plot")
    source = the_source(detector, score)
    from tdctl import runner

    # Only pictures, and the folder of a denoising, are found by the settings.
    needs = kind in {"samples", "sweep"}
    if data_dir is not None and not needs:
        raise typer.BadParameter(f"{kind} reads no pictures: leave out --data-dir")
    config = moved_settings(td, data_dir, None, device) if needs else None
    with shown_progress(quiet) as report:
        result = runner.plot(
            td, kind, out, source, config=config, denoise=denoise, top=top, by_class=by_class,
            overwrite=overwrite, device=device, report=report,
        )  # fmt: skip
    for note in result.notes:
        say(f"note: {note}")
    if as_json:
        print_json(
            {"run": str(td), "kind": kind, "file": str(result.file), "notes": list(result.notes)}
        )
    else:
        console().print(f"plot       {result.file}")
