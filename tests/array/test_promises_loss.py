"""Promise 3: nothing is lost silently.

What a function cannot keep becomes plain, with its name; whoever needs it is told; what cannot be
expressed elsewhere is refused, never approximated.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import Geometry, GeometryLossError, SpatialArray, config
from spatial_duck.testing import voxel_numbers
from spatial_duck.testing._strategies import chains, geometries
from tests.effort import examples

GEOMETRY = Geometry((3, 4, 5), (2, 0.5, 1), (10, 20, 30), frame="LPS", unit="mm")


def image() -> SpatialArray:
    return SpatialArray(voxel_numbers(GEOMETRY.shape).astype(float), GEOMETRY)


#: What loses, the function that is named, and the axes of the result that are plain for it.
LOSES = [
    (lambda x: x.reshape(12, 5), "reshape", {0}),
    (lambda x: np.reshape(x, (3, 20)), "reshape", {1}),
    (lambda x: x.ravel(), "ravel", {0}),
    (lambda x: x.flatten(), "ravel", {0}),
    (lambda x: x[[0, 2, 1]], "indexing", {0}),
    (lambda x: x[:, [0, 0, 3]], "indexing", {1}),
    (lambda x: x[x > 20], "indexing", {0}),
    (lambda x: x[np.ix_([0, 2, 1], [0, 1], [0, 1, 4])], "indexing", {0, 2}),
    (lambda x: np.take(x, [0, 1, 3], axis=1), "take", {1}),
    (lambda x: np.delete(x, [1], axis=0), None, set()),  # 0 and 2: every second
    (lambda x: np.delete(x, [1], axis=1), "delete", {1}),
    (lambda x: np.compress([True, True, False, True], x, axis=1), "compress", {1}),
    (lambda x: np.repeat(x, [1, 2, 1], axis=0), "repeat", {0}),
    (lambda x: np.fft.fft(x, axis=2), "fft", {2}),
    (lambda x: np.unique(x), "unique", {0}),
]


@pytest.mark.parametrize("function, name, axes", LOSES)
def test_a_plain_axis_says_what_made_it_plain(function, name, axes):
    result = function(image())
    assert set(result.geometry.lost) == axes
    assert set(result.geometry.lost.values()) == ({name} if axes else set())
    if not axes:
        return
    assert not set(result.geometry.sampled_axes) & axes
    with pytest.raises(GeometryLossError, match=f"'{name}'"):
        result.index_to_physical((0,) * result.ndim)
    with pytest.raises(GeometryLossError, match=f"'{name}'"):
        result.physical_to_index(result.origin)
    with config(on_loss="raise"), pytest.raises(GeometryLossError, match=f"'{name}'"):
        function(image())
    with config(on_loss="warn"), pytest.warns(UserWarning, match=f"'{name}'"):
        function(image())


PHYSICAL = [
    lambda x: sd.resample(x, spacing=1.0),
    lambda x: sd.resample(image(), to=x),
    lambda x: sd.reorient(x, "RAS"),
    lambda x: sd.crop(x, [[10, 20, 30], [12, 21, 31]]),
    lambda x: sd.pad_to(x, [[0, 0, 0], [20, 30, 40]]),
    lambda x: sd.sample(x, [[10.0, 20.0, 30.0]]),
    lambda x: x.bounds,
    lambda x: x.corner,
    lambda x: x.index_to_physical((0, 0, 0)),
]


@pytest.mark.parametrize("operation", PHYSICAL)
def test_physical_operations_name_what_lost_the_positions(operation):
    with pytest.raises(GeometryLossError, match="'indexing'"):
        operation(image()[:, [0, 0, 3]])


def outcome(call):
    """Return what a conversion gives, or the words with which it refuses."""
    try:
        return call(), None
    except GeometryLossError as error:
        return None, str(error)


@pytest.mark.parametrize(
    "library, convert",
    [("SimpleITK", sd.to_simpleitk), ("nibabel", sd.to_nibabel), ("xarray", sd.to_xarray)],
)
def test_converters_refuse_what_was_lost(library, convert):
    pytest.importorskip(library, reason=f"needs {library}")
    lost = image()[:, [0, 0, 3]]
    converted, refusal = outcome(lambda: convert(lost))
    if refusal is None:  # it can say which axis has no place
        assert sd.asarray(converted).geometry == lost.geometry
    else:
        assert "indexing" in refusal


def test_shear_is_kept_or_refused_by_simpleitk():
    pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    sheared = image().replace(direction=[[1, 0, 0], [0, 1, 0.6], [0, 0, 0.8]])
    back, refusal = outcome(lambda: sd.from_simpleitk(sd.to_simpleitk(sheared)))
    assert "direction" in refusal if back is None else back.geometry.isclose(sheared.geometry, 1e-9)


@pytest.mark.parametrize("suffix", ["nii", "nrrd", "mha", "ome.zarr", "nii.gz"])
def test_files_refuse_what_was_lost(suffix, tmp_path):
    for package in ("nibabel", "zarr"):
        pytest.importorskip(package, reason=f"needs {package}")
    lost = image()[:, [0, 0, 3]]
    path = tmp_path / f"image.{suffix}"
    _, refusal = outcome(lambda: sd.write(path, lost))
    if refusal is None:
        assert 1 not in sd.read(path).geometry.sampled_axes
    else:
        assert "indexing" in refusal
        assert not path.exists()


def test_a_function_that_no_rule_knows_is_refused():
    def unknown(x):
        raise AssertionError("it ran")

    x = image()
    with pytest.raises(TypeError, match="unknown"):
        x.__array_function__(unknown, (SpatialArray,), (x,), {})


def test_npy_files_are_refused():
    with pytest.raises(TypeError, match=r"spatial_duck\.write|sd\.write"):
        np.save("nowhere.npy", image())


@pytest.mark.slow
@settings(max_examples=examples(80))
@given(geometries(ndim=3, min_side=2, max_side=4), st.data())
def test_a_loss_lasts_through_any_chain(g, data):
    """Nothing that follows makes positions of what was lost."""
    if not g.sampled_axes:
        return
    axis = data.draw(st.sampled_from(g.sampled_axes))
    x = SpatialArray(voxel_numbers(g.shape), g.lose(axis, "shuffle"))
    lost_names = set(x.geometry.lost.values())
    for operation in data.draw(chains(x.shape, without={"diagonal"})):
        before = x
        x = operation(x)
        assert set(x.geometry.lost.values()) <= lost_names
        assert len(x.geometry.sampled_axes) <= len(before.geometry.sampled_axes) + 1
        if not x.geometry.lost:
            break  # the axis was indexed away


def test_an_axis_of_one_voxel_is_not_lost_by_being_squeezed():
    assert not image()[:1].squeeze(0).geometry.lost
    assert not image()[:1].reshape(4, 5).geometry.lost
