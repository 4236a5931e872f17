"""Images and transforms as SimpleITK has them, number for number.

Nothing here changes a frame or a unit: callers bring what they give into the world wanted first.
The axes of that world are SimpleITK's x, y, z in that order, and its arrays' axes are in reverse,
which the columns of a direction follow. SimpleITK's composites apply the transform that was added
last first; ours apply the first one first.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.transforms import Affine, BSpline, Composite, DisplacementField, Transform

if TYPE_CHECKING:
    from spatial_duck.geometry import World

__all__ = ["image_from_itk", "image_to_itk", "simpleitk", "transform_from_itk", "transform_to_itk"]

#: Far enough from the origin that the unit vectors' images have all their digits.
_STEP = 1024.0


def simpleitk(what: str) -> Any:
    """Return the module, or raise an ImportError that names the extra."""
    return require("SimpleITK", what, "register")


def image_to_itk(data: Any, geometry: Geometry, *, vector: bool = False) -> Any:
    """Return a SimpleITK image with as many axes as the world.

    Parameters
    ----------
    data : ndarray
        Its axes are the geometry's sampled axes, and with `vector` one more at the end.
    geometry : Geometry
        With as many sampled axes as world axes, in array order.
    vector : bool, optional
        Whether there are components.
    """
    sitk = simpleitk("Registration")
    image = sitk.GetImageFromArray(np.ascontiguousarray(data), isVector=vector)
    image.SetSpacing(geometry.spacing[::-1].tolist())
    image.SetOrigin(geometry.origin.tolist())
    image.SetDirection(geometry.direction[:, ::-1].ravel().tolist())
    return image


def image_from_itk(image: Any, world: World) -> SpatialArray:
    """Return a SimpleITK image, copied, in the world that its numbers are meant in."""
    sitk = simpleitk("Registration")
    n = image.GetDimension()
    data = sitk.GetArrayFromImage(image)
    geometry = Geometry(
        data.shape,
        image.GetSpacing()[::-1],
        image.GetOrigin(),
        np.array(image.GetDirection()).reshape(n, n)[:, ::-1],
        (*world.axes[::-1], *[None] * (data.ndim - n)),
        sampled=world.axes,
        world=world,
    )
    return SpatialArray(data, geometry)


# --- transforms ---------------------------------------------------------------------------


def transform_from_itk(transform: Any, world: World) -> Transform:
    """Return a SimpleITK transform; composites are flattened.

    Parameters
    ----------
    transform : SimpleITK.Transform
        Transform of any kind that SimpleITK has.
    world : World
        What its x, y, z are.

    Raises
    ------
    FormatError
        If it is of a kind that has no equal here, or holds numbers that are not valid.
    """
    sitk = simpleitk("Converting transforms")
    with suppress(KeyError):  # of kinds that SimpleITK reads, and has no class for; all linear
        transform = transform.Downcast()
    if isinstance(transform, sitk.CompositeTransform):
        count = transform.GetNumberOfTransforms()
        parts = [transform_from_itk(transform.GetNthTransform(i), world) for i in range(count)]
        flat = [p for part in reversed(parts) for p in _flat(part)]
        if not flat:
            return Affine.identity(world)
        return flat[0] if len(flat) == 1 else Composite(*flat)
    if isinstance(transform, sitk.DisplacementFieldTransform):
        return DisplacementField(image_from_itk(transform.GetDisplacementField(), world))
    if isinstance(transform, sitk.BSplineTransform):
        if transform.GetOrder() == 0:
            raise FormatError("a B-spline transform of order 0 is none that ITK can apply")
        images = [image_from_itk(i, world) for i in transform.GetCoefficientImages()]
        return BSpline(np.stack([i.data for i in images]), images[0].geometry, transform.GetOrder())
    if not transform.IsLinear():
        raise FormatError(
            f"a SimpleITK transform of kind {type(transform).__name__} has no equal here; known "
            "are all linear ones, DisplacementFieldTransform, BSplineTransform and composites of "
            "these"
        )
    return Affine(_matrix(transform), world)


def _flat(transform: Transform) -> tuple[Transform, ...]:
    if isinstance(transform, Composite):
        return tuple([p for part in transform.transforms for p in _flat(part)])
    return (transform,)


def _matrix(transform: Any) -> Any:
    """Return the homogeneous matrix of a linear transform of any kind."""
    n = transform.GetDimension()
    matrix = np.eye(n + 1)
    if hasattr(transform, "GetMatrix") and hasattr(transform, "GetCenter"):
        linear = np.array(transform.GetMatrix()).reshape(n, n)
        centre = np.array(transform.GetCenter())
        matrix[:n, :n] = linear
        if hasattr(transform, "GetTranslation"):
            matrix[:n, n] = np.array(transform.GetTranslation()) + centre - linear @ centre
        else:
            matrix[:n, n] = transform.TransformPoint([0.0] * n)
        return matrix
    start = np.array(transform.TransformPoint([0.0] * n))
    for axis in range(n):
        moved = transform.TransformPoint((_STEP * np.eye(n)[axis]).tolist())
        matrix[:n, axis] = (np.array(moved) - start) / _STEP
    matrix[:n, n] = start
    return matrix


def transform_to_itk(transform: Transform) -> Any:
    """Return a transform as SimpleITK's; composites are flattened.

    Parameters
    ----------
    transform : Transform
        Over two or three world axes, in the order that SimpleITK is to have them.

    Raises
    ------
    GeometryLossError
        If SimpleITK has no such transform.
    """
    sitk = simpleitk("Converting transforms")
    parts = _flat(transform)
    n = len(transform.world.axes)
    if n not in (2, 3):
        raise GeometryLossError(
            f"SimpleITK has transforms over two or three axes, got {transform.world.axes!r}"
        )
    made = [_single(part) for part in parts]
    if len(made) == 1:
        return made[0]
    return sitk.CompositeTransform(made[::-1])


def _single(part: Transform) -> Any:
    sitk = simpleitk("Converting transforms")
    n = len(part.world.axes)
    if isinstance(part, Affine):
        out = sitk.AffineTransform(n)
        out.SetMatrix(part.matrix[:n, :n].ravel().tolist())
        out.SetTranslation(part.matrix[:n, n].tolist())
        return out
    if isinstance(part, DisplacementField):
        return sitk.DisplacementFieldTransform(_field_image(part))
    if isinstance(part, BSpline):
        images = [image_to_itk(line, part.geometry) for line in part.coefficients]
        return sitk.BSplineTransform(images, part.order)
    raise GeometryLossError(
        f"SimpleITK has no transform of kind {type(part).__name__}; it takes Affine, "
        "DisplacementField, BSpline and composites of these"
    )


def _field_image(field: DisplacementField) -> Any:
    if field.axes != field.world.axes:
        raise GeometryLossError(
            f"SimpleITK's displacement fields move points along all axes of the world, and this "
            f"one leaves some of {field.world.axes!r} as they are: it moves {field.axes!r}"
        )
    steps, start = field.index_map
    columns = np.linalg.inv(steps)
    spacing = np.sqrt((columns**2).sum(0))
    vectors = np.asarray(field.data, dtype=np.float64)
    geometry = Geometry(
        vectors.shape[1:],
        spacing.tolist(),
        (-columns @ start).tolist(),
        columns / spacing,
        field.world.axes[::-1],
        world=field.world,
        sampled=field.world.axes,
    )
    moved = np.moveaxis(np.tensordot(field.vectors, vectors, 1), 0, -1)
    return image_to_itk(moved, geometry, vector=True)
