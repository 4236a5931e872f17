"""pyimagej's own conversions of DataArrays, with a gateway that holds what Java would.

The package's functions decide what becomes of each axis; stand-ins take the place of the Java
classes that they fill, so that neither ImageJ2 nor a network is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd

pytestmark = pytest.mark.library


@dataclass(frozen=True)
class AxisType:
    label: str

    def getLabel(self) -> str:
        return self.label


@dataclass
class LinearAxis:
    """net.imagej.axis.DefaultLinearAxis."""

    kind: AxisType
    scale: float
    origin: float

    def type(self) -> AxisType:
        return self.kind

    def calibratedValue(self, index: int) -> float:
        return self.origin + self.scale * index


class Properties(dict[str, Any]):
    def putAll(self, other: Any) -> None:
        self.update(other)


@dataclass
class Dataset:
    """net.imagej.Dataset: axes in the order of Fortran, of values in the order of C."""

    values: Any
    dim_axes: list[LinearAxis] = field(default_factory=list)
    name: Any = None
    properties: Properties = field(default_factory=Properties)

    dims = property(lambda self: [axis.kind.label for axis in self.dim_axes])
    shape = property(lambda self: self.values.shape[::-1])

    def setAxes(self, axes: list[LinearAxis]) -> None:
        assert len(axes) == self.values.ndim
        self.dim_axes = list(axes)

    def setName(self, name: Any) -> None:
        self.name = name

    def getName(self) -> Any:
        return self.name

    def getProperties(self) -> Properties:
        return self.properties


class Gateway:
    """imagej.ImageJ, whose converters give back what they are given."""

    def convert(self) -> Any:
        return SimpleNamespace(convert=lambda value, kind: value)


@pytest.fixture
def convert(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return pyimagej's module of conversions, with stand-ins for Java."""
    module = pytest.importorskip("imagej.convert", reason="needs pyimagej")
    classes = SimpleNamespace(
        Axes=SimpleNamespace(get=AxisType), DefaultLinearAxis=LinearAxis, Double=float,
        ImgPlus=Dataset, Named=Dataset,
    )  # fmt: skip

    def to_java(attrs: Any) -> Any:
        assert all(isinstance(value, str | int | float) for value in attrs.values())
        return dict(attrs)

    def copy(ij: Any, rai: Dataset, array: Any) -> None:
        array[...] = rai.values

    monkeypatch.setattr(module, "jc", classes)
    monkeypatch.setattr(module.dims, "jc", classes)
    monkeypatch.setattr(module, "sj", SimpleNamespace(to_java=to_java, to_python=dict))
    monkeypatch.setattr(module, "ndarray_to_dataset", lambda ij, values: Dataset(values))
    monkeypatch.setattr(module, "_permute_rai_to_python", lambda rai: rai)
    monkeypatch.setattr(
        module, "images",
        SimpleNamespace(
            is_xarraylike=module.images.is_xarraylike, copy_rai_into_ndarray=copy,
            create_ndarray=lambda rai: np.zeros(rai.shape[::-1], rai.values.dtype),
        ),
    )  # fmt: skip
    return module


@pytest.mark.parametrize("dims", ["zyx", "yx", "tzyx", "czyx"])
def test_axes_are_calibrated_and_come_back(convert: Any, dims: str) -> None:
    shape = (2, 4, 5, 6)[-len(dims) :]
    steps = dict(zip("tczyx", [7.0, 1.0, 2.0, 0.5, 0.25], strict=True))
    starts = dict(zip("tczyx", [0.0, 0.0, -10.0, 5.0, 3.0], strict=True))
    sampled = [n for n in dims if n != "c"]
    image = sd.SpatialArray(
        np.random.default_rng(0).random(shape, "f4"), dims=tuple(dims),
        spacing=[steps[n] for n in sampled], origin=[starts[n] for n in sampled],
        attrs={"stain": {"name": "DAPI"}, "nothing": None},
    )  # fmt: skip
    dataset = convert.xarray_to_dataset(Gateway(), sd.to_xarray(image, wrap=False, name="cells"))
    found = {a.kind.label: (a.scale, a.origin) for a in dataset.dim_axes}
    words = {"t": "Time", "c": "Channel", "z": "Z", "y": "Y", "x": "X"}
    assert list(found) == [words[n] for n in reversed(dims)]
    assert found == {words[n]: (steps[n], starts[n]) for n in reversed(dims)}
    there = convert.java_to_xarray(Gateway(), dataset)
    assert there.name == "cells"
    names = {"pln": "z", "row": "y", "col": "x", "ch": "c"}  # scikit-image's, which pyimagej gives
    back = sd.from_xarray(there.rename({k: v for k, v in names.items() if k in there.dims}))
    assert back.dims == image.dims
    assert np.array_equal(np.asarray(back), np.asarray(image))
    assert np.allclose(back.spacing, image.spacing)
    assert np.allclose(back.origin, image.origin)
    # What attrs hold besides text and numbers goes to Java as JSON, and nothing says so there.
    assert back.attrs == {"stain": '{"name": "DAPI"}', "nothing": "null"}
