"""Each library's image: the same points by its own mapping, the same image back, no copies."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import interop
from spatial_duck.errors import (
    FormatError,
    FrameError,
    GeometryError,
    GeometryLossError,
    GeometryMismatchError,
)
from spatial_duck.io._layout import column_kinds
from spatial_duck.testing import _strategies as strategies
from spatial_duck.testing import assert_geometry_equal

if TYPE_CHECKING:
    from collections.abc import Callable


_ITK = (
    "Image", "VectorImage", "ImageRegion", "Matrix", "PyBuffer", "median_image_filter",
    "smoothing_recursive_gaussian_image_filter", "bin_shrink_image_filter", "extract_image_filter",
)  # fmt: skip

pytestmark = [
    # rioxarray's use of affine, and how napari draws what is oblique
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning"),
]


def library(package: str) -> Any:
    """Import a package whose own import may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = import_module(package)
        except ImportError as error:
            pytest.skip(f"needs {package}: {error}")
        if package == "itk":
            # Its parts load on use, and a warning turned into an error there ends the process.
            for name in _ITK:
                getattr(module, name)
    return module


# Each library's own mapping: (image, indices in its own order) -> points in its own order.


def by_itk(image: Any, index: Any) -> Any:
    return [image.TransformIndexToPhysicalPoint([int(i) for i in row]) for row in index]


def by_affine(image: Any, index: Any) -> Any:
    affine = np.asarray(image.affine)
    return np.asarray(index) @ affine[:3, :3].T + affine[:3, 3]


def by_highdicom(image: Any, index: Any) -> Any:
    return image.map_indices_to_reference(np.asarray(index))


def by_ants(image: Any, index: Any) -> Any:
    ants = library("ants")
    return [ants.transform_index_to_physical_point(image, [int(i) for i in row]) for row in index]


def by_vtk(image: Any, index: Any) -> Any:
    return [image.GetPoint(image.ComputePointId([int(i) for i in row])) for row in index]


def by_napari(image: Any, index: Any) -> Any:
    layers = library("napari.layers")
    data, arguments, kind = image
    layer = {"image": layers.Image, "labels": layers.Labels}[kind](data, **arguments)
    return [layer.data_to_world(row) for row in index]


def by_slicer(image: Any, index: Any) -> Any:
    _, matrix = image
    return np.asarray(index) @ matrix[:3, :3].T + matrix[:3, 3]


def by_coordinates(image: Any, index: Any) -> Any:
    return [[float(image[d][i]) for d, i in zip(image.dims, row, strict=True)] for row in index]


def by_ngff(image: Any, index: Any) -> Any:
    scale, shift = ([f[d] for d in image.dims] for f in (image.scale, image.translation))
    return np.asarray(index) * scale + shift


def by_rasterio(image: Any, index: Any) -> Any:
    rasterio = library("rasterio.transform")
    _, profile = image
    return [rasterio.xy(profile["transform"], r, c) for r, c in index]


def by_rioxarray(image: Any, index: Any) -> Any:
    return [image.rio.transform() * (c + 0.5, r + 0.5) for r, c in index]


class Case(NamedTuple):
    """One library."""

    name: str
    package: str
    points: Callable[[Any, Any], Any]
    order: str  # of the indices that `points` takes
    world: str  # of the points that it gives
    frame: str | None  # of these
    values: Callable[[Any], Any]
    shares: bool = True
    aligned: bool = False
    orthogonal: bool = False
    ndim: int = 3
    dtypes: str = "f4 f8 i2 u1"
    limit: float = 1e-6  # voxels


CASES = [
    Case("simpleitk", "SimpleITK", by_itk, "xyz", "xyz", "LPS",
         lambda i: library("SimpleITK").GetArrayViewFromImage(i), shares=False),
    Case("itk", "itk", by_itk, "xyz", "xyz", "LPS",
         lambda i: library("itk").array_view_from_image(i)),
    Case("nibabel", "nibabel", by_affine, "xyz", "xyz", "RAS",
         lambda i: np.asarray(i.dataobj).transpose()),
    Case("monai", "monai.data", by_affine, "xyz", "xyz", "RAS",
         lambda i: i.as_tensor().numpy()[0].transpose()),
    Case("torchio", "torchio", by_affine, "xyz", "xyz", "RAS",
         lambda i: i.data.numpy()[0].transpose()),
    Case("highdicom", "highdicom", by_highdicom, "zyx", "xyz", "LPS", lambda i: i.array,
         orthogonal=True),
    Case("ants", "ants", by_ants, "xyz", "xyz", "LPS", lambda i: i.numpy().transpose(),
         shares=False, dtypes="f4 u1 i2", limit=1e-5),  # its function gives 32 bits
    Case("pyvista", "pyvista", by_vtk, "xyz", "xyz", None,
         lambda i: np.asarray(i.point_data["values"]).reshape(i.dimensions[::-1])),
    Case("napari", "napari.layers", by_napari, "zyx", "zyx", None, lambda i: i[0]),
    Case("slicer", "numpy", by_slicer, "xyz", "xyz", "RAS", lambda i: i[0]),
    Case("spatial_image", "spatial_image", by_coordinates, "zyx", "zyx", None,
         lambda i: i.values, aligned=True),
    Case("ngff_image", "ngff_zarr", by_ngff, "zyx", "zyx", None, lambda i: i.data.compute(),
         aligned=True),
    Case("rasterio", "rasterio.transform", by_rasterio, "yx", "xy", None, lambda i: i[0][0],
         ndim=2),
    Case("rioxarray", "rioxarray", by_rioxarray, "yx", "xy", None, lambda i: i.values, ndim=2),
]  # fmt: skip
EACH = pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])


def convert(case: Case, image: sd.SpatialArray, **options: Any) -> Any:
    library(case.package)
    return getattr(interop, f"to_{case.name}")(image, **options)


def back(case: Case, other: Any) -> sd.SpatialArray:
    if case.name == "slicer":
        return interop.from_slicer(*other)
    if case.name == "rasterio":
        with as_dataset(other) as dataset:
            return interop.asarray(dataset)
    if case.name == "napari":
        return interop.from_napari(other)
    return interop.asarray(other)


def as_dataset(other: Any) -> Any:
    """Write a raster into memory and open it."""
    array, profile = other
    memory = library("rasterio.io").MemoryFile()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a transform of no rotation at 0 is not georeferenced
        with memory.open(**profile) as dataset:
            dataset.write(np.ascontiguousarray(array))
        return memory.open()


def direction(kind: str, ndim: int) -> np.ndarray:
    turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5][:ndim]))[0]
    shear = np.eye(ndim) + np.triu(np.full((ndim, ndim), 0.2), 1)
    flip = np.diag([-1.0, 1, -1][:ndim])
    matrix = {
        "aligned": np.eye(ndim), "flipped": flip, "oblique": turn, "sheared": turn @ shear,
        "permuted": np.eye(ndim)[::-1],
    }[kind]  # fmt: skip
    return matrix / np.hypot.reduce(matrix, axis=0)


def made(case: Case, kind: str, frame: str = "LPS", dtype: str = "f4") -> sd.SpatialArray:
    shape = (3, 4, 5)[-case.ndim :]
    names = ("z", "y", "x")[-case.ndim :]
    return sd.SpatialArray(
        np.arange(np.prod(shape)).reshape(shape).astype(dtype),
        spacing=(3.5, 2, 0.7)[-case.ndim :], origin=(5.25, -6.5, 70.1)[-case.ndim :],
        direction=direction(kind, case.ndim), world=sd.World(names, "mm", frame),
    )  # fmt: skip


KINDS = ("aligned", "flipped", "permuted", "oblique", "sheared")


@EACH
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frame", ["LPS", "RAS", "SPL"])
def test_its_own_mapping_has_the_same_points(case: Case, kind: str, frame: str) -> None:
    if case.ndim == 2 and frame == "SPL":
        pytest.skip("a plane of two of the frame's lines is not among x and y in another")
    image = made(case, kind, frame)
    refused = (case.aligned and kind != "aligned") or (case.orthogonal and kind == "sheared")
    refused |= case.name == "rioxarray" and kind == "permuted"
    if refused:
        with pytest.raises(GeometryLossError):
            convert(case, image)
        return
    other = convert(case, image)
    g = image.geometry
    if case.frame is not None:
        g = g.to_frame(case.frame)
    g = g.to_world([n for n in case.world if n in g.world.axes])
    index = np.array(list(np.ndindex(image.shape)))
    ours = g.index_to_physical(index)
    names = [n for n in image.dims if n is not None]
    theirs = np.array(case.points(other, index[:, [names.index(n) for n in case.order]]))
    assert abs(ours - theirs[:, : ours.shape[1]]).max() < case.limit * min(image.spacing)
    assert np.array_equal(np.asarray(case.values(other)), np.asarray(image))


@EACH
@given(data=st.data())
@settings(max_examples=15)
def test_there_and_back_is_exact_or_refused(case: Case, data: Any) -> None:
    dtypes = st.sampled_from(case.dtypes.split())
    image = data.draw(strategies.images())
    if image.dtype.str[1:] not in case.dtypes:
        image = image.astype(data.draw(dtypes)) if image.size < 120 else image.astype("f4")
    try:
        other = convert(case, image)
    except (GeometryLossError, FrameError):
        return
    except FormatError:
        assert image.size == 0 or image.ndim == 0
        return
    assert_same(back(case, other), image)


def assert_same(found: sd.SpatialArray, image: sd.SpatialArray) -> None:
    """The same values in the same places; axes of length 1 and frames may be added."""
    assert np.asarray(found).size == image.size
    g, h = found.geometry, image.geometry
    units = dict(zip(h.world.axes, h.unit, strict=True))
    g = g.to_unit({
        n: u for n, v in zip(g.world.axes, g.unit, strict=True)
        if (u := units.get(n)) is not None and v is not None
    })  # fmt: skip
    assert (
        (g.frame is None) <= (h.frame is None)
        or not set("xyz") & set(h.world.axes)
        or (g.frame is None)
    )
    if "t" in units and dict(zip(g.world.axes, g.unit, strict=True)).get("t") is None:
        # ITK and ANTsPy have no name for the unit of time; it was written in seconds.
        h = h.to_unit({"t": "s"}) if units["t"] else h
    if g.frame not in (None, h.frame) and set(h.world.axes) & set("xyz"):
        h = h.to_frame(str(g.frame))
    order_f, order_i = (np.argsort(np.asarray(a).ravel(), kind="stable") for a in (found, image))
    ours = h.index_to_physical(np.indices(h.shape).reshape(h.ndim, -1).T)[order_i]
    theirs = g.index_to_physical(np.indices(g.shape).reshape(g.ndim, -1).T)[order_f]
    steps = [s for s, k in zip(h.spacing, _kinds(h), strict=True) if k == "space"]
    for column, axis in enumerate(g.world.axes):
        expected = ours[:, h.world.axes.index(axis)] if axis in h.world.axes else 0.0
        limit = 1e-6 * min(steps, default=1.0)
        if axis == "t":
            limit = 1e-6 * max(1.0, float(np.abs(expected).max(initial=0)))
        assert np.all(abs(theirs[:, column] - expected) <= limit + 1e-12 * abs(theirs[:, column]))


def _kinds(g: sd.Geometry) -> list[str]:
    kinds = column_kinds(g)
    return [kinds[i] for i in g.sampled_axes]


@EACH
def test_memory_is_shared(case: Case) -> None:
    image = made(case, "aligned")
    other = convert(case, image)
    if case.name == "rasterio":
        assert np.shares_memory(other[0], image.data)
        return
    if case.name in ("ngff_image", "simpleitk"):
        pytest.skip("a Dask array holds the image's; SimpleITK copies (test_libraries has its way)")
    if case.shares:
        assert np.shares_memory(np.asarray(case.values(other)), image.data)
    ours = back(case, other)
    held = ours.data if isinstance(ours.data, np.ndarray) else ours.data.numpy()
    view = {"ants": lambda: other.view()}.get(case.name, lambda: case.values(other))()
    assert np.shares_memory(held, np.asarray(view))


VOLUMES = (
    "simpleitk itk nibabel monai torchio highdicom ants pyvista napari slicer spatial_image "
    "ngff_image"
)
WANTED: list[tuple[str, tuple[int, ...], tuple[str, ...], str]] = [
    ("channels last", (3, 4, 5, 2), ("z", "y", "x", "c"),
     VOLUMES),
    ("channels first", (2, 3, 4, 5), ("c", "z", "y", "x"),
     VOLUMES),
    ("one channel", (1, 3, 4, 5), ("c", "z", "y", "x"),
     VOLUMES.replace("ants ", "")),
    ("time", (2, 3, 4, 5), ("t", "z", "y", "x"),
     "simpleitk itk nibabel ants napari spatial_image ngff_image"),
    ("thin", (1, 4, 1), ("z", "y", "x"),
     VOLUMES),
    ("one column", (4, 1, 1), ("z", "y", "x"),
     VOLUMES),
    ("x first", (5, 4, 3), ("x", "y", "z"),
     VOLUMES),
    ("plane", (4, 5), ("y", "x"),
     "simpleitk itk nibabel ants napari spatial_image ngff_image rasterio rioxarray"),
    ("bands", (2, 4, 5), ("c", "y", "x"),
     "simpleitk itk nibabel ants napari spatial_image ngff_image rasterio rioxarray"),
]  # fmt: skip


TIMELESS = ("monai", "torchio", "highdicom", "pyvista", "slicer", "rasterio", "rioxarray")


@EACH
def test_an_image_at_one_time_keeps_it(case: Case) -> None:
    """Of one frame of a series the time becomes an axis; or it is told, and how to leave it out."""
    origin = {"t": 10, "z": 7, "y": 6, "x": 5}
    series = sd.SpatialArray(
        np.arange(120).reshape(2, 3, 4, 5).astype("f4"), dims=tuple(origin), frame="RAS",
        spacing=(2.5, 3, 2, 1), origin=tuple(origin.values()),
        unit={"z": "mm", "y": "mm", "x": "mm", "t": "s"},
    )  # fmt: skip
    space = ("y", "x") if case.ndim == 2 else ("z", "y", "x")
    for image in (series[1], series.mean(axis=0), series[1, 2]):
        if case.name in TIMELESS:
            with pytest.raises(
                GeometryLossError, match=r"'t'|lies at t = 1\d.* leave the time out"
            ):
                convert(case, image)
            if case.ndim == 2:
                continue  # nor has it a place for z
            image = image.replace(geometry=image.geometry.to_world(space))
        found = back(case, convert(case, image))
        assert set(found.world.axes) == set(image.world.axes)
        assert_same(found, image)


@pytest.mark.parametrize(
    "shape, dims, case",
    [
        pytest.param(shape, dims, case, id=f"{what}-{case.name}")
        for what, shape, dims, names in WANTED
        for case in CASES
        if case.name in names.split()
    ],
)
def test_common_images_are_held(shape: Any, dims: Any, case: Case) -> None:
    """Each of these must go through, so that refusing all would not pass."""
    names = [n for n in dims if n in "txyz"]
    space = [n for n in names if n != "t"]
    matrix = np.eye(len(names))
    if not case.aligned:
        rows = [names.index(n) for n in space]
        matrix[np.ix_(rows, rows)] = direction("oblique", len(space))
    image = sd.SpatialArray(
        np.arange(np.prod(shape), dtype="f4").reshape(shape),
        spacing=[1.25 + i for i in range(len(names))], origin=[7.5 * i for i in range(len(names))],
        direction=matrix, dims=dims,
        world=sd.World(names, {n: "s" if n == "t" else "mm" for n in names}, "LPS"),
    )  # fmt: skip
    found = back(case, convert(case, image))
    assert_same(found, image)
    if "t" in dims:
        assert "t" in found.dims


@EACH
def test_slice_of_an_oblique_volume_keeps_its_place(case: Case) -> None:
    if case.ndim == 2:
        with pytest.raises(GeometryLossError, match="'z'"):
            convert(case, made(CASES[0], "oblique")[1])
        return
    volume = made(case, "aligned" if case.aligned else "oblique")
    for key in (1, (slice(None), 2), (..., 3)):
        assert_same(back(case, convert(case, volume[key])), volume[key])


@pytest.mark.parametrize("name", ["itk", "monai", "torchio", "highdicom", "ants", "slicer"])
def test_frames_are_not_guessed(name: str) -> None:
    (case,) = (c for c in CASES if c.name == name)
    image = sd.SpatialArray(np.zeros((2, 3, 4), "f4"), origin=(1, 2, 3))
    with pytest.raises(FrameError, match="frame="):
        convert(case, image)
    assert convert(case, image, frame="LPS") is not None


@pytest.mark.parametrize("name", ["monai", "torchio", "highdicom", "pyvista", "slicer"])
def test_time_is_refused_where_there_is_none(name: str) -> None:
    (case,) = (c for c in CASES if c.name == name)
    image = sd.SpatialArray(np.zeros((2, 2, 3, 4), "f4"), dims=("t", "z", "y", "x"), frame="RAS")
    with pytest.raises(GeometryLossError, match="no time axis"):
        convert(case, image)


# --- ITK ----------------------------------------------------------------------------------


def test_a_bare_itk_filter_loses_the_geometry_and_through_itk_keeps_it() -> None:
    itk = library("itk")
    image = made(CASES[1], "oblique", "RAS")
    lost = itk.median_image_filter(image, radius=1)
    assert not isinstance(lost, sd.SpatialArray)  # what comes back by itself: an array
    kept = interop.through_itk(itk.median_image_filter, image, radius=1)
    assert isinstance(kept, sd.SpatialArray)
    assert_geometry_equal(kept, image, tolerance=1e-9)
    assert kept.world == image.world
    assert np.array_equal(np.asarray(kept), np.asarray(lost))


def test_through_itk_filters_in_millimetres() -> None:
    itk = library("itk")
    values = np.zeros((31, 31, 31), "f4")
    values[15, 15, 15] = 1
    image = sd.SpatialArray(values, spacing=(2, 1, 0.5), frame="LPS", unit="mm")
    smooth = interop.through_itk(itk.smoothing_recursive_gaussian_image_filter, image, sigma=1.5)
    near = np.asarray(smooth)
    # One step of 2 mm along z is four of 0.5 mm along x.
    assert near[16, 15, 15] == pytest.approx(near[15, 15, 19], rel=2e-2)


def test_through_itk_shrinks_and_maps_points() -> None:
    itk = library("itk")
    image = made(CASES[1], "sheared", "RAS")
    small = interop.through_itk(itk.bin_shrink_image_filter, image, shrink_factors=[2, 2, 1])
    assert small.shape == (3, 2, 2)
    expected = np.asarray(image)[:, :4, :4].reshape(3, 2, 2, 2, 2).mean(axis=(2, 4))
    assert np.allclose(np.asarray(small), expected)
    where = image.index_to_physical((1, 0.5, 0.5))
    assert np.allclose(small.index_to_physical((1, 0, 0)), where)


def test_itk_region_that_does_not_begin_at_zero() -> None:
    itk = library("itk")
    other = interop.to_itk(made(CASES[1], "oblique"))
    region = itk.ImageRegion[3]([1, 2, 1], [3, 2, 2])
    part = itk.extract_image_filter(
        other, extraction_region=region, direction_collapse_to_strategy=1
    )
    assert [int(v) for v in part.GetLargestPossibleRegion().GetIndex()] == [1, 2, 1]
    assert_geometry_equal(
        interop.from_itk(part), made(CASES[1], "oblique")[1:3, 2:4, 1:4], tolerance=1e-9
    )


def test_itk_three_bytes_are_no_colour() -> None:
    library("itk")
    image = sd.SpatialArray(np.zeros((2, 3, 4, 3), "u1"), dims=("z", "y", "x", "c"), frame="LPS")
    other = interop.to_itk(image)
    assert "VectorImage" in type(other).__name__
    assert interop.from_itk(other).dims == ("z", "y", "x", "c")


def test_itk_memory_outlives_the_image() -> None:
    library("itk")
    ours = interop.from_itk(interop.to_itk(made(CASES[1], "aligned") * 1))
    assert np.array_equal(np.asarray(ours).ravel(), np.arange(60))


# --- MONAI and torchio --------------------------------------------------------------------


def test_monai_channels_are_not_guessed() -> None:
    monai, torch = library("monai.data"), library("torch")
    tensor = monai.MetaTensor(torch.zeros(3, 4, 5), affine=torch.eye(4))
    with pytest.raises(FormatError, match="channel=True"):
        sd.asarray(tensor)
    assert interop.from_monai(tensor, channel=True).dims == ("c", "x", "y")
    assert interop.from_monai(tensor, channel=False).dims == ("x", "y", "z")


def test_monai_slices_are_stale_and_ours_are_not() -> None:
    """Why one slices the image: MetaTensor leaves its affine as it was."""
    library("monai.data")
    image = made(CASES[3], "oblique")
    ours = sd.asarray(interop.to_monai(image))[0]
    part = ours[1:, ::-1, ::2]
    stale = sd.asarray(interop.to_monai(image)[:, 1:, :].flip(2)[..., ::2])
    index = (0, 0, 0)
    where = part.geometry.to_frame("LPS").to_world(("z", "y", "x")).index_to_physical(index)
    assert np.allclose(where, image.index_to_physical((0, 3, 1)))
    assert not np.allclose(stale.index_to_physical((0, *index)), part.index_to_physical(index))


def test_monai_meta_survives() -> None:
    library("monai.data")
    other = interop.to_monai(made(CASES[3], "aligned"))
    other.meta["filename_or_obj"] = "a.nii"
    image = sd.asarray(other)
    assert image.attrs["monai"]["filename_or_obj"] == "a.nii"
    assert interop.to_monai(image).meta["filename_or_obj"] == "a.nii"


def test_monai_resamples_to_our_grid() -> None:
    """MONAI's own resampling puts values where our geometry says."""
    monai, torch = library("monai.data"), library("torch")
    transforms = library("monai.transforms")
    ramp = np.indices((6, 7, 8)).sum(axis=0).astype("f4")
    image = sd.SpatialArray(ramp, spacing=(2, 1, 1.5), frame="RAS", unit="mm")
    other = interop.to_monai(image)
    assert isinstance(other, monai.MetaTensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = transforms.Spacing(pixdim=(1.0, 0.5, 0.5), mode="bilinear")(other)
    finer = sd.asarray(done)[0]
    expected = sd.resample(image, to=finer)
    inside = (slice(2, -4),) * 3
    assert torch.is_tensor(finer.data)
    assert np.allclose(np.asarray(finer.data)[inside], np.asarray(expected)[inside], atol=1e-3)


def test_torchio_label_maps() -> None:
    tio = library("torchio")
    label = interop.to_torchio(made(CASES[4], "aligned", dtype="u1"), kind="label")
    assert isinstance(label, tio.LabelMap)


# --- others -------------------------------------------------------------------------------


def test_ants_refuses_what_it_would_change() -> None:
    """`ants.from_numpy` makes -1 the largest uint32, and float64 float32."""
    library("ants")
    image = sd.SpatialArray(np.full((2, 3, 4), -1, "i2"), frame="LPS", unit="mm")
    assert (interop.to_ants(image).numpy() == -1).all()
    for dtype in ("i4", "f8"):
        with pytest.raises(FormatError, match="astype"):
            interop.to_ants(image.astype(dtype))


def test_ants_strides_are_ours() -> None:
    """``image[::2, ::2, ::2]`` of ANTsPy is the full image; ours is not."""
    library("ants")
    other = interop.to_ants(made(CASES[6], "oblique"))
    part = sd.asarray(other)[::2, ::2, ::2]
    assert part.shape == (3, 2, 2)
    index = (1, 1, 1)
    theirs = by_ants(other, [(2, 2, 2)])[0]
    assert np.allclose(part.index_to_physical(index), theirs, atol=1e-5)


def test_ants_memory_outlives_the_image() -> None:
    library("ants")
    ours = interop.from_ants(interop.to_ants(made(CASES[6], "aligned")))
    assert np.array_equal(np.asarray(ours).ravel("F"), np.arange(60))


def test_highdicom_channels_and_reference_survive() -> None:
    hd = library("highdicom")
    volume = hd.Volume(
        np.zeros((3, 4, 5, 2)), np.diag([2.0, 1, 1, 1]), coordinate_system="PATIENT",
        frame_of_reference_uid="1.2.3", channels={"SegmentNumber": [4, 7]},
    )  # fmt: skip
    image = sd.asarray(volume)
    assert image.coords["segment_number"].values.tolist() == [4, 7]
    again = interop.to_highdicom(image)
    assert again.frame_of_reference_uid == "1.2.3"
    assert list(again.get_channel_values("SegmentNumber")) == [4, 7]
    # They follow what is done to the image.
    turned = interop.to_highdicom(image[..., ::-1])
    assert list(turned.get_channel_values("SegmentNumber")) == [7, 4]


#: Coordinates of the axis c, the keyword of highdicom, its values, and what comes back.
CHANNELS: dict[str, tuple[dict[str, Any], str, list[Any]]] = {
    "colors": ({"channel": ["red", "green", "blue"]}, "RGBColorChannel", ["R", "G", "B"]),
    "names": ({"channel": ["T1", "T2", "PD"]}, "channel", ["T1", "T2", "PD"]),
    "segments": ({"segment_number": [3, 1, 2], "segment_label": ["a", "b", "c"]},
                 "SegmentNumber", [3, 1, 2]),
    "labels": ({"segment_label": ["a", "b", "c"]}, "SegmentLabel", ["a", "b", "c"]),
    "echoes": ({"echo_time": [1.5, 3, 4.5]}, "EchoTime", [1.5, 3, 4.5]),
    "b-values": ({"b_value": [0.0, 500, 1000]}, "DiffusionBValue", [0, 500, 1000]),
    "twice the same": ({"channel": ["a", "a", "b"]}, "c", [1, 2, 3]),
    "nothing": ({}, "c", [1, 2, 3]),
}  # fmt: skip


@pytest.mark.library
@pytest.mark.parametrize("name", list(CHANNELS))
@pytest.mark.parametrize("last", [True, False])
def test_highdicom_channels_are_coordinates(name: str, last: bool) -> None:
    library("highdicom")
    coords, keyword, values = CHANNELS[name]
    dims = ("z", "y", "x", "c") if last else ("c", "z", "y", "x")
    shape = (2, 4, 5, 3) if last else (3, 2, 4, 5)
    image = sd.SpatialArray(
        np.zeros(shape, "u1"), dims=dims, frame="LPS", unit="mm",
        coords={key: ("c", value) for key, value in coords.items()},
    )  # fmt: skip
    # highdicom holds one of them, and the others are named.
    lost = [key for key in coords if keyword == "c" or key != next(iter(coords))]
    if lost:
        with pytest.warns(UserWarning, match=f"coordinates '{lost[0]}', which are left out"):
            volume = interop.to_highdicom(image)
    else:
        volume = interop.to_highdicom(image)
    (descriptor,) = volume.channel_descriptors
    assert descriptor.keyword == keyword
    found = volume.get_channel_values(descriptor)
    assert [getattr(v, "value", v) for v in found] == values
    back = interop.from_highdicom(volume).coords
    assert len(back) == (keyword != "c")
    for key in back:
        assert back[key].values.tolist() == coords[key]


@pytest.mark.library
def test_highdicom_segments_are_named_and_colored() -> None:
    hd = library("highdicom")
    from spatial_duck.io.dicom._segments import hex_to_lab

    items = []
    for number, (label, color) in enumerate([("liver", "FF8000"), ("spleen", "0080FF")], 1):
        item = library("pydicom").Dataset()
        item.SegmentNumber, item.SegmentLabel = number, label
        item.RecommendedDisplayCIELabValue = hex_to_lab(color)
        items.append(item)
    volume = hd.Volume(
        np.zeros((3, 4, 5, 2), "u1"), np.eye(4), coordinate_system="PATIENT",
        channels={"SegmentNumber": [2, 1]},
    )  # fmt: skip
    image = interop.from_highdicom(volume, segments=items)
    assert image.coords["segment_label"].values.tolist() == ["spleen", "liver"]
    assert image.coords["color"].values.tolist() == ["0080FF", "FF8000"]
    with pytest.warns(UserWarning, match=r"'color', .*'segment_label'.* left out"):
        again = interop.to_highdicom(image)
    assert list(again.get_channel_values("SegmentNumber")) == [2, 1]
    with pytest.raises(FormatError, match=r"lack \[2\]"):
        interop.from_highdicom(volume, segments=items[:1])


def test_vtk_cells_lie_between_points() -> None:
    pv = library("pyvista")
    grid = pv.ImageData(dimensions=(5, 4, 3), spacing=(1, 2, 3), origin=(10, 20, 30))
    grid.cell_data["density"] = np.arange(4 * 3 * 2)
    image = sd.asarray(grid)
    assert image.shape == (2, 3, 4)
    centers = grid.cell_centers().points
    ours = image.index_to_physical(np.array(list(np.ndindex(image.shape))))
    assert np.allclose(ours, centers)
    assert np.array_equal(np.asarray(image).ravel(), np.arange(24))
    assert image.frame is None


def test_vtk_extent_that_does_not_begin_at_zero() -> None:
    pv = library("pyvista")
    grid = interop.to_pyvista(made(CASES[7], "oblique"))
    part = grid.extract_subset((1, 3, 0, 2, 1, 2), rebase_coordinates=False)
    image = interop.from_pyvista(part, name="values")
    ours = image.index_to_physical(np.array(list(np.ndindex(image.shape))))
    assert np.allclose(ours, part.points, atol=1e-5)
    assert isinstance(part, pv.ImageData)


def test_vtk_frame_and_unit_survive() -> None:
    library("pyvista")
    image = made(CASES[7], "sheared", "RAS")
    found = sd.asarray(interop.to_pyvista(image))
    assert (found.frame, set(found.unit)) == ("RAS", {"mm"})
    plain = sd.asarray(interop.to_pyvista(sd.SpatialArray(np.zeros((2, 3, 4)))))
    assert plain.frame is None


def test_vtks_own_class_is_recognised() -> None:
    vtk = library("vtkmodules.vtkCommonDataModel")
    grid = vtk.vtkImageData()
    grid.ShallowCopy(interop.to_pyvista(made(CASES[7], "oblique")))
    assert type(grid) is vtk.vtkImageData
    assert_same(sd.asarray(grid), made(CASES[7], "oblique"))


def test_napari_layers_on_other_grids_lie_on_top_of_each_other() -> None:
    layers = library("napari.layers")
    image = made(CASES[8], "sheared")
    part = image[1:, ::-1, ::2]
    both = [layers.Image(d, **a) for d, a, _ in map(interop.to_napari, (image, part))]
    assert np.allclose(both[0].data_to_world((1, 3, 4)), both[1].data_to_world((0, 0, 2)))
    found = sd.asarray(both[1])
    assert_geometry_equal(found, part, tolerance=1e-9)
    assert found.frame == "LPS"


def test_napari_tuples_with_scale_and_translate() -> None:
    layer = (np.zeros((3, 4)), {"scale": (2, 0.5), "translate": (7, 8)}, "image")
    image = interop.from_napari(layer)
    assert (image.spacing.tolist(), image.origin.tolist()) == ([2, 0.5], [7, 8])
    lazy = sd.SpatialArray(pytest.importorskip("dask.array", reason="needs dask").zeros((3, 4)))
    assert hasattr(interop.to_napari(lazy)[0], "dask")


def test_spatial_image_is_valid_and_keeps_oblique_on_request() -> None:
    library("spatial_image")
    image = made(CASES[10], "oblique")
    with pytest.raises(GeometryLossError, match="oblique='keep'"):
        interop.to_spatial_image(image)
    other = interop.to_spatial_image(image, oblique="keep")
    assert other.dims == ("z", "y", "x")
    assert_geometry_equal(sd.asarray(other), image, tolerance=1e-9)
    part = sd.asarray(other[1:, ::-1])
    assert_geometry_equal(part, image[1:, ::-1], tolerance=1e-9)


def test_multiscale_spatial_image() -> None:
    multiscale = library("multiscale_spatial_image")
    spatial_image = library("spatial_image")
    image = sd.SpatialArray(
        np.arange(8 * 6 * 4.0).reshape(4, 6, 8), spacing=(3, 2, 1), origin=(5, 6, 7), unit="mm"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = multiscale.to_multiscale(interop.to_spatial_image(image), [2])
    levels = interop.from_multiscale_spatial_image(theirs)
    assert_geometry_equal(levels[0], image, tolerance=1e-9)
    ours = sd.pyramid(image, levels=2, factors=2)
    assert_geometry_equal(levels[1], ours[1], tolerance=1e-9)
    assert np.allclose(np.asarray(levels[1]), np.asarray(ours[1]))
    with pytest.raises(TypeError, match=r"pyramid\(image\) makes it"):
        interop.to_multiscale_spatial_image(image)  # not a level of each slice
    tree = interop.to_multiscale_spatial_image(ours)
    assert set(tree.children) == {"scale0", "scale1"}
    again = interop.from_multiscale_spatial_image(tree)
    for a, b in zip(again, ours, strict=True):
        assert_geometry_equal(a, b, tolerance=1e-9)
    assert_geometry_equal(sd.asarray(tree), image, tolerance=1e-9)
    assert spatial_image is not None


def test_ngff_multiscales() -> None:
    nz = library("ngff_zarr")
    image = sd.SpatialArray(
        np.arange(8 * 6 * 4.0).reshape(4, 6, 8), spacing=(3, 2, 1), origin=(5, 6, 7),
        frame="RAS", unit="mm",
    )  # fmt: skip
    other = interop.to_ngff_image(image)
    assert other.axes_units == {"z": "millimeter", "y": "millimeter", "x": "millimeter"}
    levels = interop.from_ngff_multiscales(nz.to_multiscales(other, scale_factors=[]))
    assert_geometry_equal(levels[0], image, tolerance=1e-9)
    assert levels[0].frame == "RAS"
    with pytest.raises(GeometryLossError, match="oblique='drop'"):
        interop.to_ngff_image(made(CASES[11], "oblique"))
    dropped = interop.from_ngff_image(
        interop.to_ngff_image(made(CASES[11], "oblique"), oblique="drop")
    )
    assert dropped.spacing.tolist() == [3.5, 2, 0.7]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_pyramids_are_ngff_multiscales_and_are_written_as_they_are(
    version: str, tmp_path: Any
) -> None:
    nz = library("ngff_zarr")
    image = sd.SpatialArray(
        np.arange(9 * 12 * 7, dtype="u2").reshape(9, 12, 7), spacing=(3, 2, 1),
        origin=(5, 6, 7), unit="mm",
    )  # fmt: skip
    levels = sd.pyramid(image, levels=3)
    with pytest.raises(TypeError, match=r"pyramid\(image\) makes it"):
        interop.to_ngff_multiscales(levels[0])
    other = interop.to_ngff_multiscales(levels, name="brain")
    back = interop.from_ngff_multiscales(other)
    assert len(back) == 3
    assert_geometry_equal(sd.asarray(other), image, tolerance=1e-9)
    for ours, theirs in zip(levels, back, strict=True):
        assert_geometry_equal(ours, theirs, tolerance=1e-9)
    try:
        nz.to_ngff_zarr(str(tmp_path / "a.zarr"), other, version=version)
    except TypeError as error:
        pytest.skip(f"this ngff-zarr cannot write with this Dask: {error}")
    read = interop.from_ngff_multiscales(nz.from_ngff_zarr(str(tmp_path / "a.zarr")))
    for number, ours in enumerate(levels):
        for theirs in (read[number], sd.read(tmp_path / "a.zarr", level=number)):
            assert_geometry_equal(ours, theirs, tolerance=1e-9)
            assert np.array_equal(np.asarray(theirs), np.asarray(ours))
    with pytest.raises(GeometryLossError, match="oblique='drop'"):
        interop.to_ngff_multiscales(sd.pyramid(made(CASES[11], "oblique"), levels=2))


def test_raster_corners_become_centres() -> None:
    rasterio = library("rasterio")
    transform = rasterio.Affine(10, 0, 500000, 0, -20, 4600000)
    array = np.arange(24, dtype="f4").reshape(2, 3, 4)
    profile = {"driver": "GTiff", "count": 2, "height": 3, "width": 4, "dtype": "float32",
               "crs": "EPSG:32632", "transform": transform, "nodata": -1}  # fmt: skip
    with as_dataset((array, profile)) as dataset:
        image = sd.asarray(dataset)
        assert image.dims == ("band", "y", "x")
        assert image.index_to_physical((0, 0, 0)).tolist() == [500005, 4599990]
        for r, c in ((0, 0), (2, 1)):
            assert np.allclose(image.index_to_physical((0, r, c)), dataset.xy(r, c))
    assert image.unit == ("m", "m")
    assert "UTM zone 32N" in image.attrs["crs"]
    assert np.array_equal(np.asarray(image), array)
    part = image[:, 1:, ::2]
    with as_dataset(interop.to_rasterio(part)) as dataset:
        assert dataset.crs.to_epsg() == 32632
        assert dataset.nodata == -1
        assert np.allclose(dataset.xy(0, 1), image.index_to_physical((0, 1, 2)))


def test_raster_lazily(tmp_path: Any) -> None:
    rasterio = library("rasterio")
    pytest.importorskip("dask", reason="needs dask")
    array = np.arange(2 * 300 * 7, dtype="i4").reshape(2, 300, 7)
    image = sd.SpatialArray(array, dims=("c", "y", "x"), spacing=(2, 1), origin=(9, 4))
    values, profile = interop.to_rasterio(image)
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as dataset:
        dataset.write(values)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        lazy = interop.from_rasterio(dataset, lazy=True)
    assert len(lazy.data.chunks[1]) > 1
    assert np.array_equal(np.asarray(lazy), array)


def test_rioxarray_reads_what_we_write_and_back(tmp_path: Any) -> None:
    rioxarray, rasterio = library("rioxarray"), library("rasterio")
    for rotation in (0.0, 2.0):
        transform = rasterio.Affine(10, rotation, 500, -rotation, -20, 900)
        profile = {"driver": "GTiff", "count": 1, "height": 3, "width": 4, "dtype": "uint8",
                   "crs": "EPSG:32632", "transform": transform}  # fmt: skip
        with rasterio.open(tmp_path / f"{rotation}.tif", "w", **profile) as dataset:
            dataset.write(np.arange(12, dtype="u1").reshape(1, 3, 4))
            expected = dataset.xy(2, 1)
        with rioxarray.open_rasterio(tmp_path / f"{rotation}.tif") as array:
            image = sd.asarray(array)
            assert np.allclose(image.index_to_physical((0, 2, 1)), expected)
            again = interop.to_rioxarray(image)
            assert again.rio.crs.to_epsg() == 32632
            assert np.allclose(again.rio.transform(), transform)


def test_pyradiomics_gets_one_exact_grid(tmp_path: Any) -> None:
    sitk = library("SimpleITK")
    library("nibabel")
    image = made(CASES[0], "oblique")
    sd.write(tmp_path / "mask.nii", (image > 20).astype("u1"))  # 32 bits in its header
    mask = sd.read(tmp_path / "mask.nii")
    first, second = interop.to_pyradiomics(image, mask)
    assert isinstance(first, sitk.Image)
    for field in ("GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        assert getattr(first, field)() == getattr(second, field)()
    assert np.array_equal(sitk.GetArrayFromImage(second), np.asarray(image) > 20)
    with pytest.raises(GeometryMismatchError, match="resample"):
        interop.to_pyradiomics(image, mask[:-1])
    with pytest.raises(FormatError, match="astype"):
        interop.to_pyradiomics(image, mask * 0.5)


def test_pyradiomics_features() -> None:
    radiomics = library("radiomics")
    rng = np.random.default_rng(0)
    image = sd.SpatialArray(rng.normal(size=(8, 8, 8)), spacing=(2, 1, 1), frame="LPS", unit="mm")
    mask = (np.asarray(image) > 0).astype("u1")
    pair = interop.to_pyradiomics(image, image.replace(data=mask))
    features = radiomics.featureextractor.RadiomicsFeatureExtractor().execute(*pair)
    assert float(features["original_shape_VoxelVolume"]) == pytest.approx(2 * mask.sum())


def test_scikit_image_takes_images_and_their_spacing() -> None:
    filters, measure = library("skimage.filters"), library("skimage.measure")
    values = np.zeros((9, 9, 9))
    values[2:5, 3:6, 4:8] = 1
    image = sd.SpatialArray(values, spacing=(3, 2, 0.5), origin=(10, 20, 30))
    smooth = image.replace(data=filters.gaussian(np.asarray(image), sigma=2 / image.spacing))
    assert smooth.geometry == image.geometry
    (region,) = measure.regionprops((values > 0).astype(int), spacing=tuple(image.spacing))
    centroid = image.origin + np.array(region.centroid)
    assert np.allclose(centroid, image.index_to_physical((3, 4, 5.5)))


def test_asarray_says_what_it_takes() -> None:
    with pytest.raises(TypeError, match=r"monai.MetaTensor.*got ndarray"):
        sd.asarray(np.zeros(3))
    with pytest.raises((GeometryError, FormatError)):
        interop.from_slicer(np.zeros((2, 2)), np.eye(4))


@pytest.mark.parametrize("name", ["simpleitk", "itk", "nibabel", "ants", "pyvista", "highdicom"])
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_tensors_are_taken(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    package = {"simpleitk": "SimpleITK"}.get(name, name)
    pytest.importorskip(package, reason=f"needs {package}")
    values = torch.arange(24).reshape(2, 3, 4).to(getattr(torch, kind))
    image = sd.SpatialArray(values, frame="LPS", unit="mm")
    found = sd.asarray(getattr(interop, f"to_{name}")(image))
    assert sorted(np.asarray(found).ravel()) == list(range(24))
    assert np.array_equal(image.to("numpy").data, np.arange(24).reshape(2, 3, 4))


def test_a_type_that_numpy_lacks_is_named() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    image = sd.SpatialArray(torch.zeros(2, 3, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match=r"no bfloat16: use image.to\('numpy'\)"):
        np.asarray(image)
    if hasattr(torch, "float8_e5m2"):
        with pytest.raises(TypeError, match=r"NumPy has no type for torch.float8_e5m2"):
            sd.SpatialArray(torch.zeros(2, 3).to(torch.float8_e5m2)).to("numpy")
