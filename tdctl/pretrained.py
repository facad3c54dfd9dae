"""Loads weights to start a classifier from, made by torchvision, timm, tdctl or others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tdctl.catalogue import CATALOGUE
from tdctl.config import Config, NetConfig
from tdctl.errors import ConfigError
from tdctl.files import PickledError, file_digest, load_tensors
from tdctl.nets import check_name, fetch_weights, head_names

__all__ = ["Weights", "check_start", "load_published", "load_weights", "weights_file"]

Tensors = Mapping[str, torch.Tensor]

# torchvision's files of these networks contain auxiliary heads, which tdctl does not build.
AUXILIARY = {"Inception3": ("AuxLogits.",), "GoogLeNet": ("aux1.", "aux2.")}
# Names in torchvision's files of DenseNets, "norm.1", which its network calls "norm1".
DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
# The number of batches that a batch norm has seen. None of our computations depends on it. Older
# files lack it, such as torchvision's ImageNet weights.
COUNTER = ".num_batches_tracked"
# The keys under which training programs save the state dict, among other things.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
# The keys of a running average of the weights, which some programs also save. They evaluate this
# average, and timm loads it if there is one.
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict")
INSTEAD = "give weights of this network with --pretrained FILE, or --pretrained none"


@dataclass(frozen=True)
class Weights:
    """The weights that a network was started from.

    Attributes:
        file: the name of the file, or of published weights.
        sha256: the hex digest of the file's bytes; of published weights, that of their values.
        not_loaded: what was not loaded and why, in words; None if everything was loaded.
        part: the name of the averaged weights in the file, if these were taken; else None.
    """

    file: str
    sha256: str
    not_loaded: str | None
    part: str | None = None

    def facts(self) -> dict[str, str | None]:
        """The facts for the manifest; ``part`` only if there is one, as in earlier versions."""
        return {key: value for key, value in asdict(self).items() if key != "part" or value}

    @property
    def note(self) -> str:
        """One line for the user."""
        part = "" if self.part is None else f"the averaged weights '{self.part}' in "
        return f"starts from {part}{self.file}" + (
            f"; not loaded: {self.not_loaded}" if self.not_loaded else ", all its weights loaded"
        )


def weights_file(config: Config) -> Path | None:
    """The file of weights in the settings; None for published or random weights.

    Raises:
        ConfigError: the file does not exist; or no file is given, but the paper starts this data
            set from ImageNet weights.
    """
    asked, dataset = config.net.pretrained, config.data.dataset
    if asked is None and CATALOGUE[dataset].pretrained:
        whose = "tdctl's" if config.net.is_own else "torchvision's"
        fetch = "" if config.net.is_own else "; --pretrained imagenet lets torchvision fetch them"
        raise ConfigError(
            f"net.pretrained: the paper starts {dataset} from ImageNet weights; give "
            f"--pretrained FILE ({whose} {config.net.label}), or --pretrained none{fetch}"
        )
    if asked in (None, "none", "imagenet"):
        return None
    path = Path(asked)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ConfigError(f"net.pretrained: {path}: {what}; {INSTEAD}")
    return path


def check_start(config: Config) -> None:
    """Refuses a network or weights that do not exist, before any image is read.

    Published weights are fetched here, so that later steps find them in the package's cache.

    Raises:
        ConfigError: as in ``weights_file``; or the name of the network is unknown, or its
            published weights cannot be fetched.
    """
    check_name(config.net)
    weights_file(config)
    if config.net.pretrained == "imagenet":
        fetch_weights(config.net)


def load_published(net: nn.Module, config: NetConfig) -> Weights:
    """Loads the published weights of a network, except its head; see ``load_weights``.

    Args:
        net: the network, which is changed.
        config: its settings.

    Raises:
        ConfigError: there are no such weights, or they cannot be fetched, or do not fit.
    """
    name, state = fetch_weights(config)
    own, found = net.state_dict(), dict(state)
    aside = _drop_auxiliary(net, found)
    head = _keys_below(head_names(net), own)
    for key in head:
        found.pop(key, None)
        del own[key]
    _put(net, found, own, name)
    digest = hashlib.sha256()
    for key in sorted(found):
        digest.update(key.encode() + found[key].cpu().contiguous().numpy().tobytes())
    return Weights(name, digest.hexdigest(), _listed(f"the head ({', '.join(head)})", aside))


def _put(net: nn.Module, found: Tensors, own: Tensors, name: str) -> None:
    """Loads tensors that must fit; the name is that of the weights in the error.

    Raises:
        ConfigError: they do not fit. The network is then unchanged.
    """
    problem = _misfit(found, own)
    if problem is not None:
        raise ConfigError(f"net.pretrained: {name}: {problem}; {INSTEAD}")
    net.load_state_dict(found, strict=False)


def load_weights(net: nn.Module, path: Path) -> Weights:
    """Loads a file of weights into a network.

    The file is a ``.safetensors`` file or a ``torch.save`` file. It holds a state dict, or a dict
    with a state dict as ``state_dict``, ``model_state_dict``, ``model`` or ``net``. If it also
    holds a running average of the weights (``state_dict_ema``, ``model_ema``), the average is
    taken, and the result says so. A prefix of all keys is removed, such as ``module.`` (several
    GPUs) or ``model.`` (Lightning). Tensors beside the complete network, such as the weights of a
    loss, are not loaded but named in the result. If the number of classes differs, or the file has
    no head, the classification head keeps its random weights. The counters of batch norm, which
    older files lack, stay 0.

    Args:
        net: the network, which is changed.
        path: the file.

    Returns:
        The file, its digest, and what was not loaded.

    Raises:
        ConfigError: the file cannot be read or holds something else; or a tensor is missing,
            unexpected, of another shape or type, or not finite. The network is then unchanged.
    """
    try:
        sha256 = file_digest(path)
        own = net.state_dict()
        head = _keys_below(head_names(net), own)
        state, part = _read(path)
        read = {DENSE_LAYER.sub(r"\1\2", key): value for key, value in state.items()}
        found, beside = _without_prefix(read, own, head)
    except PickledError as error:
        raise ConfigError(
            f"net.pretrained: {path}: cannot be read ({error}, which may run any program); save "
            "its state_dict(): torch.save(model.state_dict(), FILE)"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigError(f"net.pretrained: {path}: cannot be read ({reason}); {INSTEAD}") from None
    aside = _drop_auxiliary(net, found)
    other_head = _other_head(found, own, head)
    for key in head if other_head else ():
        found.pop(key, None)
        del own[key]
    _put(net, found, own, str(path))
    other = f"{_first(beside)}, which the network does not have" if beside else None
    return Weights(path.name, sha256, _listed(other_head, aside, other), part)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], str | None]:
    """The tensors of a file by name; and the key of the averaged weights, if these were taken."""
    content: Any
    part = None
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            content = load_file(path)
        except SafetensorError as error:
            raise ValueError(" ".join(str(error).split())) from None
    else:
        content = load_tensors(path)
    for key in (*AVERAGED, *WRAPPERS):
        found = content.get(key) if isinstance(content, Mapping) else None
        if isinstance(found, Mapping) and (found or key in WRAPPERS):
            content, part = found, key if key in AVERAGED else None
            break
    else:
        _check_parts(content)
    if not isinstance(content, Mapping) or not content:
        raise ValueError("it contains no named weights")
    for key, value in content.items():
        dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
        if not isinstance(key, str) or not dense:
            raise ValueError(f"its '{key}' is not a tensor")
    return dict(content), part


def _check_parts(content: Any) -> None:
    """Refuses a checkpoint if the names of its parts do not say which part is the weights."""
    if not isinstance(content, Mapping):
        return
    parts = [key for key, value in content.items() if isinstance(value, Mapping)]
    if parts:
        raise ValueError(
            f"it contains {_first([repr(part) for part in parts])}; expected one of "
            f"{', '.join((*WRAPPERS, *AVERAGED))}; save only the part with the weights"
        )


def _without_prefix(
    found: dict[str, torch.Tensor], own: Tensors, head: Sequence[str]
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors under the network's own names, and the names of the other tensors.

    The prefix is the text before the name of the first weights. It is removed if all tensors have
    it, or if the tensors with it are the complete network.
    """
    needed = {key for key in own if key not in head and not key.endswith(COUNTER)}
    first = next(key for key in own if key in needed)
    if first in found:
        return found, []
    prefixes = [key.removesuffix(first) for key in found if key.endswith(f".{first}")]
    fitting = [p for p in prefixes if needed <= _below(found, p).keys() <= own.keys()]
    if len(fitting) > 1:
        names = " and ".join(f"'{prefix}'" for prefix in sorted(fitting))
        raise ValueError(f"it contains several such networks, {names}")
    # If no prefix fits, remove one that all tensors have, so that errors show the network's names.
    prefix = (fitting or [p for p in prefixes if all(key.startswith(p) for key in found)] or [""])[
        0
    ]
    return _below(found, prefix), [key for key in found if not key.startswith(prefix)]


def _keys_below(names: Sequence[str], state: Tensors) -> tuple[str, ...]:
    """The keys of the layers with these names."""
    return tuple(key for key in state if key.rpartition(".")[0] in names)


def _drop_auxiliary(net: nn.Module, found: dict[str, torch.Tensor]) -> str | None:
    """Removes the auxiliary heads from a state dict, and says so; None if there are none."""
    beginnings = AUXILIARY.get(type(net).__name__, ())
    names = [key for key in found if key.startswith(beginnings)] if beginnings else []
    for name in names:
        del found[name]
    return f"the auxiliary heads ({_first(names)})" if names else None


def _listed(*parts: str | None) -> str | None:
    return ", and ".join(filter(None, parts)) or None


def _below(found: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    length = len(prefix)
    return {key[length:]: value for key, value in found.items() if key.startswith(prefix)}


def _other_head(found: Tensors, own: Tensors, head: Sequence[str]) -> str | None:
    """Describes a head that is missing or for another number of classes; else None."""
    there = [key for key in head if key in found]
    if not there:
        return f"the head ({', '.join(head)}), which the file does not have"
    if len(there) < len(head):
        return None
    ours, theirs = ({key: state[key].shape for key in head} for state in (own, found))
    counts = {shape[0] if shape else None for shape in theirs.values()}
    classes = next(iter(ours.values()))[0]
    if counts in ({classes}, {None}) or len(counts) > 1:
        return None
    if any(shape[1:] != ours[key][1:] for key, shape in theirs.items()):
        return None
    if any(len(shape) != len(ours[key]) for key, shape in theirs.items()):
        return None
    return f"the head ({', '.join(head)}), made for {counts.pop()} classes, not {classes}"


def _misfit(found: Tensors, own: Tensors) -> str | None:
    """Describes what does not fit; None if everything fits."""
    missing = [key for key in own if key not in found and not key.endswith(COUNTER)]
    if missing:
        return f"lacks {_first(missing)}, which the network has"
    unexpected = [key for key in found if key not in own]
    if unexpected:
        return f"contains {_first(unexpected)}, which the network does not have"
    first = next((key for key, value in own.items() if value.ndim == 4), None)
    if first is not None:
        ours, theirs = own[first].shape, found[first].shape
        if ours != theirs and (*ours[:1], *ours[2:]) == (*theirs[:1], *theirs[2:]):
            return f"is for images of {theirs[1]} channels, not {ours[1]}"
    shapes = [
        f"{key} {list(value.shape)} in place of {list(own[key].shape)}"
        for key, value in found.items()
        if value.shape != own[key].shape
    ]
    if shapes:
        return f"has other shapes: {_first(shapes)}"
    # A file that was cast to half holds its counters as floats.
    counted = [key for key in found if not key.endswith(COUNTER)]
    types = [key for key in counted if _is_float(found[key]) != _is_float(own[key])]
    if types:
        return f"contains numbers of another type in {_first(types)}"
    wild = [key for key, v in found.items() if _is_float(v) and not v.float().isfinite().all()]
    return f"contains values that are not finite in {_first(wild)}" if wild else None


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point()


def _first(names: list[str], count: int = 3) -> str:
    rest = len(names) - count
    return ", ".join(names[:count]) + (f" and {rest} more" if rest > 0 else "")
