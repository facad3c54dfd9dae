"""Whether the samples and given labels of a complete run are still those that it was made with."""

from __future__ import annotations

from pathlib import Path

from tdctl.config import Config
from tdctl.data.dataset import digest_of
from tdctl.errors import RunError
from tdctl.files import MANIFEST_FILE, file_digest, read_json
from tdctl.inputs import check_same_data, prepare
from tdctl.run import RunFolder

__all__ = ["check_same_samples"]


def check_same_samples(run: RunFolder, config: Config) -> str | None:
    """Refuses labels, embeddings, and files of weights that have changed since a run was complete.

    Images are not decoded again, so changed pixels are not noticed.

    Args:
        run: the folder, which has been opened.
        config: all settings.

    Returns:
        A note if the data are no longer there, so that they cannot be compared; else None.

    Raises:
        DataError, RunError: they have changed.
    """
    data, vectors = config.data, config.data.dataset == "embeddings"
    asked = config.net.pretrained
    weights = None if asked in (None, "none", "imagenet") else Path(asked)
    named = (data.root, data.labels, weights)
    gone = [path for path in named if path is not None and not path.exists()]
    if gone:
        return f"{gone[0]} is no longer there, so it is not compared with the run"
    if weights is not None:
        _check_same_weights(run, weights)
    if config.noise.noise_type == "instance":  # that noise needs all pixels
        return None
    prepared = prepare(config, dry=not vectors)
    if vectors:
        check_same_data(run.path, prepared.dataset)
    given = prepared.given.labels.fingerprint()
    run.check_same("given_fingerprint", given, where_known=True, of="the given labels")
    return None


def _check_same_weights(run: RunFolder, file: Path) -> None:
    """Refuses a file of weights with other content, where the run recorded its digest."""
    manifest, now = read_json(run.path / MANIFEST_FILE), file_digest(file)
    of_net = (manifest.get("pretrained") or {}).get("sha256")
    # data_identity holds a digest of each part, here of the file's digest.
    of_features = (manifest.get("data_identity") or {}).get("features by")
    if of_net not in (None, now) or of_features not in (None, digest_of(now)):
        raise RunError(
            f"{run.path}: was made with other weights than {file} holds now; give those weights "
            "with --pretrained, or another --out, or start again with --overwrite"
        )
