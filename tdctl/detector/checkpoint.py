"""Detector files: the published ``.pth.tar`` layout, and safetensors with a JSON card."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tdctl.detector.lstm import LstmDetector
from tdctl.detector.scoring import check_informative, probe_curves, suspicion
from tdctl.errors import DetectorError
from tdctl.files import atomic_path, load_tensors, save_tensors, write_json

__all__ = ["Card", "Detector", "detector_files", "load_detector", "save_detector"]

TAR = ".pth.tar"
TENSORS = ".safetensors"
PROBE_EPOCHS = (2, 5, 10, 50, 200)


@dataclass(frozen=True)
class Card:
    """What a detector was trained on and how well it did on what was held out.

    Attributes:
        trained_on: for each run its folder's name, samples, epochs and fingerprint.
        held_out: how rows were held out, how many, and AUC and AP on them. The best epoch was
            chosen on the same rows, so the figures lean to the good side.
        settings: preset, rate, epochs, restarts, seed.
        version: of tdctl.
    """

    trained_on: list[dict[str, Any]]
    held_out: dict[str, Any]
    settings: dict[str, Any]
    version: str


@dataclass
class Detector:
    """A detector network and what is known about it.

    Attributes:
        net: the LSTM.
        card: None for files of other code.
        epoch, best_prec, optimizer: the further entries of the published layout.
    """

    net: LstmDetector
    card: Card | None = None
    epoch: int = 0
    best_prec: float = 0.0
    optimizer: dict[str, Any] = field(default_factory=dict)

    def has_seen(self, fingerprint: str) -> bool | None:
        """Whether the run was trained on; None where the file does not say."""
        if self.card is None:
            return None
        seen = {run.get("fingerprint") for run in self.card.trained_on}
        if fingerprint in seen:
            return True
        # Fine-tuned from a file that does not say: it may have seen anything.
        return None if None in seen else False

    def fingerprint(self) -> str:
        """Hex digest of the weights."""
        digest = hashlib.sha256()
        for key, value in sorted(self.net.state_dict().items()):
            digest.update(key.encode() + value.cpu().numpy().tobytes())
        return digest.hexdigest()


def detector_files(path: Path) -> tuple[Path, Path, Path]:
    """The three files of a detector: ``NAME.pth.tar``, ``NAME.safetensors``, ``NAME.json``.

    Raises:
        DetectorError: the path is a folder.
    """
    name = path.name
    if not name or path.is_dir():
        raise DetectorError(f"{path}: is a folder; expected a file name such as {path}/a.pth.tar")
    for suffix in (TAR, TENSORS, ".json"):
        name = name.removesuffix(suffix)
    return tuple(path.with_name(name + s) for s in (TAR, TENSORS, ".json"))  # type: ignore[return-value]


def save_detector(path: Path, detector: Detector) -> tuple[Path, Path, Path]:
    """Writes the three files of a detector, each whole or not at all, and returns their paths.

    The ``.pth.tar`` has the published entries ``epoch``, ``state_dict``, ``best_prec`` and
    ``optimizer``, and beside them the card as JSON text, which other readers ignore.
    """
    from safetensors.torch import save_file

    tar, tensors, card_file = detector_files(path)
    card = asdict(detector.card) if detector.card is not None else None
    state = {
        key: value.detach().cpu().contiguous() for key, value in detector.net.state_dict().items()
    }
    content = {
        "epoch": detector.epoch,
        "state_dict": state,
        "best_prec": detector.best_prec,
        "optimizer": _on_cpu(detector.optimizer),
        "card": json.dumps(card),
    }
    with atomic_path(tensors) as part:
        save_file(state, part)
    write_json(card_file, card)
    save_tensors(tar, content)
    return tar, tensors, card_file


def _on_cpu(value: Any) -> Any:
    """The same nested state, readable on a machine without the device it is on."""
    if isinstance(value, dict):
        return {key: _on_cpu(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_on_cpu(part) for part in value]
    return value.cpu() if isinstance(value, torch.Tensor) else value


def load_detector(path: Path, device: torch.device | str = "cpu") -> Detector:
    """A detector from ``.pth.tar`` (ours or published) or ``.safetensors``.

    Nothing is unpickled but tensors, plain values and the numpy scalar that published files
    hold as ``best_prec``.

    Raises:
        DetectorError: the file is missing, holds anything else, is not this network, or the
            network's output does not depend on the curve.
    """
    content = _read_tensors(path) if path.name.endswith(TENSORS) else _read_tar(path)
    state = content["state_dict"]
    try:
        channels = state["lstm.weight_ih_l0"].shape[1]
        hidden = state["lstm.weight_hh_l0"].shape[1]
        layers = sum(key.startswith("lstm.weight_hh_l") for key in state)
        net = LstmDetector(channels, hidden, layers)
        net.load_state_dict(state)
    except (KeyError, AttributeError, IndexError, TypeError, RuntimeError):
        raise DetectorError(
            f"{path}: not an LSTM detector; expected the parameters lstm.* and classifier.*"
        ) from None
    if channels != 1:
        raise DetectorError(
            f"{path}: reads {channels} channels; expected 1, the given label's probability"
        )
    probes = [suspicion(net, probe_curves(epochs)) for epochs in PROBE_EPOCHS]
    # One that was trained on a few epochs may be right to answer all of fifty alike.
    check_informative(max(probes, key=lambda scores: float(np.ptp(scores))), str(path))
    net.to(device)
    try:
        epoch, best_prec = int(content.get("epoch", 0)), float(content.get("best_prec", 0.0))
    except (TypeError, ValueError, RuntimeError):
        raise DetectorError(f"{path}: its epoch or best_prec is not a number") from None
    card = _card(path, content.get("card"))
    return Detector(net, card, epoch, best_prec, content.get("optimizer") or {})


def _read_tar(path: Path) -> dict[str, Any]:
    # Published files hold a numpy float64 in best_prec, under numpy's name of before or since 2.0.
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [np.dtype, np.dtypes.Float64DType, scalar]
    allowed += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    try:
        content = load_tensors(path, allowed)
    except FileNotFoundError:
        raise DetectorError(
            f"{path}: no such detector; make one with tdctl train-detector --out {path}"
        ) from None
    except IsADirectoryError:
        raise DetectorError(f"{path}: is a folder; expected a detector file") from None
    except ValueError as error:
        raise DetectorError(
            f"{path}: not a detector of tensors and numbers ({error}); nothing was executed"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise DetectorError(f"{path}: no state_dict in it; expected a detector checkpoint")
    return content


def _read_tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except FileNotFoundError:
        raise DetectorError(
            f"{path}: no such detector; make one with tdctl train-detector --out {path}"
        ) from None
    except (SafetensorError, OSError) as error:
        raise DetectorError(f"{path}: not a safetensors file ({error})") from None
    card_file = detector_files(path)[2]
    try:
        card = card_file.read_text(encoding="utf-8") if card_file.exists() else None
    except UnicodeDecodeError:
        raise DetectorError(f"{card_file}: is not the JSON that tdctl writes") from None
    return {"state_dict": state, "card": card}


def _card(path: Path, text: Any) -> Card | None:
    if text is None or text == "null":
        return None
    try:
        card = Card(**json.loads(text))
        if not all(isinstance(run, dict) for run in card.trained_on):
            raise TypeError
        return card
    except (TypeError, ValueError):
        raise DetectorError(f"{path}: its card is not the JSON that tdctl writes") from None
