"""Check that an image is axis-aligned, for formats and libraries without a direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spatial_duck.errors import GeometryLossError
from spatial_duck.io.ngff._describe import describe_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.geometry import Geometry

__all__ = ["upright"]


def upright(
    geometry: Geometry,
    name: str,
    oblique: str,
    options: Sequence[str] = ("keep",),
    more: Sequence[str] = (),
    advice: str = "",
) -> bool:
    """Refuse a geometry that is more than a start and spacing along axes of their own names.

    Parameters
    ----------
    geometry : Geometry
        Any.
    name : str
        The format or library.
    oblique : str
        ``"refuse"``, or one of `options`, which accept the loss.
    options : sequence of str, optional
        What the caller offers.
    more : sequence of str, optional
        What else would be lost.
    advice : str, optional
        Another way out, as the end of the message.

    Returns
    -------
    bool
        Whether something is lost.

    Raises
    ------
    GeometryLossError
        If something is, and that was not accepted.
    """
    if oblique not in ("refuse", *options):
        raise ValueError(f"oblique must be one of {('refuse', *options)}, got {oblique!r}")
    lost = ", ".join([*filter(None, [describe_loss(geometry)]), *more])
    if lost and oblique == "refuse":
        raise GeometryLossError(
            f"{name} would lose {lost}. Bring the image onto a grid that it holds with "
            f"reorient(...) or resample(...), or accept the loss with oblique={options[0]!r}"
            f"{advice}"
        )
    return bool(lost)
