"""Check that an image is axis-aligned, for formats and libraries without a direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spatial_duck.errors import GeometryLossError
from spatial_duck.io.ngff._describe import describe_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.geometry import Geometry

__all__ = ["require_axis_aligned"]


def require_axis_aligned(
    geometry: Geometry,
    name: str,
    oblique: str,
    options: Sequence[str] = ("keep",),
    more: Sequence[str] = (),
) -> bool:
    """Check that an origin and a spacing along the world axes of the same names are all there is.

    Parameters
    ----------
    geometry : Geometry
        The geometry of the image.
    name : str
        Name of the format or library, for the message.
    oblique : str
        ``"refuse"``, or one of `options`, with which the loss is accepted.
    options : sequence of str, optional
        Values of `oblique` that the caller accepts.
    more : sequence of str, optional
        What else would be lost, for the message.

    Returns
    -------
    bool
        Whether something is lost.

    Raises
    ------
    GeometryLossError
        If something would be lost and that is not accepted.
    """
    if oblique not in ("refuse", *options):
        raise ValueError(f"oblique must be one of {('refuse', *options)}, got {oblique!r}")
    lost = ", ".join([*filter(None, [describe_loss(geometry)]), *more])
    if lost and oblique == "refuse":
        raise GeometryLossError(
            f"{name} would lose {lost}. Bring the image onto a grid that it holds with "
            f"reorient(...) or resample(...), or accept the loss with oblique={options[0]!r}"
        )
    return bool(lost)
