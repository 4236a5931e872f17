"""Functions that move voxels and change none: each surviving voxel keeps its place exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import rule

__all__: list[str] = []


@rule("moves", np.flip, deferrable=True)
def _flip(m: Geometry, axis: Any = None) -> Geometry:
    return m.flip(axis)


@rule("moves", np.fliplr, deferrable=True)
def _fliplr(m: Geometry) -> Geometry:
    return m.flip(1)


@rule("moves", np.flipud, deferrable=True)
def _flipud(m: Geometry) -> Geometry:
    return m.flip(0)


@rule("moves", np.transpose, deferrable=True)
def _transpose(a: Geometry, axes: Any = None) -> Geometry:
    return a.transpose(axes)


@rule("moves", np.swapaxes, deferrable=True)
def _swapaxes(a: Geometry, axis1: Any, axis2: Any) -> Geometry:
    return a.swapaxes(axis1, axis2)


@rule("moves", np.moveaxis, deferrable=True)
def _moveaxis(a: Geometry, source: Any, destination: Any) -> Geometry:
    return a.moveaxis(source, destination)


@rule("moves", np.squeeze, deferrable=True)
def _squeeze(a: Geometry, axis: Any = None) -> Geometry:
    return a.squeeze(axis)
