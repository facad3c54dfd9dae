"""Which device computes, in which precision, compiled or not."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from typing import Literal

import torch

from tdctl.config import FitConfig
from tdctl.errors import ConfigError

__all__ = ["Precision", "compile_pays", "pick_device", "pick_precision", "tune_process"]

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# What compiling costs in seconds, and the share of the eager time that it then saves: on a CPU
# 0.09 of the bare network's time was measured (replication/speed.md), on CUDA nothing
# yet. Both are chosen cautiously.
COMPILE_SECONDS = 40.0
COMPILE_SAVES = {"cpu": 0.05, "cuda": 0.3}
# Sustained floating point operations a second (of the forward pass, counted three times for a
# step) that the length of a run is judged by; on a CPU what two cores gave with ResNet-32. Rough
# on purpose: the choice must depend on the settings and the kind of device alone, or two runs of
# one seed could differ.
SPEED = {("cpu", False): 1e11, ("cpu", True): 2e11, ("cuda", False): 1e13, ("cuda", True): 4e13}


def pick_device(name: str) -> torch.device:
    """The device for ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: the name is unknown, or that device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in {"cpu", "cuda"}:
        raise ConfigError(f"device: '{name}' is unknown; use auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(f"device: '{name}' is not there, torch sees {count} CUDA devices")
    return device


def pick_precision(config: FitConfig, device: torch.device) -> Precision:
    """The precision of the network: as asked, else the lower one where the hardware has it.

    Float16 is chosen on CUDA alone, bfloat16 on a CPU only where that computes it natively.
    """
    if config.amp is not None:
        return config.amp_dtype if config.amp else "float32"
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return config.amp_dtype if native or config.amp_dtype == "float16" else "float32"
    # torch has no public question for this; without the instructions bfloat16 is slower.
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bfloat16" if config.amp_dtype == "bfloat16" and ask() else "float32"


def compile_pays(
    config: FitConfig, flops: float, images: int, device: torch.device
) -> tuple[bool, str]:
    """Whether to compile the network, and why: as asked, else where it saves more than it costs.

    Args:
        flops: floating point operations of one image's forward pass.
        images: training images.

    The choice follows from settings, data and kind of device alone, so that a run repeats.
    """
    if config.compile is not None:
        return config.compile, "as asked"
    reduced = pick_precision(config, device) != "float32"
    eager = 3 * flops * images * config.epochs / SPEED[device.type, reduced]
    saved = eager * COMPILE_SAVES[device.type]
    text = f"about {eager:,.0f} s of training, compiling would save {saved:,.0f} s"
    if not _can_compile(device):
        return False, f"{text}, but there is no compiler for it"
    return saved > 3 * COMPILE_SECONDS, f"{text} and cost some {COMPILE_SECONDS:.0f} s"


def _can_compile(device: torch.device) -> bool:
    """Whether the compiler that torch would call is there."""
    if device.type == "cpu":
        return shutil.which(os.environ.get("CXX") or "g++") is not None
    from torch.utils._triton import has_triton

    compilers = [os.environ["CC"]] if os.environ.get("CC") else ["gcc", "clang"]
    return has_triton() and any(shutil.which(name) for name in compilers)


def tune_process() -> None:
    """Sets this process up for training, which concerns all that runs in it.

    The C library (glibc) keeps freed memory for the next step: a network's tensors of some MB
    come and go with each step, and giving such blocks back to the system and taking them again
    costs a page fault for every 4 kB. Where the user has set its variables (``MALLOC_...``),
    they stand. On CUDA the fastest convolutions are found by trial.
    """
    torch.backends.cudnn.benchmark = True
    if not sys.platform.startswith("linux") or any(key.startswith("MALLOC_") for key in os.environ):
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        map_threshold, trim_threshold, never = -3, -1, -1  # of malloc.h and mallopt(3)
        set_option(map_threshold, 1 << 30)
        set_option(trim_threshold, never)
