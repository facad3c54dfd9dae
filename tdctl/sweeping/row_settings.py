"""The settings of the rows of a sweep."""

from __future__ import annotations

from typing import Any

from tdctl.config import Config
from tdctl.settings import flat, load_config
from tdctl.sweeping.rows import Row
from tdctl.sweeping.sweep_file import SweepFile

__all__ = ["RowSettings"]


class RowSettings:
    """The settings of the rows; rows with the same noise, seed and algorithm share them."""

    def __init__(self, sweep: SweepFile) -> None:
        self._sweep = sweep
        self._found: dict[tuple[str, int, str | None], Config] = {}

    def of_recording(self, row: Row) -> Config:
        """The settings of a row's recording.

        Raises:
            ConfigError: a setting is unknown or out of range.
        """
        return self._config(row, None, {})

    def of_training(self, row: Row) -> Config:
        """The settings of a row's training; nothing is recorded unless the sweep asks for it.

        Raises:
            ConfigError: a setting is unknown or out of range.
        """
        algorithm = flat(self._sweep.settings_of(row.algorithm), "robust.")
        return self._config(row, row.algorithm, algorithm)

    def _config(self, row: Row, name: str | None, algorithm: dict[str, Any]) -> Config:
        key = (row.noise, row.seed, name)
        if key not in self._found:
            sweep = self._sweep
            settings = flat(sweep.settings) | flat(sweep.noises[row.noise]) | {"seed": row.seed}
            if name is not None:
                settings = {"robust.record": "none"} | settings | algorithm
            self._found[key] = load_config(None, settings)
        return self._found[key]
