"""Loads weights to start a classifier from, made by torchvision, tdctl or similar programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tdctl.catalogue import CATALOGUE
from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.files import PickledError, file_digest, load_tensors

__all__ = ["Weights", "load_weights", "weights_file"]

Tensors = Mapping[str, torch.Tensor]

HEAD = ("fc.weight", "fc.bias")
FIRST = "conv1.weight"
# The number of batches that a batch norm has seen. None of our computations depends on it. Older
# files lack it, such as torchvision's ImageNet weights.
COUNTER = ".num_batches_tracked"
# The keys under which training programs save the state dict, beside other things.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
INSTEAD = "give weights of this network with --pretrained FILE, or --pretrained none"


@dataclass(frozen=True)
class Weights:
    """The file of weights that a network was started from.

    Attributes:
        file: the name of the file.
        sha256: the hex digest of its bytes.
        not_loaded: what was not loaded and why, in words; None if everything was loaded.
    """

    file: str
    sha256: str
    not_loaded: str | None

    def facts(self) -> dict[str, str | None]:
        """The facts for the manifest."""
        return asdict(self)

    @property
    def note(self) -> str:
        """One line for the user."""
        return f"starts from {self.file}" + (
            f"; not loaded: {self.not_loaded}" if self.not_loaded else ", all of it loaded"
        )


def weights_file(config: Config) -> Path | None:
    """The file of weights in the settings; None to start from random weights.

    Raises:
        ConfigError: the file does not exist; or no file is given, but the paper starts this data
            set from ImageNet weights.
    """
    asked, dataset = config.net.pretrained, config.data.dataset
    if asked is None and CATALOGUE[dataset].pretrained:
        whose = "tdctl's" if config.net.net_type in {"resnet", "wide"} else "torchvision's"
        raise ConfigError(
            f"net.pretrained: the paper starts {dataset} from ImageNet weights; give "
            f"--pretrained FILE ({whose} {config.net.label}), or --pretrained none"
        )
    if asked is None or asked == "none":
        return None
    path = Path(asked)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ConfigError(f"net.pretrained: {path}: {what}; {INSTEAD}")
    return path


def load_weights(net: nn.Module, path: Path) -> Weights:
    """Loads a file of weights into a network.

    The file is a ``.safetensors`` file or a ``torch.save`` file. It holds a state dict, or a dict
    with a state dict as ``state_dict``, ``model_state_dict``, ``model`` or ``net``. A prefix of all
    keys is removed, such as ``module.`` (several GPUs) or ``model.`` (Lightning). Tensors beside
    the complete network, such as the weights of a loss, are not loaded but named in the result. If
    the number of classes differs, the classification head (``fc``) is not loaded either. The
    counters of batch norm, which older files lack, stay 0.

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
        found, beside = _without_prefix(_read(path), own)
    except PickledError as error:
        raise ConfigError(
            f"net.pretrained: {path}: cannot be read ({error}, which may run any program); save "
            "its state_dict(): torch.save(model.state_dict(), FILE)"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigError(f"net.pretrained: {path}: cannot be read ({reason}); {INSTEAD}") from None
    other_head = _other_head(found, own)
    for key in HEAD if other_head else ():
        del found[key], own[key]
    problem = _misfit(found, own)
    if problem is not None:
        raise ConfigError(f"net.pretrained: {path}: {problem}; {INSTEAD}")
    net.load_state_dict(found, strict=False)
    other = f"{_first(beside)}, which the network has not" if beside else None
    return Weights(path.name, sha256, ", and ".join(filter(None, (other_head, other))) or None)


def _read(path: Path) -> dict[str, torch.Tensor]:
    content: Any
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            content = load_file(path)
        except SafetensorError as error:
            raise ValueError(" ".join(str(error).split())) from None
    else:
        content = load_tensors(path)
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise ValueError("it holds no weights by name")
    for key, value in content.items():
        dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
        if not isinstance(key, str) or not dense:
            raise ValueError(f"its '{key}' is no tensor")
    return dict(content)


def _without_prefix(
    found: dict[str, torch.Tensor], own: Tensors
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors under the network's own names, and the names of the other tensors.

    The prefix is the text before the name of the first layer. It is removed if all tensors have it,
    or if the tensors with it are the complete network.
    """
    if FIRST in found:
        return found, []
    prefixes = [key.removesuffix(FIRST) for key in found if key.endswith(f".{FIRST}")]
    needed = {key for key in own if key not in HEAD and not key.endswith(COUNTER)}
    fitting = [p for p in prefixes if needed <= _below(found, p).keys() <= own.keys()]
    if len(fitting) > 1:
        names = " and ".join(f"'{prefix}'" for prefix in sorted(fitting))
        raise ValueError(f"it holds several such networks, {names}")
    # If no prefix fits, remove one that all tensors have, so that errors show the network's names.
    prefix = (fitting or [p for p in prefixes if all(key.startswith(p) for key in found)] or [""])[
        0
    ]
    return _below(found, prefix), [key for key in found if not key.startswith(prefix)]


def _below(found: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    length = len(prefix)
    return {key[length:]: value for key, value in found.items() if key.startswith(prefix)}


def _other_head(found: Tensors, own: Tensors) -> str | None:
    """Describes a head for another number of classes; None if there is no such head."""
    if not all(key in found and key in own for key in HEAD):
        return None
    (weight, bias), (classes, features) = (found[key] for key in HEAD), own[HEAD[0]].shape
    if weight.shape != (bias.numel(), features) or bias.ndim != 1 or len(bias) == classes:
        return None
    return f"the head ({', '.join(HEAD)}), which is for {len(bias)} classes, not {classes}"


def _misfit(found: Tensors, own: Tensors) -> str | None:
    """Describes what does not fit; None if everything fits."""
    missing = [key for key in own if key not in found and not key.endswith(COUNTER)]
    if missing:
        return f"lacks {_first(missing)}, which the network has"
    unexpected = [key for key in found if key not in own]
    if unexpected:
        return f"holds {_first(unexpected)}, which the network has not"
    ours, theirs = own[FIRST].shape, found[FIRST].shape
    if ours != theirs and (*ours[:1], *ours[2:]) == (*theirs[:1], *theirs[2:]):
        return f"is for images of {theirs[1]} channels, not {ours[1]}"
    shapes = [
        f"{key} {list(value.shape)} in place of {list(own[key].shape)}"
        for key, value in found.items()
        if value.shape != own[key].shape
    ]
    if shapes:
        return f"has other shapes: {_first(shapes)}"
    types = [key for key, v in found.items() if _is_float(v) != _is_float(own[key])]
    if types:
        return f"holds numbers of another type in {_first(types)}"
    wild = [key for key, v in found.items() if _is_float(v) and not v.float().isfinite().all()]
    return f"holds values that are not finite in {_first(wild)}" if wild else None


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point()


def _first(names: list[str], count: int = 3) -> str:
    rest = len(names) - count
    return ", ".join(names[:count]) + (f" and {rest} more" if rest > 0 else "")
