"""Defects of image classes that take a class to plant: each is found by its check, in its words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.testing import DeviceArray, Status, check
from spatial_duck.testing._checks import CHECKS
from spatial_duck.testing._conformance import run_check
from spatial_duck.testing._subject import Subject

ROWS = {row.name: row for row in CHECKS}


def _made_of(cls: type) -> Any:
    def factory(data: Any, spacing: Any, origin: Any, direction: Any) -> Any:
        return cls(data, spacing=spacing, origin=origin, direction=direction)

    return factory


ours = _made_of(sd.SpatialArray)


class Mixing(sd.SpatialArray):
    """Adds what lies elsewhere."""

    def __add__(self, other: Any) -> Any:
        return self.replace(data=self.data + np.asarray(other))


class Longer(sd.SpatialArray):
    """Says another shape than its array has."""

    shape = property(lambda self: (*self.data.shape[:-1], self.data.shape[-1] + 1))


class Swapped(sd.SpatialArray):
    """Gives the spacing in one order under both names."""

    spacing_xyz = property(lambda self: self.spacing)
    spacing_zyx = property(lambda self: self.spacing)


class Method:
    """Has methods where others have attributes, as ITK's images."""

    def __init__(self, data: Any, spacing: Any, origin: Any, direction: Any) -> None:
        self.data, self.place = data, (spacing, origin, direction)

    def spacing(self) -> Any:
        return self.place[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.data, dtype)


class Changed(sd.SpatialArray):
    """Hands other numbers to other libraries."""

    def __dlpack__(self, **options: Any) -> Any:
        return (self.data + 1).__dlpack__()


def _concatenate(pieces: Any, axis: int) -> Any:
    first = pieces[0]
    values = np.concatenate([p.data for p in pieces], axis)
    return sd.SpatialArray(values, spacing=first.spacing, origin=first.origin + 1)


class Planted(NamedTuple):
    """What is checked, of which class, and what must be said of it."""

    check: str
    cls: type | None
    functions: dict[str, Any]
    status: Status
    said: str


_BEYOND = {"max": lambda x, axis: (y := np.max(x, axis)).replace(
    origin=y.origin + 9 * x.spacing[0] * x.direction[:, 0])}  # fmt: skip
_BEHIND = {"max": lambda x, axis: (y := np.max(x, axis)).replace(
    origin=y.origin - 9 * x.spacing[0] * x.direction[:, 0])}  # fmt: skip
_FLAT = {"max": lambda x, axis: sd.SpatialArray(np.max(x.data, axis))}
_OFF = {"physical_to_index": lambda x, p: x.physical_to_index(p) + 0.1}
_COPIED = {"flip": lambda x, axis: x.replace(data=DeviceArray(np.flip(x.data.get(), axis)))}

PLANTED = [
    Planted("x + y elsewhere", Mixing, {}, Status.WRONG, "different grids were mixed"),
    Planted("values", Longer, {}, Status.WRONG, "its shape is"),
    Planted("spacing_xyz", Swapped, {}, Status.WRONG, "they are"),
    Planted("x.spacing", Method, {}, Status.NOT_OFFERED, "is a method"),
    Planted("DLPack", Changed, {}, Status.WRONG, "other values"),
    Planted("np.max", None, _BEYOND, Status.WRONG, "beyond"),
    Planted("np.max", None, _BEHIND, Status.WRONG, "does not lie where"),
    Planted("np.max", None, _FLAT, Status.WRONG, ""),
    Planted("index and point", None, _OFF, Status.WRONG, "has index"),
    Planted("device, np.flip", None, _COPIED, Status.WRONG, "from the device to the host"),
    Planted("np.concatenate, gap", None, {"concatenate": _concatenate}, Status.NOT_OFFERED, "fit"),
]


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED, ids=lambda p: f"{p.check}, {p.said or 'flat'}")
def test_a_planted_defect_is_found(planted: Planted) -> None:
    factory = ours if planted.cls is None else _made_of(planted.cls)
    finding = run_check(ROWS[planted.check], Subject(factory, functions=planted.functions), 30)
    assert finding.status is planted.status, str(finding)
    assert planted.said in finding.said, finding.said


def test_a_report_is_walked_and_asked_by_name() -> None:
    report = check(ours, levels=["exchange"], max_examples=3)
    assert [f.name for f in report] == [r.name for r in CHECKS if r.level == "exchange"]
    with pytest.raises(KeyError, match="no check is called 'pickles'"):
        report["pickles"]


# --- the stand-in for a device ------------------------------------------------------------


def test_a_device_array_behaves_as_cupys_do() -> None:
    x = DeviceArray([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    assert [row.shape for row in x] == [(2,), (2,)]
    assert (bool(x[0, 0]), int(x[1, 0]), float(x[1, 1])) == (True, 3, 4.0)
    x[0] = 7.0
    assert x.get().tolist() == [[7, 7], [3, 4]]
    for refused in (
        lambda: np.asarray(x),
        lambda: x + np.ones(2),
        lambda: x.__setitem__(0, np.ones(2)),
        lambda: x.__array_namespace__().add(x, np.ones((2, 2))),
        lambda: x.__array_namespace__().concat([x, np.ones((2, 2))]),
    ):
        with pytest.raises(TypeError):
            refused()


# --- the store that writes down what is read ----------------------------------------------


def test_a_read_only_view_writes_into_the_same_records() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i2")[...] = 1
    view = store.with_read_only(True)
    assert zarr.open_array(view, mode="r")[0] == 1
    assert store.chunks_read[-1] == "c/0"
    with pytest.raises((PermissionError, ValueError)):
        zarr.open_array(view, mode="r")[...] = 2


def test_images_without_voxel_numbers_are_not_compared_by_place() -> None:
    image = sd.SpatialArray(np.full((2, 3), 0.5))
    with pytest.raises(TypeError, match="fill the original with voxel_numbers"):
        sd.testing.assert_same_place(image, image)


def test_names_of_other_measures_lead_to_the_table() -> None:
    for name in ("volume", "label_statistics"):
        with pytest.raises(AttributeError, match=r"regionprops\(labels\) has the volume"):
            getattr(sd.measure, name)
