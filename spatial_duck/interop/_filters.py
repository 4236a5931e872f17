"""Filters of ITK and SimpleITK on `SpatialArray` images, for `spatial_duck.itk` and ``sitk``.

Images are converted to the library's own (``to_itk``, ``to_simpleitk``) and the results back, into
the frame, units, axis order and attrs of the first image. Along axes of time and channels a filter
runs on one spatial image after another.
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
from spatial_duck.io._components import vectors_in_lps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FilterLibrary", "in_world_of", "run_filter", "wrap_function"]

#: Most voxels along each axis of the small image that shows the type of a lazy result.
_SAMPLE_SIZE = 8
#: Parts of the libraries' error messages where images do not lie on one grid.
_MISMATCH_MESSAGES = ("same physical space", "same Origin", "same Spacing", "same Direction")


class FilterLibrary(NamedTuple):
    """A library of filters.

    Attributes
    ----------
    name : str
        Name under which users import it.
    to_native, from_native : callable
        Functions that convert a `SpatialArray` to the library's image, and back.
    is_native : callable
        Whether an object is an image of the library.
    """

    name: str
    to_native: Callable[..., Any]
    from_native: Callable[[Any], SpatialArray]
    is_native: Callable[[Any], bool]


def wrap_function(library: FilterLibrary, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a library's function as one that takes and returns `SpatialArray` images.

    Its name, documentation and signature are the library's; it also takes ``halo`` and
    ``halo_unit``, which are those of `spatial_duck.map_blocks`.
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
    """Call a library's function with `SpatialArray` images among its arguments.

    Parameters
    ----------
    library : FilterLibrary
        Library of the function.
    function : callable
        Function that takes and returns the library's images.
    args, kwargs
        Arguments of the function; and ``halo`` and ``halo_unit``, which run it block by block.

    Returns
    -------
    object
        The function's result, with `SpatialArray` in place of the library's images. Without images
        among the arguments nothing is converted.

    Raises
    ------
    TooLargeError
        If lazy data are larger than ``config(max_read_bytes=...)`` and ``halo`` is not given.
    GeometryMismatchError
        If the function needs images on one grid, and they are not.
    """
    kwargs = dict(kwargs)
    halo, halo_unit = kwargs.pop("halo", None), kwargs.pop("halo_unit", None)
    images = [a for a in (*args, *kwargs.values()) if isinstance(a, SpatialArray)]
    if not images:
        return function(*args, **kwargs)
    name = f"{library.name}.{getattr(function, '__name__', type(function).__name__)}"
    if halo is not None:
        return _run_by_blocks(library, function, args, kwargs, halo, halo_unit)
    _check_eager_size(images, name)

    def call(spatial_images: Sequence[SpatialArray]) -> Any:
        return _run_on_spatial_images(library, function, args, kwargs, spatial_images, name)

    return _run_by_spatial_image(images, call, name)


def _check_eager_size(images: Sequence[SpatialArray], name: str) -> None:
    """Refuse to compute or read more of lazy images at once than ``max_read_bytes``."""
    size = sum([i.nbytes for i in images if backends.is_lazy(i.data)])
    limit = _config.current().max_read_bytes
    if size > limit:
        raise TooLargeError(
            f"{name} would compute or read {size:,} bytes at once, more than max_read_bytes = "
            f"{limit:,}: give halo= (the filter's radius, in world units) to run it lazily block "
            "by block, call image.compute() first, or raise config(max_read_bytes=...)"
        )


def _replace_images(
    args: Sequence[Any], kwargs: dict[str, Any], images: Sequence[Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments with other objects in place of the images, in their order."""
    others = iter(images)
    new = [next(others) if isinstance(a, SpatialArray) else a for a in args]
    return new, {k: next(others) if isinstance(v, SpatialArray) else v for k, v in kwargs.items()}


def _run_on_spatial_images(
    library: FilterLibrary,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    images: Sequence[SpatialArray],
    name: str,
) -> Any:
    """Call the function on images without axes of time and channels."""
    first = images[0]
    # Grids that differ within the tolerance are made equal: the libraries compare more strictly.
    exact = [
        image.replace(geometry=first.geometry) if _share_grid(image, first) else image
        for image in images
    ]
    # Filters do not depend on the frame: an unspecified one is passed as LPS and set back after.
    native = [library.to_native(image, frame="LPS") for image in exact]
    new_args, new_kwargs = _replace_images(args, kwargs, native)
    inputs = [library.from_native(n).data for n in native]  # views, as a filter may release them
    try:
        result = function(*new_args, **new_kwargs)
    except RuntimeError as error:
        if len(images) > 1 and any(part in str(error) for part in _MISMATCH_MESSAGES):
            grids = "\n".join([repr(image.geometry) for image in images])
            raise GeometryMismatchError(
                f"{name} needs images on one grid; resample(image, to=other) brings one onto "
                f"another's. They lie on:\n{grids}"
            ) from error
        raise
    return _convert_back(library, result, first, inputs)


def _share_grid(image: SpatialArray, first: SpatialArray) -> bool:
    return image.dims == first.dims and image.geometry.isclose(first.geometry)


def _convert_back(
    library: FilterLibrary, result: Any, model: SpatialArray, inputs: Sequence[Any]
) -> Any:
    """Return a result with `SpatialArray` in place of the library's images."""
    if isinstance(result, tuple | list):
        parts = [_convert_back(library, part, model, inputs) for part in result]
        return type(result)(parts) if type(result) in (tuple, list) else tuple(parts)
    if not library.is_native(result):
        return result
    image = library.from_native(result)
    # A filter that returns its input shares the input's memory, which it does not keep alive.
    if any(np.may_share_memory(image.data, data) for data in inputs):
        image = image.replace(data=image.data.copy())
    return in_world_of(image, model)


def in_world_of(image: SpatialArray, model: SpatialArray) -> SpatialArray:
    """Return an LPS image in mm in the world of another, with its axis order and attrs.

    Parameters
    ----------
    image : SpatialArray
        Result of a library's filter.
    model : SpatialArray
        Input of the filter.

    Returns
    -------
    SpatialArray
        In the model's frame, units and order of world axes, where both have the same axes; without
        the axes of one voxel that were added for the library; with the model's coordinates along
        axes that the filter left unchanged.
    """
    g, world = image.geometry, model.world
    if set(g.world.axes) == set(world.axes):
        if world.frame is not None:
            g = g.to_frame(world.frame)
        units = dict(zip(world.axes, world.units, strict=True))
        # Unspecified units were passed as mm; they are unspecified again.
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
    """Whether a filter left the grid as it was, so that the model's exact geometry is kept."""
    return image.dims == model.dims and image.geometry.isclose(model.geometry, tolerance=1e-6)


# --- Axes of time and channels --------------------------------------------------------------


def _space_axes(image: SpatialArray) -> list[int]:
    """Return the numbers of the axes that run through space."""
    g = image.geometry
    rows = [i for i, name in enumerate(g.world.axes) if name != "t"]
    columns = dict(zip(g.sampled_axes, g.direction.T, strict=True))
    return [axis for axis, column in columns.items() if column[rows].any()]


def _run_by_spatial_image(
    images: Sequence[SpatialArray], call: Callable[[Sequence[SpatialArray]], Any], name: str
) -> Any:
    """Call a function of spatial images for each index along axes of time and channels.

    Where that fails and there is one axis of channels, it is called with all channels at once, as
    vectors.
    """
    first = images[0]
    space = _space_axes(first)
    other = [i for i in range(first.ndim) if i not in space]
    if not other:
        return call([_spatial_image(image, {}, name) for image in images])
    channels = [i for i in other if i not in first.geometry.sampled_axes]
    try:
        return _run_by_channel(images, call, name, space, other)
    except SpatialDuckError:
        raise
    except Exception as error:  # the libraries raise errors of any type
        if len(channels) != 1:
            raise
        other.remove(channels[0])
        try:
            return _run_by_vectors(images, call, name, channels[0], other)
        except Exception:  # the error of one channel says more than that of all
            raise error from None


def _run_by_channel(
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
    results = []
    for indices in product(*[range(n) for n in lengths]):
        index_of = {n or f"#{i}": k for n, i, k in zip(names, other, indices, strict=True)}
        results.append(call([_spatial_image(image, index_of, name) for image in images]))
    return _stack_results(results, first, space, other)


def _run_by_vectors(
    images: Sequence[SpatialArray],
    call: Callable[[Sequence[SpatialArray]], Any],
    name: str,
    channel: int,
    times: list[int],
) -> Any:
    """Return the results of a function of vector images: all channels of one time point."""
    model = images[0]
    results = []
    for indices in product(*[range(model.shape[i]) for i in times]):
        index_of = {model.dims[i] or f"#{i}": k for i, k in zip(times, indices, strict=True)}
        parts = [_spatial_image(image, index_of, name, vectors=True) for image in images]
        results.append(_vectors_like(call([_vectors_to_lps(part) for part in parts]), parts[0]))
    if not times:
        return results[0]
    kept = [i for i in range(model.ndim) if i not in times]
    if isinstance(results[0], SpatialArray) and results[0].ndim < len(kept):  # scalars of vectors
        model = model[(*[slice(None)] * channel, 0)]
        kept, times = [[i - (i > channel) for i in axes if i != channel] for axes in (kept, times)]
    return _stack_results(results, model, kept, times)


def _vectors_to_lps(image: SpatialArray) -> SpatialArray:
    """Return an image with its vectors, if it has any, in components along x, y, z in LPS."""
    return vectors_in_lps(image if image.frame is None else image.to_frame("LPS"))


def _sort_components(image: SpatialArray, names: Sequence[str]) -> SpatialArray:
    component = image.coords[COMPONENT]
    labels = [str(label) for label in component]
    if labels == list(names) or not set(labels) <= set(names):
        return image
    axis = image.dims.index(component.dims[0])
    order = [labels.index(n) for n in names if n in labels]
    out: SpatialArray = image[(*[slice(None)] * axis, order)]
    return out


def _vectors_like(result: Any, model: SpatialArray) -> Any:
    """Return the vectors of a result in the frame and the order of the input's components."""
    if isinstance(result, tuple | list):
        return type(result)([_vectors_like(part, model) for part in result])
    if not isinstance(result, SpatialArray) or COMPONENT not in result.coords:
        return result
    image = result if model.frame is None else result.to_frame(model.frame)
    return _sort_components(image, [str(label) for label in model.coords[COMPONENT]])


def _spatial_image(
    image: SpatialArray, index_of: dict[str, int], name: str, *, vectors: bool = False
) -> SpatialArray:
    """Return the spatial image at one index along each other axis.

    Parameters
    ----------
    image : SpatialArray
        Any image.
    index_of : dict
        The index along each axis of time and channels, by its name, or ``"#3"`` without one.
    name : str
        Name of the filter, for messages.
    vectors : bool, optional
        Keep the plain axes whole.
    """
    space = _space_axes(image)
    if vectors:
        space += [i for i in range(image.ndim) if i not in image.geometry.sampled_axes]
    key: list[Any] = [slice(None)] * image.ndim
    for i, dim in enumerate(image.dims):
        if i in space:
            continue
        index = index_of.get(dim or f"#{i}")
        if index is None or not index < image.shape[i]:
            raise GeometryMismatchError(
                f"{name} runs at each index of {list(index_of) or 'no axis'}, now at {index_of}, "
                f"and another image has the axis {dim!r} of length {image.shape[i]}: give both the "
                "same axes of time and channels, or give a spatial image"
            )
        key[i] = index
    part: SpatialArray = image[tuple(key)]
    if "t" not in part.world.axes:
        return part
    axes = tuple(n for n in part.world.axes if n != "t")
    return part.replace(geometry=part.geometry.to_world(axes))


def _stack_results(
    results: list[Any], model: SpatialArray, space: list[int], other: list[int]
) -> Any:
    """Return one result of those at each index along axes of time and channels."""
    first = results[0]
    if isinstance(first, tuple | list):
        columns = zip(*results, strict=True)
        return type(first)([_stack_results(list(c), model, space, other) for c in columns])
    if not isinstance(first, SpatialArray):
        return results
    shapes = {r.shape for r in results}
    if len(shapes) > 1:
        raise GeometryLossError(
            "the filter returned images of several shapes along the axes of time and channels, "
            f"{sorted(shapes)}: run it on each spatial image"
        )
    lengths = tuple(model.shape[i] for i in other)
    data = np.stack([np.asarray(r.data) for r in results]).reshape(*lengths, *first.shape)
    if first.ndim >= len(space):
        data = np.moveaxis(data, range(len(other)), other)
    g = _stacked_geometry(first.geometry, model.geometry, space, data.shape)
    return on_grid(model, data, g)


def _stacked_geometry(
    part: Geometry, g: Geometry, space: list[int], shape: tuple[int, ...]
) -> Geometry:
    """Return the geometry of stacked results.

    Parameters
    ----------
    part : Geometry
        Geometry of the result at one index.
    g : Geometry
        Geometry of the input, with its axes of time and channels.
    space : list of int
        Its axes that run through space.
    shape : tuple of int
        Shape of the stacked results.
    """
    dims = g.dims
    if part.ndim == len(space) + 1 and part.ndim - 1 not in part.sampled_axes:
        added = part.dims[-1]  # of a filter that makes vectors or colours of scalars
        dims, part = (*dims, None if added in dims else added), part[..., 0]
    if part.ndim != len(space):
        raise GeometryLossError(
            f"the filter returned the axes {part.dims!r} for the spatial axes of {g.dims!r}: run "
            "it on each spatial image"
        )
    if shape == g.shape and part == _spatial_geometry(g, space):
        return g
    columns = [g.sampled_axes.index(i) for i in space if i in g.sampled_axes]
    rows = [g.world.axes.index(name) for name in part.world.axes]
    spacing, origin, direction = g.spacing.copy(), g.origin.copy(), g.direction.copy()
    spacing[columns], origin[rows] = part.spacing, part.origin
    direction[np.ix_(rows, columns)] = part.direction
    return Geometry(shape, spacing, origin, direction, dims, sampled=g.sampled_axes, world=g.world)


def _spatial_geometry(g: Geometry, space: list[int]) -> Geometry:
    """Return the geometry of the first spatial image."""
    part = g[tuple([slice(None) if i in space else 0 for i in range(g.ndim)])]
    return part.to_world([n for n in part.world.axes if n != "t"])


# --- Lazy images ----------------------------------------------------------------------------


def _run_by_blocks(
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

    # Other images are passed with their own voxels: the library compares the grids itself.
    interpolation = [None] * (len(images) - 1) or "linear"
    return map_blocks(
        on_block, *images, halo=halo, halo_unit=halo_unit, dtype=_result_type(on_block, images),
        interpolation=interpolation,
    )  # fmt: skip


def _result_type(on_block: Callable[..., Any], images: Sequence[SpatialArray]) -> Any:
    """Return the data type of a filter's result, found by running it on a few voxels."""
    if not any(backends.is_lazy(image.data) for image in images):
        return None
    samples = [
        SpatialArray(
            _ramp([min(n, _SAMPLE_SIZE) for n in image.shape], image.dtype),
            image.geometry[tuple([slice(_SAMPLE_SIZE)] * image.ndim)],
        )
        for image in images
    ]
    try:
        return on_block(*samples).dtype
    except Exception:  # a filter may refuse so few voxels
        return images[0].dtype


def _ramp(shape: Sequence[int], dtype: Any) -> Any:
    """Return voxels of many values, so that filters that search for a threshold find one."""
    return (np.arange(np.prod(shape, dtype=int)) % 100).reshape(shape).astype(dtype)
