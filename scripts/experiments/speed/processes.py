"""Section 5: two processes of one thread each against one, and what more machines would do."""

from __future__ import annotations

import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

from scripts.experiments.speed.measure import Section, Spread, Watched, say, tdctl, watch
from scripts.experiments.speed.quality import tdctl_quality
from scripts.experiments.speed.settings import Settings
from tdctl.config import NetConfig
from tdctl.nets import build_net
from tdctl.run import CHECKPOINT_FILE

BATCH = 128
MACHINES = range(2, 9)
# Bytes a second of a network of 1 and of 10 Gbit/s, as an application sees them.
NETWORKS = {"1 Gbit/s": 0.9 * 125e6, "10 Gbit/s": 0.9 * 1250e6}


def measure(settings: Settings) -> Section:
    """One process with one thread, two of them, and one with two threads, in turns, on the CPU.

    Efficiency is T1 / (2 * T2): T1 the epoch of one process with one thread, T2 that of two
    together. 1 means that the sum of the work has not grown.
    """
    made = settings.options
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2", "-m", "tdctl", "generate-td"]
    kinds = {
        "one": (tdctl("generate-td"), 1),
        "two": (torchrun, 1),
        "threads": (tdctl("generate-td"), 2),
    }
    epochs: dict[str, list[float]] = {kind: [] for kind in kinds}
    quality: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    carried: list[int] = []
    for seed in range(made.seeds):
        for kind, (command, threads) in kinds.items():
            out = settings.fresh(f"processes_{kind}")
            before = loopback_bytes()
            seen = _run(settings, command, out, seed, threads)
            if kind == "two":
                carried.append(loopback_bytes() - before)
            epochs[kind].append(Spread.of(seen.epochs).median)
            quality[kind].append(tdctl_quality(out))
            say(f"seconds an epoch, {kind}: {epochs[kind][-1]:.2f}")
    return _report(settings, epochs, quality, carried)


def _run(settings: Settings, command: list[str], out: Path, seed: int, threads: int) -> Watched:
    flags = settings.training(seed, settings.options.epochs_two)
    flags += ["--device", "cpu", *shlex.split(settings.options.tdctl_flags)]
    seen = watch([*command, "--out", out, *flags], commits=out / CHECKPOINT_FILE, threads=threads)
    return seen


def _report(
    settings: Settings,
    epochs: dict[str, list[float]],
    quality: dict[str, list[dict[str, Any]]],
    carried: list[int],
) -> Section:
    section = Section()
    made = settings.options
    doubled = [2 * seconds for seconds in epochs["two"]]
    section.add_ratio("efficiency T1 / (2 T2)", epochs["one"], doubled, ">= 0.9")
    section.add_ratio("speed-up of two processes", epochs["one"], epochs["two"])
    section.add_ratio("speed-up of two threads", epochs["one"], epochs["threads"])
    names = {"one": "one process", "two": "two processes", "threads": "one process, two threads"}
    for kind, name in names.items():
        section.add(f"epoch, {name}", epochs[kind], "s")
        for metric in ("auc", "ap"):
            values = [100 * one["aum_logits"][metric] for one in quality[kind]]
            section.add(f"{metric.upper()} of AUM, {name}", values, "%", "equal")
    images = made.train_images
    steps = -(-images // BATCH)
    net = build_net(NetConfig(depth=made.depth), settings.classes, (3, 32, 32), 0)
    parameters = sum(p.numel() for p in net.parameters())
    row = row_bytes(settings.classes)
    one, two = (statistics.median(epochs[kind]) for kind in ("one", "two"))
    overhead = max(0.0, two - one / 2) / steps
    section.add("step: what two processes wait or do twice", [1e3 * overhead], "ms")
    measured = [total / (made.epochs_two * steps) for total in carried]
    if any(measured):
        section.add("bytes over the loopback, a step", measured, "B")
    section.add("bytes of gradients, a step and process", [gradient_bytes(parameters, 2)], "B")
    section.add("bytes of captured rows, an epoch", [images * row / 2], "B")
    paper = estimate(one, steps, overhead, parameters, images * row)
    for name, machines in paper.items():
        for count, value in machines.items():
            section.add(f"on paper: {count} machines, {name}: efficiency", [value], "x")
    section.details = {
        "images": settings.describe_images(),
        "definition": "efficiency = T1 / (2 * T2), epochs without the first, medians",
        "epochs": epochs,
        "quality": quality,
        "loopback_bytes": carried,
        "parameters": parameters,
        "steps": steps,
        "on_paper": paper,
    }
    return section


def row_bytes(classes: int) -> int:
    """Bytes of one captured row on its way: index, float16 softmax, float32 margin."""
    return 8 + 2 * classes + 4


def gradient_bytes(parameters: int, world: int) -> float:
    """Bytes that each of ``world`` processes sends in a step: a ring all-reduce of float32."""
    return parameters * 4 * 2 * (world - 1) / world


def estimate(
    one: float, steps: int, overhead: float, parameters: int, captured: float
) -> dict[str, dict[int, float]]:
    """Efficiency on W machines of one such process each, by network.

    An epoch takes the computation's W-th part, in each step the overhead that two processes
    showed and the gradients' way, and the way of the rows to the first process. The global
    batch stays; nothing overlaps, and small shares of a batch compute as fast as large ones.

    Args:
        one: seconds of an epoch on one machine.
        overhead: seconds a step.
        captured: bytes of all rows of an epoch.
    """
    result: dict[str, dict[int, float]] = {}
    for name, speed in NETWORKS.items():
        result[name] = {}
        for world in MACHINES:
            wait = steps * (overhead + gradient_bytes(parameters, world) / speed)
            wait += captured * (world - 1) / world / speed
            result[name][world] = one / (world * (one / world + wait))
    return result


def loopback_bytes() -> int:
    """Bytes that this machine has sent to itself so far; 0 where the system does not say."""
    try:
        lines = Path("/proc/net/dev").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split(":")[1].split()[0]) for line in lines if line.strip()[:3] == "lo:")
