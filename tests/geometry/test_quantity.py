"""Numbers with a unit, wherever a length, a point or a time is wanted."""

from __future__ import annotations

import datetime as dt
import inspect
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import Geometry, SpatialArray
from spatial_duck.errors import GeometryError
from spatial_duck.geometry._quantity import in_unit, split_unit
from spatial_duck.learning import Patches


def _pint(values: Any, unit: str) -> Any:
    pint = pytest.importorskip("pint")
    return np.asarray(values) * pint.get_application_registry()(unit).units


def _astropy(values: Any, unit: str) -> Any:
    units = pytest.importorskip("astropy.units")
    return np.asarray(values) * units.Unit(unit)


def _unyt(values: Any, unit: str) -> Any:
    return pytest.importorskip("unyt").unyt_array(np.asarray(values, float), unit)


def _text(values: Any, unit: str) -> Any:
    if np.ndim(values) == 0:
        return f"{values} {unit}"
    return [_text(v, unit) for v in np.asarray(values).tolist()]


def _each(make: Any) -> Any:
    """Return a maker of lists whose numbers are quantities of their own."""

    def maker(values: Any, unit: str) -> Any:
        if np.ndim(values) == 0:
            return make(values, unit)
        return [maker(v, unit) for v in values]

    maker.__name__ = f"each{make.__name__}"
    return maker


MAKERS = [_pint, _astropy, _unyt, _text, *map(_each, (_pint, _astropy, _unyt))]
IMAGE = SpatialArray(np.arange(80.0).reshape(8, 10), spacing=(2, 1), unit="mm")

#: What takes a length, and what it is called with: in mm, a plain number.
TAKE: dict[str, Any] = {
    "Geometry.spacing": lambda q: Geometry((3, 4), spacing=q([2.0, 1.0]), unit="mm").spacing,
    "Geometry.origin": lambda q: Geometry((3, 4), origin=q([2.0, 1.0]), unit="mm").origin,
    "Geometry.spacing of all": lambda q: Geometry((3, 4), spacing=q(2.0), unit="mm").spacing,
    "Geometry by name": lambda q: Geometry((3, 4), spacing={"x": q(2.0)}, unit="mm").spacing,
    "Geometry.replace": lambda q: IMAGE.geometry.replace(origin=q([3.0, 4.0])).origin,
    "Geometry.enclosing": lambda q: IMAGE.geometry.enclosing(q([[0.0, 0.0], [3.0, 4.0]])).origin,
    "from_corner": lambda q: Geometry.from_corner((3, 4), corner=q([2.0, 1.0]), unit="mm").origin,
    "SpatialArray": lambda q: SpatialArray(IMAGE.data, spacing=q([2.0, 1.0]), unit="mm").spacing,
    "physical_to_index": lambda q: IMAGE.physical_to_index(q([10.0, 10.0])),
    "transform": lambda q: sd.Affine(np.eye(3), IMAGE.world)(q([10.0, 10.0])),
    "resample": lambda q: sd.resample(IMAGE, spacing=q([1.0, 0.5])).spacing,
    "resample to one": lambda q: sd.resample(IMAGE, spacing=q(0.5)).spacing,
    "resample by name": lambda q: sd.resample(IMAGE, spacing={"x": q(0.5)}).spacing,
    "crop": lambda q: sd.crop(IMAGE, q([[2.0, 2.0], [8.0, 6.0]])).data,
    "crop by name": lambda q: sd.crop(IMAGE, {"x": q([2.0, 6.0])}).data,
    "sample": lambda q: sd.sample(IMAGE, q([[3.0, 4.0]])),
    "gaussian_filter": lambda q: sd.ndimage.gaussian_filter(IMAGE, q(2.0)).data,
    "gaussian_filter of each": lambda q: sd.ndimage.gaussian_filter(IMAGE, q([2.0, 1.0])).data,
    "median_filter": lambda q: sd.ndimage.median_filter(IMAGE, q(2.0)).data,
    "map_blocks": lambda q: sd.map_blocks(lambda b: b + 1, IMAGE, halo=q(2.0)).data,
    "map_blocks of each": lambda q: (
        sd.map_blocks(
            lambda b: np.full(b.shape, b.shape[1]), IMAGE, blocks=4, halo=q([2.0, 1.0])
        ).data
    ),
    "conform": lambda q: sd.conform(IMAGE, spacing=q(0.5))[0].spacing,
    "conform of each": lambda q: sd.conform(IMAGE, spacing=q([1.0, 0.5]))[0].spacing,
    "patches": lambda q: sd.patches([IMAGE], 3, spacing=q([1.0, 0.5]))[0].spacing,
    "pyramid.at": lambda q: sd.pyramid(IMAGE).at(q(2.0)).spacing,
}


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", TAKE)
def test_lengths_are_converted_to_the_unit_in_force(name, make):
    take = TAKE[name]
    plain = np.asarray(take(lambda v: v))
    np.testing.assert_allclose(np.asarray(take(lambda v: make(v, "mm"))), plain, rtol=1e-12)
    microns = take(lambda v: make(np.multiply(v, 1000).tolist(), "um"))
    np.testing.assert_allclose(np.asarray(microns), plain, rtol=1e-12)


@pytest.mark.parametrize("make", MAKERS)
def test_sizes_of_patches_are_voxels_or_lengths_along_each_axis(make: Any) -> None:
    def shape(size: Any) -> Any:
        return sd.patches([IMAGE], size)[0].shape  # of voxels of 2 mm and 1 mm

    assert shape(make(4.0, "mm")) == (2, 4)
    assert shape(make([6.0, 5.0], "mm")) == shape(tuple(make([6000.0, 5000.0], "um"))) == (3, 5)
    assert shape({"y": make(6.0, "mm"), "x": make(5.0, "mm")}) == (3, 5)
    assert shape({"y": make(6.0, "mm")}) == (3, 10)
    assert shape([4, make(5.0, "mm")]) == shape({"y": 4, "x": make(5.0, "mm")}) == (4, 5)


def _rotated(angle: Any) -> Any:
    return sd.random_affine(IMAGE.geometry, 0, rotation=angle, scale=0).matrix


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "turn", [_rotated, lambda angle: sd.ndimage.rotate(IMAGE, angle).data], ids=["random", "rotate"]
)
def test_angles_are_degrees_or_have_a_unit(turn: Any, make: Any) -> None:
    plain = turn(30.0)
    np.testing.assert_array_equal(turn(make(30.0, "deg")), plain)
    if make is not _text:  # it is the library that knows other units of angles
        np.testing.assert_allclose(turn(make(np.pi / 6, "rad")), plain, atol=1e-9)
    with pytest.raises(GeometryError, match="convert"):
        turn(make(30.0, "mm"))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", TAKE)
def test_what_is_no_length_is_refused(name, make):
    with pytest.raises(GeometryError, match="convert"):
        TAKE[name](lambda v: make(v, "s"))


#: What counts voxels, and is never a length.
COUNT: dict[str, Any] = {
    "resample": lambda q: sd.resample(IMAGE, shape=q),
    "pad_to": lambda q: sd.pad_to(IMAGE, shape=q),
    "conform": lambda q: sd.conform(IMAGE, shape=q),
    "conform to a multiple": lambda q: sd.conform(IMAGE, multiple_of=q),
    "conform to fit": lambda q: sd.conform(IMAGE, shape=q, spacing="fit"),
    "map_blocks": lambda q: sd.map_blocks(lambda b: b, IMAGE, blocks=q),
    "sliding_window": lambda q: sd.sliding_window(lambda b: b, IMAGE, window=q, dtype="f8"),
}


@pytest.mark.parametrize("name", COUNT)
@pytest.mark.parametrize("make", MAKERS)
def test_what_counts_voxels_takes_no_lengths(name: str, make: Any) -> None:
    COUNT[name](4)
    for wrong in (make(4, "mm"), {"x": make(4, "mm")}, [make(4, "mm"), make(4, "mm")]):
        with pytest.raises(GeometryError, match="counts voxels, and takes no lengths"):
            COUNT[name](wrong)
    for wrong in (2.5, np.nan, np.inf, -1, {"x": 1.5}):
        with pytest.raises(GeometryError, match="must hold ints of"):
            COUNT[name](wrong)


@pytest.mark.parametrize("make", MAKERS)
def test_a_unit_is_taken_over_where_none_is_set(make):
    g = Geometry((3, 4), spacing=make([2.0, 1.0], "um"))
    assert g.unit == ("um", "um")
    assert g.spacing.tolist() == [2.0, 1.0]
    assert Geometry((3, 4), origin=make([2.0, 1.0], "um"), spacing=3.0).unit == ("um", "um")
    turned = Geometry((3, 4), make([2.0, 1.0], "um"), direction=[[0, 1], [1, 0]])
    assert turned.unit == ("um", "um")
    with pytest.raises(GeometryError, match="no unit"):
        IMAGE.replace(unit=None).geometry.physical_to_index(make([1.0, 1.0], "um"))


def test_times_and_texts():
    series = Geometry(
        (5, 3, 4), ["1.5 s", "2 um", "2 um"], dims=("t", "y", "x"), unit={"t": "s", "y": "mm"}
    )
    assert series.spacing.tolist() == [1.5, 0.002, 2.0]
    assert series.unit == ("s", "mm", "um")
    assert in_unit(dt.timedelta(minutes=1), "ms", "time") == 60_000
    assert in_unit(np.timedelta64(3, "m"), "s", "time") == 180
    assert in_unit(np.array([1, 2], "m8[ms]"), "s", "time").tolist() == [0.001, 0.002]
    assert split_unit("1e-3 µm", "x") == (1e-3, "um")
    for wrong in ("abc", "2", "um 2"):
        with pytest.raises(GeometryError, match="'2 um'"):
            Geometry((3,), wrong)


def test_mappings_by_name_are_checked():
    with pytest.raises(GeometryError, match="'q'"):
        Geometry((3, 4), spacing={"q": 1.0})
    with pytest.raises(GeometryError, match="'q'"):
        Geometry((3, 4), origin={"q": 1.0})
    g = Geometry((3, 4), spacing={"x": 2.0}, origin={"y": 5.0})
    assert (g.spacing.tolist(), g.origin.tolist()) == ([1.0, 2.0], [5.0, 0.0])
    assert g.replace(spacing={"y": 3.0}).spacing.tolist() == [3.0, 2.0]
    assert g.replace(origin={"x": 1.0}).origin.tolist() == [5.0, 1.0]
    with pytest.raises(GeometryError, match="affine excludes spacing"):
        Geometry((3, 4), spacing=1.0, affine=np.eye(3))
    turned = np.array([[0, -2.0, 6], [3, 0, 0], [0, 0, 1]])
    assert Geometry((3, 4), affine=turned).spacing.tolist() == [3.0, 2.0]
    assert np.array_equal(SpatialArray(np.ones((3, 4)), affine=turned).affine, turned)
    with pytest.raises(GeometryError, match="affine excludes spacing"):
        SpatialArray(np.ones((3, 4)), affine=turned, spacing=1.0)
    named = SpatialArray(np.ones((3, 4)), spacing={"x": "2 um"}, origin={"y": 5.0}, unit="mm")
    assert (named.spacing.tolist(), named.origin.tolist()) == ([1.0, 0.002], [5.0, 0.0])


#: Parameters that are lengths, points or boxes by their names, and what to call them with, in mm.
LENGTHS: dict[str, Any] = {
    **dict.fromkeys(("sigma", "radius", "spacing", "distance", "width", "halo", "tolerance"), 2.0),
    "size": 3.0, "max_distance": 3.0, "control": 10.0, "displacement": 0.5, "translation": 1.0,
    "control_spacing": 8.0, "at": 2.0, "origin": [1.0, 2.0], "corner": [1.0, 2.0],
    "center": [4.0, 4.0], "shift": [1.0, 2.0], "points": [[3.0, 4.0], [5.0, 6.0]],
    "point": [3.0, 4.0], "bounds": [[2.0, 2.0], [8.0, 6.0]],
}  # fmt: skip
#: Public parameters of these names that are no lengths of the image's world.
NO_LENGTHS = {
    ("sum_labels", "size"), ("shrink", "size"),
    ("shift", "size"), ("resize_axis", "size"),  # numbers of voxels
    ("isclose", "tolerance"), ("difference", "tolerance"), ("to_pyradiomics", "tolerance"),
    ("config", "tolerance"),  # a part of a voxel
    ("patches", "size"),  # plain numbers are voxels
    ("plot", "at"),  # a point, not a spacing
    ("read", "tolerance"), ("read_pyramid", "tolerance"),  # of DICOM, whose tests have units
}  # fmt: skip
#: Whose call takes seconds: what they make of a length is tested beside them.
SLOW = {"register"}
MASK = IMAGE > 20
#: Arguments that are needed beside a length, by the names of their parameters.
BESIDE: dict[str, Any] = {
    "geometry": IMAGE.geometry, "seed": 0, "percentile": 50, "rank": 1, "angle": 30.0,
    "function": lambda block: block * 1, "shape": (8, 10), "reference": MASK,
    "prediction": IMAGE > 25, "control": 10.0, "displacement": 0.5, "data": IMAGE.data,
    "images": IMAGE, "labels": MASK, "shift": [0.0, 0.0],
}  # fmt: skip
#: Objects whose public methods are walked.
OBJECTS = (IMAGE, IMAGE.geometry, sd.Affine(np.eye(3), IMAGE.world), sd.pyramid(IMAGE))


def _public_lengths() -> list[tuple[str, str]]:
    """Walk all that is public: each function and method that has a length among its parameters."""
    owners: list[tuple[str, Any]] = [
        *[(name, import_module(f"spatial_duck{name and '.'}{name}")) for name in (
            "", "ndimage", "measure", "metrics", "segmentation", "learning", "registration",
            "pyramids", "blocks", "resampling",
        )],
        *[(type(x).__name__, type(x)) for x in OBJECTS],
    ]  # fmt: skip
    found = {}
    for prefix, owner in owners:
        for name in dir(owner):
            if name.startswith("_") or name in SLOW:
                continue
            function = getattr(owner, name)
            if not inspect.isfunction(function) and function not in (Geometry, SpatialArray):
                continue
            for parameter in inspect.signature(function).parameters:
                if parameter in LENGTHS and (name, parameter) not in NO_LENGTHS:
                    found.setdefault((id(function), parameter), (f"{prefix}.{name}", parameter))
    return sorted(set(found.values()))


PUBLIC = _public_lengths()


def _public(name: str) -> Any:
    prefix, name = name.rsplit(".", 1)
    for x in OBJECTS:
        if type(x).__name__ == prefix:
            return getattr(x, name)
    return getattr(import_module(f"spatial_duck{prefix and '.'}{prefix}"), name)


def test_the_walk_meets_what_takes_lengths():
    names = {name.rsplit(".", 1)[1] for name, _ in PUBLIC}
    assert {
        "gaussian_filter", "map_blocks", "surface_dice", "random_elastic", "conform", "crop", "at",
        "sample", "physical_to_index", "Geometry", "rotate", "shift", "distance_transform_edt",
        "resample", "map_bounds", "enclosing",
    } <= names  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name, parameter", PUBLIC)
def test_every_public_length_takes_a_unit(name: str, parameter: str) -> None:
    function = _public(name)
    signature = inspect.signature(function)
    mask = "binary" in name or "erosion" in name or "label" in name or "edt" in name
    beside = {"image": MASK if mask else IMAGE, **BESIDE}
    given: dict[str, Any] = {}
    for p in signature.parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            given[p.name] = (IMAGE,) if p.name == "images" else ()
        elif name == ".patches" and p.name in ("images", "size"):
            given[p.name] = [IMAGE] if p.name == "images" else 4
        elif p.name == "unit" and parameter in ("spacing", "origin"):
            given[p.name] = "mm"
        elif p.name == parameter or (p.default is p.empty and p.kind is not p.VAR_KEYWORD):
            given[p.name] = beside.get(p.name, IMAGE)

    def values(length: Any) -> Any:
        call = inspect.BoundArguments(signature, {**given, parameter: length})
        return _numbers(function(*call.args, **call.kwargs))

    length = LENGTHS[parameter]
    plain = values(length)
    for unit, factor in (("mm", 1.0), ("um", 1000.0)):
        found = values(_text(np.multiply(length, factor).tolist(), unit))
        for a, b in zip(found, plain, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


def _numbers(result: Any) -> list[Any]:
    """Return all numbers of a result: values and places."""
    if isinstance(result, tuple | list | Patches):
        return [n for r in result for n in _numbers(r)]
    if hasattr(result, "levels"):
        return _numbers(list(result.levels))
    if isinstance(result, sd.Affine):
        return [result.matrix]
    if isinstance(result, sd.DisplacementField):
        return _numbers(result.image)
    if isinstance(result, Geometry):
        return [result.shape, result.origin, result.spacing]
    if isinstance(result, SpatialArray):
        return [np.asarray(result), *_numbers(result.geometry)]
    return [np.asarray(result)] if np.ndim(result) or isinstance(result, float) else []
