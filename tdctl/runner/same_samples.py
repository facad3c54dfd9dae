"""Whether the samples and given labels of a complete run are still those that it was made with."""

from __future__ import annotations

from tdctl.config import Config
from tdctl.inputs import check_same_data, prepare
from tdctl.run import RunFolder

__all__ = ["check_same_samples"]


def check_same_samples(run: RunFolder, config: Config) -> str | None:
    """Refuses given labels, and embeddings, that have changed since a run was complete.

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
    gone = [path for path in (data.root, data.labels) if path is not None and not path.exists()]
    if gone:
        return f"{gone[0]} is no longer there, so it is not compared with the run"
    if config.noise.noise_type == "instance":  # that noise needs all pixels
        return None
    prepared = prepare(config, dry=not vectors)
    if vectors:
        check_same_data(run.path, prepared.dataset)
    given = prepared.given.labels.fingerprint()
    run.check_same("given_fingerprint", given, where_known=True, of="the given labels")
    return None
