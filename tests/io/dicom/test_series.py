"""DICOM: every slice where its header says, and what lies on no grid is refused by name."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, FrameError, GeometryLossError, UnsafeInputError
from spatial_duck.io.dicom import _format as dicom
from spatial_duck.testing import assert_geometry_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pydicom = pytest.importorskip("pydicom", reason="needs pydicom")

TURN = np.linalg.qr(np.array([[1, 2, 0.3], [0.5, -1, 2], [0.1, 0.4, 1.0]]))[0]
SHAPE = (5, 6, 7)


def volume(turn: Any = TURN, tilt: float = 0.0, shape: tuple[int, ...] = SHAPE) -> sd.SpatialArray:
    """Return an oblique volume whose slices are shifted by `tilt` per mm."""
    direction = np.array(turn)[:, ::-1] @ np.diag([np.linalg.det(turn[:, ::-1]), 1, 1]) * [-1, 1, 1]
    direction[:, 0] += tilt * direction[:, 1]
    direction[:, 0] /= np.linalg.norm(direction[:, 0])
    return sd.SpatialArray(
        np.arange(np.prod(shape), dtype=np.int16).reshape(shape), spacing=(2.5, 0.7, 0.3),
        origin=(-100.1, 20.3, 7.77), direction=direction,
        world=sd.World(("x", "y", "z"), "mm", "LPS"),
    )  # fmt: skip


def edit(path: Path, **elements: Any) -> None:
    """Change elements of a file; None takes one away."""
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a series of five slices, their names in the reverse order."""
    path = tmp_path / "series"
    io.write(path, volume(), format="dicom")
    for n, file in enumerate(sorted(path.iterdir())):
        file.rename(path / f"IM{9 - n}")
    return path


def files(path: Path) -> list[Path]:
    return sorted(path.iterdir())


def assert_same(back: sd.SpatialArray, image: sd.SpatialArray) -> None:
    """The same voxels in the same places; slices are read in the order of their normal."""
    if image.shape[0] > 1 and not np.allclose(back.origin, image.origin, atol=1e-3):
        back = back[::-1]
    assert np.allclose(np.asarray(back), np.asarray(image), atol=1e-6)
    if image.shape[0] > 1:
        assert_geometry_equal(back.geometry, image.geometry, tolerance=1e-6)


def frames_of(dataset: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield position, orientation and pixel spacing of each frame, as they are written."""
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        yield dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing
        return
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        yield (
            groups.PlanePositionSequence[0].ImagePositionPatient,
            groups.PlaneOrientationSequence[0].ImageOrientationPatient,
            groups.PixelMeasuresSequence[0].PixelSpacing,
        )


def assert_slices_at_their_positions(image: sd.SpatialArray, path: Path) -> None:
    """Each frame's corners, by the formula of the standard, within 0.01 mm of a slice's."""
    datasets = [pydicom.dcmread(file, stop_before_pixels=True) for file in files(path)]
    frames = [frame for d in datasets for frame in frames_of(d)]
    assert len(frames) == image.shape[0]
    rows, columns = image.shape[1:3]
    where = image.geometry.index_to_physical([(k, 0, 0) for k in range(image.shape[0])])
    taken = set()
    for position, orientation, spacing in frames:
        k = int(np.argmin(np.linalg.norm(where - np.array(position, float), axis=1)))
        taken.add(k)
        across, down = np.array(orientation, float).reshape(2, 3)
        for r, c in ((0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)):
            point = position + across * float(spacing[1]) * c + down * float(spacing[0]) * r
            assert np.linalg.norm(image.geometry.index_to_physical((k, r, c)) - point) < 0.01
    assert len(taken) == len(frames)


REAL = ("ct_gantry_tilt", "generic_non_isotropic", "mr_philips_oblique", "mr_siemens_multiframe")


@pytest.mark.parametrize("name", REAL)
def test_real_slices_lie_at_their_positions(name: str, data_file: Callable[[str], Path]) -> None:
    path = data_file(f"dicom/{name}")
    image = io.read(path)
    assert image.frame == "LPS"
    assert image.dims == ("z", "y", "x")
    assert_slices_at_their_positions(image, path)


@pytest.mark.parametrize("name", REAL)
def test_real_values_are_pydicoms(name: str, data_file: Callable[[str], Path]) -> None:
    path = data_file(f"dicom/{name}")
    image = io.read(path)
    lazy = io.read(path, lazy=True)
    assert lazy.data.numblocks[0] == image.shape[0]
    assert np.array_equal(np.asarray(lazy), np.asarray(image))
    for file in files(path):
        dataset = pydicom.dcmread(file)
        planes = pydicom.pixels.apply_rescale(dataset.pixel_array, dataset)
        planes = planes.reshape(-1, *planes.shape[-2:])
        for plane, (position, *_) in zip(planes, frames_of(dataset), strict=True):
            k = round(float(image.physical_to_index([float(v) for v in position])[0]))
            assert np.array_equal(np.asarray(image)[k], plane)


@pytest.mark.parametrize("name", REAL)
def test_real_geometry_is_highdicoms(name: str, data_file: Callable[[str], Path]) -> None:
    """highdicom refuses shear and needs a frame of reference, so those are left out."""
    hd = pytest.importorskip("highdicom", reason="needs highdicom")
    if name in ("ct_gantry_tilt", "mr_siemens_multiframe"):
        pytest.skip("highdicom refuses a shear, and a file without FrameOfReferenceUID")
    path = data_file(f"dicom/{name}")
    datasets = [pydicom.dcmread(file) for file in files(path)]
    for dataset in datasets:
        dataset.setdefault("FrameOfReferenceUID", "1.2.3")
    theirs = hd.get_volume_from_series(datasets, rtol=1e-2)
    image = io.read(path)
    assert theirs.spatial_shape == image.shape
    index = np.random.default_rng(3).integers(0, image.shape, (40, 3))
    points = theirs.map_indices_to_reference(index)
    # The order of its slices may be the other way round.
    ours = image.physical_to_index(points)
    assert abs(ours - np.round(ours)).max() < 0.02
    found = np.asarray(image)[tuple(np.round(ours).astype(int).T)]
    assert np.allclose(found, theirs.array[tuple(index.T)])


def test_gantry_tilt_is_kept_as_a_shear(data_file: Callable[[str], Path]) -> None:
    image = io.read(data_file("dicom/ct_gantry_tilt"))
    assert abs(image.direction[:, 0] @ image.direction[:, 1]) > 0.2
    assert image.dtype == np.int16
    assert -1024 <= np.asarray(image).min() < 0


def test_real_gap_is_refused_and_can_be_filled(data_file: Callable[[str], Path]) -> None:
    path = data_file("dicom/ct_slice_increment")
    with pytest.raises(FormatError, match=r"missing slices .*0009-0001\.dcm and IM-0001-0010"):
        io.read(path)
    image = io.read(path, irregular="resample")
    assert image.shape[0] == 5
    raw = [pydicom.dcmread(f) for f in files(path)]
    by_place = sorted(raw, key=lambda d: float(d.ImagePositionPatient[2]))
    for k, dataset in zip((0, 1, 2, 4), by_place, strict=True):
        expected = pydicom.pixels.apply_rescale(dataset.pixel_array, dataset)
        assert np.allclose(np.asarray(image)[k], expected, atol=1e-3)
    middle = (np.asarray(image)[2] + np.asarray(image)[4]) / 2
    assert np.allclose(np.asarray(image)[3], middle, atol=1e-3)
    lazy = io.read(path, irregular="resample", lazy=True)
    assert np.array_equal(np.asarray(lazy), np.asarray(image))


# --- made series --------------------------------------------------------------------------


@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    tilt=st.floats(-0.6, 0.6),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
@settings(max_examples=12)
def test_any_regular_series_comes_back(
    angles: Any, tilt: float, shape: Any, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    a, b, c = angles
    turns = [np.array([[np.cos(v), -np.sin(v)], [np.sin(v), np.cos(v)]]) for v in (a, b, c)]
    turn = np.eye(3)
    for n, (i, j) in enumerate(((0, 1), (1, 2), (0, 2))):
        one = np.eye(3)
        one[np.ix_((i, j), (i, j))] = turns[n]
        turn = turn @ one
    image = volume(turn, tilt if shape[0] > 1 else 0.0, shape)
    path = tmp_path_factory.mktemp("dicom") / "series"
    io.write(path, image, format="dicom")
    names = files(path)
    order = np.random.default_rng(seed).permutation(len(names))
    for n, name in zip(order, names, strict=True):  # numbers say nothing about order
        edit(name, InstanceNumber=int(n))
    back = io.read(path)
    assert_slices_at_their_positions(back, path)
    assert_same(back, image)


def test_names_and_numbers_do_not_order_slices(folder: Path) -> None:
    for n, file in enumerate(files(folder)):
        edit(file, InstanceNumber=(n * 3) % 5)
    back = io.read(folder)
    assert_same(back, volume())
    assert_slices_at_their_positions(back, folder)


def test_missing_slice_is_named(folder: Path) -> None:
    names = files(folder)
    names[2].unlink()
    with pytest.raises(FormatError, match=r"missing slices .* 1 between IM(6 and IM8|8 and IM6)"):
        io.read(folder)


def test_uneven_gap_is_named(folder: Path) -> None:
    dataset = pydicom.dcmread(files(folder)[0])
    normal = np.cross(*np.array(dataset.ImageOrientationPatient, float).reshape(2, 3))
    others = [pydicom.dcmread(f).ImagePositionPatient for f in files(folder)]
    side = np.sign((np.array(others[0], float) - np.array(others[1], float)) @ normal)
    moved = np.array(dataset.ImagePositionPatient, float) + 0.9 * side * normal
    edit(files(folder)[0], ImagePositionPatient=[f"{v:.8f}" for v in moved])
    with pytest.raises(FormatError, match=r"uneven: usually 2.5 mm, but 3.4 mm between IM"):
        io.read(folder)
    image = io.read(folder, irregular="resample", step=1.7)
    assert image.spacing[0] == pytest.approx(1.7)
    assert image.dtype == np.float64
    # A ramp along the slices stays one: values are mixed at their places.
    g = image.geometry
    first = np.asarray(image)[:, 0, 0]
    depth = (g.index_to_physical([(k, 0, 0) for k in range(len(first))]) - g.origin) @ normal
    assert len(first) == int(abs(side) * (4 * 2.5 + 0.9) / 1.7) + 1
    assert (np.diff(depth) > 0).all()


def test_gap_with_tilt_is_mixed_along_the_tilt(tmp_path: Path) -> None:
    """Where SimpleITK is 49 mm off: slices are mixed along their own line, not the normal."""
    image = volume(tilt=0.5, shape=(6, 4, 4))
    io.write(tmp_path / "a", image, format="dicom")
    files(tmp_path / "a")[2].unlink()
    with pytest.raises(FormatError, match="missing slices"):
        io.read(tmp_path / "a")
    back = io.read(tmp_path / "a", irregular="resample")
    assert_same(back, image)


def test_sideways_jump_is_refused(folder: Path) -> None:
    dataset = pydicom.dcmread(files(folder)[2])
    across = np.array(dataset.ImageOrientationPatient[:3], float)
    moved = np.array(dataset.ImagePositionPatient, float) + 0.05 * across
    edit(files(folder)[2], ImagePositionPatient=[f"{v:.8f}" for v in moved])
    with pytest.raises(FormatError, match="shifted unevenly: IM"):
        io.read(folder)
    with pytest.raises(FormatError, match="do not lie on one line"):
        io.read(folder, irregular="resample", step=1)
    assert io.read(folder, tolerance=0.1).shape == SHAPE
    assert io.read(folder, tolerance="100 um").shape == SHAPE


def test_duplicates_are_named(folder: Path) -> None:
    dataset = pydicom.dcmread(files(folder)[1])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.save_as(folder / "again")
    with pytest.raises(FormatError, match=r"1 duplicates.*: (IM6 and again|again and IM6)"):
        io.read(folder)
    assert io.read(folder, duplicates="first").shape == SHAPE
    edit(folder / "again", EchoNumbers="2")
    with pytest.raises(FormatError, match="differ in EchoNumbers"):
        io.read(folder)
    assert io.read(folder, where={"EchoNumbers": 2}).shape == (1, *SHAPE[1:])


def test_mixed_orientations_and_sizes_are_refused(folder: Path) -> None:
    edit(files(folder)[0], ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    with pytest.raises(FormatError, match=r"mixed orientations in one series: .*IM5"):
        io.read(folder)
    orientation = [1, 0, 0, 0, 0, -1]
    assert io.read(folder, where={"ImageOrientationPatient": orientation}).shape[0] == 1
    edit(files(folder)[0], PixelSpacing=[3, 3])
    with pytest.raises(FormatError, match="several PixelSpacing"):
        io.read(folder)


def test_one_series_among_several(folder: Path) -> None:
    io.write(folder / "other", volume(shape=(2, 3, 4)), format="dicom")
    for file in files(folder / "other"):
        edit(file, SeriesDescription="small", SeriesNumber=7)
    (folder / "notes.txt").write_text("no image")
    with pytest.raises(FormatError, match=r"2 series; choose one(.|\n)*'small', 2 files"):
        io.read(folder)
    listed = dicom.series_of(folder)
    assert [s.files for s in listed] == [5, 2]
    for name in ("small", 7, listed[1].uid):
        assert io.read(folder, series=name).shape == (2, 3, 4)
    with pytest.raises(FormatError, match="0 series are called 'big'"):
        io.read(folder, series="big")
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(FormatError, match="no DICOM images"):
        io.read(empty, format="dicom")


def test_each_slice_has_its_own_rescale(folder: Path) -> None:
    for n, file in enumerate(files(folder)):
        edit(file, RescaleSlope=n + 0.5, RescaleIntercept=n)
    image, stored = io.read(folder), io.read(folder, scaled=False)
    assert image.dtype == np.float64
    assert stored.dtype == np.int16
    by_file = dict(zip(("IM5", "IM6", "IM7", "IM8", "IM9"), range(5), strict=True))
    for file in files(folder):
        dataset = pydicom.dcmread(file)
        place = [float(v) for v in dataset.ImagePositionPatient]
        k = round(float(image.physical_to_index(place)[0]))
        n = by_file[file.name]
        assert np.array_equal(np.asarray(image)[k], dataset.pixel_array * (n + 0.5) + n)
        assert np.array_equal(np.asarray(stored)[k], dataset.pixel_array)


def test_whole_shifts_stay_integers(folder: Path) -> None:
    for file in files(folder):
        edit(file, RescaleSlope=1, RescaleIntercept=-1024, BitsStored=12, HighBit=11)
    image = io.read(folder)
    assert image.dtype == np.int16
    assert np.asarray(image).min() == -1024


def test_time_and_echoes_become_an_axis(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(3):
        io.write(tmp_path / "in" / str(n), volume() + np.int16(100 * n), format="dicom")
        for file in files(tmp_path / "in" / str(n)):
            edit(file, SeriesInstanceUID="1.2.3", TriggerTime=40.0 + 25 * n, EchoNumbers=n + 1)
    image = io.read(tmp_path / "in")
    assert image.dims == ("t", "z", "y", "x")
    assert image.shape == (3, *SHAPE)
    assert (image.spacing[0], image.origin[3]) == (25, 40)
    assert image.world.units[3] == "ms"
    values = np.asarray(image)
    assert np.array_equal(values[2], values[0] + 200)
    for n in range(3):
        for file in files(tmp_path / "in" / str(n)):
            edit(file, TriggerTime=None)
    image = io.read(tmp_path / "in")
    assert image.dims == ("c", "z", "y", "x")
    assert coordinate(tmp_path / "in", "echo_numbers") == [1, 2, 3]
    one = io.read(tmp_path / "in", where={"EchoNumbers": 2})
    assert np.array_equal(np.asarray(one), values[1])


@pytest.mark.slow
def test_time_and_echo_become_two_axes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, (t, echo) in enumerate(itertools.product(range(3), range(2))):
        name = f"{9 - number}"  # the names do not order them
        io.write(tmp_path / "in" / name, volume() + np.int16(100 * t + 1000 * echo), format="dicom")
        for file in files(tmp_path / "in" / name):
            edit(file, SeriesInstanceUID="1.2.3", TriggerTime=40.0 + 25 * t, EchoTime=10.0 + echo)
    image = io.read(tmp_path / "in")
    assert image.dims == ("t", "c", "z", "y", "x")
    assert image.shape == (3, 2, *SHAPE)
    assert (image.spacing[0], image.origin[3]) == (25, 40)
    assert coordinate(tmp_path / "in", "echo_time") == [10, 11]
    assert coordinate(tmp_path / "in", "trigger_time") == [40, 65, 90]
    lazy = io.read(tmp_path / "in", lazy=True)
    values = np.asarray(image)
    assert np.array_equal(np.asarray(lazy), values)
    for t, echo in itertools.product(range(3), range(2)):
        assert np.array_equal(values[t, echo], np.asarray(volume()) + 100 * t + 1000 * echo)
    # One pair is not there: no grid of times and echoes.
    shutil.rmtree(tmp_path / "in" / "9")
    with pytest.raises(FormatError, match=r"duplicates.*EchoTime"):
        io.read(tmp_path / "in")


def coordinate(path: Path, name: str, **options: Any) -> Any:
    """Return the values of a coordinate, as a reader finds it."""
    coords = dicom.FORMAT.open(path, **options).coords
    assert coords is not None
    return coords[name][1].tolist()


def multiframe(
    path: Path, image: sd.SpatialArray, times: int = 1, shared: bool = True, values: int = 1
) -> None:
    """Write an enhanced file, its frames shuffled."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    io.write(path.with_suffix(".d"), image, format="dicom")
    singles = [pydicom.dcmread(f) for f in files(path.with_suffix(".d"))]
    dataset = pydicom.dcmread(files(path.with_suffix(".d"))[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del dataset[keyword]
    plane, measures = Dataset(), Dataset()
    plane.ImageOrientationPatient = singles[0].ImageOrientationPatient
    measures.PixelSpacing = singles[0].PixelSpacing
    both = {"PlaneOrientationSequence": [plane], "PixelMeasuresSequence": [measures]}
    frames, pixels = [], []
    for t, b in itertools.product(range(times), range(values)):
        for k in np.random.default_rng(t).permutation(len(singles)):
            groups, place, content = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = singles[k].ImagePositionPatient
            content.TemporalPositionIndex = t + 1
            groups.PlanePositionSequence = Sequence([place])
            groups.FrameContentSequence = Sequence([content])
            if values > 1:
                diffusion = Dataset()
                diffusion.DiffusionBValue = 500.0 * b
                groups.MRDiffusionSequence = Sequence([diffusion])
            for keyword, items in both.items() if not shared else ():
                setattr(groups, keyword, Sequence(items))
            frames.append(groups)
            pixels.append((singles[k].pixel_array + 1000 * t + 5000 * b).astype("i2"))
    if shared:
        groups = Dataset()
        for keyword, items in both.items():
            setattr(groups, keyword, Sequence(items))
        dataset.SharedFunctionalGroupsSequence = Sequence([groups])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = np.array(pixels).tobytes()
    dataset.save_as(path)


@pytest.mark.parametrize("shared", [True, False])
def test_enhanced_multiframe(shared: bool, tmp_path: Path) -> None:
    image = volume(tilt=0.2)
    multiframe(tmp_path / "a.dcm", image, shared=shared)
    back = io.read(tmp_path / "a.dcm")
    assert_same(back, image)
    lazy = io.read(tmp_path / "a.dcm", lazy=True)
    assert lazy.data.numblocks[0] == image.shape[0]
    assert np.array_equal(np.asarray(lazy), np.asarray(back))


def test_enhanced_multiframe_with_time(tmp_path: Path) -> None:
    image = volume()
    multiframe(tmp_path / "a.dcm", image, times=3)
    back = io.read(tmp_path / "a.dcm")
    assert back.shape == (3, *SHAPE)
    assert coordinate(tmp_path / "a.dcm", "temporal_position_index") == [1, 2, 3]
    for t in range(3):
        assert_same(back[t], image + np.int16(1000 * t))


def test_enhanced_multiframe_with_time_and_b_value(tmp_path: Path) -> None:
    image = volume(tilt=0.2)
    multiframe(tmp_path / "a.dcm", image, times=3, values=2)
    back = io.read(tmp_path / "a.dcm")
    assert back.dims == (None, "c", "z", "y", "x")
    assert back.shape == (3, 2, *SHAPE)
    assert coordinate(tmp_path / "a.dcm", "temporal_position_index") == [1, 2, 3]
    assert coordinate(tmp_path / "a.dcm", "b_value") == [0, 500]
    for t, b in itertools.product(range(3), range(2)):
        assert_same(back[t, b], image + np.int16(1000 * t + 5000 * b))
    one = io.read(tmp_path / "a.dcm", where={"DiffusionBValue": 500})
    assert np.array_equal(np.asarray(one), np.asarray(back)[:, 1])


SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def test_dose_grid() -> None:
    """Frames of a dose are placed by their offsets, and scaled."""
    path = SHIPPED / "rtdose.dcm"
    if not path.exists():
        pytest.skip("this pydicom ships no rtdose.dcm")
    dataset = pydicom.dcmread(path)
    image = io.read(path)
    assert image.spacing[0] == np.diff(dataset.GridFrameOffsetVector)[0]
    assert np.allclose(np.asarray(image), dataset.pixel_array * float(dataset.DoseGridScaling))


@pytest.mark.parametrize(
    "name, shape, frame",
    [
        ("MR_small_implicit.dcm", (1, 64, 64), "LPS"),
        ("MR_small_bigendian.dcm", (1, 64, 64), "LPS"),
        ("MR_small_RLE.dcm", (1, 64, 64), "LPS"),
        ("SC_rgb_small_odd.dcm", (3, 3, 3), None),
        ("examples_ybr_color.dcm", (30, 240, 320, 3), None),
    ],
)
def test_shipped_files(name: str, shape: tuple[int, ...], frame: str | None) -> None:
    path = SHIPPED / name
    if not path.exists():
        pytest.skip(f"this pydicom ships no {name}")
    image = io.read(path)
    assert (image.shape, image.frame) == (shape, frame)
    expected = pydicom.dcmread(path).pixel_array
    if len(shape) != 4:
        assert np.array_equal(np.asarray(image).reshape(expected.shape), expected)
    found = io.info(path)
    assert (found.geometry, found.dtype) == (image.geometry, image.dtype)


@pytest.mark.parametrize("name", ["rtplan.dcm", "test-SR.dcm", "MR_truncated.dcm"])
def test_what_holds_no_image_is_refused(name: str) -> None:
    if not (SHIPPED / name).exists():
        pytest.skip(f"this pydicom ships no {name}")
    with pytest.raises(FormatError):
        io.read(SHIPPED / name, format="dicom")


def test_oblique_single_file_keeps_its_place() -> None:
    path = SHIPPED / "examples_overlay.dcm"
    if not path.exists():
        pytest.skip("this pydicom ships no examples_overlay.dcm")
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    image = io.read(path)
    position, orientation, spacing = next(frames_of(dataset))
    point = np.array(position) + 9 * float(spacing[0]) * np.array(orientation[3:], float)
    assert np.allclose(image.index_to_physical((0, 9, 0)), point)


# --- writing ------------------------------------------------------------------------------


def test_identifiers_survive(folder: Path, tmp_path: Path) -> None:
    uid = "1.2.826.0.1.3680043.8.498.1"
    for file in files(folder):
        edit(
            file, PatientName="Doe^Jane", PatientID="42", StudyInstanceUID=uid, Modality="CT",
            FrameOfReferenceUID=uid + ".7", KVP=120, BodyPartExamined="CHEST",
            SeriesDescription="thorax", ImageComments="Ärztin",
        )  # fmt: skip
    image = io.read(folder)
    io.write(tmp_path / "again", image * 2, format="dicom")
    back = io.read(tmp_path / "again")
    assert_geometry_equal(back, image, tolerance=1e-6)
    before, after = image.attrs["dicom"], back.attrs["dicom"]
    assert before["PatientName"] == "Doe^Jane"
    assert after["SeriesInstanceUID"] != before["SeriesInstanceUID"]
    derived = {"SOPClassUID", "SeriesInstanceUID", "ImageType"}
    assert {k: v for k, v in before.items() if k not in derived} == {
        k: v for k, v in after.items() if k in before and k not in derived
    }
    assert pydicom.dcmread(files(tmp_path / "again")[0]).SOPClassUID.name == "CT Image Storage"


def test_written_series_is_simpleitks_and_highdicoms(tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom", reason="needs highdicom")
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    image = volume()
    io.write(tmp_path / "a", image, format="dicom")
    datasets = [pydicom.dcmread(f) for f in files(tmp_path / "a")]
    theirs = hd.get_volume_from_series(datasets)
    index = np.array(list(np.ndindex(image.shape)))
    ours = image.physical_to_index(theirs.map_indices_to_reference(index))
    assert abs(ours - np.round(ours)).max() < 1e-6
    assert np.array_equal(
        theirs.array.ravel(), np.asarray(image)[tuple(np.round(ours).astype(int).T)]
    )
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(os.fspath(tmp_path / "a"))
    other = sd.asarray(sitk.ReadImage(names))
    assert_same(other, image)


def test_colours(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 3)).astype("u1")
    image = sd.SpatialArray(values, dims=("z", "y", "x", "c"), frame="LPS", unit="mm")
    io.write(tmp_path / "a", image, format="dicom")
    back = io.read(tmp_path / "a")
    assert back.dims == image.dims
    assert np.array_equal(np.asarray(back), values)


def test_what_dicom_cannot_hold_is_refused(tmp_path: Path) -> None:
    skewed = np.eye(3)
    skewed[:, 2] = [0, 0.6, 0.8]
    cases: list[tuple[type[Exception], str, sd.SpatialArray, str]] = [
        (GeometryLossError, "orthogonal", volume().replace(direction=skewed), "a"),
        (GeometryLossError, "no time axis", sd.SpatialArray(
            np.zeros((2, 2, 3, 4), "i2"), dims=("t", "z", "y", "x"), frame="LPS"), "a"),
        (FormatError, "astype", volume().astype(float), "a"),
        (FrameError, "frame=", sd.SpatialArray(np.zeros((2, 3, 4), "i2")), "a"),
        (FormatError, "folder", volume(), "a.dcm"),
    ]  # fmt: skip
    for error, words, image, name in cases:
        with pytest.raises(error, match=words):
            io.write(tmp_path / name, image, format="dicom")
    assert not list(tmp_path.iterdir())


def test_declared_more_than_there_is(folder: Path) -> None:
    edit(files(folder)[0], NumberOfFrames=2_000_000_000)
    with pytest.raises((FormatError, UnsafeInputError)):
        io.read(folder)
