"""Which device computes, and in which precision."""

from __future__ import annotations

import torch

from tdctl.errors import ConfigError

__all__ = ["pick_device", "use_bfloat16"]


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


def use_bfloat16(amp: bool | None, device: torch.device) -> bool:
    """Whether to compute in bfloat16: as asked, else where the hardware does it natively."""
    if amp is not None:
        return amp
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch has no public question for this; without the instructions bfloat16 is slower.
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(ask())
