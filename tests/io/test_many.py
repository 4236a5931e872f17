"""What `read` takes besides one path: lists, patterns, bytes, open files and ``~``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FormatError
from spatial_duck.io._many import by_numbers, join_images
from spatial_duck.testing import _strategies as ours

if TYPE_CHECKING:
    from pathlib import Path


def volume() -> sd.SpatialArray:
    data = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    return sd.SpatialArray(data, spacing=(2.5, 1, 0.5), origin=(-10, 20, 3), frame="LPS", unit="mm")


def test_slices_become_the_volume_that_they_are_of(tmp_path: Path) -> None:
    """In whatever order they come, and as a pattern."""
    image = volume()
    for k in (2, 0, 3, 1):
        sd.write(tmp_path / f"{'abcd'[k]}.mha", image[k : k + 1])
    names = sorted(tmp_path.iterdir())
    for given_ in (names, names[::-1], str(tmp_path / "*.mha"), tmp_path / "?.mha"):
        found = sd.read(given_)
        assert found.geometry.isclose(image.geometry)
        np.testing.assert_array_equal(found, image)
    assert sd.read([names[0]]).shape == (1, 5, 6)


@settings(max_examples=20, deadline=None)
@given(directions=ours.directions(3, 3), order=st.permutations(range(4)))
def test_slices_of_any_volume_are_joined(directions: Any, order: list[int]) -> None:
    """Oblique, sheared and flipped ones, but for which end is first."""
    data = np.arange(4 * 3 * 2.0).reshape(4, 3, 2)
    image = sd.SpatialArray(data, spacing=(2, 1, 0.5), direction=directions)
    found = join_images([image[k] for k in order], [str(k) for k in order])
    if not found.geometry.isclose(image.geometry):
        found = found[::-1]
    assert found.geometry.isclose(image.geometry)
    np.testing.assert_array_equal(found, image)


def test_images_of_one_grid_are_stacked(tmp_path: Path) -> None:
    for k in range(3):
        sd.write(tmp_path / f"{k}.mha", volume() + k)
    found = sd.read(str(tmp_path / "*.mha"))
    assert found.dims == ("file", "z", "y", "x")
    np.testing.assert_array_equal(found, np.stack([volume().data + k for k in range(3)]))
    assert found.isel(file=1).geometry.isclose(volume().geometry)
    assert str(found.coords["file"].values[2]).endswith("2.mha")


def test_a_pattern_is_sorted_by_the_numbers_in_names(tmp_path: Path) -> None:
    """As microscopes number planes: without zeros in front, which the alphabet would mix up."""
    for k in range(12):
        sd.write(tmp_path / f"plane_{k}.tif", sd.SpatialArray(np.full((3, 4), k, "u1")))
    found = sd.read(tmp_path / "plane_*.tif")
    np.testing.assert_array_equal(found.data[:, 0, 0], np.arange(12))


@given(st.lists(st.from_regex(r"[a-b0-1²]{0,6}", fullmatch=True), max_size=6))
def test_any_names_have_one_order(names: list[str]) -> None:
    """Numbers count as numbers, and names that differ by zeros alone have an order too."""
    wanted, backwards = sorted(names, key=by_numbers), names[::-1]
    assert sorted(backwards, key=by_numbers) == wanted
    numbers = [name for name in wanted if name.isascii() and name.isdecimal()]
    assert [*map(int, numbers)] == sorted(map(int, numbers))


def test_a_folder_of_files_says_by_which_pattern_it_is_read(tmp_path: Path) -> None:
    for k in range(2):
        sd.write(tmp_path / f"{k}.tif", sd.SpatialArray(np.zeros((3, 4), "u1")))
    with pytest.raises(FormatError, match=r"by a pattern: read\(.*\*\.tif") as caught:
        sd.read(tmp_path)
    pattern = str(caught.value).split("read('")[1].split("'")[0]
    assert sd.read(pattern).shape == (2, 3, 4)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    image = volume()
    with pytest.raises(FormatError, match=r"b: files .* must have the same shape"):
        join_images([image[0], image[0, :3]], ["a", "b"])
    with pytest.raises(FormatError, match="the same world"):
        join_images([image[0], image.to_unit("um")[0]], ["a", "b"])
    with pytest.raises(FormatError, match=r"equal steps along a line: the steps are from 2.5 to 5"):
        join_images([image[0], image[1], image[3]], ["a", "b", "c"])
    with pytest.raises(FormatError, match="one begins where another ends"):
        join_images([image, image.replace(origin=(0, 20, 3))], ["a", "b"])
    with pytest.raises(FileNotFoundError, match="list of files is empty"):
        sd.read([])
    with pytest.raises(FileNotFoundError, match="no file matches"):
        sd.read(str(tmp_path / "*.dcm"))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_bytes_and_open_files_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    sd.write(path, volume())
    content = path.read_bytes()
    with path.open("rb") as file, io.BytesIO(content) as memory:
        for given_ in (content, bytearray(content), memory, file):
            found = sd.read(given_)
            assert found.geometry.isclose(volume().geometry)
            np.testing.assert_array_equal(found, volume())
    with pytest.raises(FormatError, match="lazy=True needs a path"):
        sd.read(content, lazy=True)
    with path.open(errors="replace") as text, pytest.raises(TypeError, match="'rb'"):
        sd.read(text)


def test_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    sd.write("~/a.mha", volume())
    assert (tmp_path / "a.mha").is_file()
    np.testing.assert_array_equal(sd.read("~/a.mha"), volume())


def test_what_is_not_there_is_named_with_what_is_near(tmp_path: Path) -> None:
    sd.write(tmp_path / "brain.mha", volume())
    with pytest.raises(FileNotFoundError, match=r"did you mean .*brain\.mha"):
        sd.read(tmp_path / "brian.mha")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        sd.read(tmp_path / "no" / "brain.mha")
    with pytest.raises(FileNotFoundError, match="the working folder is"):
        sd.read("nothing of the kind.mha")


@pytest.mark.parametrize("given_", [None, 42, {"a": 1}])
def test_what_is_no_place_says_what_is(given_: Any) -> None:
    with pytest.raises(TypeError, match="a path, a URL or a Zarr store was expected"):
        sd.read(given_)


@pytest.mark.parametrize("given_", [volume(), np.zeros((3, 4))], ids=["image", "array"])
def test_what_is_an_image_already_says_so(given_: Any) -> None:
    with pytest.raises(TypeError, match="an image or array already"):
        sd.read(given_)
