"""Plans of resampling, made from geometries alone.

A `Plan` says, for each axis of the source, where along it an output voxel asks for its value:

* a `SeparableAxis` where that depends on one output axis at most: ``x = scale * i + offset``. With
  whole numbers it is a slice and needs no arithmetic; axes that are carried along are of this kind;
* a `CoupledAxes` part for the axes that depend on several output axes: ``x = matrix @ i + offset``,
  or on a displacement field.

Positions depend on the output voxel's own index alone, never on the block that it is computed in.
That is why a result computed in blocks equals one computed whole, to the bit. A plan knows no
arrays but NumPy's small ones, and no data but those of a displacement field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spatial_duck.resampling._interpolations import kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.geometry import Geometry
    from spatial_duck.resampling._coupled import Box, CoupledAxes
    from spatial_duck.resampling._separable import SeparableAxis, Table

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How an output grid is filled from a source.

    Attributes
    ----------
    source_shape : tuple of int
        Shape of the source.
    geometry : Geometry
        Geometry of the output.
    separable : tuple of SeparableAxis
        In the order in which they are worked on.
    coupled : CoupledAxes or None
        The part with axes that depend on several output axes.
    interpolation : str
        One of `INTERPOLATIONS`.
    edge : bool
        Whether the outermost values of the source go on for ever.
    """

    source_shape: tuple[int, ...]
    geometry: Geometry
    separable: tuple[SeparableAxis, ...]
    coupled: CoupledAxes | None
    interpolation: str
    edge: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return self.geometry.shape

    @property
    def kind(self) -> str:
        """Kind of the resampling: ``"shift"``, ``"axes"``, ``"affine"`` or ``"displacement"``."""
        if self.coupled is not None:
            return "affine" if self.coupled.nonlinear is None else "displacement"
        return "shift" if all(line.exact for line in self.separable) else "axes"

    @property
    def repeated(self) -> tuple[int, ...]:
        """Output axes along which the values do not change."""
        used = {line.out for line in self.separable} | set(
            self.coupled.outs if self.coupled else ()
        )
        return tuple([o for o in range(len(self.shape)) if o not in used])

    def tables(self, out_box: Box) -> list[Table]:
        """Return the table of each line for a box of output voxels."""
        return [
            line.table(*(out_box[line.out] if line.out is not None else (0, 1)),
                       self.interpolation, self.edge)
            for line in self.separable
        ]  # fmt: skip

    def input_box(self, out_box: Box, tables: Sequence[Table] | None = None) -> Box | None:
        """Return the box of source voxels that a box of output voxels needs.

        Parameters
        ----------
        out_box : Box
            First index and the one after the last, along each output axis.
        tables : sequence of Table, optional
            The tables of that box, where they are known already.

        Returns
        -------
        Box or None
            None where the whole box lies outside the source.
        """
        box = [(0, 0)] * len(self.source_shape)
        if any(stop <= start for start, stop in out_box):
            return None
        tables = self.tables(out_box) if tables is None else tables
        for line, table in zip(self.separable, tables, strict=True):
            if table.start == table.stop:
                return None
            box[line.source] = table.bounds
        if self.coupled is not None:
            found, met = self.coupled.bounds([out_box[o] for o in self.coupled.outs], self.edge)
            if not met:
                return None
            for source, (first, stop) in zip(self.coupled.sources, found, strict=True):
                box[source] = int(first), int(stop)
        return tuple(box)

    @property
    def filters(self) -> dict[int, tuple[tuple[float, ...], float]]:
        """The filters that run over the source first: for each axis the poles, and a sigma."""
        poles = kinds[self.interpolation].poles
        found = {line.source: (poles, 0.0) for line in self.separable if poles and not line.exact}
        if self.coupled is not None:
            for axis, sigma in zip(self.coupled.sources, self.coupled.sigma, strict=True):
                if poles or sigma:
                    found[axis] = poles, sigma
        return found

    @property
    def halo(self) -> tuple[int, ...]:
        """How many voxels around a box of the source the filters look at, along each axis."""
        found = [0] * len(self.source_shape)
        for axis, (_, sigma) in self.filters.items():
            found[axis] = kinds[self.interpolation].halo + math.ceil(4 * sigma)
        return tuple(found)
