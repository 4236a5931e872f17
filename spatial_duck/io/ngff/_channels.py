"""Coordinates of an image to and from ``omero.channels`` in a group's attributes.

The standard describes channels: a name, a color, a window, whether they are shown. These are the
coordinates

==================== =======================  ==================================================
coordinate           values                   in a channel of ``omero``
==================== =======================  ==================================================
channel              text                     ``label``
channel_color        text, ``RRGGBB``         ``color``
display_window       numbers, shape (n, 2)    ``window.start``, ``window.end``: what is shown
display_range        numbers, shape (n, 2)    ``window.min``, ``window.max``: what can be chosen
channel_active       bool                     ``active``
channel_inverted     bool                     ``inverted``
channel_family       text                     ``family``
channel_coefficient  numbers                  ``coefficient``
==================== =======================  ==================================================

of the channel axis, or of the whole image if it has none. The standard requires a color and a
window of every channel: if the image has none, defaults are written, and
``"spatial_duck": {"omero": [...]}`` lists the coordinates that are the image's own. All other
coordinates are stored beside the standard, under ``"spatial_duck": {"coords": {...}}``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.io._coords import AxisCoord

__all__ = ["from_omero", "to_omero"]

#: Entries of a channel with one value, and their types, by the coordinate that holds them.
_ENTRIES: dict[str, tuple[str, type]] = {
    "channel": ("label", str),
    "channel_color": ("color", str),
    "channel_active": ("active", bool),
    "channel_inverted": ("inverted", bool),
    "channel_family": ("family", str),
    "channel_coefficient": ("coefficient", float),
}
#: Pairs of entries of a channel's window.
_WINDOWS = {"display_window": ("start", "end"), "display_range": ("min", "max")}
#: A color as users may give it, and as the standard stores it.
_COLOR_GIVEN, _STORED_COLOR = (
    re.compile(r"#?([0-9A-Fa-f]{6})(?:[0-9A-Fa-f]{2})?"),
    re.compile("[0-9A-F]{6}"),
)
#: Colors of channels that have none, in this order and again from the start; one alone is white.
_PALETTE = ("FF0000", "00FF00", "0000FF", "FF00FF", "00FFFF", "FFFF00")


# --- writing ------------------------------------------------------------------------------


def to_omero(
    coords: Mapping[str, AxisCoord], axis: int | None, count: int, dtype: Any
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return ``omero``, or None if an image has no coordinate of its channels.

    Parameters
    ----------
    coords : mapping of str to AxisCoord
        Coordinates of the image.
    axis : int or None
        Channel axis of the image.
    count : int
        Number of channels; 1 without a channel axis.
    dtype : dtype
        Type of the voxels.

    Returns
    -------
    omero : dict or None
        The entry.
    names : list of str
        The coordinates that it holds exactly.
    """
    names = [
        n for n in (*_ENTRIES, *_WINDOWS) if n in coords and _is_storable(n, coords[n], axis, count)
    ]
    if not names:
        return None, []
    columns = {
        name: (coords[name].values if axis is not None else coords[name].values[None]).tolist()
        for name in names
    }
    limits = _type_limits(np.dtype(dtype))
    channels = []
    for i in range(count):
        channel: dict[str, Any] = {"active": True, "window": {}}
        for name, (key, _) in _ENTRIES.items():
            if name in columns and columns[name][i] not in ("", None):
                channel[key] = columns[name][i]
        for name in ("display_range", "display_window"):
            pair = columns[name][i] if name in columns else limits
            # Both pairs are required.
            channel["window"] |= dict(zip(_WINDOWS[name], pair, strict=True))
        color = _COLOR_GIVEN.fullmatch(str(channel.get("color", "")))
        white = "FFFFFF" if count == 1 else _PALETTE[i % len(_PALETTE)]
        channel["color"] = color[1].upper() if color else white
        channels.append(channel)
    if not all(_STORED_COLOR.fullmatch(color) for color in columns.get("channel_color", ())):
        names.remove("channel_color")
    return {"channels": channels}, names


def _is_storable(name: str, coord: AxisCoord, axis: int | None, count: int) -> bool:
    """Whether a coordinate lies along the channel axis and ``omero`` can hold it exactly."""
    if coord.attrs or coord.axis != axis:
        return False
    values = coord.values if axis is not None else coord.values[None]
    if name in _WINDOWS:
        return values.shape == (count, 2) and values.dtype.kind in "iuf" and _is_finite(values)
    kind = {str: "U", bool: "b", float: "iuf"}[_ENTRIES[name][1]]
    if values.shape != (count,) or values.dtype.kind not in kind:
        return False
    if name == "channel_color":
        return all(not v or _COLOR_GIVEN.fullmatch(v) for v in values.tolist())
    return kind in "Ub" or _is_finite(values)


def _is_finite(values: NDArray[Any]) -> bool:
    return bool(np.isfinite(values).all())


def _type_limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the least and the greatest value of an integer type; 0 and 1 for others."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return 0, 1


# --- reading ------------------------------------------------------------------------------


def from_omero(
    path: object, omero: Any, axis: int | None, count: int
) -> dict[str, tuple[Any, ...]]:
    """Return the coordinates that ``omero`` holds, as `SpatialArray` takes them.

    A value that some channels lack is NaN or an empty string there; a bool that some lack is left
    out.
    """
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list) or not channels:
        return {}
    if len(channels) != count or not all(isinstance(c, Mapping) for c in channels):
        warnings.warn(
            f"{path}: omero describes {len(channels)} channels, and the image has {count}; their "
            "names, colors and windows are not read",
            UserWarning,
            stacklevel=4,
        )
        return {}
    found: dict[str, tuple[Any, ...]] = {}
    where: Any = () if axis is None else axis
    for name, (key, kind) in _ENTRIES.items():
        values = [c.get(key) for c in channels]
        known = [v for v in values if isinstance(v, (kind, int) if kind is float else kind)]
        if not known or (kind is bool and len(known) < count):
            continue
        missing: Any = "" if kind is str else float("nan")
        column = np.array([v if v in known else missing for v in values])
        found[name] = (where, column if axis is not None else column[0])
    windows = [w if isinstance(w := c.get("window"), Mapping) else {} for c in channels]
    for name, keys in _WINDOWS.items():
        pairs = [[_number_or_none(w.get(k)) for k in keys] for w in windows]
        if all(None not in pair for pair in pairs):
            column = np.array(pairs)
            found[name] = (where, column if axis is not None else column[0])
    return found


def _number_or_none(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
