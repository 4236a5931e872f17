"""Transforms of SimpleITK, ITK and nitransforms, and ITK's files: same points, right frames."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError, FrameError, GeometryError, GeometryLossError
from spatial_duck.geometry import World
from spatial_duck.transforms import Affine, BSpline, Composite, DisplacementField, Transform

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")

LPS, RAS = World("xyz", "mm", "LPS"), World("xyz", "mm", "RAS")
TURN = np.diag([-1.0, -1.0, 1.0])


def _grid(n: int) -> Any:
    image = sitk.Image([20, 22, 24][:n], sitk.sitkFloat32)
    image.SetSpacing((1, 2, 1.5)[:n])
    image.SetOrigin((-3, 4, 5)[:n])
    c, s = np.cos(0.3), np.sin(0.3)
    turned = np.eye(n)
    turned[:2, :2] = [[c, -s], [s, c]]
    image.SetDirection(turned.ravel().tolist())
    return image


def _random(transform: Any, size: float = 0.2) -> Any:
    rng = np.random.default_rng(7)
    values = rng.normal(scale=size, size=len(transform.GetParameters()))
    transform.SetParameters((np.array(transform.GetParameters()) + values).tolist())
    return transform


def _centred(transform: Any) -> Any:
    transform.SetCenter((3.0, -4.0, 50.0)[: transform.GetDimension()])
    return _random(transform, 0.1)


def _field(n: int = 3) -> Any:
    grid = _grid(n)
    values = np.random.default_rng(3).normal(size=(*grid.GetSize()[::-1], n))
    image = sitk.GetImageFromArray(values, isVector=True)
    image.CopyInformation(grid)
    return sitk.DisplacementFieldTransform(image)


def _spline(order: int, n: int = 3) -> Any:
    return _random(sitk.BSplineTransformInitializer(_grid(n), [3, 4, 5][:n], order), 2.0)


CLASSES = """TranslationTransform:2 TranslationTransform:3 ScaleTransform:3 AffineTransform:2
AffineTransform:3 Euler2DTransform Euler3DTransform Similarity2DTransform Similarity3DTransform
VersorTransform VersorRigid3DTransform ScaleVersor3DTransform ScaleSkewVersor3DTransform"""


def _named(name: str) -> Any:
    kind, _, n = name.partition(":")
    made = getattr(sitk, kind)
    made = made(int(n)) if n else made()
    return _centred(made) if hasattr(made, "SetCenter") else _random(made)


MADE: dict[str, Any] = {name: lambda name=name: _named(name) for name in CLASSES.split()}
MADE |= {
    "identity": lambda: sitk.Transform(3, sitk.sitkIdentity),
    "field": _field,
    "field:2": lambda: _field(2),
    "spline1": lambda: _spline(1),
    "spline2": lambda: _spline(2),
    "spline3": lambda: _spline(3),
    "spline:2": lambda: _spline(3, 2),
    "composite": lambda: sitk.CompositeTransform(
        [_named("Euler3DTransform"), _field(), _named("ScaleTransform:3")]
    ),
    "nested": lambda: sitk.CompositeTransform(
        [sitk.CompositeTransform([_named("ScaleTransform:3"), _spline(3)]),
         _named("Euler3DTransform")]
    ),
}  # fmt: skip


def _points(n: int, count: int = 1000) -> np.ndarray:
    rng = np.random.default_rng(11)
    return np.array([5.0, 20.0, 20.0])[:n] + rng.uniform(-25, 25, (count, n))


def _theirs(transform: Any, points: np.ndarray) -> np.ndarray:
    return np.array([transform.TransformPoint(p) for p in points.tolist()])


@pytest.mark.parametrize("name", MADE)
def test_points_map_as_simpleitk_maps_them(name: str) -> None:
    theirs = MADE[name]()
    points = _points(theirs.GetDimension())
    ours = sd.from_simpleitk(theirs)
    expected = _theirs(theirs, points)
    assert name == "identity" or np.abs(expected - points).max() > 0.01
    np.testing.assert_allclose(ours(points), expected, atol=1e-9)
    np.testing.assert_allclose(_theirs(sd.to_simpleitk(ours), points), expected, atol=1e-9)
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again(points), ours(points))


@pytest.mark.parametrize("name", ["Euler3DTransform", "Euler2DTransform", "spline3", "composite"])
@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5", ".hdf5"])
def test_files_keep_every_point(name: str, suffix: str, tmp_path: Any) -> None:
    theirs = MADE[name]()
    points = _points(theirs.GetDimension())
    path = tmp_path / f"t{suffix}"
    sd.from_simpleitk(theirs).write(path)
    read = Transform.read(path)
    np.testing.assert_allclose(read(points), sd.from_simpleitk(theirs)(points), atol=1e-12)
    np.testing.assert_allclose(
        _theirs(sitk.ReadTransform(str(path)), points), _theirs(theirs, points), atol=1e-9
    )
    # The other way: a file that SimpleITK wrote.
    other = tmp_path / f"u{suffix}"
    sitk.WriteTransform(theirs, str(other))
    np.testing.assert_allclose(Transform.read(other)(points), _theirs(theirs, points), atol=1e-9)


def test_composites_are_flat_in_files_and_in_itks_order(tmp_path: Any) -> None:
    """``Composite(a, b)(p)`` is ``b(a(p))``: ITK's list is [b, a], the last is applied first."""
    a, b, c = [_named(n) for n in ("Euler3DTransform", "ScaleTransform:3", "AffineTransform:3")]
    ours = Composite(sd.from_simpleitk(a), Composite(*[sd.from_simpleitk(t) for t in (b, c)]))
    points = _points(3)
    expected = _theirs(c, _theirs(b, _theirs(a, points)))
    np.testing.assert_allclose(ours(points), expected, atol=1e-9)
    path = tmp_path / "t.h5"
    ours.write(path)
    found = sitk.CompositeTransform(sitk.ReadTransform(str(path)))
    parts = [found.GetNthTransform(i).Downcast() for i in range(found.GetNumberOfTransforms())]
    assert [type(p).__name__ for p in parts] == ["AffineTransform"] * 3
    np.testing.assert_allclose(_theirs(parts[2], points), _theirs(a, points), atol=1e-9)
    np.testing.assert_allclose(_theirs(parts[0], points), _theirs(c, points), atol=1e-9)


@pytest.mark.parametrize("axes", ["xyz", "zyx", "yxz"])
@pytest.mark.parametrize("unit", ["mm", "um", "m"])
def test_other_frames_units_and_orders_are_converted(axes: str, unit: str) -> None:
    theirs = sitk.CompositeTransform([_named("Euler3DTransform"), _field()])
    ours = sd.from_simpleitk(theirs)
    there = World(axes, unit, "RAS")
    moved = ours.to_world(there)
    scale = {"mm": 1.0, "um": 1e3, "m": 1e-3}[unit]
    order = ["xyz".index(a) for a in axes]
    points = _points(3)
    expected = (_theirs(theirs, points) @ TURN)[:, order] * scale
    np.testing.assert_allclose(moved((points @ TURN)[:, order] * scale), expected, rtol=1e-9,
                               atol=1e-9 * scale)  # fmt: skip
    np.testing.assert_allclose(
        _theirs(sd.to_simpleitk(moved), points), _theirs(theirs, points), atol=1e-9
    )


def test_a_frame_that_is_missing_is_asked_for(tmp_path: Any) -> None:
    turn = Affine([[1, 0, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])
    with pytest.raises(FrameError, match="frame='LPS'"):
        sd.to_simpleitk(turn)
    with pytest.raises(FrameError):
        turn.write(tmp_path / "t.tfm")
    assert not list(tmp_path.iterdir())
    assert sd.to_simpleitk(turn, frame="RAS").TransformPoint((0.0, 0, 0)) == (-5, -6, 7)
    turn.write(tmp_path / "t.tfm", frame="LPS")
    np.testing.assert_array_equal(Transform.read(tmp_path / "t.tfm")([0, 0, 0]), [5, 6, 7])


#: Run apart: ITK's modules warn as they load, which is an error here.
_ITK = """
import sys, numpy as np, itk
points = np.load(sys.argv[1])
for path in sys.argv[2:]:
    transform = itk.transformread(path)[0]
    np.save(path + ".npy", [list(transform.TransformPoint(p)) for p in points.tolist()])
"""


@pytest.mark.slow
def test_itk_reads_what_was_written(tmp_path: Any) -> None:
    if importlib.util.find_spec("itk") is None:
        pytest.skip("needs itk")
    points, made = _points(3), {}
    np.save(tmp_path / "points.npy", points)
    for name in ("Euler3DTransform", "field", "spline3", "composite"):
        path = tmp_path / f"{name}.h5"
        made[path] = sd.from_simpleitk(MADE[name]())
        made[path].write(path)
    subprocess.run(
        [sys.executable, "-c", _ITK, str(tmp_path / "points.npy"), *map(str, made)],
        check=True, timeout=400,
    )  # fmt: skip
    for path, ours in made.items():
        np.testing.assert_allclose(np.load(f"{path}.npy"), ours(points), atol=1e-6)


def test_nitransforms_reads_what_was_written(tmp_path: Any) -> None:
    linear = pytest.importorskip("nitransforms.linear", reason="needs nitransforms")
    ours = sd.from_simpleitk(_named("Similarity3DTransform"))
    path = tmp_path / "t.tfm"
    ours.write(path)
    theirs = linear.Affine.from_filename(str(path), fmt="itk")  # RAS
    points = _points(3)
    np.testing.assert_allclose(theirs.map(points), ours.to_world(RAS)(points), atol=1e-6)


def test_nitransforms_reads_fields_that_were_written(tmp_path: Any) -> None:
    """At 1,000 voxels of the field: between them nitransforms' fields are cubic, ITK's linear."""
    nonlinear = pytest.importorskip("nitransforms.nonlinear", reason="needs nitransforms")
    from nitransforms.io.itk import ITKCompositeH5

    field = sd.from_simpleitk(_field())
    ours = Composite(field, sd.from_simpleitk(_named("AffineTransform:3")))
    path = tmp_path / "t.h5"
    ours.write(path)
    last, first = ITKCompositeH5.from_filename(path)
    grid = sd.from_simpleitk(_grid(3)).geometry
    index = np.random.default_rng(2).integers(0, grid.shape, (1000, 3))
    points = grid.index_to_physical(index) @ TURN
    theirs = nonlinear.DenseFieldTransform(first).map(points)
    assert np.abs(theirs - points).max() > 1
    np.testing.assert_allclose(theirs, field.to_world(RAS)(points), atol=1e-6)
    matrix = last.to_ras()
    theirs = theirs @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(theirs, ours.to_world(RAS)(points), atol=1e-6)


REFUSED = [
    ("a.xfm", b"#Insight Transform File V1.0\n", "transform files end in"),
    ("a.h5", b"#Insight Transform File V1.0\n", "begins with"),
    ("a.tfm", b"", "begins with"),
    ("a.tfm", (b"#Insight Transform File V1.0\n#Transform 0\nTransform: Foo_double_3_3\n"
     b"Parameters: 1\nFixedParameters: 1\n"), "cannot read"),
    ("a.h5", b"\x89HDF\r\n\x1a\n", "cannot read"),
    ("a.tfm", (b"#Insight Transform File V1.0\n#Transform 0\nTransform: "
     b"DisplacementFieldTransform_double_3_3\nParameters: 0 0 0\nFixedParameters: 90000 90000 90000"
     b" 0 0 0 1 1 1 1 0 0 0 1 0 0 0 1\n"), "90000"),
]  # fmt: skip


@pytest.mark.parametrize("name, content, message", REFUSED)
def test_bad_files_are_refused(
    name: str, content: bytes, message: str, tmp_path: Any, capfd: Any
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        Transform.read(path)


def test_a_file_that_is_there_stays_until_told(tmp_path: Any) -> None:
    path = tmp_path / "t.tfm"
    one, two = Affine.identity(LPS), Affine(np.diag([2.0, 2, 2, 1]), LPS)
    one.write(path)
    with pytest.raises(FileExistsError):
        two.write(path)
    assert Transform.read(path) == one
    two.write(path, overwrite=True)
    assert Transform.read(path) == two
    assert [p.name for p in tmp_path.iterdir()] == ["t.tfm"]


def test_what_itk_cannot_hold() -> None:
    with pytest.raises(GeometryLossError, match="x, y and z"):
        sd.to_simpleitk(Affine.identity(World("txyz", "mm", "LPS")))
    flat = sd.from_simpleitk(_field(2)).to_world(LPS)
    with pytest.raises(GeometryLossError, match="moves"):
        sd.to_simpleitk(flat)


def test_a_spline_becomes_a_field() -> None:
    spline = sd.from_simpleitk(_spline(3))
    assert isinstance(spline, BSpline)
    grid = sd.from_simpleitk(_grid(3)).geometry
    index = np.random.default_rng(0).uniform(0, np.array(grid.shape) - 1, (200, 3))
    for geometry in (grid, grid.to_frame("RAS").transpose((2, 0, 1))):
        field = spline.field(geometry)
        assert isinstance(field, DisplacementField)
        world = geometry.world
        whole = geometry.index_to_physical(np.floor(index[:, [2, 0, 1]] if geometry is not grid
                                                    else index))  # fmt: skip
        np.testing.assert_allclose(field(whole), spline.to_world(world)(whole), atol=1e-9)
    assert spline.parts == (spline,)
    with pytest.raises(GeometryError, match="inverse"):
        spline.inverse()
    assert spline == pickle.loads(pickle.dumps(spline))
