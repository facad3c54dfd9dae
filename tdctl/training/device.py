"""The device, the precision, and whether the network is compiled."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from typing import Literal

import torch
from torch import nn

from tdctl.config import FitConfig
from tdctl.errors import ConfigError

__all__ = ["Precision", "compile_pays", "pick_device", "pick_precision", "tune_process"]

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# The cost of compiling in seconds, and the share of the uncompiled time that it then saves. On a
# CPU, savings of 0.09 were measured for the network alone (replication/speed.md). On CUDA nothing
# was measured yet. Both values are chosen cautiously.
COMPILE_SECONDS = 40.0
COMPILE_SAVES = {"cpu": 0.05, "cuda": 0.3}
# Floating point operations per second, from which the length of a run is estimated (a step counts
# three times its forward pass). The CPU values are those of two cores with ResNet-32. The values
# are fixed on purpose: the choice may depend only on the settings and the kind of device,
# otherwise two runs with the same seed could differ.
SPEED = {("cpu", False): 1e11, ("cpu", True): 2e11, ("cuda", False): 1e13, ("cuda", True): 4e13}


def pick_device(name: str) -> torch.device:
    """The device for ``auto`` (CUDA if available), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: the name is unknown, or the device does not exist.
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


def pick_precision(
    config: FitConfig, device: torch.device, net: nn.Module | None = None
) -> Precision:
    """The precision of the network: as the user asked, otherwise the lower one if it is fast.

    By default, float16 is chosen only on CUDA, and bfloat16 on a CPU only if the CPU supports it
    natively and the network is faster with it. With small depthwise convolutions it is slower: on
    one core, a training step of an image of 112 pixels takes 25 ms in bfloat16 and 13 ms in float32
    with EfficientNet-Lite0, and 9 and 4 ms with MobileNetV3. With ConvNeXt, whose depthwise
    convolutions are large, it takes 12 and 16 ms, and with ResNet-18 16 and 23 ms.

    Args:
        config: the settings of the training.
        device: the device.
        net: the network; None for one without depthwise convolutions.
    """
    if config.amp is not None:
        return config.amp_dtype if config.amp else "float32"
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return config.amp_dtype if native or config.amp_dtype == "float16" else "float32"
    # torch has no public function for this. Without native support bfloat16 is slower.
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    slow = net is not None and any(_is_small_depthwise(layer) for layer in net.modules())
    return "bfloat16" if config.amp_dtype == "bfloat16" and ask() and not slow else "float32"


def _is_small_depthwise(layer: nn.Module) -> bool:
    """Whether a layer is a convolution of each channel by itself, of at most 5 x 5 pixels."""
    if not isinstance(layer, nn.Conv2d) or layer.groups == 1:
        return False
    return layer.groups == layer.in_channels and max(layer.kernel_size) <= 5


def compile_pays(
    config: FitConfig, flops: float, images: int, device: torch.device
) -> tuple[bool, str]:
    """Whether to compile the network, and the reason in words.

    The user's setting decides. Otherwise the network is compiled if that saves more time than it
    costs. This estimate depends only on the settings, the data and the kind of device, so that a
    run can be repeated exactly.

    Args:
        config: the settings of the training.
        flops: floating point operations of the forward pass of one image.
        images: number of training images.
        device: the device.
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
    """Whether the compiler that torch would call is installed."""
    if device.type == "cpu":
        return shutil.which(os.environ.get("CXX") or "g++") is not None
    from torch.utils._triton import has_triton

    compilers = [os.environ["CC"]] if os.environ.get("CC") else ["gcc", "clang"]
    return has_triton() and any(shutil.which(name) for name in compilers)


def tune_process() -> None:
    """Sets up this process for training; this affects everything that runs in it.

    The C library (glibc) is told to keep freed memory. Each step allocates and frees tensors of
    several MB. Returning such blocks to the system and requesting them again would cost a page
    fault for every 4 kB. If the user has set ``MALLOC_...`` variables, nothing is changed. On
    CUDA, the fastest convolutions are found by trial.
    """
    torch.backends.cudnn.benchmark = True
    if not sys.platform.startswith("linux") or any(key.startswith("MALLOC_") for key in os.environ):
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        map_threshold, trim_threshold, never = -3, -1, -1  # from malloc.h, see mallopt(3)
        set_option(map_threshold, 1 << 30)
        set_option(trim_threshold, never)
