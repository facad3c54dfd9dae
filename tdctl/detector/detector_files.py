"""Detector files: the published ``.pth.tar`` layout, and safetensors with a JSON card."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tdctl.config.detector import MOST_WIDE
from tdctl.detector.builtin import builtin_file, builtin_name
from tdctl.detector.channels import CHANNELS
from tdctl.detector.features import FEATURES, check_features
from tdctl.detector.lstm import LstmDetector
from tdctl.detector.model import Card, Detector
from tdctl.detector.nets import NETS, make_net
from tdctl.detector.probe import check_telling
from tdctl.detector.reader import PAPERS, Reader
from tdctl.errors import DetectorError
from tdctl.files import atomic_path, load_tensors, save_tensors, write_json

__all__ = ["detector_files", "detector_label", "load_detector", "save_detector", "written_files"]

TAR = ".pth.tar"
TENSORS = ".safetensors"
# Entries of the JSON file that are not fields of ``Card``.
BESIDE = {"features", "reader", "weights"}


def detector_files(path: Path) -> tuple[Path, Path, Path]:
    """The three files of a detector: ``NAME.pth.tar``, ``NAME.safetensors``, ``NAME.json``.

    Args:
        path: one of the three, or the path without a suffix.

    Raises:
        DetectorError: the path is a folder.
    """
    name = path.name
    if not name or path.is_dir():
        raise DetectorError(f"{path}: is a folder; expected a file name such as {path}/a.pth.tar")
    for suffix in (TAR, TENSORS, ".json"):
        name = name.removesuffix(suffix)
    return tuple(path.with_name(name + s) for s in (TAR, TENSORS, ".json"))  # type: ignore[return-value]


def detector_label(path: Path) -> str:
    """A detector's name without folder and suffix, usable as part of a folder name."""
    name = builtin_name(path)
    if name is not None:
        return "builtin" if name == "builtin" else f"builtin_{name}"
    return detector_files(path)[0].name.removesuffix(TAR)


def written_files(path: Path, reader: Reader) -> tuple[Path, ...]:
    """The files that ``save_detector`` writes for a detector with this reader.

    Raises:
        DetectorError: the path is a folder; or it names the published layout, but the network is
            not the paper's.
    """
    files = detector_files(path)
    if reader.is_papers:
        return files
    if path.name.endswith(TAR):
        raise DetectorError(
            f"{path}: {TAR} is the published layout, for --detector-net lstm --channels given "
            f"without --steps or --width; name {files[1].name}"
        )
    return files[1:]


def save_detector(path: Path, detector: Detector) -> tuple[Path, ...]:
    """Writes the files of a detector, each completely or not at all.

    The weights go to a safetensors file. A JSON card next to it also says how the detector reads
    a run. For the paper's network a ``.pth.tar`` is written too. It has the published entries
    ``epoch``, ``state_dict``, ``best_prec`` and ``optimizer``, and the card as JSON text, which
    other programs ignore. For another network, an existing ``.pth.tar`` with this name is
    removed, because one name means one detector.

    Args:
        path: one of the files, or the path without a suffix.
        detector: the detector.

    Returns:
        The paths of the files; the ``.pth.tar`` is first if there is one.

    Raises:
        DetectorError: as in ``written_files``.
    """
    from safetensors.torch import save

    files = written_files(path, detector.reader)
    tar, tensors, card_file = detector_files(path)
    card = asdict(detector.card) if detector.card is not None else None
    # The digest shows whether the weights and the card belong together.
    card = (card or {}) | {"features": FEATURES, "weights": detector.fingerprint()}
    if not detector.reader.is_papers:
        card["reader"] = asdict(detector.reader)
    state = {
        key: value.detach().cpu().contiguous() for key, value in detector.net.state_dict().items()
    }
    # With a path, safetensors raises errors of its own if the disk is full.
    with atomic_path(tensors) as part:
        part.write_bytes(save(state))
    write_json(card_file, card)
    if detector.reader.is_papers:
        content = {
            "epoch": detector.epoch,
            "state_dict": state,
            "best_prec": detector.best_prec,
            "optimizer": _on_cpu(detector.optimizer),
            "card": json.dumps(card),
        }
        save_tensors(tar, content)
    else:
        # A .pth.tar of an earlier detector with this name would not match these files.
        tar.unlink(missing_ok=True)
    return files


def _on_cpu(value: Any) -> Any:
    """The same nested state on the CPU, so that a machine without the device can read it."""
    if isinstance(value, dict):
        return {key: _on_cpu(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_on_cpu(part) for part in value]
    return value.cpu() if isinstance(value, torch.Tensor) else value


def load_detector(path: Path | str, device: torch.device | str = "cpu") -> Detector:
    """Loads a detector: a ``.pth.tar`` (ours or published), a ``.safetensors``, or a shipped one.

    Unpickling is limited to tensors, plain values and the numpy scalar that published files have
    in ``best_prec``. A file with anything else is refused, and nothing in it is executed.

    Args:
        path: a file, or ``builtin`` or ``builtin:NAME``.
        device: the device of the network.

    Returns:
        The detector, for ``tdctl.suspicion`` or ``Detector.score``.

    Raises:
        DetectorError: the file is missing; or contains anything else; or its weights do not fit
            its card; or it was trained on another version of the input features; or its output
            does not depend on the curve.

    Example::

        >>> detector = tdctl.load_detector(Path("builtin"))
        >>> dynamics, labels, _ = tdctl.read_run("runs/a")
        >>> suspicion = detector.score(dynamics)
    """
    path = Path(path)
    name = builtin_name(path)
    file = path if name is None else builtin_file(name)
    content = _read_tensors(file) if file.name.endswith(TENSORS) else _read_tar(file)
    facts = _facts(file, content.get("card"))
    check_features(file, facts)
    reader = _reader(file, facts)
    net = (
        _papers(file, content["state_dict"])
        if reader.is_papers
        else _ours(file, reader, content["state_dict"])
    )
    try:
        epoch, best_prec = int(content.get("epoch", 0)), float(content.get("best_prec", 0.0))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise DetectorError(f"{file}: its epoch or best_prec is not a number") from None
    optimizer = content.get("optimizer")
    if not isinstance(optimizer, dict | None):
        raise DetectorError(f"{file}: its optimizer is not the state of an optimizer")
    detector = Detector(net, _card(file, facts), epoch, best_prec, optimizer or {}, reader)
    if "weights" in facts and facts["weights"] != detector.fingerprint():
        raise DetectorError(
            f"{file}: its weights are not those that its card describes; copy both files of the "
            "detector together"
        )
    if name is None:  # those that ship were looked at, and are those of their cards
        check_telling(net, reader, str(file))
    net.to(device)
    return detector


def _papers(path: Path, state: dict[str, Any]) -> LstmDetector:
    try:
        channels = state["lstm.weight_ih_l0"].shape[1]
        hidden = state["lstm.weight_hh_l0"].shape[1]
        layers = sum(key.startswith("lstm.weight_hh_l") for key in state)
        net = LstmDetector(channels, hidden, layers)
        net.load_state_dict(state)
    except (KeyError, AttributeError, IndexError, TypeError, RuntimeError):
        raise DetectorError(
            f"{path}: not an LSTM detector; expected the parameters lstm.* and classifier.*, or "
            "a card beside it that names another network"
        ) from None
    if channels != 1:
        raise DetectorError(
            f"{path}: reads {channels} channels; expected 1, the given label's probability"
        )
    return net


def _ours(path: Path, reader: Reader, state: dict[str, Any]) -> nn.Module:
    net = make_net(reader.net, len(reader.channels), reader.width)
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError):
        raise DetectorError(
            f"{path}: its weights are not those of the {reader.net} of {len(reader.channels)} "
            "channels that its card names; copy both files of the detector together, or train it "
            "again"
        ) from None
    return net


def _read_tar(path: Path) -> dict[str, Any]:
    # Published files have a numpy float64 in best_prec, by its name in numpy 1 or in numpy 2.
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [np.dtype, np.dtypes.Float64DType, scalar]
    allowed += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    try:
        content = load_tensors(path, allowed)
    except FileNotFoundError:
        raise _missing(path) from None
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

    if path.is_dir():
        raise DetectorError(f"{path}: is a folder; expected a detector file")
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise _missing(path) from None
    except (SafetensorError, OSError) as error:
        raise DetectorError(f"{path}: not a safetensors file ({error})") from None
    card_file = detector_files(path)[2]
    try:
        card = card_file.read_text(encoding="utf-8") if card_file.exists() else None
    except UnicodeDecodeError:
        raise DetectorError(f"{card_file}: is not the JSON that tdctl writes") from None
    return {"state_dict": state, "card": card}


def _missing(path: Path) -> DetectorError:
    beside = detector_files(path)[1]
    advice = (
        f"use {beside}"
        if beside.exists()
        else f"make one with tdctl train-detector --out {path}, or use builtin"
    )
    return DetectorError(f"{path}: no such detector; {advice}")


def _facts(path: Path, text: Any) -> dict[str, Any]:
    """The content of the card; empty if there is none."""
    if text is None:
        return {}
    try:
        facts = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        facts = ""
    if facts is None:
        return {}
    if not isinstance(facts, dict):
        card = f"{detector_files(path)[2]}" if path.name.endswith(TENSORS) else f"{path}: its card"
        raise DetectorError(
            f"{card} is not the JSON that tdctl writes; copy both files of the detector together"
        )
    return facts


def _reader(path: Path, facts: dict[str, Any]) -> Reader:
    if "reader" not in facts:
        return PAPERS
    try:
        reader = Reader(**facts["reader"])
        reader = replace(reader, channels=tuple(reader.channels))
        known = (
            reader.net in NETS
            and len(reader.channels) > 0
            and set(reader.channels) <= set(CHANNELS)
            and type(reader.steps) is int
            and 0 <= reader.steps <= 1000
            and type(reader.width) is int
            and 0 <= reader.width <= MOST_WIDE
        )
    except TypeError:
        known = False
    if not known:
        raise DetectorError(
            f"{path}: its card names a network or channels that this version of tdctl does not "
            "know; use the version that trained it, or train it again"
        )
    return reader


def _card(path: Path, facts: dict[str, Any]) -> Card | None:
    told = {key: value for key, value in facts.items() if key not in BESIDE}
    if not told:
        return None
    try:
        card = Card(**told)
        for run in card.trained_on:
            if not isinstance(run, dict) or not isinstance(run.get("fingerprint"), str | None):
                raise TypeError
        return card
    except TypeError:
        raise DetectorError(f"{path}: its card is not the JSON that tdctl writes") from None
