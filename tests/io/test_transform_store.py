"""Transforms in OME-Zarr 0.6: round trips, and what ome-zarr-models and ngff-zarr make of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FormatError, GeometryLossError, UnsafeInputError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io.ngff._transforms import make_document
from spatial_duck.transforms import Affine, BSpline, Composite, DisplacementField, Transform
from spatial_duck.transforms._base import world_change

LPS = World("xyz", "mm", "LPS")
TURN = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])


def _affine(linear: Any, offset: Any = (0, 0, 0), world: World = LPS) -> Affine:
    matrix = np.eye(len(world.axes) + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = linear, offset
    return Affine(matrix, world)


def _grid(kind: str, world: World = LPS) -> Geometry:
    n = len(world.axes)
    direction = {
        "aligned": np.eye(3)[:, ::-1], "flipped": np.eye(3)[:, [1, 2, 0]] * [-1, 1, -1],
        "oblique": TURN, "sheared": TURN @ [[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1]],
    }[kind][:n, -n:] if n == 3 else np.eye(2)  # fmt: skip
    names = ("i", "j", "k")[:n]
    return Geometry(
        (4, 6, 5)[:n], (2.5, 0.3, 3)[:n], (-3, 0.1, 7)[:n], direction, names, sampled=names,
        world=world,
    )  # fmt: skip


def _field(kind: str, world: World = LPS, dtype: str = "f8", component: int = 0) -> Any:
    grid = _grid(kind, world)
    n = len(world.axes)
    values = np.random.default_rng(3).normal(0, 2, (n, *grid.shape)).astype(dtype)
    full = grid.expand_dims(component).repeat(n, component)
    return DisplacementField(sd.SpatialArray(np.moveaxis(values, 0, component), full))


def _points(transform: Transform, count: int = 1000) -> np.ndarray:
    n = len(transform.world.axes)
    return np.random.default_rng(5).uniform(-15, 20, (count, n))


LINEAR: dict[str, tuple[Affine, list[str]]] = {
    "identity": (Affine.identity(LPS), ["identity"]),
    "translation": (_affine(np.eye(3), (0.1, 2, -3)), ["translation"]),
    "scale": (_affine(np.diag([0.3, 2, 1])), ["scale"]),
    "scale, translation": (_affine(np.diag([0.3, 2, 1]), (1, 0, 0.1)), ["scale", "translation"]),
    "mirror": (_affine(np.diag([-1, 2, 1])), ["affine"]),
    "rotation": (_affine(TURN), ["rotation"]),
    "rotation, translation": (_affine(TURN, (5, 6, 7)), ["rotation", "translation"]),
    "affine": (_affine(TURN + 0.1, (5, 6, 7)), ["affine"]),
    "2-D": (_affine(TURN[:2, :2], (1, 2), World("xy", "um", "RAS")), ["rotation", "translation"]),
    "no frame": (_affine(TURN, (5, 6, 7), World("zxy", (None, "um", "ppm"))),
                 ["rotation", "translation"]),
    "time": (_affine(np.diag([1.0, 2, 3, 4]), (0, 0, 0, 1), World("xyzt", ("mm",) * 3 + ("s",))),
             ["scale", "translation"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("suffix", [".json", ".zarr", ".ome.zarr"])
def test_matrices_come_back_exactly(name: str, suffix: str, tmp_path: Any) -> None:
    """In their own world, said by the least that holds them."""
    if suffix != ".json":
        pytest.importorskip("zarr", reason="needs zarr")
    transform, kinds = LINEAR[name]
    path = tmp_path / f"t{suffix}"
    transform.write(path)
    read = Transform.read(path)
    assert read == transform
    (item,) = make_document(transform)[0]["scene"]["coordinateTransformations"]
    assert [part["type"] for part in item.get("transformations", [item])] == kinds
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), axes=st.permutations("xyz"), count=st.integers(1, 4))
def test_composites_of_any_matrices_map_points_as_before(
    seed: int, axes: Any, count: int, tmp_path_factory: Any
) -> None:
    rng = np.random.default_rng(seed)
    world = World(axes, "mm", "RAS")
    parts = [_affine(np.eye(3) + rng.normal(0, 0.2, (3, 3)), rng.normal(0, 9, 3), world)
             for _ in range(count)]  # fmt: skip
    path = tmp_path_factory.mktemp("t") / "t.json"
    both = Composite(*parts, Composite(parts[0], parts[-1]))
    both.write(path)
    read = Transform.read(path)
    points = _points(both, 50)
    assert [p.matrix.tolist() for p in read.parts] == [p.matrix.tolist() for p in both.parts]
    np.testing.assert_array_equal(read(points), both(points))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["aligned", "flipped", "oblique", "sheared"])
@pytest.mark.parametrize("component", [0, 3])
@pytest.mark.parametrize("dtype", ["f8", ">f4", "i2"])
def test_fields_come_back(kind: str, component: int, dtype: str, tmp_path: Any) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    field = _field(kind, dtype=dtype, component=component)
    path = tmp_path / "t.zarr"
    field.write(path)
    read = Transform.read(path)
    assert read.world == field.world
    grid = _grid(kind)
    index = np.random.default_rng(5).uniform(-1.5, np.array(grid.shape) + 0.5, (1000, 3))
    points = grid.index_to_physical(index)
    assert 200 < (abs(field(points) - points).max(1) > 0).sum() < 800
    np.testing.assert_allclose(read(points), field(points), atol=1e-9)
    if kind in ("aligned", "flipped"):
        assert isinstance(read, DisplacementField)
        ours = np.sort(np.moveaxis(field.image.data, component, 0).ravel())
        np.testing.assert_array_equal(np.sort(read.image.data.ravel()), ours)


def test_a_composite_with_fields_in_another_world(tmp_path: Any) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    ras = World("zxy", "um", "RAS")
    rotation = _affine(TURN, (5, 6, 7))
    both = Composite(_field("flipped"), rotation, _field("oblique")).to_world(ras)
    both.write(tmp_path / "t.ome.zarr")
    read = Transform.read(tmp_path / "t.ome.zarr")
    assert read.world == ras
    points = _points(rotation) @ world_change(LPS, ras).T
    np.testing.assert_allclose(read(points), both(points), atol=1e-6)


def test_lazy_fields_and_registrations_are_written(tmp_path: Any) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    pytest.importorskip("zarr", reason="needs zarr")
    field = _field("aligned")
    image = field.image
    lazy = DisplacementField(image.replace(da.from_array(image.data, chunks=3)), bound=9)
    lazy.write(tmp_path / "t.zarr")
    read = Transform.read(tmp_path / "t.zarr")
    np.testing.assert_array_equal(read(_points(read)), field(_points(read)))


@pytest.mark.slow
def test_an_image_is_resampled_by_what_was_read(tmp_path: Any) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    grid = _grid("oblique")
    values = np.random.default_rng(1).normal(size=grid.shape)
    image = sd.SpatialArray(values, grid)
    field = _field("oblique")
    field.write(tmp_path / "t.zarr")
    expected = sd.resample(image, transform=field, to=grid)
    found = sd.resample(image, transform=Transform.read(tmp_path / "t.zarr"), to=grid)
    inside = expected.data != 0
    assert inside.any()
    np.testing.assert_allclose(found.data[inside], expected.data[inside], atol=1e-6)


def test_a_frame_that_is_missing_can_be_said(tmp_path: Any) -> None:
    path = tmp_path / "t.json"
    _affine(TURN, world=World("xyz", "mm")).write(path, frame="RAS")
    assert Transform.read(path).world == World("xyz", "mm", "RAS")


# --- what others make of it -----------------------------------------------------------------


def _in_file_order(transform: Transform, points: np.ndarray) -> np.ndarray:
    return points[:, [transform.world.axes.index(a) for a in "tzyx" if a in transform.world.axes]]


@pytest.mark.parametrize("name", LINEAR)
def test_points_by_ome_zarr_models(name: str) -> None:
    scene = pytest.importorskip(
        "ome_zarr_models.v06.scene", reason="needs ome-zarr-models with 0.6"
    )
    transform, _ = LINEAR[name]
    model = scene.BaseSceneAttrs.model_validate(make_document(transform)[0])
    (theirs,) = model.scene.coordinateTransformations
    assert (theirs.input.name, theirs.output.name) == ("fixed", "moving")
    for system in model.scene.coordinateSystems:
        assert {axis.name for axis in system.axes} == set(transform.world.axes)
    points = _points(transform, 100)
    found = np.array([theirs.transform_point(tuple(p)) for p in _in_file_order(transform, points)])
    np.testing.assert_allclose(found, _in_file_order(transform, transform(points)), atol=1e-9)


def test_documents_satisfy_the_schema() -> None:
    ngff_zarr = _ngff_zarr()
    pytest.importorskip("jsonschema", reason="needs jsonschema")
    for transform, _ in LINEAR.values():
        ngff_zarr.validate({"ome": make_document(transform)[0]}, version="0.6", model="scene")
    for kind in ("aligned", "oblique"):
        document, _ = make_document(Composite(_field(kind), LINEAR["affine"][0]))
        ngff_zarr.validate({"ome": document}, version="0.6", model="scene")


def _ngff_zarr() -> Any:
    module = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr")
    if not hasattr(module, "from_ome_zarr"):
        pytest.skip("needs an ngff-zarr that reads scenes")
    return module


@pytest.mark.parametrize("kind", ["aligned", "flipped", "oblique"])
def test_a_group_is_read_by_ngff_zarr(kind: str, tmp_path: Any) -> None:
    """Its model of the scene and its image of the field, put together as the standard says."""
    ngff_zarr = _ngff_zarr()
    pytest.importorskip("jsonschema", reason="needs jsonschema, to validate")
    ndimage = pytest.importorskip("scipy.ndimage", reason="needs SciPy")
    both = Composite(_field(kind), LINEAR["affine"][0])
    path = tmp_path / "t.ome.zarr"
    both.write(path)
    scene = ngff_zarr.from_ome_zarr(str(path), kind="scene", validate=True)
    (sequence,) = scene.coordinateTransformations
    grid = _grid(kind)
    index = np.random.default_rng(0).uniform(0, np.array(grid.shape) - 1, (500, 3))
    points = grid.index_to_physical(index)
    found = points[:, ::-1]  # z, y, x
    for step in sequence.transformations:
        if step.type == "displacements":
            field = ngff_zarr.from_ome_zarr(str(path / step.path), validate=True).images[0]
            assert field.axes_types == {"c": "displacement"}
            scale, start = [np.array([v["z"], v["y"], v["x"]])
                            for v in (field.scale, field.translation)]  # fmt: skip
            at = ((found - start) / scale).T
            data = np.asarray(field.data)
            found = found + np.stack(
                [ndimage.map_coordinates(line, at, order=1, mode="nearest") for line in data], -1
            )
        elif step.type == "affine":
            matrix = np.array(step.affine)
            found = found @ matrix[:, :3].T + matrix[:, 3]
        elif step.type == "rotation":
            found = found @ np.array(step.rotation).T
        else:
            assert step.type == "translation"
            found = found + np.array(step.translation)
    np.testing.assert_allclose(found[:, ::-1], both(points), atol=1e-9)


def test_a_field_that_ngff_zarr_wrote_from_itk(tmp_path: Any) -> None:
    """ITK's field through ngff-zarr's converter and its store, and our reader."""
    ngff_zarr = _ngff_zarr()
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    from itkwasm import FloatTypes, TransformParameterizations, TransformType
    from itkwasm import Transform as WasmTransform

    size, origin, spacing = [6, 5, 4], [3.0, -4.0, 5.0], [1.0, 2.0, 1.5]
    values = np.random.default_rng(2).normal(size=(*size[::-1], 3))
    image = sitk.GetImageFromArray(values, isVector=True)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    kind = TransformType(
        transformParameterization=TransformParameterizations.DisplacementField,
        parametersValueType=FloatTypes.Float64, inputDimension=3, outputDimension=3,
    )  # fmt: skip
    fixed = np.array([*size, *origin, *spacing, *np.eye(3).ravel()])
    wasm = WasmTransform(kind, len(fixed), values.size, "", "", "", fixed, values.ravel())
    wanted, field = ngff_zarr.itk_displacement_field_to_ngff_transform(
        wasm, ["z", "y", "x"], path="coordinateTransformations/field"
    )
    path = tmp_path / "t.ome.zarr"
    ngff_zarr.to_ome_zarr(str(path / wanted.path), ngff_zarr.to_multiscales(field), version="0.6")
    # Its own form of a transform has no coordinate systems; a scene has.
    axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    item = {"type": "displacements", "path": wanted.path, "interpolation": wanted.interpolation,
            "input": {"name": "a"}, "output": {"name": "b"}}  # fmt: skip
    _write_group(path, {"coordinateSystems": [{"name": n, "axes": axes} for n in "ab"],
                        "coordinateTransformations": [item]})  # fmt: skip
    read = Transform.read(path)
    assert isinstance(read, DisplacementField)
    theirs = sitk.DisplacementFieldTransform(image)
    points = np.random.default_rng(0).uniform(origin, np.array(origin) + [5, 8, 4.5], (200, 3))
    expected = np.array([theirs.TransformPoint(p) for p in points.tolist()])
    np.testing.assert_allclose(read(points[:, ::-1])[:, ::-1], expected, atol=1e-6)


def _write_group(path: Any, scene: dict[str, Any]) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    group = zarr.open_group(str(path), mode="a")
    group.attrs["ome"] = {"version": "0.6", "scene": scene}


# --- documents of others --------------------------------------------------------------------

AXES = [{"name": n, "type": "space"} for n in "yx"]
MATRIX = {"type": "affine", "affine": [[1, 2, 3], [4, 5, 6]]}


def _document(item: Any, start: Any = AXES, end: Any = AXES) -> dict[str, Any]:
    ends = {"input": {"name": "in"}, "output": {"name": "out"}}
    systems = [{"name": "in", "axes": start}, {"name": "out", "axes": end}]
    return {"coordinateSystems": systems, "coordinateTransformations": [{**item, **ends}]}


def _read(document: Any, tmp_path: Any) -> Transform:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document))
    return Transform.read(path)


def test_the_examples_of_the_standard(tmp_path: Any) -> None:
    """Bare documents, in a scene, and as a group's own file."""
    bare = _document(MATRIX)
    for document in (bare, {"ome": {"version": "0.6", "scene": bare}},
                     {"zarr_format": 3, "attributes": {"ome": {"scene": bare}}}):  # fmt: skip
        read = _read(document, tmp_path)
        assert read.world.axes == ("y", "x")
        np.testing.assert_array_equal(read([10.0, 100.0]), [213, 546])


CHANNEL = [{"name": "c", "type": "channel"}, *AXES]
MORE: list[tuple[Any, Any, Any, Any]] = [
    ({"type": "mapAxis", "mapAxis": [1, 0]}, AXES, AXES, [20, 10]),
    ({"type": "bijection", "forward": MATRIX, "inverse": MATRIX}, AXES, AXES, [53, 146]),
    ({"type": "byDimension", "transformations": [
        {"inputAxes": [1], "outputAxes": [0], "transformation": {"type": "identity"}},
        {"inputAxes": [0], "outputAxes": [1],
         "transformation": {"type": "translation", "translation": [5]}}]}, AXES, AXES, [20, 15]),
    ({"type": "affine", "affine": [[1, 0, 0, 0], [0, 1, 2, 3], [0, 4, 5, 6]]}, CHANNEL, CHANNEL,
     [53, 146]),
    # The output system has another order and unit.
    ({"type": "scale", "scale": [2, 3]},
     [{**a, "unit": "millimeter"} for a in AXES],
     [{**a, "unit": "micrometer"} for a in AXES[::-1]], [0.06, 0.02]),
]  # fmt: skip


@pytest.mark.parametrize("item, start, end, expected", MORE)
def test_other_kinds_of_transformations(
    item: Any, start: Any, end: Any, expected: Any, tmp_path: Any
) -> None:
    found = _read(_document(item, start, end), tmp_path)([10.0, 20.0])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_scene_of_images(tmp_path: Any) -> None:
    """Its systems are those of its images, and its matrix lies in an array."""
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    path = tmp_path / "scene.zarr"
    item = {"type": "affine", "path": "coordinateTransformations/matrix",
            "input": {"path": "a", "name": "physical"},
            "output": {"path": "b", "name": "physical"}}  # fmt: skip
    _write_group(path, {"coordinateTransformations": [item]})
    group = zarr.open_group(str(path), mode="a")
    entry = {"coordinateSystems": [{"name": "physical", "axes": AXES}]}
    for name in "ab":
        group.create_group(name).attrs["ome"] = {"version": "0.6", "multiscales": [entry]}
    group["coordinateTransformations/matrix"] = np.array(MATRIX["affine"], float)
    np.testing.assert_array_equal(Transform.read(path)([10.0, 100.0]), [213, 546])


REFUSED = [
    ([1], "JSON object"),
    ({"ome": {"multiscales": []}}, "it is an image"),
    ({"coordinateTransformations": []}, "one transformation, got 0"),
    ({"coordinateTransformations": [MATRIX]}, "coordinate system None is not described"),
    (_document({"type": "warp"}), "'warp'"),
    (_document({"type": "affine", "affine": [[1, 2, 3]]}), "1 numbers of 2"),
    (_document({"type": "affine", "affine": [[1, 2, 3], [2, 4, 6]]}), "singular"),
    (_document({"type": "scale", "scale": [1, float("nan")]}), "finite"),
    (_document({"type": "sequence", "transformations": []}), "no transformation"),
    (_document({"type": "displacements", "path": "f"}), "beside it in a Zarr group"),
    (_document({"type": "coordinates", "path": "f"}), "'coordinates'"),
    (_document(MATRIX, AXES, [{"name": "a", "type": "space"}, AXES[0]]), "axes"),
    (_document({"type": "affine", "affine": [[1, 1, 0, 0], [0, 1, 2, 3], [0, 4, 5, 6]]}, CHANNEL,
               CHANNEL), "changes"),
    (_document(MATRIX, [{**AXES[0], "unit": "mm"}, AXES[1]],
               [{**AXES[0], "unit": "s"}, AXES[1]]), "unit"),
]  # fmt: skip


@pytest.mark.parametrize("document, message", REFUSED)
def test_documents_that_are_refused(document: Any, message: str, tmp_path: Any) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        _read(document, tmp_path)
    assert str(caught.value).count("t.json") == 1


def test_text_that_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "t.json"
    for text in ("", "{", "[" * 100_000, "\udcff"):
        path.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(FormatError, match=r"t\.json"):
            Transform.read(path)
    nested: Any = {"type": "identity"}
    for _ in range(40):
        nested = {"type": "sequence", "transformations": [nested]}
    with pytest.raises(FormatError, match="nested"):
        _read(_document(nested), tmp_path)


def test_what_is_not_a_field_is_refused(tmp_path: Any) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    path = tmp_path / "t.zarr"
    _field("aligned").write(path)
    group = zarr.open_group(str(path), mode="a")
    ome = dict(group.attrs["ome"])
    (item,) = ome["scene"]["coordinateTransformations"]
    item["path"] = "../elsewhere"
    group.attrs["ome"] = ome
    with (
        pytest.warns(UserWarning, match="not those that were written"),
        pytest.raises(UnsafeInputError, match="folder"),
    ):
        Transform.read(path)
    sd.write(path / "image", sd.SpatialArray(np.zeros((4, 4, 4)), unit="mm"), format="ome-zarr")
    item["path"] = "image"
    group.attrs["ome"] = ome
    with (
        pytest.warns(UserWarning, match="not those that were written"),
        pytest.raises(FormatError, match="displacement"),
    ):
        Transform.read(path)


def test_chunks_that_are_missing_are_told(tmp_path: Any) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    path = tmp_path / "t.zarr"
    _field("aligned").write(path)
    files = [p for p in (path / "coordinateTransformations/field0/0").rglob("*")
             if p.is_file() and p.name != "zarr.json"]  # fmt: skip
    assert files
    files[0].unlink()
    with pytest.raises(FormatError, match="missing"):
        Transform.read(path)


def test_a_number_that_was_changed_is_told(tmp_path: Any) -> None:
    path = tmp_path / "t.json"
    LINEAR["affine"][0].write(path)
    path.write_text(path.read_text().replace("0.7", "0.8", 1))
    with pytest.warns(UserWarning, match="not those that were written"):
        Transform.read(path)


def test_fields_meant_for_another_interpolation_are_told(tmp_path: Any) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    path = tmp_path / "t.zarr"
    _field("aligned").write(path)
    attrs = zarr.open_group(str(path), mode="a").attrs
    ome = dict(attrs["ome"])
    ome["scene"]["coordinateTransformations"][0]["interpolation"] = "bspline-cubic"
    attrs.put({"ome": ome})
    with pytest.warns(UserWarning, match="bspline-cubic"):
        Transform.read(path)


# --- what cannot be written -----------------------------------------------------------------


def test_what_ome_zarr_cannot_hold(tmp_path: Any) -> None:
    grid = _grid("aligned")
    lost: list[tuple[Transform, str, str]] = [
        (_field("aligned"), "t.json", r"ends in \.zarr"),
        (BSpline(np.zeros((3, *grid.shape)), grid), "t.zarr", r"transform\.field"),
        (Affine(np.diag([2.0, 1]), ("x",)), "t.json", "two or three axes of space"),
        (_field("aligned", World("xy", "mm")).to_world(World("xyz", "mm")), "t.zarr", "moves"),
    ]
    for transform, name, message in lost:
        if name.endswith("zarr"):
            pytest.importorskip("zarr", reason="needs zarr")
        with pytest.raises(GeometryLossError, match=message):
            transform.write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays_until_told(tmp_path: Any) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    one, two = LINEAR["affine"][0], LINEAR["scale"][0]
    for name in ("t.json", "t.zarr"):
        path = tmp_path / name
        one.write(path)
        with pytest.raises(FileExistsError):
            two.write(path)
        assert Transform.read(path) == one
        two.write(path, overwrite=True)
        assert Transform.read(path) == two
    with pytest.raises(FormatError, match=r"\.json, \.zarr"):
        one.write(tmp_path / "t.xml")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.json", "t.zarr"]
