"""Section 2: an epoch of generate-td over as many steps of the bare network."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from scripts.experiments.speed.measure import BenchError, Section, say
from scripts.experiments.speed.settings import Settings
from tdctl.config import Config, NetConfig, TrainConfig
from tdctl.files import write_text
from tdctl.nets import build_net
from tdctl.runner import generate_td
from tdctl.settings import load_config
from tdctl.training import Progress, pick_device, pick_precision

BATCH = 128


def measure(settings: Settings) -> Section:
    """Short recordings and bare loops in turns, in this process.

    Of a recording the epochs between the first and the last count: the first warms up, and
    the last evaluates (nothing else does here).
    """
    made = settings.options
    device = pick_device("auto")
    config = _config(settings)
    seconds, manifest, shape = _epochs(settings, config)
    facts = {name: manifest[name] for name in manifest if "compil" in name or "graph" in name}
    loops = _loops(settings, device, shape, any(value is True for value in facts.values()))
    found: dict[str, list[float]] = {name: [] for name in loops}
    ours: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(made.pairs):
        for name, epoch in loops.items():
            seconds, _, _ = _epochs(settings, config)
            for one in seconds:
                ours[name].append(one)
                found[name].append(_seconds(epoch, device))
            say(f"seconds an epoch: tdctl {ours[name][-1]:.3f}, bare {name} {found[name][-1]:.3f}")
    section = Section()
    target = "<= 1.05" if device.type == "cuda" else "<= 1.10"
    for name in loops:
        section.add_ratio(f"epoch: tdctl / bare, {name}", ours[name], found[name], target)
        section.add(f"epoch, tdctl beside bare {name}", ours[name], "s")
        section.add(f"epoch, bare {name}", found[name], "s")
    section.details = {
        "images": settings.describe_images(),
        "batch": BATCH,
        "precision": pick_precision(TrainConfig(), device),
        "manifest": facts,
        "tdctl": ours,
        "bare": found,
    }
    if made.profile:
        path = made.out.with_name(f"{made.out.stem}_profile.txt")
        write_text(path, _profile(settings, config, device))
        section.details["profile"] = path.name
    return section


def _config(settings: Settings) -> Config:
    made = settings.options
    keys: dict[str, Any] = {
        "recipe": "paper",
        "data.dataset": "folder",
        "data.data_dir": settings.images(),
        "data.limit": settings.limit,
        "noise.noise_ratio": made.noise_ratio,
        "net.depth": made.depth,
        "train.epochs": made.epochs_bare,
        "train.eval_every": made.epochs_bare,
    }
    if made.compile != "default":
        keys["train.compile"] = made.compile == "on"
    return load_config(None, keys)


def _epochs(
    settings: Settings, config: Config, report: Callable[[Progress], None] | None = None
) -> tuple[list[float], dict[str, Any], tuple[int, ...]]:
    """Seconds of the middle epochs of one recording, its manifest, and [n, C, H, W]."""
    stamps: dict[int, float] = {}

    def stamp(progress: Progress) -> None:
        if progress.step == progress.steps:
            stamps.setdefault(progress.epoch, time.perf_counter())
        if report is not None:
            report(progress)

    manifest = generate_td(config, settings.fresh("bare"), report=stamp).manifest
    ends = [stamps[epoch] for epoch in sorted(stamps)][:-1]
    seconds = [b - a for a, b in pairwise(ends)]
    if not seconds:
        raise BenchError("--epochs-bare: the first and the last epoch do not count; give 3 or more")
    dataset = manifest["dataset"]
    return seconds, manifest, (dataset["train"], *dataset["image"])


def _loops(
    settings: Settings, device: torch.device, shape: tuple[int, ...], compiled: bool
) -> dict[str, Callable[[], None]]:
    """Epochs of the bare network: eager, compiled where tdctl compiles, as a CUDA graph.

    An epoch has as many steps as tdctl's, the last as small as there.
    """

    def epoch(compiled: bool, graphed: bool) -> Callable[[], None]:
        sizes = [BATCH] * (shape[0] // BATCH) + [shape[0] % BATCH] * (shape[0] % BATCH > 1)
        steps = {size: _step(settings, device, (size, *shape[1:]), compiled) for size in set(sizes)}
        if graphed:
            steps = {size: _graphed(step) for size, step in steps.items()}

        def run() -> None:
            for size in sizes:
                steps[size]()

        return run

    loops = {"eager": epoch(False, False)}
    if compiled or settings.options.compile == "on":
        loops["compiled"] = epoch(True, False)
    if device.type == "cuda":
        loops["graph"] = epoch(compiled, True)
    for run in loops.values():
        _seconds(run, device)
    return loops


def _step(
    settings: Settings, device: torch.device, shape: tuple[int, ...], compiled: bool
) -> Callable[[], None]:
    """One step on a fixed batch: forward, cross-entropy, backward, fused SGD."""
    classes = settings.classes
    bfloat16 = pick_precision(TrainConfig(), device) == "bfloat16"
    net: nn.Module = build_net(
        NetConfig(depth=settings.options.depth), classes, (shape[1], shape[2], shape[3]), 0
    )
    net.to(device=device, memory_format=torch.channels_last)
    net.train()
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True
    )
    images = torch.randn(*shape, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(classes, shape[:1], device=device)
    forward: Callable[[torch.Tensor], torch.Tensor] = torch.compile(net) if compiled else net

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            logits = forward(images)
        loss = nn.functional.cross_entropy(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def _graphed(step: Callable[[], None]) -> Callable[[], None]:
    """The step recorded once as a CUDA graph, and replayed."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _seconds(epoch: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    epoch()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _profile(settings: Settings, config: Config, device: torch.device) -> str:
    """The profiler's table of the second epoch of a recording."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    profiler = torch.profiler.profile(activities=activities)

    def report(progress: Progress) -> None:
        if progress.step == progress.steps and progress.epoch == 1:
            profiler.start()
        if progress.step == progress.steps and progress.epoch == 2:
            profiler.stop()

    _epochs(settings, config, report)
    by = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return str(profiler.key_averages().table(sort_by=by, row_limit=40)) + "\n"
