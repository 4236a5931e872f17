"""SimpleITK transforms, to and from: in x, y, z order, LPS, mm.

SimpleITK's transforms do not say so, but ITK's images do, and so does every file of theirs. A
transform in another frame, unit or order of axes is converted; one without a frame is refused
until the caller says what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spatial_duck.errors import FrameError, GeometryError, GeometryLossError
from spatial_duck.geometry._world import SPACE_AXES, World
from spatial_duck.io import _itk_transforms as itk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.transforms import Transform

__all__ = ["from_simpleitk", "itk_world", "to_simpleitk"]


def itk_world(axes: Sequence[str]) -> World:
    """Return the world that ITK means by its numbers."""
    return World(axes, "mm", "LPS")


def from_simpleitk(transform: Any) -> Transform:
    """Return a SimpleITK transform as one of ours.

    Parameters
    ----------
    transform : SimpleITK.Transform
        Over two or three axes, of any kind.

    Returns
    -------
    Transform
        In the world x, y, z, LPS, mm. `Affine` for all linear ones, `DisplacementField`, `BSpline`,
        or a flat `Composite` of these. SimpleITK's composite applies what was added last first;
        ours has that one first.

    Raises
    ------
    FormatError
        If it is of a kind that has no equal here.
    """
    return itk.transform_from_itk(transform, itk_world(SPACE_AXES[: transform.GetDimension()]))


def to_simpleitk(transform: Transform, *, frame: str | None = None) -> Any:
    """Return a transform as a SimpleITK transform.

    Parameters
    ----------
    transform : Transform
        Over the world axes x and y, or x, y and z, in any order, unit and frame.
    frame : str, optional
        The frame, if the transform has none. Then units that are not given are mm.

    Returns
    -------
    SimpleITK.Transform
        ``AffineTransform``, ``DisplacementFieldTransform`` (its vectors are read into memory),
        ``BSplineTransform``, or a flat ``CompositeTransform`` of these.

    Raises
    ------
    FrameError
        If the frame is not known.
    GeometryLossError
        If SimpleITK cannot hold it.
    """
    world = transform.world
    axes = [a for a in SPACE_AXES if a in world.axes]
    if len(axes) != len(world.axes) or len(axes) < 2:
        raise GeometryLossError(
            f"SimpleITK's transforms are over x and y, or x, y and z; got {world.axes!r}"
        )
    if world.frame is None:
        if frame is None:
            raise FrameError(
                "frame: SimpleITK's transforms are in LPS, and this one does not say which way x, "
                "y and z point; say so with frame='LPS' or another code"
            )
        transform = _said(transform, frame)
    return itk.transform_to_itk(transform.to_world(itk_world(axes)))


def _said(transform: Transform, frame: str) -> Transform:
    """Return a transform with the frame that its numbers were always meant in, and mm."""
    world = transform.world
    if any(unit not in (None, "mm") for unit in world.units):
        raise GeometryError(
            f"a transform without a frame must be in mm or without a unit, got {world!r}"
        )
    made = itk.transform_to_itk(_in_order(transform))
    return itk.transform_from_itk(made, World(_in_order(transform).world.axes, "mm", frame))


def _in_order(transform: Transform) -> Transform:
    world = transform.world
    axes = [a for a in SPACE_AXES if a in world.axes]
    return transform.to_world(
        World(axes, [world.units[world.axes.index(a)] for a in axes], world.frame)
    )
