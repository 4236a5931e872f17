"""Registration of images with PyTorch and JAX, once these are imported.

PyTorch puts samples of a batch together by their type (``default_collate_fn_map``); JAX takes
containers of arrays apart (``jax.tree_util``), so that ``jit``, ``grad`` and ``vmap`` see an
image's array, and its geometry stays as it is. Neither library is imported here: the first image
that is made after they were finds them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array import _dispatch as dispatch
from spatial_duck.array._state import ImageState, copy_attrs
from spatial_duck.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spatial_duck.array._coordinates import Held

__all__ = ["PENDING", "register"]


def register(cls: type[ImageState]) -> None:
    """Register the class of images with the libraries that are imported now."""
    for name, enter in list(PENDING.items()):
        module = sys.modules.get(name)
        if module is not None and enter(module, cls):
            PENDING.pop(name, None)


# --- PyTorch ------------------------------------------------------------------------------


def _enter_collate(module: Any, cls: type[ImageState]) -> bool:
    table = getattr(module, "default_collate_fn_map", None)
    if table is None:  # another thread is importing it
        return False
    table.setdefault(cls, _collate)
    return True


def _collate(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:  # noqa: ARG001
    """Return images as one image of a PyTorch tensor, with a new first axis.

    Images on one grid keep it. The batch of others, such as patches of a volume, has none.
    """
    first = batch[0]
    tensors = [image.to("torch") for image in batch]
    if all(i.dims == first.dims and i.geometry.isclose(first.geometry) for i in batch[1:]):
        return np.stack(tensors)
    import torch

    data = torch.stack([image.data for image in tensors])
    g = first.geometry
    for axis in g.sampled_axes:
        g = g.lose(axis, "default_collate")
    g = g.expand_dims(0).resize_axis(0, len(batch))
    return type(first)._wrap(data, g, dispatch.common_attrs(list(batch)))


# --- JAX ----------------------------------------------------------------------------------


def _enter_tree(module: Any, cls: type[ImageState]) -> bool:
    enter: Callable[..., None] | None = getattr(module, "register_pytree_node", None)
    if enter is None:
        return False
    enter(cls, _flatten, _unflatten)
    return True


def _flatten(image: ImageState) -> tuple[tuple[Any], _StaticPart]:
    return (image._data,), _StaticPart(image)


def _unflatten(static: _StaticPart, children: Sequence[Any]) -> ImageState:
    return static.restore(children[0])


class _StaticPart:
    """Everything but the array of an image, as JAX compares and hashes it."""

    __slots__ = ("attrs", "cls", "coords", "geometry")

    def __init__(self, image: ImageState) -> None:
        self.cls, self.geometry = type(image), image.geometry
        self.attrs, self.coords = image._attrs, image._coords

    def __hash__(self) -> int:
        return hash(self.geometry)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _StaticPart)
            and self.geometry == other.geometry
            and _is_same(self.attrs, other.attrs)
            and _is_same(self.coords, other.coords)
        )

    def restore(self, data: Any) -> ImageState:
        """Return the image with other data, as JAX gives them back.

        `vmap` takes an axis out and puts one in: which one is told by its tracer, or by the only
        axis that fits; where several would, the result has no geometry.
        """
        g = self.geometry
        shape = getattr(data, "shape", None)
        if shape is None or tuple(shape) == g.shape:
            return self.cls._wrap(data, g, copy_attrs(self.attrs), self.coords)
        shape = tuple(shape)
        axis = _batch_axis(data, g.shape, shape)
        coords = self.coords
        if axis is None:
            g, coords = _unplaced_geometry(shape), None
        elif len(shape) < g.ndim:
            if axis in g.sampled_axes:
                g = g.lose(axis, "vmap")
            g = g[(slice(None),) * axis + (0,)]
            coords = _shift_coords(coords, axis, -1)
        else:
            g = g.expand_dims(axis).resize_axis(axis, shape[axis])
            coords = _shift_coords(coords, axis, 1)
        return self.cls._wrap(data, g, copy_attrs(self.attrs), coords)


def _batch_axis(data: Any, old: tuple[int, ...], new: tuple[int, ...]) -> int | None:
    """Return the axis by which shapes differ, if it is known which that is."""
    if abs(len(old) - len(new)) != 1:
        return None
    longer, shorter = (old, new) if len(old) > len(new) else (new, old)
    fits = [k for k in range(len(longer)) if longer[:k] + longer[k + 1 :] == shorter]
    told = getattr(data, "batch_dim", None)  # of vmap's tracers
    if len(old) > len(new) and told in fits:
        return int(told)
    return fits[0] if len(fits) == 1 else None


def _unplaced_geometry(shape: tuple[int, ...]) -> Geometry:
    g = Geometry(shape, dims=(None,) * len(shape))
    for axis in range(len(shape)):
        g = g.mark_lost(axis, "vmap")
    return g


def _shift_coords(coords: dict[str, Held] | None, axis: int, by: int) -> dict[str, Held] | None:
    """Return coordinates after an axis was removed (-1) or added (+1)."""
    kept = {}
    for name, held in (coords or {}).items():
        if held.axis is not None:
            if by < 0 and held.axis == axis:
                continue
            held = held._replace(axis=held.axis + by * (held.axis >= axis))
        kept[name] = held
    return kept or None


def _is_same(a: Any, b: Any) -> bool:
    """Whether two attrs or coordinates are equal, arrays in them too."""
    if a is b:
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all([_is_same(a[k], b[k]) for k in a])
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(_is_same, a, b))
    return type(a) is type(b) and bool(np.array_equal(a, b))


#: Registrations that are still to be done, by module.
PENDING: dict[str, Callable[[Any, type[ImageState]], bool]] = {
    "torch.utils.data._utils.collate": _enter_collate,
    "jax.tree_util": _enter_tree,
}
