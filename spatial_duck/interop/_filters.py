"""Filters of ITK and SimpleITK on images of ours: what `spatial_duck.itk` and `sitk` share.

A filter gets images of its own library, made by ``to_…``, and what it returns comes back by
``from_…`` in the frame, unit, order of axes and attrs of the first image that was given. Axes of
time and channels are taken apart: the filter runs on one image of space at a time.
"""

from __future__ import annotations

import functools
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import _config, backends
from spatial_duck.array import SpatialArray, on_grid
from spatial_duck.array._coordinates import COMPONENT
from spatial_duck.blocks import map_blocks
from spatial_duck.errors import (
    GeometryLossError,
    GeometryMismatchError,
    SpatialDuckError,
    TooLargeError,
)
from spatial_duck.geometry import Geometry, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FilterLibrary", "in_world_of", "proxy", "run_filter"]

#: Voxels along each axis of the image on which the type of a lazy result is found.
_PROBE = 8
#: Error messages of the libraries where images do not lie on one grid.
_MISMATCH_MESSAGES = ("same physical space", "same Origin", "same Spacing", "same Direction")


class FilterLibrary(NamedTuple):
    """A library of filters.

    Attributes
    ----------
    name : str
        As users import it.
    to_native, from_native : callable
        Convert an image there and back.
    is_native : callable
        Whether an object is an image of the library.
    """

    name: str
    to_native: Callable[..., Any]
    from_native: Callable[[Any], SpatialArray]
    is_native: Callable[[Any], bool]


def proxy(library: FilterLibrary, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a library's function as one that takes and returns `SpatialArray` images.

    Its name, documentation and signature are the library's, with two more keyword parameters,
    ``halo`` and ``halo_unit``, as of `spatial_duck.map_blocks`.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return run_filter(library, function, args, kwargs)

    return run


def run_filter(
    library: FilterLibrary,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
) -> Any:
    """Call a library's function with images of ours among its arguments.

    Parameters
    ----------
    library : FilterLibrary
        The function's.
    function : callable
        Takes and returns the library's images.
    args, kwargs
        Its arguments; and ``halo`` and ``halo_unit``, which run it block by block.

    Returns
    -------
    object
        What the function returns, with images in it as `SpatialArray`. Without images among the
        arguments nothing is converted.

    Raises
    ------
    TooLargeError
        If data that are not in memory are larger than ``config(max_read_bytes=...)``, and there is
        no ``halo``.
    GeometryMismatchError
        If the function compares its images by place, and they are apart.
    """
    kwargs = dict(kwargs)
    halo, halo_unit = kwargs.pop("halo", None), kwargs.pop("halo_unit", None)
    images = [a for a in (*args, *kwargs.values()) if isinstance(a, SpatialArray)]
    if not images:
        return function(*args, **kwargs)
    name = f"{library.name}.{getattr(function, '__name__', type(function).__name__)}"
    if halo is not None:
        return _by_blocks(library, function, args, kwargs, halo, halo_unit)
    _check_size(images, name)

    def call(frames: Sequence[SpatialArray]) -> Any:
        return _call(library, function, args, kwargs, frames, name)

    return _by_frames(images, call, name)


def _check_size(images: Sequence[SpatialArray], name: str) -> None:
    """Check that no more is computed or read than the settings allow without being asked for."""
    size = sum([i.nbytes for i in images if backends.is_lazy(i.data)])
    limit = _config.current().max_read_bytes
    if size > limit:
        raise TooLargeError(
            f"{name} would compute or read {size:,} bytes at once, more than max_read_bytes = "
            f"{limit:,}: give halo= (how far the filter looks, in world units) to run it lazily "
            "block by block, call image.compute() first, or raise config(max_read_bytes=...)"
        )


def _replace_images(
    args: Sequence[Any], kwargs: dict[str, Any], images: Sequence[Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Put other objects in the places of the images among arguments, in their order."""
    left = iter(images)
    new = [next(left) if isinstance(a, SpatialArray) else a for a in args]
    return new, {k: next(left) if isinstance(v, SpatialArray) else v for k, v in kwargs.items()}


def _call(
    library: FilterLibrary,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    images: Sequence[SpatialArray],
    name: str,
) -> Any:
    """Call the function on images of space."""
    first = images[0]
    # Grids that count as one are made one: the libraries compare to the last digits.
    exact = [
        image.replace(geometry=first.geometry) if _is_same_grid(image, first) else image
        for image in images
    ]
    # A frame that is not known is none that a filter asks for; it comes back unknown.
    native = [library.to_native(image, frame="LPS") for image in exact]
    new_args, new_kwargs = _replace_images(args, kwargs, native)
    given = [library.from_native(one).data for one in native]  # a filter may release its input
    try:
        found = function(*new_args, **new_kwargs)
    except RuntimeError as error:
        if len(images) > 1 and any(words in str(error) for words in _MISMATCH_MESSAGES):
            grids = "\n".join([repr(image.geometry) for image in images])
            raise GeometryMismatchError(
                f"{name} needs images on one grid; resample(image, to=other) brings one onto "
                f"another's. They lie on:\n{grids}"
            ) from error
        raise
    return _convert_back(library, found, first, given)


def _is_same_grid(image: SpatialArray, first: SpatialArray) -> bool:
    return image.dims == first.dims and image.geometry.isclose(first.geometry)


def _convert_back(
    library: FilterLibrary, found: Any, model: SpatialArray, given: Sequence[Any]
) -> Any:
    if isinstance(found, tuple | list):
        parts = [_convert_back(library, part, model, given) for part in found]
        return type(found)(parts) if type(found) in (tuple, list) else tuple(parts)
    if not library.is_native(found):
        return found
    image = library.from_native(found)
    # Filters that hand on what they were given hand on its memory, and keep it not alive.
    if any(np.may_share_memory(image.data, data) for data in given):
        image = image.replace(data=image.data.copy())
    return in_world_of(image, model)


def in_world_of(image: SpatialArray, model: SpatialArray) -> SpatialArray:
    """Bring an LPS image in mm into the world of another, and give it its axes and attrs.

    Parameters
    ----------
    image : SpatialArray
        What a library returned.
    model : SpatialArray
        What it was given.

    Returns
    -------
    SpatialArray
        In the model's frame, units and order of world axes, where both have the same; without the
        axes of one voxel that the library needed. Coordinates of axes that are as they were are
        the model's.
    """
    g, world = image.geometry, model.world
    if set(g.world.axes) == set(world.axes):
        if world.frame is not None:
            g = g.to_frame(world.frame)
        units = dict(zip(world.axes, world.units, strict=True))
        # What was unspecified went as mm, and comes back unspecified.
        known = {a: u for a, u in units.items() if u is not None and a != "t"}
        g = g.to_unit(known).to_world(world.axes)
        g = g.replace(world=World(world.axes, world.units, world.frame))
    out = SpatialArray(image.data, g)
    embedded = len([n for n in world.axes if n != "t"]) > len(_space_axes(model))
    added = [
        i for i, d in enumerate(out.dims) if d in world.axes and d not in model.dims and d != "t"
    ]
    if embedded and all(out.shape[i] == 1 for i in added):
        out = out.squeeze(tuple(added))
    if out.dims != model.dims and set(map(str, out.dims)) == set(map(str, model.dims)):
        out = out.transpose([out.dims.index(d) for d in model.dims])
    g = model.geometry if _is_unmoved(out, model) else out.geometry
    return on_grid(model, out.data, g)


def _is_unmoved(image: SpatialArray, model: SpatialArray) -> bool:
    """Whether a filter left the grid as it was, so that the model's exact numbers hold."""
    return image.dims == model.dims and image.geometry.isclose(model.geometry, tolerance=1e-6)


# --- Axes of time and channels --------------------------------------------------------------


def _space_axes(image: SpatialArray) -> list[int]:
    """Return the axes that run through space alone."""
    g = image.geometry
    rows = [i for i, name in enumerate(g.world.axes) if name != "t"]
    columns = dict(zip(g.sampled_axes, g.direction.T, strict=True))
    return [axis for axis, column in columns.items() if column[rows].any()]


def _by_frames(
    images: Sequence[SpatialArray], call: Callable[[Sequence[SpatialArray]], Any], name: str
) -> Any:
    """Run a call on the images of space that lie along axes of time and channels."""
    first = images[0]
    space = _space_axes(first)
    other = [i for i in range(first.ndim) if i not in space]
    if not other:
        return call([_spatial_part(image, {}, name) for image in images])
    channels = [i for i in other if i not in first.geometry.sampled_axes]
    try:
        return _frame_after_frame(images, call, name, space, other)
    except SpatialDuckError:
        raise
    except Exception as error:  # the libraries raise whatever they raise
        if len(channels) != 1:
            raise
        other.remove(channels[0])
        try:
            return _by_vectors(images, call, name, channels[0], other)
        except Exception:  # of one channel and of all: the first says more
            raise error from None


def _frame_after_frame(
    images: Sequence[SpatialArray],
    call: Callable[[Sequence[SpatialArray]], Any],
    name: str,
    space: list[int],
    other: list[int],
) -> Any:
    first = images[0]
    names = [first.dims[i] for i in other]
    lengths = [first.shape[i] for i in other]
    if 0 in lengths:
        raise ValueError(f"{name} cannot run on an image without voxels, got shape {first.shape}")
    found = []
    for numbers in product(*[range(n) for n in lengths]):
        at = {n or f"#{i}": k for n, i, k in zip(names, other, numbers, strict=True)}
        found.append(call([_spatial_part(image, at, name) for image in images]))
    return _join_frames(found, first, space, other)


def _by_vectors(
    images: Sequence[SpatialArray],
    call: Callable[[Sequence[SpatialArray]], Any],
    name: str,
    channel: int,
    times: list[int],
) -> Any:
    """Return the result of a function that takes vectors: all channels, and one time point."""
    model = images[0]
    found = []
    for numbers in product(*[range(model.shape[i]) for i in times]):
        at = {model.dims[i] or f"#{i}": k for i, k in zip(times, numbers, strict=True)}
        parts = [_spatial_part(image, at, name, vectors=True) for image in images]
        found.append(_like_vectors(call([_along_xyz(part) for part in parts]), parts[0]))
    if not times:
        return found[0]
    kept = [i for i in range(model.ndim) if i not in times]
    if isinstance(found[0], SpatialArray) and found[0].ndim < len(kept):  # one number for each
        model = model[(*[slice(None)] * channel, 0)]
        kept, times = [[i - (i > channel) for i in axes if i != channel] for axes in (kept, times)]
    return _join_frames(found, model, kept, times)


def _along_xyz(image: SpatialArray) -> SpatialArray:
    """Return an image whose vectors, if they are such, have components along x, y, z in LPS."""
    if COMPONENT not in image.coords:
        return image
    return _sorted_components(image if image.frame is None else image.to_frame("LPS"), "xyz")


def _sorted_components(image: SpatialArray, names: Sequence[str]) -> SpatialArray:
    component = image.coords[COMPONENT]
    labels = [str(label) for label in component]
    if labels == list(names) or not set(labels) <= set(names):
        return image
    axis = image.dims.index(component.dims[0])
    order = [labels.index(n) for n in names if n in labels]
    found: SpatialArray = image[(*[slice(None)] * axis, order)]
    return found


def _like_vectors(found: Any, model: SpatialArray) -> Any:
    """Return vectors that a filter gave in the frame and order of those that it was given."""
    if isinstance(found, tuple | list):
        return type(found)([_like_vectors(part, model) for part in found])
    if not isinstance(found, SpatialArray) or COMPONENT not in found.coords:
        return found
    turned = found if model.frame is None else found.to_frame(model.frame)
    return _sorted_components(turned, [str(label) for label in model.coords[COMPONENT]])


def _spatial_part(
    image: SpatialArray, at: dict[str, int], name: str, *, vectors: bool = False
) -> SpatialArray:
    """Return the part of an image in space, at one index of each other axis, or of each of time."""
    space = _space_axes(image)
    if vectors:
        space += [i for i in range(image.ndim) if i not in image.geometry.sampled_axes]
    key: list[Any] = [slice(None)] * image.ndim
    for i, dim in enumerate(image.dims):
        if i in space:
            continue
        index = at.get(dim or f"#{i}")
        if index is None or not index < image.shape[i]:
            raise GeometryMismatchError(
                f"{name} runs frame by frame over {at or 'no axis'}, and another image has the "
                f"axis {dim!r} of length {image.shape[i]}: give both the same axes of time and "
                "channels, or one image of space"
            )
        key[i] = index
    part = image[tuple(key)]
    axes = tuple(n for n in part.world.axes if n != "t")
    frame: SpatialArray = part.replace(geometry=part.geometry.to_world(axes))
    return frame if "t" in part.world.axes else part


def _join_frames(found: list[Any], model: SpatialArray, space: list[int], other: list[int]) -> Any:
    """Put together what a call gave for each frame."""
    one = found[0]
    if isinstance(one, tuple | list):
        parts = [_join_frames(list(part), model, space, other) for part in zip(*found, strict=True)]
        return type(one)(parts)
    if not isinstance(one, SpatialArray):
        return found
    if {f.shape for f in found} != {one.shape}:
        raise GeometryLossError(
            "the filter gave images of several shapes along the axes of time and channels, "
            f"{sorted({f.shape for f in found})}: run it on each of them"
        )
    lengths = tuple(model.shape[i] for i in other)
    data = np.stack([np.asarray(f.data) for f in found]).reshape(*lengths, *one.shape)
    if one.ndim >= len(space):
        data = np.moveaxis(data, range(len(other)), other)
    g = _frames_geometry(one.geometry, model.geometry, space, data.shape)
    return on_grid(model, data, g)


def _frames_geometry(
    frame: Geometry, g: Geometry, space: list[int], shape: tuple[int, ...]
) -> Geometry:
    """Return the geometry of frames that a filter moved, along the axes that it did not see."""
    dims = g.dims
    if frame.ndim == len(space) + 1 and frame.ndim - 1 not in frame.sampled_axes:
        added = frame.dims[-1]  # a filter that makes vectors, or colours, of numbers
        dims, frame = (*dims, None if added in dims else added), frame[..., 0]
    if frame.ndim != len(space):
        raise GeometryLossError(
            f"the filter gives the axes {frame.dims!r} for those of space in {g.dims!r}: run it on "
            "each image of space"
        )
    if shape == g.shape and frame == _frame_of(g, space):
        return g
    columns = [g.sampled_axes.index(i) for i in space if i in g.sampled_axes]
    rows = [g.world.axes.index(name) for name in frame.world.axes]
    spacing, origin, direction = g.spacing.copy(), g.origin.copy(), g.direction.copy()
    spacing[columns], origin[rows] = frame.spacing, frame.origin
    direction[np.ix_(rows, columns)] = frame.direction
    return Geometry(shape, spacing, origin, direction, dims, sampled=g.sampled_axes, world=g.world)


def _frame_of(g: Geometry, space: list[int]) -> Geometry:
    part = g[tuple([slice(None) if i in space else 0 for i in range(g.ndim)])]
    return part.to_world([n for n in part.world.axes if n != "t"])


# --- Lazy images ----------------------------------------------------------------------------


def _by_blocks(
    library: FilterLibrary,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    halo: Any,
    halo_unit: str | None,
) -> SpatialArray:
    """Run a filter block by block: lazily, where an image is lazy."""
    images = [a for a in (*args, *kwargs.values()) if isinstance(a, SpatialArray)]

    def on_block(*blocks: SpatialArray) -> Any:
        new_args, new_kwargs = _replace_images(args, kwargs, blocks)
        return run_filter(library, function, new_args, new_kwargs)

    more: list[None] = [None] * (len(images) - 1)
    return map_blocks(
        on_block, *images, halo=halo, halo_unit=halo_unit, dtype=_result_type(on_block, images),
        interpolation=more if more else "linear",
    )  # fmt: skip


def _result_type(on_block: Callable[..., Any], images: Sequence[SpatialArray]) -> Any:
    """Return the type that a filter gives, by running it on a few voxels."""
    if not any(backends.is_lazy(image.data) for image in images):
        return None
    few = [
        SpatialArray(
            _ramp([min(n, _PROBE) for n in image.shape], image.dtype),
            image.geometry[tuple([slice(_PROBE)] * image.ndim)],
        )
        for image in images
    ]
    try:
        return on_block(*few).dtype
    except Exception:  # a filter may refuse so few voxels
        return images[0].dtype


def _ramp(shape: Sequence[int], dtype: Any) -> Any:
    """Return voxels of many values, in which a filter finds a threshold."""
    return (np.arange(np.prod(shape, dtype=int)) % 100).reshape(shape).astype(dtype)
