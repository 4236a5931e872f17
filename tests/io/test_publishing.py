"""What is written is there whole or not at all, whatever happens to its writer."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError
from spatial_duck.io import Format, _publishing, data_name
from spatial_duck.io._location import parse_location
from spatial_duck.io._publishing import partial_prefix, publish_atomically
from spatial_duck.io._registry import names as format_names

for _package in ("nibabel", "nrrd", "zarr", "dask"):
    pytest.importorskip(_package, reason=f"needs {_package}")

NAMES = ("a.nii", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.npy", "a.vti", "a.ome.zarr")


def image(value: int = 1, spacing: float = 1.0) -> sd.SpatialArray:
    return sd.SpatialArray(
        np.full((4, 4, 4), value, "u1"), spacing=(spacing,) * 3, frame="LPS", unit="mm"
    )


def held(path: Path) -> tuple[int, float] | None:
    """The value and the spacing of an image; None where it is refused or not there."""
    try:
        found = sd.read(path)
        values = np.unique(np.asarray(found))
    except (sd.SpatialDuckError, FileNotFoundError):
        return None
    assert len(values) == 1
    return int(values[0]), float(found.spacing[0])


#: Ends the process right after its n-th step in the file system.
_KILLED = """
import os, sys
import numpy as np
import spatial_duck as sd

steps = [0]
for name in ("replace", "rename", "link", "unlink", "mkdir"):
    def step(*args, real=getattr(os, name), **kwargs):
        out = real(*args, **kwargs)
        steps[0] += started[0]
        if steps[0] > int(sys.argv[2]):
            os.kill(os.getpid(), 9)
        return out
    setattr(os, name, step)
started = [0]
image = sd.SpatialArray(
    np.full((4, 4, 4), 2, "u1"), spacing=(9.0,) * 3, frame="LPS", unit="mm"
)
sd.write(sys.argv[1] + "-warm.nii", image)
started = [1]
sd.write(sys.argv[1], image, overwrite=True)
print("done")
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="processes are not killed so here")
@pytest.mark.parametrize("there", [True, False], ids=["old", "new"])
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_writer_leaves_one_image_or_the_other(
    name: str, there: bool, tmp_path: Path
) -> None:
    for step in range(40):
        folder = tmp_path / str(step)
        folder.mkdir()
        if there:
            sd.write(folder / name, image(1, 1.0))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _KILLED, str(folder / name), str(step)],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        (folder / f"{name}-warm.nii").unlink()
        wanted = {(1, 1.0), (2, 9.0)} if there else {None, (2, 9.0)}
        assert held(folder / name) in wanted
        sd.write(folder / name, image(5, 3.0), overwrite=True)
        assert held(folder / name) == (5, 3.0)
        left = sorted(p.name for p in folder.iterdir())
        assert len(left) == (2 if name.endswith(("hdr", "mhd", "npy")) else 1), left
        if "done" in done.stdout:
            return
    raise AssertionError("the writer takes more steps than are tried")


def test_the_data_of_another_image_are_kept(tmp_path: Path) -> None:
    sd.write(tmp_path / "s.nhdr", image(1))
    sd.write(tmp_path / "s.mhd", image(2, 7.0))
    sd.write(tmp_path / "s.mhd", image(3, 8.0), overwrite=True)
    assert held(tmp_path / "s.nhdr") == (1, 1.0)
    assert held(tmp_path / "s.mhd") == (3, 8.0)
    assert len(list(tmp_path.iterdir())) == 4
    # And where both headers name the same data, they stay for the other.
    text = (tmp_path / "s.nhdr").read_text()
    (tmp_path / "other.nhdr").write_text(text)
    sd.write(tmp_path / "s.nhdr", image(4), overwrite=True)
    assert held(tmp_path / "other.nhdr") == (1, 1.0)


@pytest.mark.parametrize("new", [True, False], ids=["with another part", "without parts"])
@pytest.mark.parametrize(
    "name, parts",
    [
        ("a.nii.gz", ["a.bval", "a.bvec"]),
        ("a.nii", ["a.bvec"]),
        ("a.ome.tif", ["a.ome.tif.aux.xml", "a.ome.tif.ovr", "a.ome.tif.msk"]),
        ("a.npy", ["a.npy.json"]),
    ],
)
def test_parts_of_the_old_image_do_not_become_the_new_ones(
    name: str, parts: list[str], new: bool, tmp_path: Path
) -> None:
    values = np.arange(120, dtype="u1").reshape(3, 4, 5, 2)
    bold = sd.SpatialArray(values, dims=("x", "y", "z", "c"), frame="RAS", unit="mm")
    sd.write(tmp_path / name, bold)
    for part in parts:
        (tmp_path / part).write_text("0 1000")
    # A warning says where a format has no b-values.
    coords = {"b_value": ("c", [5.0, 6.0])} if new and "nii" in name else {}
    sd.write(tmp_path / name, bold.replace(coords=coords), overwrite=True)
    back = sd.read(tmp_path / name)
    assert {k: list(v) for k, v in back.coords.items() if k != "c"} == {
        k: v[1] for k, v in coords.items()
    }
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {
        name,
        *(["a.bval"] if coords else []),
        *(["a.npy.json"] if "npy" in name else []),
    }


def test_parts_of_two_images_are_kept_for_the_other(tmp_path: Path) -> None:
    values = np.arange(120, dtype="u1").reshape(3, 4, 5, 2)
    bold = sd.SpatialArray(values, dims=("x", "y", "z", "c"), frame="RAS", unit="mm")
    weighted = bold.replace(coords={"b_value": ("c", [5.0, 6.0])})
    sd.write(tmp_path / "a.nii.gz", weighted)
    sd.write(tmp_path / "a.nii", bold, overwrite=True)
    sd.write(tmp_path / "a.nii", bold, overwrite=True)
    assert list(sd.read(tmp_path / "a.nii.gz").coords["b_value"]) == [5, 6]


def test_a_sidecar_is_read_with_its_own_voxels_alone(tmp_path: Path) -> None:
    for name in "ab":
        sd.write(tmp_path / f"{name}.npy", image())
    (tmp_path / "a.npy.json").replace(tmp_path / "b.npy.json")
    with pytest.raises(FormatError, match="belongs to another file"):
        sd.read(tmp_path / "b.npy")
    np.save(tmp_path / "b.npy", np.full((4, 4, 4), 6, "u1"))
    assert held(tmp_path / "b.npy") == (6, 1.0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
@pytest.mark.parametrize("name", ["a.nii", "a.mhd", "a.ome.zarr"])
def test_fifos_are_refused_at_once(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(FormatError, match="FIFO"):
        sd.read(tmp_path / name)
    for overwrite in (True, False):
        with pytest.raises(FileExistsError):
            sd.write(tmp_path / name, image(), overwrite=overwrite)
    assert stat.S_ISFIFO((tmp_path / name).lstat().st_mode)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
@pytest.mark.parametrize(
    "name, part",
    [
        ("a.hdr", "a.img"), ("a.hdr", "a.mat"), ("n.hdr", "n.img"), ("n.img", "n.hdr"),
        ("p.PAR", "p.REC"), ("a+orig.HEAD", "a+orig.BRIK"), ("s.mhd", "s.raw"),
        ("s.nhdr", "s.raw.gz"), ("s.npy", "s.npy.json"), ("s.nii", "s.bval"),
    ],
)  # fmt: skip
def test_fifos_beside_a_file_are_not_waited_for(name: str, part: str, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    of_wheel = Path(nibabel.__file__).parent / "tests" / "data"
    path = tmp_path / name
    if name.startswith("s"):
        sd.write(path, image(), **({"compress": True} if name.endswith("nhdr") else {}))
    elif name.startswith(("a.", "n.")):
        kind = nibabel.Spm99AnalyzeImage if name[0] == "a" else nibabel.Nifti1Pair
        kind(np.zeros((4, 5, 6), "i2"), np.eye(4)).to_filename(path.with_suffix(".img"))
    else:
        known = sorted(of_wheel.glob("*" + path.suffix))
        if not known:
            pytest.skip("nibabel's wheel has no such file")
        path.write_bytes(known[0].read_bytes())
    (tmp_path / part).unlink(missing_ok=True)
    os.mkfifo(tmp_path / part)
    try:
        held = sd.read(path)
    except FormatError:
        return
    assert part == "s.bval"
    assert held.shape == (4, 4, 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
@pytest.mark.parametrize("device", ["FIFO", "/dev/zero"])
def test_devices_are_refused_by_each_function_and_format(device: str, tmp_path: Path) -> None:
    """What opens one waits for ever, or reads for ever; formats that are named are not sniffed."""
    doors: list[tuple[str, Any]] = [(".nii", sd.io.info), (".nii", sd.read_pyramid)]
    doors += [(".nii", partial(sd.read, format=name)) for name in format_names()]
    doors += [(end, sd.Transform.read) for end in (".tfm", ".txt", ".mat", ".h5", ".json", ".nii")]
    doors += [(".mrk.json", sd.io.read_markups)]
    for number, (ending, door) in enumerate(doors):
        path = tmp_path / f"{number}{ending}"
        os.mkfifo(path) if device == "FIFO" else path.symlink_to(device)
        with pytest.raises(FormatError, match="FIFO, a device"):
            door(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nhdr", "a.ome.zarr"])
def test_links_stay_and_what_they_point_to_is_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    sd.write(tmp_path / "real" / name, image(1))
    link = tmp_path / name
    link.symlink_to(tmp_path / "real" / name)
    with pytest.raises(FileExistsError):
        sd.write(link, image(2))
    sd.write(link, image(2), overwrite=True)
    assert link.is_symlink()
    assert held(tmp_path / "real" / name) == (2, 1.0)
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        sd.write(link, image(3))
    assert link.is_symlink()


def test_names_that_a_header_cannot_hold(tmp_path: Path) -> None:
    for stem in ("100%", "LIST", " a", "a\nb", "a\udcff"):
        for suffix in (".mhd", ".nhdr"):
            with pytest.raises(FormatError, match="data file"):
                sd.write(tmp_path / (stem + suffix), image())
    assert not list(tmp_path.iterdir())
    assert data_name(tmp_path / "a.mhd", ".raw") == "a.raw"
    (tmp_path / "a.raw").touch()
    assert data_name(tmp_path / "a.mhd", ".raw") == "a-2.raw"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nhdr", ".mhd", ".ome.zarr"])
def test_names_as_long_as_there_can_be(suffix: str, tmp_path: Path) -> None:
    for letter in "né体":
        room = 255 - len(suffix)
        path = tmp_path / (letter * (room // len(letter.encode())) + suffix)
        for value in (1, 2):
            sd.write(path, image(value), overwrite=value == 2)
            assert held(path) == (value, 1.0)


@pytest.mark.skipif(sys.platform == "win32", reason="such names are refused here")
def test_no_name_is_taken_for_those_of_other_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed writer leaves is removed by name, and a name may hold a line of its own."""
    victim = tmp_path / "v.npy"
    sd.write(victim, image(1))
    for name in ("a\n-v.npy", "a\n+v.npy", "a\udcff.npy", "-a.npy", "+a.npy"):
        sd.write(tmp_path / name, image(2))
        with monkeypatch.context() as patch:
            patch.setattr(_publishing, "_publish_one", lambda *_: 1 / 0)  # as if it were killed
            patch.setattr(_publishing, "_tidy", lambda *_: None)
            with pytest.raises(ZeroDivisionError):
                sd.write(tmp_path / name, image(3), overwrite=True)
        sd.write(tmp_path / name, image(4), overwrite=True)
        assert held(tmp_path / name) == (4, 1.0)
        assert held(victim) == (1, 1.0)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["..", ".", "", "a\0b.nii", "n" * 300 + ".nii", "/etc/passwd", 5])
def test_open_files_may_be_called_anything(name: Any, tmp_path: Path) -> None:
    sd.write(tmp_path / "a.nii", image(7))

    class Opened(io.BytesIO):
        """A file of a library that gives it a name."""

    opened = Opened((tmp_path / "a.nii").read_bytes())
    opened.name = name  # type: ignore[attr-defined]
    assert np.asarray(sd.read(opened)).max() == 7


def test_partial_folders_have_short_names(tmp_path: Path) -> None:
    for name in ("a" * 250, "体" * 80, "a.nii"):
        assert len(os.fsencode(partial_prefix(tmp_path / name))) < 230


def test_what_writers_left_is_removed_but_not_what_they_write(tmp_path: Path) -> None:
    with (  # noqa: PT012
        pytest.raises(FileExistsError, match="another writer"),
        publish_atomically(tmp_path / "a.nii") as first,
        publish_atomically(tmp_path / "a.nii") as second,
    ):
        second.write_bytes(b"2")
        first.write_bytes(b"1")
        assert first.parent != second.parent
        with publish_atomically(tmp_path / "b.nii") as third:
            third.write_bytes(b"3")
        left = tmp_path / ".a.nii.partial-gone"
        left.mkdir()
        with publish_atomically(tmp_path / "a.nii", overwrite=True) as fourth:
            assert not left.exists()
            assert first.parent.is_dir()
            fourth.write_bytes(b"4")
        (tmp_path / "a.nii").unlink()
    assert (tmp_path / "a.nii").read_bytes() == b"2"


def test_the_mode_of_a_file_stays(tmp_path: Path) -> None:
    sd.write(tmp_path / "a.nii", image())
    (tmp_path / "a.nii").chmod(0o640)
    sd.write(tmp_path / "a.nii", image(), overwrite=True)
    assert stat.S_IMODE((tmp_path / "a.nii").stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such modes here")
@pytest.mark.parametrize("name", [*NAMES, "dicom"])
def test_what_was_private_stays_private(name: str, tmp_path: Path) -> None:
    options: Any = {"format": "dicom"} if name == "dicom" else {}
    path = tmp_path / name
    sd.write(path, image(1), **options)
    for file in tmp_path.iterdir():
        file.chmod(0o750 if file.is_dir() else 0o600)
    sd.write(path, image(2), overwrite=True, **options)
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == (0o750 if file.is_dir() else 0o600), file


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives away")
@pytest.mark.parametrize("name", NAMES)
def test_what_is_replaced_keeps_its_owner(name: str, tmp_path: Path) -> None:
    sd.write(tmp_path / name, image(1))
    for file in tmp_path.iterdir():
        os.chown(file, 65534, 65534)
    sd.write(tmp_path / name, image(2), overwrite=True)
    assert {(f.stat().st_uid, f.stat().st_gid) for f in tmp_path.iterdir()} == {(65534, 65534)}


@pytest.mark.parametrize("bad", [None, 3, ["a.nii"], b"a.nii"])
def test_what_is_no_place_is_refused(bad: Any) -> None:
    if isinstance(bad, bytes):  # the content of a file
        with pytest.raises(sd.FormatError, match="the content of bytes: its content is of none"):
            sd.read(bad)
    elif not isinstance(bad, list):  # several files
        with pytest.raises(TypeError, match="path"):
            sd.read(bad)
    with pytest.raises(TypeError, match="path"):
        sd.write(bad, image())


def test_names_that_are_no_paths(tmp_path: Path) -> None:

    for call in (sd.read, lambda p: sd.write(p, image()), sd.io.info):
        with pytest.raises(FormatError, match="NUL"):
            call(f"{tmp_path}/a\0.nii")
        with pytest.raises(FormatError, match="as a str"):
            call(Path("s3://bucket/a.ome.zarr"))
    assert parse_location(f"file://{tmp_path}/a%20b.nii") == tmp_path / "a b.nii"


class _Broken(Format):
    """Writes two files and fails."""

    name, suffixes = "broken", (".broken",)

    def matches(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"BROKEN")

    def open(self, path: Path) -> sd.SpatialArray:
        return image()

    def write(self, path: Path, image: sd.SpatialArray, *, fail: bool = True) -> None:
        path.write_bytes(b"BROKEN")
        path.with_name("beside").write_bytes(b"more")
        if fail:
            raise FormatError("it fails")


def test_a_format_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spatial_duck.io._registry._others", lambda: (_Broken(),))
    with pytest.raises(FormatError, match="it fails"):
        sd.write(tmp_path / "a.broken", image())
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match=r"no option fial=; did you mean fail=\?"):
        sd.write(tmp_path / "a.broken", image(), fial=False)
    sd.write(tmp_path / "a.broken", image(), fail=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.broken", "beside"]
    with pytest.raises(FileExistsError, match="another writer"):
        sd.write(tmp_path / "b.broken", image(), fail=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.broken", "beside"]
    assert sd.io.sniff(tmp_path / "a.broken") == "broken"


@pytest.mark.parametrize("overwrite", [False, True])
def test_writers_at_once_choose_different_data_files(tmp_path: Path, overwrite: bool) -> None:
    names = ["a.nhdr", "a.mhd"] * 2 if overwrite else ["a.nhdr", "a.mhd"]
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(lambda n, at=folder: sd.write(at / n, image(), overwrite=overwrite),
                          names))  # fmt: skip
        assert len(list(folder.iterdir())) == 4
        for name in set(names):
            np.testing.assert_array_equal(sd.read(folder / name, dims=image().dims), image())
