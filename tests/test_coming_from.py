"""Both spellings of one task, in another library and here, and that they give the same.

``.docs/coming_from.md`` is made from these tables, by ``python tests/test_coming_from.py``.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import spatial_duck as sd

PAGE = Path(__file__).resolve().parent.parent / ".docs" / "coming_from.md"


class Line(NamedTuple):
    """What is to be done, how the other library spells it, and how it is spelled here."""

    task: str
    theirs: str
    ours: str


class Table(NamedTuple):
    """The lines of one library; ``packages`` are imported under the names given."""

    library: str
    packages: dict[str, str]
    setup: str
    note: str
    lines: tuple[Line, ...]


#: What every table starts from: a volume of z, y, x in LPS, a grid inside it, and a mask.
START = """
values = np.random.default_rng(0).integers(0, 1000, (6, 8, 10)).astype("float32")
made = sd.SpatialArray(values, spacing=(3, 2, 1.5), origin=(10, 20, 30), frame="LPS", unit="mm")
inner = sd.Geometry((3, 4, 5), (2, 1.5, 1), (14, 24, 33), frame="LPS", unit="mm")
"""

SIMPLEITK = Table(
    "SimpleITK",
    {"sitk": "SimpleITK"},
    """
img = sd.to_simpleitk(made)
image = sd.from_simpleitk(img)
ref = sitk.Resample(img, (5, 4, 3), sitk.Transform(), sitk.sitkLinear, (33, 24, 14), (1, 1.5, 2))
labels = sitk.ConnectedComponent(img > 900)
mask, other = img > 500, img > 600
""",
    "Sizes, indices and spacings are x, y, z there; here they are in the order of the array's axes "
    "(z, y, x), and world points keep SimpleITK's order x, y, z. `img` is an image of SimpleITK, "
    "and `image` is `sd.from_simpleitk(img)`.",
    (
        Line("read a file", 'sitk.ReadImage("scan.nrrd")', 'sd.read("scan.nrrd")'),
        Line("write a file", 'sitk.WriteImage(img, "a.nrrd")', 'sd.write("b.nrrd", image)'),
        Line(
            "make an image",
            "img = sitk.GetImageFromArray(values); img.SetSpacing((1, 2, 3)); img",
            "sd.SpatialArray(values, spacing=(3, 2, 1))",
        ),
        Line("the values", "sitk.GetArrayFromImage(img)", "image.data"),
        Line("spacing, x y z", "img.GetSpacing()", "image.spacing_xyz"),
        Line("origin, x y z", "img.GetOrigin()", "image.origin_xyz"),
        Line("direction", "img.GetDirection()", "image.direction_xyz.ravel()"),
        Line("size, x y z", "img.GetSize()", 'image["size_xyz"]'),
        Line(
            "index to point",
            "img.TransformIndexToPhysicalPoint((3, 2, 1))",
            "image.index_to_physical([1, 2, 3])",
        ),
        Line(
            "point to index",
            "img.TransformPhysicalPointToContinuousIndex((33, 25, 16))[::-1]",
            "image.physical_to_index([33, 25, 16])",
        ),
        Line("cut", "img[1:, ::2, :]", "image[:, ::2, 1:]"),
        Line("one slice, which stays in 3-D", "img[:, :, 2:3]", "image[2:3]"),
        Line("flip", "sitk.Flip(img, (True, False, False))", 'np.flip(image, "x")'),
        Line("turn the axes", "sitk.PermuteAxes(img, (1, 0, 2))", 'image.transpose("z", "x", "y")'),
        Line(
            "pad",
            "sitk.ConstantPad(img, (1, 0, 0), (2, 0, 0))",
            "np.pad(image, [(0, 0), (0, 0), (1, 2)])",
        ),
        Line("change the type", "sitk.Cast(img, sitk.sitkFloat64)", 'image.astype("float64")'),
        Line("orient", 'sitk.DICOMOrient(img, "RAS")', 'image.reorient("RAS")'),
        Line(
            "bring onto another grid",
            "sitk.Resample(img, ref, sitk.Transform(), sitk.sitkLinear)",
            "sd.resample(image, to=sd.asarray(ref))",
        ),
        Line(
            "bring a mask onto another grid",
            "sitk.Resample(mask, ref, sitk.Transform(), sitk.sitkNearestNeighbor)",
            'sd.resample(sd.asarray(mask), to=sd.asarray(ref), interpolation="nearest")',
        ),
        Line(
            "arithmetic and masks",
            "sitk.Mask(img * 2, mask)",
            "np.where(sd.asarray(mask), image * 2, 0)",
        ),
        Line(
            "any filter",
            "sitk.SmoothingRecursiveGaussian(img, 2.0)",
            "sd.sitk.SmoothingRecursiveGaussian(image, 2.0)",
        ),
        Line(
            "a filter of lazy images too",
            "sitk.Median(img, (1, 1, 1))",
            'sd.sitk.Median(image, (1, 1, 1), halo=1, halo_unit="voxel")',
        ),
        Line(
            "connected components",
            "sitk.ConnectedComponent(img > 900)",
            "sd.ndimage.label(image > 900)[0]",
        ),
        Line(
            "volume of a label",
            "stats = sitk.LabelShapeStatisticsImageFilter(); stats.Execute(labels); "
            "stats.GetPhysicalSize(1)",
            'sd.measure.regionprops(sd.asarray(labels))["volume"][0]',
        ),
        Line(
            "overlap of two masks",
            "overlap = sitk.LabelOverlapMeasuresImageFilter(); overlap.Execute(mask, other); "
            "overlap.GetDiceCoefficient()",
            "sd.metrics.dice(sd.asarray(mask) != 0, sd.asarray(other) != 0)",
        ),
        Line(
            "a transform of points",
            "sitk.TranslationTransform(3, (1, 2, 3)).TransformPoint((4.0, 5.0, 6.0))",
            "sd.from_simpleitk(sitk.TranslationTransform(3, (1, 2, 3)))([4.0, 5.0, 6.0])",
        ),
        Line(
            "move an image by a transform",
            "sitk.Resample(img, ref, sitk.TranslationTransform(3, (1, 2, 3)))",
            "sd.resample(image, to=sd.asarray(ref), transform=sd.from_simpleitk("
            "sitk.TranslationTransform(3, (1, 2, 3))))",
        ),
    ),
)

NIBABEL = Table(
    "nibabel",
    {"nib": "nibabel", "processing": "nibabel.processing", "affines": "nibabel.affines"},
    """
img = sd.to_nibabel(made)
image = sd.from_nibabel(img)
ref = sd.to_nibabel(sd.SpatialArray(np.zeros(inner.shape), inner))
series = nib.concat_images([img, img])
""",
    "Array axes are x, y, z, as in nibabel, and the world is RAS. `img` is an image of nibabel, "
    "and `image` is `sd.from_nibabel(img)`.",
    (
        Line("read a file", 'nib.load("scan.nii.gz")', 'sd.read("scan.nii.gz")'),
        Line("write a file", 'nib.save(img, "a.nii.gz")', 'sd.write("b.nii.gz", image)'),
        Line(
            "make an image",
            "nib.Nifti1Image(values, np.diag([2, 2, 3, 1]))",
            'sd.SpatialArray(values, affine=np.diag([2, 2, 3, 1]), dims="xyz", frame="RAS", '
            'unit="mm")',
        ),
        Line("the values as they are", "np.asanyarray(img.dataobj)", "image.data"),
        Line("the values as floats", "img.get_fdata()", 'np.asarray(image, "float64")'),
        Line("affine", "img.affine", "image.affine"),
        Line("voxel sizes", "img.header.get_zooms()", "image.spacing"),
        Line("where the axes run to", '"".join(nib.aff2axcodes(img.affine))', "image.orientation"),
        Line("unit", "img.header.get_xyzt_units()[0]", "image.unit[0]"),
        Line("cut", "img.slicer[1:, ::2]", "image[1:, ::2]"),
        Line("to RAS", "nib.as_closest_canonical(img)", 'image.reorient("RAS")'),
        Line(
            "index to point",
            "affines.apply_affine(img.affine, [1, 2, 3])",
            "image.index_to_physical([1, 2, 3])",
        ),
        Line(
            "point to index",
            "affines.apply_affine(np.linalg.inv(img.affine), [-33, -25, 16])",
            "image.physical_to_index([-33, -25, 16])",
        ),
        Line(
            "bring onto another grid",
            "processing.resample_from_to(img, ref, order=1)",
            "sd.resample(image, to=sd.asarray(ref))",
        ),
        Line(
            "smooth by 8 mm FWHM",
            'processing.smooth_image(img, 8, mode="nearest")',
            'sd.ndimage.gaussian_filter(image, 8 / np.sqrt(8 * np.log(2)), mode="nearest")',
        ),
        Line(
            "one volume of a series", "nib.four_to_three(series)[1]", "sd.asarray(series)[..., 1]"
        ),
    ),
)

XARRAY = Table(
    "xarray",
    {"xr": "xarray"},
    """
da = xr.DataArray(values, dims=("z", "y", "x"), coords={
    "z": 10 + 3.0 * np.arange(6), "y": 20 + 2.0 * np.arange(8), "x": 30 + 1.5 * np.arange(10)})
image = sd.from_xarray(da)
""",
    "Names are xarray's. Coordinates of a regular axis are its origin and spacing here, so that an "
    "oblique image has them too; files close by `image.close()`, or at the end of `with "
    "sd.read(path) as image:`. `da` is a DataArray, and `image` is `sd.from_xarray(da)`.",
    (
        Line(
            "make an image",
            'xr.DataArray(values, dims=("z", "y", "x"), coords={"x": 30 + 1.5 * np.arange(10), '
            '"y": np.arange(8.0), "z": np.arange(6.0)})',
            'sd.SpatialArray(values, spacing={"z": 1, "y": 1, "x": 1.5}, '
            'origin={"z": 0, "y": 0, "x": 30})',
        ),
        Line("the values", "da.values", "np.asarray(image)"),
        Line("the array itself", "da.data", "image.data"),
        Line("names of axes", "da.dims", "image.dims"),
        Line("sizes", 'da.sizes["x"]', 'image.sizes["x"]'),
        Line(
            "places along an axis",
            "da.x.values",
            "image.origin[2] + image.spacing[2] * np.arange(10)",
        ),
        Line("cut by index", "da.isel(z=2, x=slice(1, 5))", "image.isel(z=2, x=slice(1, 5))"),
        Line("cut by place", "da.sel(x=slice(31, 36))", "image.sel(x=slice(31, 36))"),
        Line("nearest plane", 'da.sel(z=15.8, method="nearest")', "image.sel(z=15.8)"),
        Line("reduce", 'da.mean("z")', 'image.mean("z")'),
        Line("turn the axes", 'da.transpose("x", "y", "z")', 'image.transpose("x", "y", "z")'),
        Line("flip", "da[::-1]", "image[::-1]"),
        Line("arithmetic", "da * 2 + 1", "image * 2 + 1"),
        Line("where", "xr.where(da > 500, da, 0)", "np.where(image > 500, image, 0)"),
        Line("join", 'xr.concat([da[:2], da[2:]], "z")', "np.concatenate([image[:2], image[2:]])"),
        Line(
            "values at a point",
            "float(da.interp(z=14, y=25, x=33))",
            "float(sd.sample(image, [14, 25, 33]))",
        ),
        Line(
            "finer along an axis",
            "da.interp(x=30 + 0.5 * np.arange(28))",
            "sd.resample(image, to=image.geometry.replace(shape=(6, 8, 28), spacing=(3, 2, 0.5)))",
        ),
        Line(
            "means of bins",
            "da.coarsen(x=2).mean()",
            'sd.pyramid(image, 2, factors={"x": 2}, method="mean")[1]',
        ),
        Line("chunks", 'da.chunk({"z": 2}).chunks', 'image.chunk({"z": 2}).chunks'),
        Line("to memory", 'da.chunk({"z": 2}).compute()', 'image.chunk({"z": 2}).compute()'),
    ),
)

TORCHIO = Table(
    "torchio",
    {"tio": "torchio", "torch": "torch"},
    """
img = sd.to_torchio(made)
image = sd.from_torchio(img)
ref = sd.to_torchio(sd.SpatialArray(np.zeros(inner.shape, "float32"), inner))
""",
    "`img` is a ScalarImage, and `image` is `sd.from_torchio(img)`: axes c, x, y, z.",
    (
        Line(
            "make an image",
            "tio.ScalarImage(tensor=torch.from_numpy(values[None]), affine=np.diag([2, 2, 3, 1]))",
            'sd.SpatialArray(values, affine=np.diag([2, 2, 3, 1]), dims="xyz", frame="RAS", '
            'unit="mm")',
        ),
        Line("the values", "img.data", "image.data"),
        Line("voxel sizes", "img.spacing", "image.spacing"),
        Line("affine", "img.affine", "image.affine"),
        Line("where the axes run to", '"".join(img.orientation)', "image.orientation"),
        Line("centre", "img.get_center()", "image.center"),
        Line("to RAS", "tio.ToCanonical()(img)", 'image.reorient("RAS")'),
        Line("crop by voxels", "tio.Crop((1, 2, 0, 0, 0, 1))(img)", "image[..., 1:-2, :, :-1]"),
        Line(
            "pad by voxels",
            "tio.Pad((1, 0, 0, 0, 0, 2))(img)",
            "np.pad(image, [(0, 0), (1, 0), (0, 0), (0, 2)])",
        ),
        Line("mirror the values alone", "tio.Flip(0)(img)", "image.replace(image.data.flip(1))"),
        Line(
            "bring onto another grid",
            "tio.Resample(ref)(img)",
            "sd.resample(image, to=sd.asarray(ref))",
        ),
        Line(
            "to values from 0 to 1",
            "tio.RescaleIntensity((0, 1))(img)",
            'sd.conform(image.to("numpy"), intensity="minmax")[0]',
        ),
        Line(
            "patches that cover an image",
            "len(tio.GridSampler(tio.Subject(a=img), 4, 0))",
            "len(sd.patches([image], 4, overlap=0))",
        ),
    ),
)

ITK = Table(
    "ITK",
    {"itk": "itk"},
    """
img = sd.to_itk(made)
image = sd.from_itk(img)
""",
    "Sizes, indices and spacings are x, y, z there. `img` is an image of ITK, and `image` is "
    "`sd.from_itk(img)`. `with sd.hook_itk():` makes `itk.<filter>(image)` itself work.",
    (
        Line("read a file", 'itk.imread("scan.nrrd")', 'sd.read("scan.nrrd")'),
        Line("write a file", 'itk.imwrite(img, "a.nrrd")', 'sd.write("b.nrrd", image)'),
        Line("the values", "itk.array_from_image(img)", "image.data"),
        Line("spacing, x y z", "list(img.GetSpacing())", "image.spacing_xyz"),
        Line("origin, x y z", "list(img.GetOrigin())", "image.origin_xyz"),
        Line("spacing in array order", 'img["spacing"]', 'image["spacing_zyx"]'),
        Line(
            "index to point",
            "list(img.TransformIndexToPhysicalPoint((3, 2, 1)))",
            "image.index_to_physical([1, 2, 3])",
        ),
        Line(
            "flip",
            "itk.flip_image_filter(img, flip_axes=(True, False, False), flip_about_origin=False)",
            'np.flip(image, "x")',
        ),
        Line(
            "cut",
            "itk.region_of_interest_image_filter(img, region_of_interest="
            "itk.ImageRegion[3]([1, 0, 2], [5, 8, 3]))",
            "image[2:5, :, 1:6]",
        ),
        Line(
            "any filter",
            "itk.median_image_filter(img, radius=1)",
            "sd.itk.median_image_filter(image, radius=1)",
        ),
        Line(
            "threshold",
            "itk.binary_threshold_image_filter(img, lower_threshold=500)",
            "sd.itk.binary_threshold_image_filter(image, lower_threshold=500)",
        ),
    ),
)

SKIMAGE = Table(
    "scikit-image",
    {
        "skimage": "skimage",
        "filters": "skimage.filters",
        "measure": "skimage.measure",
        "segmentation": "skimage.segmentation",
        "morphology": "skimage.morphology",
    },
    """
image = made
mask = values > 700
labels = measure.label(mask, connectivity=1)
blobs = image.replace(labels)
""",
    "Lengths here are in the world's unit, where scikit-image counts voxels or takes `spacing=`. "
    "`values`, `mask` and `labels` are arrays; `image` and `blobs` are images of `values` and "
    "`labels`. scikit-image's own functions take images as arrays.",
    (
        Line(
            "smooth by 3 mm",
            "filters.gaussian(values, (3 / 3, 3 / 2, 3 / 1.5), "
            'mode="nearest", preserve_range=True)',
            'sd.ndimage.gaussian_filter(image, 3, mode="nearest")',
        ),
        Line(
            "number objects",
            "measure.label(mask, connectivity=1)",
            "sd.ndimage.label(image > 700)[0]",
        ),
        Line(
            "volumes of objects",
            'measure.regionprops_table(labels, spacing=(3, 2, 1.5), properties=("area",))["area"]',
            'sd.measure.regionprops(blobs)["volume"]',
        ),
        Line(
            "their centres",
            "[p.centroid for p in measure.regionprops(labels, "
            "spacing=(3, 2, 1.5), offset=None)] + np.array([10, 20, 30])",
            'sd.measure.regionprops(blobs)["centroid"]',
        ),
        Line(
            "a surface's area",
            "measure.mesh_surface_area(*measure.marching_cubes("
            "values, 500, spacing=(3, 2, 1.5))[:2])",
            "sd.measure.surface_area(sd.measure.marching_cubes(image, 500))",
        ),
        Line(
            "grow labels by 2 mm",
            "segmentation.expand_labels(labels, 2, spacing=(3, 2, 1.5))",
            "sd.segmentation.expand_labels(blobs, 2)",
        ),
        Line(
            "number labels from 1",
            "segmentation.relabel_sequential(labels * 3)[0]",
            "sd.segmentation.relabel_sequential(blobs * 3)[0]",
        ),
        Line(
            "the threshold of Otsu",
            "filters.threshold_otsu(values)",
            "filters.threshold_otsu(image.data)",
        ),
    ),
)

NAPARI = Table(
    "napari",
    {"napari": "napari", "layers": "napari.layers", "components": "napari.components"},
    """
image = made
layer = layers.Image(values, scale=(3, 2, 1.5), translate=(10, 20, 30), name="scan")
viewer = components.ViewerModel()
""",
    "`layer` is a layer of napari's, which holds scale, translate and affine beside its data; "
    "`viewer` is `napari.Viewer()`, or its model without a window.",
    (
        Line(
            "say where voxels lie",
            "layers.Image(values, scale=(3, 2, 1.5), translate=(10, 20, 30))",
            "sd.SpatialArray(values, spacing=(3, 2, 1.5), origin=(10, 20, 30))",
        ),
        Line("take a layer", "layer", "sd.asarray(layer)"),
        Line(
            "show it in the viewer",
            "viewer.add_image(values, scale=(3, 2, 1.5), translate=(10, 20, 30))",
            "viewer.add_layer(layers.Layer.create(*sd.to_napari(image)))",
        ),
        Line(
            "show labels",
            "viewer.add_labels(values.astype(int), scale=(3, 2, 1.5), translate=(10, 20, 30))",
            "viewer.add_layer(layers.Layer.create("
            '*sd.to_napari(image.astype(int), kind="labels")))',
        ),
        Line("the values", "layer.data", "image.data"),
        Line("distance of voxels", "layer.scale", "image.spacing"),
        Line("the first voxel's place", "layer.translate", "image.origin"),
        Line(
            "index to point", "layer.data_to_world((1, 2, 3))", "image.index_to_physical((1, 2, 3))"
        ),
        Line(
            "point to index",
            "layer.world_to_data((14, 25, 33))",
            "image.physical_to_index((14, 25, 33))",
        ),
        Line(
            "centres of the outer voxels",
            "layer.extent.world",
            "image.index_to_physical([(0, 0, 0), (5, 7, 9)])",
        ),
        Line(
            "the value at a point",
            "viewer.add_layer(layer); viewer.dims.set_point(0, 13); "
            "layer.get_value((13, 24, 33), world=True)",
            'sd.sample(image, (13, 24, 33), interpolation="nearest")',
        ),
        Line(
            "cut, and stay in place",
            "layers.Image(layer.data[1:, ::2], scale=(3, 4, 1.5), "
            "translate=layer.data_to_world((1, 0, 0)))",
            "image[1:, ::2]",
        ),
        Line(
            "mirror, and stay in place",
            "layers.Image(layer.data[::-1], scale=(-3, 2, 1.5), "
            "translate=layer.data_to_world((5, 0, 0)))",
            'np.flip(image, "z")',
        ),
    ),
)

TABLES = (SIMPLEITK, ITK, NIBABEL, XARRAY, TORCHIO, SKIMAGE, NAPARI)
CASES = [
    pytest.param(table, line, id=f"{table.library}-{line.task}")
    for table in TABLES
    for line in table.lines
]


def run(code: str, names: dict[str, Any]) -> Any:
    """Run statements, and return the value of the last one."""
    *first, last = ast.parse(code).body
    exec(compile(ast.Module(first, []), "line", "exec"), names)
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "line", "eval"), names)


def is_image(value: Any) -> bool:
    return not isinstance(value, np.ndarray) and sd.interop.library_of(value) is not None


def assert_same_image(theirs: Any, ours: sd.SpatialArray) -> None:
    """Each voxel of ours is one of theirs, at the same place, with the same value."""
    other = sd.asarray(theirs)
    if other.frame and ours.frame:
        other = other.to_frame(ours.frame)
    assert other.size == ours.size
    index = np.moveaxis(np.indices(ours.shape), 0, -1)
    # A library that forgets the axis of a slice says less of where it is.
    known = [ours.world.axes.index(name) for name in other.world.axes]
    there = other.physical_to_index(ours.index_to_physical(index)[..., known])
    # Axes without a place, such as time and channels, are in one order in both.
    plain = [a for a in range(ours.ndim) if a not in ours.geometry.sampled_axes]
    theirs_plain = [a for a in range(other.ndim) if a not in other.geometry.sampled_axes]
    for a in theirs_plain:
        if other.shape[a] > 1:
            there[..., a] = index[..., plain[theirs_plain.index(a)]]
    at = np.rint(there).astype(int)
    np.testing.assert_allclose(there, at, atol=1e-3)
    values = np.asarray(other)[tuple(np.moveaxis(at, -1, 0))]
    np.testing.assert_allclose(np.asarray(ours), values, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("table, line", CASES)
def test_both_spellings_give_the_same(
    table: Table, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {"np": np, "sd": sd}
    for short, package in table.packages.items():
        names[short] = pytest.importorskip(package, reason=f"needs {package}")
    pytest.importorskip("scipy", reason="needs scipy")
    monkeypatch.chdir(tmp_path)
    exec(START + table.setup, names)
    for suffix in (".nrrd", ".nii.gz"):
        if f"scan{suffix}" in line.ours:
            sd.write(f"scan{suffix}", names["image"])
    theirs, ours = run(line.theirs, dict(names)), run(line.ours, dict(names))
    if line.task == "write a file":
        first, second = sorted(tmp_path.glob("[ab].*"))
        theirs, ours = sd.read(first), sd.read(second)
    if is_image(ours):
        ours = sd.asarray(ours)
    if isinstance(ours, sd.SpatialArray):
        if isinstance(theirs, np.ndarray):
            np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-4, atol=1e-3)
        else:
            assert_same_image(theirs, ours)
    elif isinstance(ours, str):
        assert theirs == ours
    elif isinstance(ours, tuple):
        assert tuple(theirs) == ours
    else:
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5)


def code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def page() -> str:
    """Return the page of all tables."""
    parts = [
        "# Coming from another library",
        (
            "Each line is run in both spellings, which give the same values in the same place, by "
            "`tests/test_coming_from.py`; this page is made by `python tests/test_coming_from.py`. "
            "Code begins with `import numpy as np` and `import spatial_duck as sd`."
        ),
    ]
    for table in TABLES:
        rows = [f"| to | {table.library} | here |", "| --- | --- | --- |"]
        rows += [f"| {n.task} | {code(n.theirs)} | {code(n.ours)} |" for n in table.lines]
        parts += [f"## {table.library}", table.note, "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def test_the_page_is_made_from_these_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
