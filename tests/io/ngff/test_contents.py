"""What is inside a group: listed, opened by name, kept when the image is replaced."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io._registry import format_of

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")

AXES = [{"name": n, "type": "space"} for n in "yx"]


def multiscales(version: str = "0.4", name: str = "", level: str = "0") -> dict[str, Any]:
    steps = [{"type": "scale", "scale": [2.0, 0.5]}]
    dataset = {"path": level, "coordinateTransformations": steps}
    return {"version": version, "name": name, "axes": AXES, "datasets": [dataset]}


def foreign(group: Any, value: int = 1, **attributes: Any) -> None:
    """Another writer's image of 0.4."""
    group.create_array("0", shape=(4, 6), chunks=(4, 6), dtype="u2")[...] = value
    group.attrs.update({"multiscales": [multiscales()], **attributes})


def root(path: Path, **attributes: Any) -> Any:
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.attrs.update(attributes)
    return group


def plate(path: Path) -> list[str]:
    wells = [{"path": p, "rowIndex": 0, "columnIndex": int(p[-1]) - 1} for p in ("B/1", "B/2")]
    named = {"rows": [{"name": "B"}], "columns": [{"name": "1"}, {"name": "2"}]}
    group = root(path, plate={"version": "0.4", "wells": wells, **named})
    for n, well in enumerate(wells):
        inside = group.create_group(well["path"])
        inside.attrs["well"] = {"version": "0.4", "images": [{"path": "0"}, {"path": "field 2"}]}
        foreign(inside.create_group("0"), 10 * n)
        foreign(inside.create_group("field 2"), 10 * n + 1)
    return ["B/1/0", "B/1/field 2", "B/2/0", "B/2/field 2"]


def series(path: Path) -> list[str]:
    group = root(path, **{"bioformats2raw.layout": 3})
    group.create_group("OME").attrs["series"] = ["second", "first"]
    for name in ("first", "second"):
        foreign(group.create_group(name), len(name))
    return ["second", "first"]


def series_without_a_list(path: Path) -> list[str]:
    group = root(path, **{"bioformats2raw.layout": 3})
    for name in ("10", "2"):
        foreign(group.create_group(name), int(name))
    return ["2", "10"]


def with_labels(path: Path) -> list[str]:
    group = root(path)
    foreign(group)
    labels = group.create_group("labels")
    labels.attrs["labels"] = ["cells"]
    foreign(labels.create_group("cells"), 7, **{"image-label": {"version": "0.4"}})
    return [".", "labels/cells"]


def folder_of_images(path: Path) -> list[str]:
    group = root(path)
    foreign(group.create_group("images/a"), 1)
    foreign(group.create_group("images/b"), 2)
    return ["images/a", "images/b"]


def scene(path: Path) -> list[str]:
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    ends = {"input": {"name": "s", "path": "one"}, "output": {"name": "s", "path": "two"}}
    group.attrs["ome"] = {
        "version": "0.6",
        "scene": {"coordinateTransformations": [{"type": "identity", **ends}]},
    }
    for n, name in enumerate(("one", "two")):
        inside = group.create_group(name)
        inside.create_array("0", shape=(4, 6), chunks=(4, 6), dtype="u2")[...] = n
        inside.attrs["ome"] = {"version": "0.5", "multiscales": [multiscales("0.5")]}
    return ["one", "two"]


COLLECTIONS = {
    f.__name__: f
    for f in (plate, series, series_without_a_list, with_labels, folder_of_images, scene)
}


@pytest.mark.parametrize("name", list(COLLECTIONS))
def test_images_inside_are_listed_and_opened(name: str, tmp_path: Path) -> None:
    wanted = COLLECTIONS[name](tmp_path / "a.zarr")
    assert list(io.list_images(tmp_path / "a.zarr")) == wanted
    for inside in wanted:
        image = io.read(tmp_path / "a.zarr", image=inside)
        assert image.spacing.tolist() == [2.0, 0.5]
        assert np.array_equal(np.asarray(image), np.asarray(io.read(tmp_path / "a.zarr" / inside)))
    with pytest.raises(FormatError, match=r"no image 'other' inside; there are '"):
        io.read(tmp_path / "a.zarr", image="other")
    if wanted[0] != ".":
        with pytest.raises(FormatError, match="not one image") as caught:
            io.read(tmp_path / "a.zarr")
        assert all(repr(inside) in str(caught.value) for inside in wanted)
        with pytest.raises(FormatError, match="is not replaced"):
            io.write(tmp_path / "a.zarr", sd.SpatialArray(np.zeros((4, 6))), overwrite=True)
        assert list(io.list_images(tmp_path / "a.zarr")) == wanted


def test_images_lie_inside_their_group(tmp_path: Path) -> None:
    with_labels(tmp_path / "b.zarr")
    plate(tmp_path / "a.zarr")
    for name in ("../b.zarr", "B/../../b.zarr", str(tmp_path / "b.zarr")):
        with pytest.raises(UnsafeInputError, match="another folder"):
            io.read(tmp_path / "a.zarr", image=name)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r+")
    group.attrs["plate"] = {"wells": [{"path": "../b.zarr"}, {"path": 3}]}
    assert all(".." not in name for name in io.list_images(tmp_path / "a.zarr"))


def test_a_series_alone_is_opened(tmp_path: Path) -> None:
    group = root(tmp_path / "a.zarr", **{"bioformats2raw.layout": 3})
    foreign(group.create_group("0"), 5)
    assert int(np.asarray(io.read(tmp_path / "a.zarr"))[0, 0]) == 5


def test_several_multiscales_are_opened_by_name(tmp_path: Path) -> None:
    group = root(tmp_path / "a.zarr")
    for n in range(2):
        group.create_array(f"level{n}", shape=(4, 6), chunks=(4, 6), dtype="u2")[...] = n
    both = [multiscales(name=f"part {n}", level=f"level{n}") for n in range(2)]
    group.attrs["multiscales"] = both
    for wanted in (1, "part 1"):
        assert int(np.asarray(io.read(tmp_path / "a.zarr", multiscale=wanted))[0, 0]) == 1
    for wrong in (2, "part 2"):
        with pytest.raises(FormatError, match=r"part 0.*part 1"):
            io.read(tmp_path / "a.zarr", multiscale=wrong)


# --- labels -----------------------------------------------------------------------------------


@pytest.mark.fact("labels of an image", "OME-Zarr", "both ways", "ome-zarr-models")
@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_labels_are_written_beside_an_image(version: str, tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="needs ome-zarr-models")
    if version == "0.6":
        pytest.importorskip("ome_zarr_models.v06", reason="needs ome-zarr-models with 0.6")
    path = tmp_path / "a.ome.zarr"
    image = sd.SpatialArray(np.zeros((66, 70)), spacing=(0.5, 0.25), origin=(3, 4), unit="um")
    io.write(path, image, version=version)
    colours = [{"label-value": 3, "rgba": [255, 0, 0, 255]}]
    values = np.zeros((66, 70), "u2")
    values[:, 5:8], values[:, 8:] = 3, 900
    cells = image.replace(data=values, attrs={"ome": {"image-label": {"colors": colours}}})
    io.write(path, cells, label="cells", levels=2)
    with pytest.raises(FileExistsError):
        io.write(path, cells, label="cells")
    io.write(path, cells, label="cells", levels=2, overwrite=True)
    io.write(path, (cells > 3).astype("u1"), label="other")
    assert io.list_images(path) == (".", "labels/cells", "labels/other")
    found = dict(zarr.open_group(str(path / "labels"), mode="r").attrs)
    assert found.get("ome", found)["labels"] == ["cells", "other"]
    back = io.read(path, image="labels/cells")
    assert back.geometry == image.geometry
    assert back.attrs["ome"]["image-label"]["colors"] == colours
    coarse = io.read(path, image="labels/cells", level=1)
    assert set(np.unique(np.asarray(coarse))) == {0, 3, 900}
    opened = models.open_ome_zarr(zarr.open_group(str(path / "labels/cells"), mode="r"))
    assert opened.ome_zarr_version == version
    models.open_ome_zarr(zarr.open_group(str(path / "labels"), mode="r"))
    # The image is replaced, and they stay.
    io.write(path, image + 1, version=version, overwrite=True)
    assert np.array_equal(np.asarray(io.read(path, image="labels/cells")), values)
    assert np.asarray(io.read(path)).min() == 1


def test_labels_need_an_image_a_name_and_integers(tmp_path: Path) -> None:
    image = sd.SpatialArray(np.zeros((4, 6), "u1"))
    with pytest.raises(FormatError, match="no OME-Zarr image to which labels"):
        io.write(tmp_path / "a.ome.zarr", image, label="cells")
    io.write(tmp_path / "a.ome.zarr", image, version="0.4")
    for name in ("", "..", "a/b"):
        with pytest.raises(FormatError, match="name of one folder"):
            io.write(tmp_path / "a.ome.zarr", image, label=name)
    for name in ("zarr.json", ".zgroup", ".zattrs", "__cells", "é" * 128):
        with pytest.raises(FormatError, match="a name that Zarr uses"):
            io.write(tmp_path / "a.ome.zarr", image, label=name)
    assert not (tmp_path / "a.ome.zarr" / "labels").exists()
    with pytest.raises(FormatError, match="integers"):
        io.write(tmp_path / "a.ome.zarr", image.astype("f4"), label="cells")
    with pytest.raises(ValueError, match="keep their values"):
        io.write(tmp_path / "a.ome.zarr", image, label="cells", method="mean")
    with pytest.raises(FormatError, match=r"version 0\.4"):
        io.write(tmp_path / "a.ome.zarr", image, label="cells", version="0.5")
    assert io.list_images(tmp_path / "a.ome.zarr") == (".",)
    assert not (tmp_path / "a.ome.zarr" / "labels").exists()


@pytest.mark.parametrize("lazy", [False, True])
def test_labels_are_never_averaged(lazy: bool, tmp_path: Path) -> None:
    values = np.arange(64 * 64, dtype="i4").reshape(64, 64) // 7 * 100
    image = sd.SpatialArray(values, attrs={"ome": {"image-label": {}}})
    if lazy:
        image = image.chunk(20)
    io.write(tmp_path / "a.ome.zarr", image, levels=4)
    made = [np.asarray(level) for level in sd.pyramid(image, 4)]
    for level, wanted in zip(sd.read_pyramid(tmp_path / "a.ome.zarr"), made, strict=True):
        assert set(np.unique(np.asarray(level))) <= set(np.unique(values))
        assert np.array_equal(np.asarray(level), wanted)


def test_the_format_of_a_pyramid_is_recognized_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ome.zarr"
    io.write(path, sd.SpatialArray(np.zeros((64, 64), "u1"), spacing=1.0), levels=4)
    asked = []

    def counted(location: Path) -> Any:
        asked.append(location)
        return format_of(location)

    monkeypatch.setattr("spatial_duck.io._api.format_of", counted)
    assert len(sd.read_pyramid(path)) == 4
    assert asked == [path]


def test_what_others_put_beside_an_image_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    image = sd.SpatialArray(np.ones((130, 130), "u2"))
    io.write(path, image, levels=3)
    group = zarr.open_group(str(path), mode="r+")
    group.create_group("tables/nuclei").attrs["rows"] = 3
    (path / "notes.txt").write_text("mine")
    (path / "OME").mkdir()
    (path / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    io.write(path, image + 1, levels=1, overwrite=True)
    again = zarr.open_group(str(path), mode="r")
    assert again["tables/nuclei"].attrs["rows"] == 3
    assert (path / "notes.txt").read_text() == "mine"
    assert (path / "OME" / "METADATA.ome.xml").read_text() == "<OME/>"
    assert sorted(p.name for p in path.iterdir()) == [
        "0", "OME", "notes.txt", "tables", "zarr.json"
    ]  # fmt: skip
    with pytest.raises(FormatError, match="'tables' beside its image, in Zarr format 3"):
        io.write(path, image, version="0.4", overwrite=True)
    assert np.asarray(io.read(path)).max() == 2
    io.write(path, image, levels=1, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]


# --- one file ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.ozx", "a.zarr.zip", "a.ome.zarr.zip"])
@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_one_zip_file(name: str, version: str, tmp_path: Path) -> None:
    image = sd.SpatialArray(
        np.arange(70 * 66, dtype="u2").reshape(70, 66), spacing=(0.5, 0.25), unit="um"
    )
    path = tmp_path / name
    io.write(path, image, version=version, levels=2)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    back = io.read(path)
    assert back.geometry == image.geometry
    assert np.array_equal(np.asarray(back), image.data)
    assert io.info(path).levels == 2
    assert [x.shape for x in sd.read_pyramid(path)] == [(70, 66), (70, 33)]
    with pytest.raises(FileExistsError):
        io.write(path, image)
    io.write(path, image + 1, version=version, overwrite=True)
    assert int(np.asarray(io.read(path)).min()) == 1
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        comment = json.loads(archive.comment)
    # As RFC-9 has it.
    assert entries[0].filename == "zarr.json"
    assert {e.compress_type for e in entries} == {zipfile.ZIP_STORED}
    metadata = [e.filename.endswith("zarr.json") for e in entries]
    assert metadata == sorted(metadata, reverse=True)
    assert comment["ome"]["version"] == version
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr")
    pytest.importorskip("jsonschema", reason="ngff-zarr validates with jsonschema")
    other = ngff_zarr.from_ngff_zarr(str(path), validate=True)
    assert np.array_equal(np.asarray(other.images[0].data), image.data + 1)


def test_zip_files_of_others(tmp_path: Path) -> None:
    with_labels(tmp_path / "b.zarr")
    for name, prefix in (("flat.zarr.zip", ""), ("folder.zip", "b.zarr/")):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in (tmp_path / "b.zarr").rglob("*"):
                if file.is_file():
                    inside = file.relative_to(tmp_path / "b.zarr").as_posix()
                    archive.write(file, prefix + inside)
        assert io.list_images(tmp_path / name) == (".", "labels/cells")
        assert int(np.asarray(io.read(tmp_path / name, image="labels/cells"))[0, 0]) == 7
    with zipfile.ZipFile(tmp_path / "c.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(".zgroup", '{"zarr_format": 2}' + " " * 10_000_000)
    with pytest.raises(UnsafeInputError, match="too many for a file of metadata"):
        io.read(tmp_path / "c.zarr.zip")
    with zipfile.ZipFile(tmp_path / "d.zarr.zip", "w") as archive:
        archive.writestr("readme", "nothing")
    with pytest.raises(FormatError, match="none of the formats"):
        io.read(tmp_path / "d.zarr.zip")


def test_an_ozx_is_of_05_or_later(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"0\.5 or later"):
        io.write(tmp_path / "a.ozx", sd.SpatialArray(np.zeros((4, 6))), version="0.4")
    assert not list(tmp_path.iterdir())
    io.write(tmp_path / "a.zarr.zip", sd.SpatialArray(np.zeros((4, 6))), version="0.4")
    assert io.read(tmp_path / "a.zarr.zip").shape == (4, 6)
