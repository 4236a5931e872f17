"""xarray's own cases of wrapped arrays, run on images, as the xarray that is installed has them.

xarray's module `tests.test_duck_array_wrapping` calls what xarray offers on an array of another
library, and asks whether the result still holds one.
"""

from __future__ import annotations

import inspect
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spatial_duck import SpatialArray

if TYPE_CHECKING:
    from collections.abc import Callable

xr = pytest.importorskip("xarray", reason="needs xarray")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    theirs = pytest.importorskip(
        "xarray.tests.test_duck_array_wrapping", reason="this xarray has no such tests"
    )

_OWN = "xarray makes a Dask array of an image's chunks alone: right data, no place"
_REFUSED = "xarray would leave the place behind, and the image refuses"
#: Why a case does not hold for images: by its name, its option and what they hold.
KNOWN = {
    "quantile-True-numpy": "a quantile over all axes is a number, as NumPy's",
    "quantile-False-numpy": "a quantile over all axes is a number, as NumPy's",
    "quantile-True-dask": "a quantile over all axes is what Dask returns",
    "quantile-False-dask": "a quantile over all axes is what Dask returns",
    **dict.fromkeys(("apply_ufunc-dask", "cross-dask"), _REFUSED),
    **dict.fromkeys(
        ("full_like-dask", "idxmax-False-dask", "idxmin-False-dask", "map_blocks-dask",
         "rolling_construct-dask", "rolling_reduce-True-dask", "rolling_reduce-False-dask",
         "cumulative_construct-dask", "cumulative_reduce-dask"), _OWN
    ),
}  # fmt: skip
if find_spec("opt_einsum"):
    KNOWN |= dict.fromkeys(
        ("dot-numpy", "dot-dask", "weighted-numpy"), "opt_einsum gives a number over all axes"
    )


def held(kind: str, data: Any) -> SpatialArray:
    data = np.asarray(data)
    if kind == "dask":
        da = pytest.importorskip("dask.array", reason="needs dask")
        data = da.from_array(data, chunks=data.shape)
    return SpatialArray(data, dims=(None,) * data.ndim)


def cases() -> list[Any]:
    found = []
    for owner in (theirs.TestTopLevelMethods, theirs.TestDataArrayMethods):
        for name, method in vars(owner).items():
            if not name.startswith("test_"):
                continue
            marks = [m.name for m in getattr(method, "pytestmark", [])]
            if "xfail" in marks:  # for every library
                continue
            options: list[dict[str, Any]] = [{}]
            if "skipna" in inspect.signature(method).parameters:
                options = [{"skipna": True}, {"skipna": False}]
            for o in options:
                label = f"{owner.__name__}.{name}" + "".join([f"-{v}" for v in o.values()])
                found.append(pytest.param(owner, name, o, id=label))
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # xarray's and pandas' own
@pytest.mark.parametrize("kind", ["numpy", "dask"])
@pytest.mark.parametrize("owner, name, options", cases())
def test_xarray_keeps_images(
    owner: Any, name: str, options: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    words = [name.removeprefix("test_"), *map(str, options.values()), kind]
    reason = KNOWN.get("-".join(words))
    if reason:
        request.node.add_marker(pytest.mark.xfail(strict=True, reason=reason))
    case = owner()
    case.namespace, case.xp, case.Array = "images", np, SpatialArray
    case.constructor = lambda data: held(kind, data)
    case.x = case.x1 = case.get_test_dataarray()
    case.x2 = case.get_test_dataarray().assign_coords(x=np.arange(2, 7))
    getattr(case, name)(**options)


# --- values over Dask -----------------------------------------------------------------------

VALUES = np.arange(24.0).reshape(4, 6)
POINTS = xr.DataArray([0, 2], dims="p")
TABLE = xr.DataArray([[0, 2], [1, 1]], dims=("a", "b"))


def _times_two(block: Any) -> Any:
    return block * 2


def _mean(block: Any) -> Any:
    return block.mean(-1)


#: What xarray does with an image over Dask: the values are those of a Dask array alone.
IMAGES: dict[str, Callable[[Any], Any]] = {
    "isel by points": lambda x: x.isel(x=POINTS, y=POINTS),
    "isel by points along one axis": lambda x: x.isel(x=POINTS),
    "isel by a table of points": lambda x: x.isel(x=TABLE),
    "isel by arrays of one length": lambda x: x.isel(y=[0, 2], x=[1, 3]),
    "isel by arrays, reversed": lambda x: x.isel(y=[3, 0], x=slice(None, None, -2)),
    "isel by a mask": lambda x: x.isel(x=np.array([True, False] * 3)),
    "sel by points": lambda x: x.sel(x=POINTS, y=POINTS),
    "sel nearest": lambda x: x.sel(x=xr.DataArray([0.2, 2.9], dims="p"), method="nearest"),
    "apply_ufunc allowed": lambda x: xr.apply_ufunc(np.sqrt, x, dask="allowed"),
    "map_blocks of the image": lambda x: x.copy(data=x.data.map_blocks(_times_two, dtype=float)),
    "weighted": lambda x: x.weighted(x).mean("x"),
    "where": lambda x: x.where(x > 3).fillna(0),
    "quantile": lambda x: x.chunk(x=-1).quantile(0.5, "x"),
    "coarsen": lambda x: x.coarsen(x=2).mean(),
    "groupby": lambda x: x.groupby(xr.DataArray([0, 0, 1, 1, 0, 1], dims="x", name="g")).mean(),
    "groupby map": lambda x: x.groupby("x").map(_times_two),
    "shift": lambda x: x.shift(x=1),
    "pad": lambda x: x.pad(x=1, mode="edge"),
    "stack": lambda x: x.stack(z=("y", "x")).unstack("z"),
    "reindex": lambda x: x.reindex(x=[0, 2, 9]),
    "sortby": lambda x: x.sortby("x", ascending=False),
    "dot": lambda x: xr.dot(x, x, dim="x"),
    "corr": lambda x: xr.corr(x, x, dim="x"),
    "chunk": lambda x: x.chunk(x=3),
    "persist": lambda x: x.persist(),
    "idxmax": lambda x: x.idxmax("x"),
}  # fmt: skip
#: What gives the right values in a bare Dask array, because xarray hands Dask the chunks alone.
BARE: dict[str, Callable[[Any], Any]] = {
    "rolling mean": lambda x: x.rolling(x=3).mean(),
    "rolling max": lambda x: x.rolling(x=3, center=True, min_periods=1).max(),
    "rolling construct": lambda x: x.rolling(x=3).construct("w"),
    "rolling along two axes": lambda x: x.rolling(x=3, y=2).mean(),
    "cumulative": lambda x: x.cumulative("x").sum(),
    "map_blocks": lambda x: xr.map_blocks(_times_two, x),
    "map_blocks with a template": lambda x: x.map_blocks(_times_two, template=x),
    "full_like": lambda x: xr.full_like(x, 3),
    "polyfit": lambda x: x.polyfit("x", 1)["polyfit_coefficients"],
}
#: What is refused, in these words.
REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "apply_ufunc": (
        lambda x: xr.apply_ufunc(np.sqrt, x, dask="parallelized"), "dask='allowed'",
    ),
    "apply_ufunc along an axis": (
        lambda x: xr.apply_ufunc(_mean, x.chunk(x=-1), input_core_dims=[["x"]],
                                 dask="parallelized", output_dtypes=[float]), "dask='allowed'",
    ),
    "unify_chunks": (lambda x: xr.unify_chunks(x, x.chunk(x=3))[0], "wrap=False"),
    "interpolate_na": (lambda x: x.chunk(x=-1).interpolate_na("x"), "wrap=False"),
    "interp": (lambda x: x.interp(x=[0.5, 1.5]), "chunked array types"),
    "diff": (lambda x: x.diff("x"), "same grid"),
    "roll": (lambda x: x.roll(x=1), "begin where the one before it ended"),
}  # fmt: skip


def _pair() -> tuple[Any, Any]:
    """A field of an image over Dask, and one of the Dask array alone."""
    da = pytest.importorskip("dask.array", reason="needs dask")
    bare = da.from_array(VALUES, chunks=(3, 4))
    image = SpatialArray(bare, spacing=(2, 0.5), origin=(3, 7))
    coords = {"y": np.arange(4), "x": np.arange(6)}
    one, other = (xr.DataArray(d, dims=("y", "x"), coords=coords) for d in (image, bare))
    return one, other


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # xarray's own
@pytest.mark.parametrize("name", [*IMAGES, *BARE])
def test_values_over_dask(name: str) -> None:
    run = (IMAGES | BARE)[name]
    image, bare = _pair()
    found, wanted = run(image), run(bare)
    assert found.dims == wanted.dims
    assert isinstance(found.data, SpatialArray) == (name in IMAGES)
    np.testing.assert_allclose(np.asarray(found.compute().data), wanted.compute().values)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_over_dask(name: str) -> None:
    run, words = REFUSED[name]
    image, bare = _pair()
    run(bare)
    with pytest.raises((TypeError, ValueError), match=words):
        run(image).compute()


def test_chunks_of_an_image_in_memory_are_images_and_go_back() -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = SpatialArray(VALUES, spacing=(2, 0.5), origin=(3, 7))
    chunked = xr.DataArray(image, dims=("y", "x")).chunk(x=4, y=3)
    assert isinstance(chunked.data, da.Array)
    computed = (chunked + 1).compute().data
    assert computed.geometry == image.geometry
    np.testing.assert_array_equal(computed.data, VALUES + 1)
    again = SpatialArray(chunked.data, image.geometry)
    np.testing.assert_array_equal(again.compute().data, VALUES)
    assert type(again.compute().data) is np.ndarray
