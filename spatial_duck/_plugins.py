"""Objects that other packages offer by entry points: formats, engines."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["plugins"]


def plugins(group: str, kind: Any, what: str, taken: Collection[str] = ()) -> tuple[Any, ...]:
    """Return the objects of a group of entry points; one that cannot be used is named.

    Parameters
    ----------
    group : str
        Name of the entry points.
    kind : type
        The abstract class that the objects must be of.
    what : str
        What they are, for messages.
    taken : collection of str, optional
        Names that they may not have.
    """
    return _load(group, kind, what, tuple(taken), tuple(sys.path))


@cache
def _load(
    group: str, kind: Any, what: str, taken: tuple[str, ...], _path: tuple[str, ...]
) -> tuple[Any, ...]:
    """Do it; the answer holds while ``sys.path`` is the same."""
    from importlib.metadata import entry_points

    found: list[Any] = []
    for entry in entry_points(group=group):
        try:
            made = entry.load()
        except Exception as error:  # any package may raise anything, and the others work
            warnings.warn(
                f"the {what} {entry.name!r} of {entry.value} cannot be loaded: {error!r}",
                stacklevel=6,
            )
            continue
        if not isinstance(made, kind) or getattr(made, "name", None) in taken:
            base = f"{kind.__module__.partition('._')[0]}.{kind.__name__}"
            own = ", with a name of its own" if taken else ""
            warnings.warn(
                f"the entry point {entry.name!r} in {group} must be an object of a class derived "
                f"from {base}{own}, got {made!r}",
                stacklevel=6,
            )
            continue
        found.append(made)
    return tuple(found)
