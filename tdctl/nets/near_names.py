"""The names that are most like a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["near_names"]


def near_names(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Up to ``count`` of the names that are most like ``name``, the nearest first.

    Case does not matter. Names that begin like ``name`` come next if too few are alike.
    """
    folded = {known.casefold(): known for known in names}
    wanted = name.casefold()
    near = difflib.get_close_matches(wanted, folded, n=count, cutoff=0.6)
    near += [one for one in folded if one.startswith(wanted) and one not in near]
    return [folded[one] for one in near[:count]]
