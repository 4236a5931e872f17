"""Geometries from NIfTI headers and back, by the rules of `_format`; this reads no voxels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray
from spatial_duck.errors import (
    FormatError,
    FrameError,
    GeometryError,
    GeometryLossError,
)
from spatial_duck.geometry import Geometry, World
from spatial_duck.io._components import components_in_frame
from spatial_duck.io._coords import color_names
from spatial_duck.io._layout import (
    Rules,
    check_dtype,
    check_precision,
    fit_layout,
)
from spatial_duck.io.nifti._coordinates import (
    AXIS_INTENTS,
    DISPLACEMENT,
    SYMMETRIC,
    VECTOR,
    VectorAxis,
    set_axis_fields,
    vector_axis,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


__all__ = [
    "RULES",
    "add_channel_axis",
    "drop_filler_axis",
    "header_attrs",
    "header_geometry",
    "make_header",
    "nibabel_module",
]

RULES = Rules(
    "NIfTI", ("RAS",), unit=("mm", "m", "um"), time_unit=("s", "ms", "us"),
    plain="first", max_plain=3, unspecified=True,
)  # fmt: skip

_DTYPES = ("u1", "i2", "i4", "f4", "c8", "f8", "i1", "u2", "u4", "i8", "u8", "c16")
_LENGTH_UNITS = {1: "m", 2: "mm", 3: "um"}
_TIME_UNITS = {8: "s", 16: "ms", 24: "us"}
_OTHER_UNITS = {32: "hz", 40: "ppm", 48: "rad/s"}

#: Header fields that are kept in attrs; the others follow from geometry, axes and data.
_ATTR_FIELDS = (
    "descrip", "intent_code", "intent_name", "intent_p1", "intent_p2", "intent_p3", "aux_file",
    "cal_max", "cal_min", "qform_code", "sform_code",
)  # fmt: skip


def nibabel_module() -> Any:
    """Return nibabel; raise an ImportError that names the extra if it is missing."""
    return require("nibabel", "Reading and writing NIfTI")


def header_geometry(
    header: Any,
    form: Literal["sform", "qform"] | None = None,
    where: object = "header",
    affine: NDArray[Any] | None = None,
) -> Geometry:
    """Return the geometry in a NIfTI header.

    Parameters
    ----------
    header : nibabel.Nifti1Header or Nifti2Header
        The header.
    form : {"sform", "qform"}, optional
        Which affine; by default the rule of this module.
    where : object, optional
        Named in messages.
    affine : ndarray of shape (4, 4), optional
        The RAS affine, if it differs from the header's.

    Returns
    -------
    Geometry
        For the array with all axes that the header's ``dim`` lists.

    Raises
    ------
    FormatError
        If the header's numbers are not a valid geometry.
    """
    try:
        placed = _affine(header, form, where) if affine is None else ("RAS", affine)
        return _geometry(header, *placed)
    except GeometryError as error:
        raise FormatError(f"{where}: its geometry is not valid: {error}") from error


def _geometry(header: Any, frame: str | None, affine: NDArray[Any]) -> Geometry:
    shape = tuple(int(n) for n in header.get_data_shape())
    pixdim = [float(v) for v in header["pixdim"]]
    codes = int(header["xyzt_units"])
    length = _LENGTH_UNITS.get(codes & 7, "mm" if frame else None)
    n_space = min(len(shape), 3)
    axes: tuple[str, ...] = ("x", "y", "z")
    flat = len(shape) < 3 and not affine[len(shape) : 3, : len(shape)].any()
    if flat and not affine[len(shape) : 3, 3].any():
        axes, affine = axes[:n_space], affine[np.ix_((*range(n_space), 3), (*range(n_space), 3))]
    else:
        affine = affine[:, (*range(n_space), 3)]
    dims: list[str | None] = list(("x", "y", "z")[:n_space])
    units: dict[str, str | None] = dict.fromkeys(axes, length)
    world_axes = axes
    matrix = affine
    sampled: list[str] = []
    if len(shape) > 3:
        step = pixdim[4]
        other = _OTHER_UNITS.get(codes & 56)
        if step > 0 and np.isfinite(step):
            name = "f" if other else "t"
            units[name] = other or _TIME_UNITS.get(codes & 56)
            dims.append(name)
            sampled.append(name)
            world_axes = (*axes, name)
            matrix = np.zeros((len(axes) + 2, n_space + 2))
            matrix[: len(axes), :n_space] = affine[:-1, :-1]
            matrix[: len(axes), -1] = affine[:-1, -1]
            matrix[-2, -2:] = step, float(header["toffset"])
            matrix[-1, -1] = 1
        else:
            dims.append("c" if len(shape) == 4 else None)
    for _ in shape[4:]:
        dims.append(None if "c" in dims else "c")
    return Geometry.from_affine(
        shape, matrix, dims, sampled=sampled, world=World(world_axes, units, frame)
    )


def _affine(header: Any, form: str | None, where: object) -> tuple[str | None, NDArray[Any]]:
    sform, s_code = header.get_sform(coded=True)
    try:
        qform, q_code = header.get_qform(coded=True)
    except Exception as error:  # a quaternion longer than 1, or NaN
        if form == "qform" or not s_code:
            raise FormatError(f"{where}: its qform is not valid: {error}") from error
        qform, q_code = None, 0
    if form is not None:
        if form not in ("sform", "qform"):
            raise FormatError(f"form must be 'sform', 'qform' or None, got {form!r}")
        chosen = sform if form == "sform" else qform
        if chosen is None:
            raise FormatError(f"{where}: the {form} was asked for, and its code is 0")
        return "RAS", np.asarray(chosen, np.float64)
    if s_code and form is None and not _has_directions(sform) and q_code and _has_directions(qform):
        warnings.warn(
            f"{where}: its sform (code {int(s_code)}) has no directions; the qform (code "
            f"{int(q_code)}) is used, as with form='qform'",
            UserWarning,
            stacklevel=7,
        )
        return "RAS", np.asarray(qform, np.float64)
    if s_code and q_code and _disagree(sform, qform, header.get_data_shape(), 1e-2):
        warnings.warn(
            f"{where}: its sform (code {int(s_code)}) and qform (code {int(q_code)}) disagree; the "
            "sform is used. Choose with form='sform' or form='qform'",
            UserWarning,
            stacklevel=7,
        )
    if s_code:
        return "RAS", np.asarray(sform, np.float64)
    if q_code:
        return "RAS", np.asarray(qform, np.float64)
    steps = [abs(float(v)) or 1.0 for v in header["pixdim"][1:4]]
    return None, np.diag([*steps, 1.0])


def _has_directions(affine: NDArray[Any]) -> bool:
    """Whether each axis of an affine moves through the world."""
    return bool(np.isfinite(affine).all() and affine[:3, :3].any(axis=0).all())


def _disagree(a: NDArray[Any], b: NDArray[Any], shape: tuple[int, ...], tolerance: float) -> bool:
    """Whether two affines place a corner of the grid more than `tolerance` voxels apart."""
    sizes = [*shape[:3], 1, 1, 1][:3]
    corners = np.array(np.meshgrid(*[(0, max(n - 1, 0)) for n in sizes])).reshape(3, -1)
    gap = (a[:3, :3] - b[:3, :3]) @ corners + (a[:3, 3] - b[:3, 3])[:, None]
    step = np.sqrt((a[:3, :3] ** 2).sum(axis=0)).min()
    return bool(not np.linalg.norm(gap, axis=0).max() <= tolerance * step)


def drop_filler_axis(header: Any, geometry: Geometry) -> tuple[Geometry, int | None]:
    """Remove a fourth axis of length 1 that is there only because vectors are the fifth.

    Returns
    -------
    geometry : Geometry
        The geometry without it.
    axis : int or None
        The axis that was removed.
    """
    if geometry.ndim < 5 or geometry.shape[3] != 1:
        return geometry, None
    timeless = not int(header["xyzt_units"]) & 56 and int(header["intent_code"]) == VECTOR
    if geometry.dims[3] is not None and not (geometry.dims[3] == "t" and timeless):
        return geometry, None
    axes = [n for n in geometry.world.axes if n != "t"]
    rows = [geometry.world.axes.index(n) for n in axes]
    kept = [i for i in range(geometry.ndim) if i != 3]
    world = World(axes, [geometry.unit[r] for r in rows], geometry.frame)
    space = [k for k, i in enumerate(geometry.sampled_axes) if i != 3]
    return Geometry(
        [geometry.shape[i] for i in kept],
        geometry.spacing[space].tolist(),
        geometry.origin[rows].tolist(),
        geometry.direction[np.ix_(rows, space)],
        [geometry.dims[i] for i in kept],
        world=world,
    ), 3


def add_channel_axis(geometry: Geometry, n: int) -> Geometry:
    """Return a geometry with an axis of `n` color channels added at the end."""
    name = None if "c" in geometry.dims else "c"
    return Geometry(
        (*geometry.shape, n), geometry.spacing, geometry.origin, geometry.direction,
        (*geometry.dims, name), sampled=[geometry.dims[i] or "" for i in geometry.sampled_axes],
        world=geometry.world,
    )  # fmt: skip


def header_attrs(header: Any) -> dict[str, Any]:
    """Return the header's fields that are not at their defaults."""
    out: dict[str, Any] = {}
    of_axis = int(header["intent_code"]) in AXIS_INTENTS
    for name in _ATTR_FIELDS:
        if of_axis and "intent" in name:
            continue
        value = header[name].item()
        if isinstance(value, bytes):
            value = value.rstrip(b"\0").decode("latin-1")
        if value:
            out[name] = value
    extensions = [(e.get_code(), bytes(e.content)) for e in header.extensions]
    if extensions:
        out["extensions"] = extensions
    return out


class FileParts(NamedTuple):
    """Header and data of an image as they are written.

    Attributes
    ----------
    header : nibabel.Nifti1Header or Nifti2Header
        The complete header.
    data : array
        Voxels on their backend, slowest axis first, RGB channels last.
    affine : ndarray of shape (4, 4) or None
        The affine in 64 bits; None if the frame is unspecified.
    geometry : Geometry
        Geometry in the order of the file, fastest axis first.
    """

    header: Any
    data: Any
    affine: NDArray[Any] | None
    geometry: Geometry


def make_header(image: Any, *, version: int = 1, frame: str | None = None) -> FileParts:
    """Return the header of an image, and its data and geometry in the file's order.

    Raises
    ------
    GeometryLossError, FrameError, FormatError
        If NIfTI cannot hold it.
    """
    nib = nibabel_module()
    if version not in (1, 2):
        raise FormatError(f"version must be 1 or 2, got {version!r}")
    vector = vector_axis(image)
    if vector is not None:
        image, vector = _convert_components(image, vector, frame)
    fit = fit_layout(_move_plain_axes_first(image, vector), RULES, frame=frame, minimum_with_more=3)
    data, g = fit
    if 0 in g.shape:
        raise FormatError(f"NIfTI cannot hold an image without voxels, got shape {g.shape}")
    dtype = check_dtype(np.dtype(data.dtype), _DTYPES, RULES.name)
    if vector is not None and vector.colors:
        # The channels of a voxel are one element of the header's data type.
        data = SpatialArray(data, g).transpose((*range(1, g.ndim), 0)).data
        dtype = np.dtype([(n[0].upper(), "u1") for n in color_names(g.shape[0])])
        g = g[0]
    file_g = g.transpose(tuple(reversed(range(g.ndim))))
    header = (nib.Nifti2Header if version == 2 else nib.Nifti1Header)(endianness="<")
    attrs = dict(image.attrs.get("nifti") or {})
    header.set_data_dtype(dtype)
    shape = _shape_in_file(file_g, vector is not None and not vector.colors)
    try:
        header.set_data_shape(shape)
    except Exception as error:  # HeaderDataError: a length over 32767
        raise FormatError(
            f"NIfTI-{version} cannot hold shape {shape} ({error}); use version=2"
        ) from error
    _restore_fields(nib, header, attrs)
    if vector is not None:
        header["intent_code"], header["intent_name"] = vector.intent, vector.name.encode()
        if vector.intent == SYMMETRIC:
            header["intent_p1"] = 2 if g.shape[0] == 3 else 3
    _set_units(header, file_g, image.coords)
    set_axis_fields(header, file_g.dims, image.coords)
    affine = _set_forms(header, file_g, attrs)
    back = header_geometry(header)
    back, _ = drop_filler_axis(header, back)
    if back.ndim != file_g.ndim:
        raise GeometryLossError(
            "NIfTI vectors drop a time axis of length 1 without a unit; give time its unit with "
            "image.replace(unit=...), or index the axis with an integer"
        )
    unit = dict(zip(file_g.world.axes, file_g.unit, strict=True))
    back = back.replace(world=World(back.world.axes, unit, file_g.frame), dims=file_g.dims)
    check_precision(file_g, back, f"NIfTI-{version}", "use version=2, which holds 64 bits")
    _set_scaling(header, attrs)
    size = int(header.single_vox_offset)
    extra = sum(e.get_sizeondisk() for e in header.extensions)
    header["vox_offset"] = -(-(size + extra) // 16) * 16
    header["magic"] = header.single_magic
    return FileParts(header, data, affine, file_g)


def _convert_components(
    image: Any, vector: VectorAxis, frame: str | None
) -> tuple[Any, VectorAxis]:
    """Return an image with its components in the order and frame of the header's intent."""
    if vector.order is not None:
        keys: list[Any] = [slice(None)] * image.ndim
        keys[vector.axis] = list(vector.order)
        image = image[tuple(keys)]
    if "component" not in image.coords or vector.intent not in (VECTOR, DISPLACEMENT):
        return image, vector
    if image.frame is None and frame is not None:
        image = image.replace(frame=frame)
    if image.frame is None:
        raise FrameError(
            "NIfTI holds vectors in LPS or RAS, and the image's frame is unspecified: give it "
            "with frame='RAS' (or another code), or image.replace(frame=...)"
        )
    wanted = "RAS" if vector.intent == DISPLACEMENT else "LPS"
    return components_in_frame(image, wanted), vector


def _move_plain_axes_first(image: Any, vector: VectorAxis | None) -> Any:
    """Return an image with its plain axes at the front, in the order of the file, slowest first.

    Plain axes after those of space come before the others, in reverse order. Components are the
    file's fifth axis; RGB channels are first of all.
    """
    g = image.geometry
    plain = [i for i in range(g.ndim) if i not in g.sampled_axes]
    space = [i for i in g.sampled_axes if g.dims[i] in ("x", "y", "z")]
    last = max(space, default=-1)
    slow = [i for i in reversed(plain) if i > last] + [i for i in plain if i < last]
    if vector is not None:
        slow.remove(vector.axis)
        fourth = 0 if "t" in g.world.axes else 1
        at = 0 if vector.colors else max(len(slow) - fourth, 0)
        slow.insert(at, vector.axis)
    order = (*slow, *[i for i in range(g.ndim) if i not in plain])
    return image if order == tuple(range(g.ndim)) else image.transpose(order)


def _shape_in_file(g: Geometry, is_vector: bool) -> tuple[int, ...]:
    """Return the file's shape; the components of a vector are the fifth axis without time too."""
    n_space = sum(name in ("x", "y", "z") for name in g.dims)
    alone = is_vector and "t" not in g.dims and g.ndim == n_space + 1
    return (*g.shape[:3], 1, *g.shape[3:]) if alone else g.shape


def _set_units(header: Any, g: Geometry, coords: Mapping[str, Any]) -> None:
    units = dict(zip(g.world.axes, g.unit, strict=True))
    if "t" not in units and "slice_time" in coords:
        units["t"] = coords["slice_time"].unit
    length = {units[n] for n in g.world.axes if n != "t"}
    codes = {name: code for code, name in (_LENGTH_UNITS | _TIME_UNITS).items()}
    header["xyzt_units"] = codes.get(next(iter(length), None) or "", 0) + codes.get(
        units.get("t") or "", 0
    )


def _set_forms(header: Any, g: Geometry, attrs: Mapping[str, Any]) -> NDArray[Any] | None:
    """Set the geometry of an image in a header, and return the affine."""
    space = [i for i, name in enumerate(g.dims) if name in ("x", "y", "z")]
    rows = [i for i, name in enumerate(g.world.axes) if name != "t"]
    affine = np.eye(4)
    steps = g.direction * g.spacing
    columns = [g.sampled_axes.index(i) for i in space]
    affine[: len(rows), : len(space)] = steps[np.ix_(rows, columns)]
    affine[: len(rows), 3] = g.origin[rows]
    spacing = [float(g.spacing[c]) for c in columns]
    header["pixdim"][:] = 1.0
    header["pixdim"][1 : len(spacing) + 1] = spacing
    if "t" in g.dims:
        header["pixdim"][4] = g.spacing[g.sampled_axes.index(g.dims.index("t"))]
        header["toffset"] = g.origin[g.world.axes.index("t")]
    elif g.ndim > len(space):
        header["pixdim"][4] = 0.0
    if g.frame is None:
        if not np.array_equal(affine, np.diag([*spacing, 1, 1, 1][:3] + [1])):
            raise FrameError(
                "NIfTI holds RAS coordinates, and the image's frame is unspecified: give it "
                "with frame='RAS' (or another code), or image.replace(frame=...)"
            )
        header["sform_code"] = header["qform_code"] = 0
        return None
    header.set_sform(affine, int(attrs.get("sform_code", 0)) or 1)
    header.set_qform(affine, int(attrs.get("qform_code", 0)) or 1, strip_shears=True)
    header["pixdim"][1 : len(spacing) + 1] = spacing
    if _disagree(affine, header.get_qform(), g.shape[: len(space)], 1e-3):
        header["qform_code"] = 0
    return affine


def _set_scaling(header: Any, attrs: Mapping[str, Any]) -> None:
    slope, inter = attrs.get("scl_slope"), attrs.get("scl_inter")
    if slope is not None and np.dtype(header.get_data_dtype()).kind in "iu":
        header.set_slope_inter(slope, inter or 0.0)
    else:
        header.set_slope_inter(1.0, 0.0)


def _restore_fields(nib: Any, header: Any, attrs: Mapping[str, Any]) -> None:
    of_axis = attrs.get("intent_code") in AXIS_INTENTS
    for name in _ATTR_FIELDS:
        if name not in attrs or name.endswith("form_code") or (of_axis and "intent" in name):
            continue
        value = attrs[name]
        header[name] = value.encode("latin-1", "replace") if isinstance(value, str) else value
    for code, content in attrs.get("extensions", ()):
        header.extensions.append(nib.nifti1.Nifti1Extension(code, content))
