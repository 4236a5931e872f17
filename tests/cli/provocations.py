"""Files and lines that provoke each message with advice: see `test_advice_is_followed`.

Each function makes its files in a folder and returns a line, of which ``{0}`` is the folder.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["PROVOCATIONS", "provocation", "volume"]

PROVOCATIONS: dict[str, Callable[[Path], str]] = {}


def provocation(make: Callable[[Path], str]) -> Callable[[Path], str]:
    """Put a function into the table, by its name."""
    PROVOCATIONS[make.__name__] = make
    return make


def volume(kind: str = "u1", **changes: Any) -> sd.SpatialArray:
    """Return a small image in LPS and mm, of dims z, y, x."""
    data = np.random.default_rng(0).integers(1, 90, (6, 8, 10)).astype(kind)
    own = {
        "spacing": (2, 1, 1), "origin": (3, 4, 5), "world": ("x", "y", "z"), "frame": "LPS",
        "unit": "mm", "direction": [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    }  # fmt: skip
    return sd.SpatialArray(data, **(own | changes))


def _turned() -> sd.SpatialArray:
    turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
    return volume(direction=turn)


def _unspecified(dims: tuple[str, ...] = ("z", "y", "x"), **more: Any) -> sd.SpatialArray:
    shape = tuple(range(3, 3 + len(dims)))
    return sd.SpatialArray(np.ones(shape, "u1"), dims=dims, **more)


# --- any format ---------------------------------------------------------------------------


@provocation
def a_target_without_a_suffix(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume())
    return "convert {0}/a.nrrd {0}/series"


@provocation
def one_level_only(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume())
    return "info {0}/a.nrrd --level 2"


@provocation
def of_no_format(folder: Path) -> str:
    (folder / "a.bin").write_bytes(b"not an image at all")
    return "info {0}/a.bin"


@provocation
def of_no_suffix(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume())
    return "convert {0}/a.nrrd {0}/a.unknown"


@provocation
def there_already(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume())
    return "convert {0}/a.nrrd {0}/a.nrrd"


@provocation
def oblique_to_a_picture(folder: Path) -> str:
    sd.write(folder / "a.h5", _turned()[0])
    return "convert {0}/a.h5 {0}/a.png"


@provocation
def oblique_to_tiff(folder: Path) -> str:
    sd.write(folder / "a.nrrd", _turned())
    return "convert {0}/a.nrrd {0}/a.tif"


@provocation
def oblique_to_old_zarr(folder: Path) -> str:
    sd.write(folder / "a.nrrd", _turned())
    return "convert {0}/a.nrrd {0}/a.ome.zarr --option version=0.4"


@provocation
def frame_of_nifti(folder: Path) -> str:
    sd.write(folder / "a.h5", _unspecified(origin=(1, 2, 3)))
    return "convert {0}/a.h5 {0}/a.nii"


@provocation
def frame_of_metaimage(folder: Path) -> str:
    sd.write(folder / "a.h5", _unspecified())
    return "convert {0}/a.h5 {0}/a.mha"


@provocation
def frame_of_dicom(folder: Path) -> str:
    sd.write(folder / "a.h5", _unspecified(unit="mm"))
    return "convert {0}/a.h5 {0}/series --output-format dicom"


@provocation
def frame_of_vectors(folder: Path) -> str:
    image = _unspecified(("z", "y", "x", "c"))[..., :3]
    sd.write(folder / "a.h5", image.replace(coords={"component": ("c", list("xyz"))}))
    return "convert {0}/a.h5 {0}/a.nii"


@provocation
def a_time_beside_space(folder: Path) -> str:
    sd.write(folder / "a.h5", _unspecified(("t", "y", "x"), frame=None)[1])
    return "convert {0}/a.h5 {0}/a.png"


@provocation
def a_name_that_is_not_the_formats(folder: Path) -> str:
    image = sd.SpatialArray(
        np.ones((3, 4, 5), "u1"), dims=("q", "y", "x"), sampled=("q", "y", "x"), frame=None
    )
    sd.write(folder / "a.h5", image)
    return "convert {0}/a.h5 {0}/a.nii"


@provocation
def more_axes_than_the_format_has(folder: Path) -> str:
    image = _unspecified(("a", "b", "c", "y", "x"), frame=None)
    sd.write(folder / "a.h5", image)
    return "convert {0}/a.h5 {0}/a.mha --frame LPS"


@provocation
def a_unit_that_the_format_has_not(folder: Path) -> str:
    sd.write(folder / "a.h5", _unspecified(unit="parsec"))
    return "convert {0}/a.h5 {0}/a.nii --frame RAS"


@provocation
def a_bare_array(folder: Path) -> str:
    np.save(folder / "a.npy", np.zeros((3, 4)))
    return "info {0}/a.npy"


@provocation
def data_elsewhere(folder: Path) -> str:
    (folder / "in").mkdir()
    sd.write(folder / "in/a.mhd", volume())
    head = folder / "in/a.mhd"
    raw = next(p for p in (folder / "in").iterdir() if p != head)
    raw.rename(folder / "b.raw")
    head.write_text(re.sub("ElementDataFile = .*", "ElementDataFile = ../b.raw", head.read_text()))
    return "info {0}/in/a.mhd"


# --- HDF5, VTK, pictures ------------------------------------------------------------------


@provocation
def several_datasets(folder: Path) -> str:
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file["a"], file["b"] = np.zeros((3, 4)), np.zeros((3, 4))
    return "info {0}/a.h5"


@provocation
def arrays_without_an_active_one(folder: Path) -> str:
    sd.write(folder / "a.vti", volume())
    raw = (folder / "a.vti").read_bytes()
    (folder / "a.vti").write_bytes(raw.replace(b"PointData", b"FieldData"))
    return "info {0}/a.vti"


@provocation
def a_volume_as_a_picture(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume())
    return "convert {0}/a.nrrd {0}/a.png"


# --- NIfTI --------------------------------------------------------------------------------


@provocation
def more_than_16_bits_of_shape(folder: Path) -> str:
    data = np.zeros((2, 40000, 3), "u1")
    sd.write(folder / "a.h5", sd.SpatialArray(data, frame="RAS", unit="mm"))
    return "convert {0}/a.h5 {0}/a.nii --option version=1"


@provocation
def more_than_32_bits_of_place(folder: Path) -> str:
    image = volume(origin=(1e30, 4, 5), spacing=(1e-30, 1, 1))
    sd.write(folder / "a.h5", image)
    return "convert {0}/a.h5 {0}/a.nii"


@provocation
def vectors_at_one_time(folder: Path) -> str:
    image = _unspecified(("t", "z", "y", "x", "c"), frame="LPS")[:1, ..., :3].astype("f4")
    sd.write(folder / "a.h5", image.replace(coords={"component": ("c", list("xyz"))}))
    return "convert {0}/a.h5 {0}/a.nii"


@provocation
def two_forms_that_disagree(folder: Path) -> str:
    import nibabel

    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.diag([2, 2, 2, 1]))
    image.set_sform(np.diag([2, 2, 2, 1]), 4)
    image.set_qform(np.diag([2, 2, 3, 1]), 1)
    nibabel.save(image, folder / "a.nii")
    return "info {0}/a.nii"


@provocation
def a_form_without_directions(folder: Path) -> str:
    two_forms_that_disagree(folder)
    raw = bytearray((folder / "a.nii").read_bytes())
    raw[280:328] = bytes(48)
    (folder / "a.nii").write_bytes(bytes(raw))
    return "info {0}/a.nii"


# --- OME-Zarr -----------------------------------------------------------------------------


def _store(folder: Path, **options: Any) -> Path:
    sd.write(folder / "a.ome.zarr", volume(), **({"levels": 1, "shards": False} | options))
    return folder / "a.ome.zarr"


def _metadata(store: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = store / "zarr.json"
    document = json.loads(path.read_text())
    change(document["attributes"])
    path.write_text(json.dumps(document))


@provocation
def a_missing_chunk(folder: Path) -> str:
    (_store(folder, chunks=4) / "0/c/0/0/0").unlink()
    return "convert {0}/a.ome.zarr {0}/out.nrrd"


@provocation
def chunks_that_are_not_as_noted(folder: Path) -> str:
    store = _store(folder, chunks=4)
    path = store / "0" / "zarr.json"
    text = json.loads(path.read_text())
    text["shape"] = [6, 8, 6]
    path.write_text(json.dumps(text))
    return "convert {0}/a.ome.zarr {0}/out.nrrd"


@provocation
def an_interrupted_write(folder: Path) -> str:
    partial = folder / ".a.ome.zarr.partial"
    partial.mkdir()
    (partial / "journal").write_text("{}\n")
    return "info {0}/a.ome.zarr"


@provocation
def a_name_of_no_multiscale(folder: Path) -> str:
    def twice(attributes: dict[str, Any]) -> None:
        scales = attributes["ome"]["multiscales"]
        scales.append(dict(scales[0]))
        for scale in scales:
            scale["name"] = "same"

    _metadata(_store(folder), twice)
    return "info {0}/a.ome.zarr --multiscale same"


@provocation
def an_array_of_an_image(folder: Path) -> str:
    _store(folder)
    return "info {0}/a.ome.zarr/0"


@provocation
def levels_without_a_place(folder: Path) -> str:
    def without(attributes: dict[str, Any]) -> None:
        scale = attributes["ome"]["multiscales"][0]
        scale.pop("coordinateTransformations", None)
        for dataset in scale["datasets"]:
            dataset.pop("coordinateTransformations")
        attributes.pop("spatial_duck", None)

    _metadata(_store(folder), without)
    return "info {0}/a.ome.zarr"


@provocation
def geometry_of_ours_that_is_not_valid(folder: Path) -> str:
    def spoil(attributes: dict[str, Any]) -> None:
        attributes["spatial_duck"]["levels"] = [7]

    _metadata(_store(folder), spoil)
    return "info {0}/a.ome.zarr"


@provocation
def a_system_of_an_old_version(folder: Path) -> str:
    _store(folder, version="0.4")
    return "info {0}/a.ome.zarr --option system=world"


@provocation
def a_place_of_several_images(folder: Path) -> str:
    import zarr

    root = zarr.open_group(folder / "s.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for name in ("0", "1"):
        sd.write(folder / "s.zarr" / name, volume(), format="ome-zarr", version="0.4", levels=1)
    return "info {0}/s.zarr"


@provocation
def an_array_without_its_image(folder: Path) -> str:
    import zarr

    zarr.create_array(folder / "a.zarr", shape=(3, 4), dtype="u1")
    return "info {0}/a.zarr"


@provocation
def an_old_version_in_a_zip(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume())
    return "convert {0}/a.nrrd {0}/a.ozx --option version=0.4"


@provocation
def labels_of_another_version(folder: Path) -> str:
    store = _store(folder)
    sd.write(store, volume(), label="cells")
    sd.write(folder / "a.nrrd", volume())
    return "convert {0}/a.nrrd {0}/a.ome.zarr --overwrite --option version=0.4"


@provocation
def a_label_of_another_version(folder: Path) -> str:
    _store(folder)
    sd.write(folder / "a.nrrd", volume())
    return "convert {0}/a.nrrd {0}/a.ome.zarr --option label=cells --option version=0.4"


# --- TIFF ---------------------------------------------------------------------------------


@provocation
def planes_of_other_names(folder: Path) -> str:
    sd.write(folder / "a.h5", sd.SpatialArray(np.ones((3, 4, 5), "u1"), dims=("a", "b", "c")))
    return "convert {0}/a.h5 {0}/a.tif"


@provocation
def a_plane_along_z(folder: Path) -> str:
    sd.write(folder / "a.h5", sd.SpatialArray(np.ones((3, 4), "u1"), dims=("z", "x")))
    return "convert {0}/a.h5 {0}/a.tif"


@provocation
def a_companion_that_is_not_there(folder: Path) -> str:
    import tifffile

    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="absent.companion.ome" UUID="urn:uuid:1"/></OME>'
    )
    tifffile.imwrite(folder / "a.ome.tif", np.zeros((8, 8), "u1"), description=text, metadata=None)
    return "info {0}/a.ome.tif"


@provocation
def a_dialect_that_is_not_read(folder: Path) -> str:
    import tifffile

    tifffile.imwrite(folder / "a.tif", np.zeros((8, 8), "u1"), metadata=None,
                     software="TVX TIFF v 1.3", description="# Pixel_size")  # fmt: skip
    return "info {0}/a.tif"
