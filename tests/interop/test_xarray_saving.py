"""Images in xarray: the index that keeps their place, and files that bring it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import GeometryError, GeometryLossError, GeometryMismatchError

if TYPE_CHECKING:
    from pathlib import Path

xr = pytest.importorskip("xarray", reason="needs xarray")

TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
DIRECTIONS = {
    "aligned": np.eye(3),
    "flipped": np.diag([1.0, -1, -1]),
    "swapped": np.eye(3)[[0, 2, 1]],
    "oblique": TURN,
    "sheared": np.array([[1, 0, 0], [0, 0.8, 0], [0, 0.6, 1]]),
}
FORMS: dict[str, dict[str, Any]] = {
    "wrapped": {}, "bare": {"wrap": False}, "index": {"index": True}
}  # fmt: skip


def scan(direction: str = "oblique", **more: Any) -> sd.SpatialArray:
    how = {"spacing": (2, 0.5, 0.75), "origin": (1, 2, 3), "frame": "LPS", "unit": "mm"} | more
    values = np.arange(60.0).reshape(3, 4, 5)
    return sd.SpatialArray(values, direction=DIRECTIONS[direction], **how)


def assert_same(found: sd.SpatialArray, wanted: sd.SpatialArray) -> None:
    assert np.array_equal(np.asarray(found), np.asarray(wanted))
    assert found.geometry.isclose(wanted.geometry, tolerance=1e-9)
    assert found.world == wanted.world


def saved(array: Any, folder: Path, kind: str) -> Any:
    if kind == "netcdf":
        pytest.importorskip("scipy", reason="needs scipy to write NetCDF")
        array.to_netcdf(folder / "a.nc")
        with xr.open_dataarray(folder / "a.nc") as opened:
            return opened.load()
    pytest.importorskip("zarr", reason="needs zarr")
    array.to_dataset(name="a").to_zarr(folder / "a.zarr", zarr_format=2, consolidated=False)
    with xr.open_zarr(folder / "a.zarr", consolidated=False) as opened:
        return opened["a"].load()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_saved_and_opened_in_place(tmp_path: Path, direction: str, form: str, kind: str) -> None:
    attrs = {"subject": "M01", "header": {"echo": [1, None]}, "ok": True, "weights": [1.0, 2.0]}
    image = scan(direction).replace(attrs=attrs)
    array = sd.to_xarray(image, **FORMS[form])
    back = sd.asarray(saved(array, tmp_path, kind))
    assert_same(back, image)
    assert back.attrs["header"] == attrs["header"]
    assert back.attrs["ok"] is True
    assert list(back.attrs["weights"]) == attrs["weights"]


@pytest.mark.parametrize("form", FORMS)
def test_cut_before_and_after_saving(tmp_path: Path, form: str) -> None:
    image = scan()
    array = sd.to_xarray(image, **FORMS[form]).isel(y=slice(1, None), x=slice(None, None, -2))
    back = saved(array, tmp_path, "netcdf").isel(z=1, y=slice(None, None, -1))
    assert_same(sd.asarray(back), image[:, 1:, ::-2][1, ::-1])


@pytest.mark.parametrize("form", ["bare", "index"])
def test_half_a_place_is_refused(form: str) -> None:
    array = sd.to_xarray(scan(), **FORMS[form])
    with pytest.raises(GeometryLossError, match="'y' is gone"):
        sd.asarray(array.mean("y"))
    if form == "bare":  # an index goes as a whole
        with pytest.raises(GeometryLossError, match="distances"):
            sd.asarray(array.drop_vars("spatial_geometry"))


def test_arrays_of_other_places_are_not_put_together_unsaid() -> None:
    one, other = scan(), scan(origin=(1, 9, 9))
    with pytest.raises(GeometryMismatchError, match="different grids"):
        sd.to_xarray(one, index=True) + sd.to_xarray(other, index=True)
    with pytest.raises(GeometryMismatchError):
        sd.to_xarray(one) + sd.to_xarray(other)
    mixed = sd.to_xarray(one, wrap=False) + sd.to_xarray(other, wrap=False)
    with pytest.raises(GeometryError):
        sd.asarray(mixed.isel(z=slice(0, 2)))


def keys(n: int) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.integers(-n, n - 1),
        st.slices(n),
        st.permutations(range(n)).map(lambda p: np.array(p[:2])),
    )


@pytest.mark.slow
@given(
    st.sampled_from(sorted(DIRECTIONS)), keys(3), keys(4), keys(5), st.permutations(range(4)),
    st.booleans(),
)  # fmt: skip
def test_the_index_follows_what_xarray_takes(
    direction: str, z: Any, y: Any, x: Any, order: list[int], wait: bool
) -> None:
    """A voxel that xarray keeps lies where it lay; what is on no grid says so."""
    numbers = np.arange(2 * 60.0).reshape(2, 3, 4, 5)
    image = sd.SpatialArray(
        numbers, dims=("c", "z", "y", "x"), direction=DIRECTIONS[direction],
        spacing=(2, 0.5, 0.75), origin=(1, 2, 3), frame="LPS", unit="mm",
    )  # fmt: skip
    array = sd.to_xarray(image, index=True)
    if wait:
        array = array.transpose(*[array.dims[i] for i in order]) + 0
    taken = array.isel(z=z, y=y).isel(x=x)
    try:
        back = sd.asarray(taken)
    except GeometryError:
        assert any(isinstance(k, np.ndarray) for k in (z, y, x))
        return
    assert np.array_equal(np.asarray(back), taken.values)
    if not back.size:
        return
    index = [n - 1 for n in back.shape]
    _, *voxel = np.unravel_index(int(taken.values[tuple(index)]), numbers.shape)
    was = image.geometry.index_to_physical([0, *voxel])
    assert np.allclose(back.geometry.index_to_physical(index), was, atol=1e-9)


def test_selection_by_place() -> None:
    image = scan("flipped")  # y runs from 2 down to 0.5
    array = sd.to_xarray(image, index=True)
    assert_same(sd.asarray(array.sel(z=3)), image[1])
    assert_same(sd.asarray(array.sel(y=1.3, method="nearest")), image[:, 1])
    assert_same(sd.asarray(array.sel(y=slice(1.5, 0.5))), image[:, 1:])
    assert_same(sd.asarray(array.sel(z=slice(2.5, None))), image[1:])
    assert_same(sd.asarray(array.sel(y=slice(1.0, None))), image[:, 2:])
    with pytest.raises(KeyError, match="no voxel at"):
        array.sel(z=2.9)
    with pytest.raises(KeyError, match="no voxel at"):
        array.sel(z=50, method="nearest")
    with pytest.raises(GeometryError, match="oblique"):
        sd.to_xarray(scan(), index=True).sel(y=1.0, method="nearest")


def test_pieces_are_put_together_where_they_continue() -> None:
    image = scan()
    array = sd.to_xarray(image, index=True)
    joined = xr.concat(
        [array.isel(z=slice(0, 1)), array.isel(z=slice(1, None))], "z", coords="minimal"
    )
    assert_same(sd.asarray(joined), image)
    renamed = array.rename(x="u")
    assert sd.asarray(renamed).dims == ("z", "y", "u")


def test_lazy_images_are_saved_by_their_index_and_refused_when_wrapped(tmp_path: Path) -> None:
    pytest.importorskip("dask", reason="needs dask")
    image = scan()
    lazy = image.chunk(2)
    assert_same(sd.asarray(saved(sd.to_xarray(lazy, index=True), tmp_path, "netcdf")), image)
    with pytest.raises(TypeError, match="index=True"):
        sd.to_xarray(lazy).to_netcdf(tmp_path / "b.nc")
    assert not (tmp_path / "b.nc").exists()


@pytest.mark.parametrize("name", ["a.nii", "a.mha", "a.nrrd"])
def test_the_engine_opens_files_in_place(tmp_path: Path, name: str) -> None:
    pytest.importorskip("nibabel", reason="needs nibabel")
    pytest.importorskip("nrrd", reason="needs pynrrd")
    from spatial_duck.interop._xarray_engine import SpatialDuckEntrypoint

    image = scan()
    sd.write(tmp_path / name, image)
    data = xr.open_dataset(tmp_path / name, engine=SpatialDuckEntrypoint)
    back = sd.asarray(data["image"].transpose("z", "y", "x"))
    assert np.array_equal(np.asarray(back), np.asarray(image))
    there = back.to_frame("LPS").to_world(image.world.axes)
    assert np.allclose(there.index_to_physical([1, 2, 3]), image.index_to_physical([1, 2, 3]))
    assert "image" not in xr.open_dataset(
        tmp_path / name, engine=SpatialDuckEntrypoint, drop_variables="image"
    )
