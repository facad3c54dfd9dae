"""The settings of a command that trains, with what the pictures ask for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdctl.cli.boundary import say
from tdctl.cli.options import Settings
from tdctl.errors import DataError
from tdctl.settings import Resolved
from tdctl.torchrun import place

if TYPE_CHECKING:
    from tdctl.runner import Suited

__all__ = ["SuitedSettings"]


@dataclass(frozen=True)
class SuitedSettings:
    """Settings, and what the pictures ask for in them.

    Attributes:
        resolved: all settings.
        wanted: what the pictures ask for and the user has not set; None for nothing.
    """

    resolved: Resolved
    wanted: Suited | None

    @classmethod
    def of(
        cls,
        settings: Settings,
        base: dict[str, Any] | None = None,
        pinned: Iterable[str] = (),
        shown: bool = False,
    ) -> SuitedSettings:
        """What a user asked for, above ``base``, completed by what the pictures ask for.

        Args:
            settings: what the user asked for.
            base, pinned: as in ``tdctl.settings.resolve``.
            shown: the settings are only shown. Then data that cannot be read are a note.

        Raises:
            ConfigError: as ``Settings.resolve``.
            DataError: the data set is missing or malformed.
        """
        found = settings.resolve(base, pinned)
        from tdctl import runner

        try:
            wanted = runner.suit(found.config, found.named)
        except DataError as error:
            if not shown:
                raise
            say(f"note: the image size does not follow from the images yet: {error}")
            return cls(found, None)
        if wanted is None:
            return cls(found, None)
        quietly = replace(settings, reads_data=False)
        return cls(quietly.resolve(base, pinned, wanted.choice.settings), wanted)

    @classmethod
    def going_on(
        cls, settings: Settings, base: dict[str, Any] | None, folder: Path, shown: bool = False
    ) -> SuitedSettings:
        """The settings of a run to resume. Its own (``base``) name the size that it began with.

        Raises:
            RunError: as ``Settings.going_on``.
        """
        if base is None:
            settings.check_named(folder)
        return cls.of(settings, base, shown=shown)

    def tell(self, timed: bool = True) -> None:
        """Says what was chosen, and (``timed``) how long the recording will take."""
        if self.wanted is None:
            return
        from tdctl.training import World, pick_device

        config = self.resolved.config
        timed = timed and place().size == 1
        world = World(device=pick_device(config.device)) if timed else None
        say(f"note: {self.wanted.line(config, world)}")
