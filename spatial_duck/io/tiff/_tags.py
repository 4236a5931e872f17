"""Metadata of OME-TIFF and ImageJ's TIFF from the geometry and coordinates of an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.geometry._world import LENGTHS, SPACE_AXES
from spatial_duck.io._json import KEY
from spatial_duck.io.tiff._dialects import IMAGEJ_OWN
from spatial_duck.io.tiff._metadata import convert_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spatial_duck.geometry import Geometry

__all__ = ["WrittenAxes", "imagej_tags", "ome_tags"]

#: Units as OME-XML spells them.
_OME_UNITS = {"um": "µm", "angstrom": "Å", "us": "µs", "in": "in"}
#: Arguments of tifffile's `TiffWriter.write`: metadata, and options.
Tags = tuple[dict[str, Any], dict[str, Any]]


class WrittenAxes(NamedTuple):
    """Axes of an image as they are written, with its coordinates.

    Attributes
    ----------
    geometry : Geometry
        Geometry in the order of the file, y and x last.
    letters : str
        TIFF's letters of the axes.
    coords : mapping of str to Coordinate
        Coordinates of the image.
    attrs : mapping
        Attrs of the image for the dialect.
    """

    geometry: Geometry
    letters: str
    coords: Mapping[str, Any]
    attrs: Mapping[str, Any]

    def coordinate_along(self, name: str, letter: str) -> Any:
        """Return a coordinate that lies along an axis, or None."""
        found = self.coords.get(name)
        axis = self.letters.find(letter)
        if found is None or axis < 0 or not found.dims:
            return None
        fits = found.dims[0] == self.geometry.dims[axis] and len(found) == self.geometry.shape[axis]
        return found if fits else None

    @property
    def n_planes(self) -> int:
        """Number of planes."""
        return math.prod(self.geometry.shape[:-2])

    def value_by_plane(self, letter: str, values: Any) -> list[Any]:
        """Return for each plane one of the values along an axis."""
        shape = self.geometry.shape[:-2]
        axis = self.letters.index(letter)
        return [values[index[axis]] for index in np.ndindex(shape)]


def _axis_sizes(g: Geometry) -> dict[str, tuple[float, str | None]]:
    """Return spacing and unit of each sampled axis."""
    out = {}
    for i, s, column in zip(g.sampled_axes, g.spacing, g.direction.T, strict=True):
        units = {g.unit[int(r)] for r in np.flatnonzero(column)}
        out[str(g.dims[i])] = (float(s), units.pop() if len(units) == 1 else None)
    return out


def _origins(g: Geometry) -> dict[str, tuple[float, str | None]]:
    """Return position and unit of the first voxel along each axis of space; empty if all are 0.

    Empty for an oblique image too, which other software sees unrotated.
    """
    for axis, column in zip(g.sampled_axes, g.direction.T, strict=True):
        if [g.world.axes[int(r)] for r in np.flatnonzero(column)] != [g.dims[axis]]:
            return {}
    found = {
        n: (float(o), u) for n, o, u in zip(g.world.axes, g.origin, g.unit, strict=True)
        if n in SPACE_AXES
    }  # fmt: skip
    return found if any(o for o, _ in found.values()) else {}


def _resolution_tags(sizes: Mapping[str, tuple[float, str | None]]) -> dict[str, Any]:
    """Return pixel sizes as resolution tags in centimetres, which ImageJ and others read."""
    lengths = [sizes[n] for n in ("x", "y") if n in sizes and sizes[n][1] in LENGTHS]
    if len(lengths) != 2:
        return {}
    per = [LENGTHS["cm"] / (s * LENGTHS[str(u)]) for s, u in lengths]
    # A tag holds a fraction of two 32-bit integers.
    if not all(1e-6 < value < 2**31 for value in per):
        return {}
    return {"resolution": tuple(per), "resolutionunit": "CENTIMETER"}


# --- OME ----------------------------------------------------------------------------------

_CHANNEL = {
    "channel": "Name", "emission_wavelength": "EmissionWavelength",
    "excitation_wavelength": "ExcitationWavelength", "fluorophore": "Fluor",
}  # fmt: skip


def ome_tags(axes: WrittenAxes, record: str) -> Tags:
    """Return metadata and options with which tifffile writes OME-XML."""
    g, letters = axes.geometry, axes.letters
    metadata: dict[str, Any] = {"axes": letters}
    sizes = _axis_sizes(g)
    for name, (size, unit) in sizes.items():
        field = "TimeIncrement" if name == "t" else f"PhysicalSize{name.upper()}"
        metadata[field] = size
        # Without its unit a length would be read as µm, and a time as s.
        metadata[field + "Unit"] = (
            _OME_UNITS.get(unit, unit) if unit else ("s" if name == "t" else "pixel")
        )
        if name == "t" and unit is None:
            del metadata[field], metadata[field + "Unit"]
    if axes.attrs.get("Name"):
        metadata["Name"] = str(axes.attrs["Name"])
    if plane := _ome_planes(axes, sizes):
        metadata["Plane"] = plane
    if channel := _ome_channels(axes):
        metadata["Channel"] = channel
    metadata["MapAnnotation"] = {"Namespace": KEY, "geometry": record}
    return metadata, _resolution_tags(sizes)


def _ome_planes(
    axes: WrittenAxes, sizes: Mapping[str, tuple[float, str | None]]
) -> dict[str, list[Any]]:
    """Return positions and times of planes."""
    g, count = axes.geometry, axes.n_planes
    plane: dict[str, list[Any]] = {}
    for name, (start, unit) in _origins(g).items():
        field, positions = f"Position{name.upper()}", [start] * count
        if name == "z" and "Z" in axes.letters and name in sizes:
            steps = (g.direction * g.spacing)[g.world.axes.index("z")]
            step = float(steps[g.sampled_axes.index(axes.letters.index("Z"))])
            count_z = g.shape[axes.letters.index("Z")]
            positions = axes.value_by_plane("Z", [start + step * k for k in range(count_z)])
        plane[field] = positions
        plane[field + "Unit"] = [_OME_UNITS.get(unit, unit) if unit else "pixel"] * count
    times, unit = _times(axes)
    if times is not None:
        plane["DeltaT"] = axes.value_by_plane("T", times)
        plane["DeltaTUnit"] = [_OME_UNITS.get(unit, unit) or "s"] * count
    return plane


def _times(axes: WrittenAxes) -> tuple[Any, str]:
    """Return the times of the time points and their unit, if a step alone does not give them."""
    for name in ("t", "delta_t"):
        found = axes.coordinate_along(name, "T")
        if found is not None and found.values.dtype.kind in "iuf":
            return [float(v) for v in found.values], str(found.unit or "s")
    g = axes.geometry
    if "t" in g.dims and "t" in g.world.axes and g.origin[g.world.axes.index("t")]:
        start, unit = float(g.origin[g.world.axes.index("t")]), g.unit[g.world.axes.index("t")]
        step = g.spacing[g.sampled_axes.index(g.dims.index("t"))]
        return [start + float(step) * k for k in range(g.shape[g.dims.index("t")])], str(
            unit or "s"
        )
    return None, "s"


def _ome_channels(axes: WrittenAxes) -> dict[str, list[Any]]:
    fields: dict[str, list[Any]] = {}
    for name, field in _CHANNEL.items():
        found = axes.coordinate_along(name, "C")
        if found is None or found.ndim != 1:
            continue
        values = found.values.tolist()
        if field.endswith("Wavelength"):
            values = [convert_unit(float(v), found.unit or "nm", "nm") for v in values]
            if any(v is None or not v > 0 for v in values):
                continue
            fields[field + "Unit"] = ["nm"] * len(values)
        fields[field] = values if field.endswith("Wavelength") else [str(v) for v in values]
    colors = axes.coordinate_along("channel_color", "C")
    if colors is not None and all(_is_color(v) for v in colors):
        fields["Color"] = [_as_signed(int(v, 16) << 8 | 0xFF) for v in colors]
    return fields


def _is_color(value: Any) -> bool:
    return (
        isinstance(value, str)
        and len(value) == 6
        and not set(value) - set("0123456789abcdefABCDEF")
    )


def _as_signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


# --- ImageJ -------------------------------------------------------------------------------


def imagej_tags(axes: WrittenAxes, record: str) -> Tags:
    """Return metadata and options with which tifffile writes ImageJ's TIFF."""
    g, letters = axes.geometry, axes.letters
    sizes = _axis_sizes(g)
    metadata: dict[str, Any] = {"axes": letters, KEY: record}
    units = {unit for name, (_, unit) in sizes.items() if name != "t"}
    if len(units) > 1:
        raise FormatError(f"ImageJ's TIFF has one unit for all lengths, got {units}; use to_unit")
    unit = next(iter(units), None)
    metadata["unit"] = {None: "pixel", "um": "micron", "in": "inch"}.get(unit, unit)
    if "z" in sizes:
        metadata["spacing"] = sizes["z"][0]
    if "t" in sizes and sizes["t"][1] is not None:
        factor = g.to_unit({"t": "s"}) if sizes["t"][1] != "s" else g
        metadata["finterval"] = _axis_sizes(factor)["t"][0]
    for name, (start, own) in _origins(g).items():
        if name in sizes and own == sizes[name][1]:
            metadata[f"{name}origin"] = -start / sizes[name][0]
    metadata |= _imagej_coords(axes)
    metadata |= {
        k: v for k, v in axes.attrs.items()
        if k not in IMAGEJ_OWN and isinstance(v, str | int | float) and k not in metadata
    }  # fmt: skip
    resolution = (1 / sizes["x"][0], 1 / sizes["y"][0])
    return metadata, {"resolution": resolution, "resolutionunit": "NONE"}


def _imagej_coords(axes: WrittenAxes) -> dict[str, Any]:
    """Return labels of planes, and ranges and colors of channels."""
    metadata: dict[str, Any] = {}
    for name, letters in (("channel", "C"), ("label", "TZ")):
        for letter in letters:
            found = axes.coordinate_along(name, letter)
            if found is not None and found.ndim == 1 and "Labels" not in metadata:
                metadata["Labels"] = axes.value_by_plane(
                    letter, [str(v) for v in found.values.tolist()]
                )
    window = axes.coordinate_along("display_window", "C")
    if window is not None and window.shape[1:] == (2,):
        metadata["Ranges"] = tuple(float(v) for v in window.values.ravel())
    colors = axes.coordinate_along("channel_color", "C")
    if colors is not None and all(_is_color(v) for v in colors):
        ramp = np.arange(256)
        tops = [[int(v[k : k + 2], 16) for k in (0, 2, 4)] for v in colors]
        metadata["LUTs"] = [np.array([ramp * top // 255 for top in rgb], np.uint8) for rgb in tops]
        metadata["mode"] = "composite"
    return metadata
