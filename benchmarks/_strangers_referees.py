"""What other libraries say of files that were made elsewhere: voxels, and where some of them lie.

A referee takes a path and the image that we read from it, whose axes tell which way the referee's
array is turned, and returns `Told`. It shares no code with our readers.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import spatial_duck as sd

__all__ = ["REFEREES", "Told", "by_dcm2niix", "corners", "volumes_of"]


class Told(NamedTuple):
    """What a referee says of a file.

    Attributes
    ----------
    by : str
        The library.
    values : ndarray
        Voxels, axes as ours.
    index : ndarray, shape (n, ndim), optional
        Some voxels.
    points : ndarray, shape (n, n_space), optional
        Where they lie, in mm (or pixels) along x, y and z; LPS where there is a frame.
    has_frame : bool
        Whether the points are a patient's.
    """

    by: str
    values: np.ndarray
    index: np.ndarray | None = None
    points: np.ndarray | None = None
    has_frame: bool = True


def corners(shape: tuple[int, ...], n: int = 30) -> np.ndarray:
    """Return the first and last voxel and some between them."""
    inside = np.random.default_rng(7).integers(0, shape, (n, len(shape)))
    return np.vstack([np.array(shape) - 1, np.zeros(len(shape), int), inside])


def by_nibabel(path: Path, image: sd.SpatialArray) -> Told:
    """Read NIfTI, Analyze, MGH, PAR/REC, AFNI and MINC through nibabel."""
    import nibabel

    theirs = nibabel.load(path)
    values = np.asanyarray(theirs.dataobj)
    if values.dtype.fields:
        values = np.stack([values[name] for name in values.dtype.names], axis=-1)
    while values.ndim > image.ndim:  # ITK's vectors, and trailing axes of length 1
        values = values.squeeze(next(a for a in range(3, values.ndim) if values.shape[a] == 1))
    index = corners(values.shape)
    # nibabel's affine of MINC is of the last three axes.
    is_minc = path.suffix == ".mnc"
    first = image.ndim - 3 if is_minc else 0
    points = nibabel.affines.apply_affine(theirs.affine, _three(index[:, first : first + 3]))
    header = theirs.header
    placed = True
    if isinstance(theirs, nibabel.Nifti1Image | nibabel.Nifti1Pair):
        placed = bool(header["qform_code"] or header["sform_code"])
    elif isinstance(theirs, nibabel.AnalyzeImage):
        placed = False
    return Told("nibabel", values, index, points * [-1, -1, 1], placed)


def _three(index: np.ndarray) -> np.ndarray:
    return np.pad(index, [(0, 0), (0, 3 - index.shape[1])])


def by_pynrrd(path: Path, image: sd.SpatialArray) -> Told:
    """Read NRRD through pynrrd."""
    import nrrd

    values, header = nrrd.read(str(path), index_order="F")
    values = values.transpose()
    index = corners(values.shape)
    if "space directions" not in header:
        spacings = np.atleast_1d(header.get("spacings", np.full(values.ndim, np.nan)))[::-1]
        return Told("pynrrd", values, index, _by_spacing(index, spacings, image), has_frame=False)
    rows = np.asarray([np.full(3, np.nan) if row is None else row
                       for row in header["space directions"]], float)[::-1]  # fmt: skip
    sampled = ~np.isnan(rows).any(axis=1)
    points = index[:, sampled] @ rows[sampled]
    points = points + np.asarray(header.get("space origin", np.zeros(rows.shape[1])))
    space = str(header.get("space", ""))
    signs = {"right-anterior-superior": (-1, -1, 1), "left-anterior-superior": (1, -1, 1),
             "left-posterior-superior": (1, 1, 1)}  # fmt: skip
    words = {"ras": "right-anterior-superior", "lps": "left-posterior-superior",
             "las": "left-anterior-superior"}  # fmt: skip
    space = words.get(space.lower(), space)
    if space not in signs:
        return Told("pynrrd", values, index, points[:, : rows.shape[1]], has_frame=False)
    return Told("pynrrd", values, index, points * signs[space])


def _by_spacing(
    index: np.ndarray, spacings: np.ndarray, image: sd.SpatialArray
) -> np.ndarray | None:
    """Points along x, y and z of axes with a spacing alone, relative to the first voxel."""
    space = [image.dims.index(name) for name in ("x", "y", "z") if name in image.dims]
    steps = np.asarray(spacings, float)[space]
    if np.isnan(steps).any():
        return None
    return index[:, space] * steps


def by_slicerio(path: Path, image: sd.SpatialArray) -> Told:
    """Read 3D Slicer's segmentations through slicerio: a mask for each segment."""
    import slicerio

    theirs = slicerio.read_segmentation(str(path))
    voxels = theirs["voxels"]
    masks = []
    for segment in theirs["segments"]:
        layer = voxels if voxels.ndim == 3 else voxels[segment["layer"]]
        masks.append(layer == segment["labelValue"])
    values = np.stack(masks).transpose(0, 3, 2, 1)
    index = corners(values.shape)
    ijk = index[:, :0:-1]
    points = ijk @ np.asarray(theirs["ijkToLPS"])[:3, :3].T + np.asarray(theirs["ijkToLPS"])[:3, 3]
    return Told("slicerio", values.astype(image.dtype), index, points)


def by_simpleitk(path: Path, image: sd.SpatialArray) -> Told:
    """Read MetaImage through SimpleITK."""
    import SimpleITK as sitk

    theirs = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(theirs)
    index = corners(values.shape)
    count = theirs.GetDimension()
    points = np.array(
        [theirs.TransformIndexToPhysicalPoint([int(i) for i in row[:count][::-1]]) for row in index]
    )
    return Told("SimpleITK", values, index, points[:, :3], has_frame=image.frame is not None)


def by_pydicom(path: Path, image: sd.SpatialArray) -> Told:
    """Read one DICOM file through pydicom; its frames sorted along the normal of the first."""
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    content = path.read_bytes()
    if "segment_label" in image.coords:
        return by_highdicom(path, image)
    if "MOSAIC" in str(image.attrs["dicom"].get("ImageType")):
        return by_nicom(path, image)
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    d = pydicom.dcmread(io.BytesIO(content), force=True)
    if "TransferSyntaxUID" not in d.file_meta:
        implicit, little = d.original_encoding
        explicit = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        d.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else explicit
    values = None
    for keyword, kind in (("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")):
        if keyword in d:
            values = np.frombuffer(d[keyword].value, kind).reshape(-1, d.Rows, d.Columns)
    if values is None:
        values = pixel_array(d if "PixelData" in d else path)
    if d.get("PhotometricInterpretation") == "PALETTE COLOR":
        values = apply_color_lut(values, d)
    frames = d.get("PerFrameFunctionalGroupsSequence", [])
    shared = (d.get("SharedFunctionalGroupsSequence") or [{}])[0]
    groups = [(group, shared) for group in frames]
    count = int(d.get("NumberOfFrames", 1) or 1)
    colours = values.ndim - (values.shape[-1] in (3, 4) and d.get("SamplesPerPixel") != 1) == 3
    values = values if colours or count > 1 else values[np.newaxis]
    if groups:
        values = np.stack([_transformed(v, *g) for v, g in zip(values, groups, strict=True)])
    else:
        values = apply_modality_lut(values, d)
        if "DoseGridScaling" in d:
            values = values * float(d.DoseGridScaling)
    places = [_place(d, *g) for g in groups] or [_place(d)]
    if places[0] is None or image.frame is None:
        return Told("pydicom", values.reshape(image.shape), has_frame=False)
    offsets = d.get("GridFrameOffsetVector")
    if offsets is not None and len(places) == 1 and count > 1:
        position, matrix = places[0]
        row, column = (v / np.linalg.norm(v) for v in (matrix[:, 1], matrix[:, 0]))
        normal = np.cross(row, column)
        places = [(position + normal * (z - offsets[0]), matrix) for z in offsets]
    return _sorted_frames(values, places, image)


def by_nicom(path: Path, image: sd.SpatialArray) -> Told:
    """Read a Siemens mosaic through nibabel."""
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path) as file:
        theirs = wrapper_from_file(file)
    values = np.asarray(theirs.get_data())
    index = corners(values.shape)
    points = nibabel_points(theirs.affine, index)
    ours = np.rint(image.physical_to_index(points)).astype(int)
    found = np.asarray(image.data)
    moved = np.empty_like(found)
    every = np.indices(values.shape).reshape(3, -1).T
    places = np.rint(image.physical_to_index(nibabel_points(theirs.affine, every))).astype(int)
    moved[tuple(places.T)] = values.ravel()
    return Told("nibabel", moved, ours, points)


def nibabel_points(affine: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the points of an affine map; of DICOM they are LPS."""
    points: np.ndarray = index @ affine[:3, :3].T + affine[:3, 3]
    return points


def by_highdicom(path: Path, image: sd.SpatialArray) -> Told:
    """Read a segmentation through highdicom: a mask for each segment."""
    import highdicom

    theirs = highdicom.seg.segread(path).get_volume(combine_segments=False)
    affine = np.asarray(theirs.affine)
    values = np.moveaxis(theirs.array, -1, 0)
    index = corners(values.shape)
    points = index[:, 1:] @ affine[:3, :3].T + affine[:3, 3]
    first = _points(image, np.zeros((1, image.ndim), int))[0]
    if abs(first - points[index.sum(axis=1).argmin()]).max() > 0.01:  # slices the other way
        values = values[:, ::-1]
        flipped = index.copy()
        flipped[:, 1] = values.shape[1] - 1 - index[:, 1]
        index = flipped
    return Told("highdicom", values.astype(image.dtype), index, points)


def _sorted_frames(values: np.ndarray, places: list[Any], image: sd.SpatialArray) -> Told:
    """Put frames where ours lie, by the nearest position; points are those of the frames."""
    if len(places) != len(values):
        return Told("pydicom", values.reshape(image.shape), has_frame=False)
    plane = [image.dims.index("y"), image.dims.index("x")]
    lead = image.shape[: plane[0]]
    index = np.array([(*n, 0, 0, *[0] * (image.ndim - plane[1] - 1)) for n in np.ndindex(*lead)])
    ours = _points(image, index)
    theirs = np.array([position for position, _ in places])
    left = list(range(len(values)))
    order = []
    flat = np.asarray(image.data).reshape(-1, *image.shape[plane[0] :])
    for n, point in enumerate(ours):
        near = [k for k in left if np.abs(theirs[k] - point).max() < 0.02]
        same = [k for k in near if np.array_equal(values[k], flat[n], equal_nan=True)]
        chosen = (same or near or left)[0]
        order.append(chosen)
        left.remove(chosen)
    # The first pixel of each frame, and one at its end.
    ends = np.array([(0, 0), (image.shape[plane[0]] - 1, 3 % image.shape[plane[1]])])
    rows = np.repeat(index, len(ends), axis=0)
    rows[:, plane] = np.tile(ends, (len(index), 1))
    points = [places[k][0] + places[k][1] @ end for k in order for end in ends]
    return Told("pydicom", values[order].reshape(image.shape), rows, np.array(points))


def _points(image: sd.SpatialArray, index: np.ndarray) -> np.ndarray:
    geometry = image.geometry.to_frame("LPS")
    rows = [geometry.world.axes.index(name) for name in ("x", "y", "z")]
    return geometry.index_to_physical(index)[:, rows]


def _item(groups: tuple[Any, ...], sequence: str) -> Any:
    for group in groups:
        if sequence in group:
            return group[sequence][0]
    return None


def _transformed(values: np.ndarray, *groups: Any) -> np.ndarray:
    item = _item(groups, "PixelValueTransformationSequence")
    if item is None:
        return values
    return values * float(item.RescaleSlope) + float(item.RescaleIntercept)


def _place(d: Any, *groups: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the position of a frame's first pixel, and steps by row and by column."""
    holders = [_item(groups, s) or d for s in (
        "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")]  # fmt: skip
    words = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    found = [h.get(w) for h, w in zip(holders, words, strict=True)]
    if any(f is None or not len(f) for f in found):
        return None
    position, cosines, spacing = (np.array(f, float) for f in found)
    return position, np.stack([cosines[3:] * spacing[0], cosines[:3] * spacing[1]], axis=1)


def by_tifffile(path: Path, image: sd.SpatialArray) -> Told:
    """Read TIFF through tifffile: the first series; sizes of OME-XML and ImageJ."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        if "band" in image.dims:
            return by_rasterio(path, image)
        series = file.series[0]
        values, axes = series.asarray(), series.axes
        sizes: dict[str, float] = {}
        if file.is_ome:
            text = re.search(r"<(\w+:)?Pixels\b[^>]*>", file.ome_metadata)
            for name in "XYZ":
                said = re.search(rf'PhysicalSize{name}="([^"]*)"', text.group() if text else "")
                sizes[name.lower()] = float(said.group(1)) if said else 1.0
    wanted = [None if name is None else name.upper() for name in image.dims]
    named = {w for w in wanted if w} - {"C"}
    if set(axes) >= named and len(axes) == image.ndim:
        letters = ["S" if w == "C" and "C" not in axes else w for w in wanted]
        known = [axes.index(w) if w and w in axes else None for w in letters]
        rest = iter([a for a in range(len(axes)) if a not in known])
        values = values.transpose([next(rest) if k is None else k for k in known])
    else:
        values = values.reshape(image.shape)
    if not sizes:
        return Told("tifffile", values, has_frame=False)
    index = corners(values.shape)
    spacings = np.array([sizes.get(str(name), 1.0) for name in image.dims])
    return Told("tifffile", values, index, _by_spacing(index, spacings, image), has_frame=False)


def by_rasterio(path: Path, image: sd.SpatialArray) -> Told:
    """Read GeoTIFF through rasterio; points are centres of pixels."""
    import rasterio

    with rasterio.open(path) as theirs:
        values = theirs.read()
        index = corners(values.shape)
        points = np.array([theirs.transform * (c + 0.5, r + 0.5) for _, r, c in index])
    return Told("rasterio", values.reshape(image.shape), index, points, has_frame=False)


def by_vtk(path: Path, image: sd.SpatialArray) -> Told:
    """Read VTK's image data through VTK: points, or cells in their centres."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLImageDataReader

    reader = vtkXMLImageDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    theirs = reader.GetOutput()
    points, cells = theirs.GetPointData().GetScalars(), theirs.GetCellData().GetScalars()
    values = vtk_to_numpy(points or cells).reshape(image.shape)
    index = corners(values.shape)
    first = np.array(theirs.GetExtent()[::2], float) + (0 if points else 0.5)
    found = np.empty((len(index), 3))
    for place, row in zip(found, index, strict=True):
        theirs.TransformContinuousIndexToPhysicalPoint(*(first + row[2::-1]), place)
    return Told("VTK", values, index, found, has_frame=False)


def by_pillow(path: Path, image: sd.SpatialArray) -> Told:
    """Read a picture through Pillow: the first frame, colours where there is a palette."""
    from PIL import Image

    with Image.open(path) as theirs:
        # Ours has one frame where the format is not of animations.
        count = getattr(theirs, "n_frames", 1) if image.ndim > 2 + ("c" in image.dims) else 1
        frames = []
        for n in range(count):
            theirs.seek(n)
            mode = theirs.mode
            if mode == "P":
                mode = "RGBA" if "transparency" in theirs.info else "RGB"
            frames.append(np.asarray(theirs.convert(mode)))
    values = np.stack(frames) if count > 1 else frames[0]
    return Told("Pillow", values.reshape(image.shape), has_frame=False)


def by_zarr(path: Path, image: sd.SpatialArray) -> Told:
    """Read OME-Zarr through zarr, and its scales and translations from the JSON alone."""
    import zarr

    group = zarr.open_group(path, mode="r")
    meta = dict(group.attrs)
    meta = meta.get("ome", meta)
    multiscale = meta["multiscales"][0]
    dataset = multiscale["datasets"][0]
    values = np.asarray(group[dataset["path"]][...])
    systems = {s["name"]: s for s in multiscale.get("coordinateSystems", ())}
    given = list(dataset.get("coordinateTransformations", ()))
    axes = multiscale.get("axes")
    if axes is None and systems:
        axes = systems[given[-1]["output"]]["axes"]
    names = [a if isinstance(a, str) else a["name"] for a in axes or "tczyx"]
    steps, offset = np.ones(len(names)), np.zeros(len(names))
    given += multiscale.get("coordinateTransformations", []) if not systems else []
    for step in given:
        for part in step.get("transformations", [step]):
            if part["type"] == "scale":
                steps, offset = steps * part["scale"], offset * part["scale"]
            elif part["type"] == "translation":
                offset = offset + part["translation"]
            elif part["type"] != "identity":
                raise LookupError(f"{part['type']} is compared by tests, not here")
    index = corners(values.shape)
    space = [names.index(name) for name in ("x", "y", "z") if name in names]
    points = index[:, space] * steps[space] + offset[space]
    return Told("zarr", values, index, points, has_frame=False)


REFEREES: dict[str, Callable[[Path, sd.SpatialArray], Told]] = {
    "nifti": by_nibabel, "nibabel": by_nibabel, "minc": by_nibabel, "nrrd": by_pynrrd,
    "seg.nrrd": by_slicerio, "metaimage": by_simpleitk, "dicom": by_pydicom, "tiff": by_tifffile,
    "picture": by_pillow, "ome-zarr": by_zarr, "vti": by_vtk,
}  # fmt: skip


# --- series of DICOM ----------------------------------------------------------------------


def by_dcm2niix(folder: Path) -> dict[str, list[Any]]:
    """Return what dcm2niix makes of a folder, by SeriesInstanceUID, and by ``#`` SeriesNumber."""
    import nibabel

    found: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as out:
        command = ["dcm2niix", "-d", "9", "-b", "y", "-ba", "n", "-z", "n", "-p", "n",
                   "-f", "%j_%s_%z", "-o", out, str(folder)]  # fmt: skip
        subprocess.run(command, capture_output=True, check=False, timeout=900)
        for path in sorted(Path(out).glob("*.nii")):
            if "_ROI" in path.stem:  # overlays, which are no volumes of the image
                continue
            said = path.with_suffix(".json")
            document = json.loads(said.read_text(), strict=False) if said.exists() else {}
            uid = document.get("SeriesInstanceUID")
            image = nibabel.load(path)
            values = np.asanyarray(image.dataobj)
            if values.dtype.fields:
                values = np.stack([values[name] for name in values.dtype.names], axis=-1)
            number = f"#{document.get('SeriesNumber')}"
            for key in {uid or path.name.split("_")[0], number}:
                found.setdefault(key, []).append((image.affine, values))
    return found


def volumes_of(image: sd.SpatialArray, affine: np.ndarray, values: np.ndarray) -> tuple[Any, ...]:
    """Return sampled values of each volume of ours and of theirs, and by how much points differ.

    Some voxels of ours are looked up in theirs by their place. The distance, in voxels of theirs,
    is how far the worst of them lies from a voxel centre.
    """
    space = [image.dims.index(name) for name in ("z", "y", "x")]
    shape = tuple(image.shape[a] for a in space)
    index = np.zeros((300, image.ndim), int)
    picked = corners(shape, 298)
    index[:, space] = picked
    points = _points(image, index) * [-1, -1, 1]
    inverse = np.linalg.inv(affine)
    where = points @ inverse[:3, :3].T + inverse[:3, 3]
    near = np.rint(where).astype(int)
    inside = ((near >= 0) & (near < values.shape[:3])).all(axis=1)
    data = np.moveaxis(np.asarray(image.data), space, (-3, -2, -1))
    ours = data[(..., *picked[inside].T)].reshape(-1, inside.sum())
    theirs = values[tuple(near[inside].T)].reshape(inside.sum(), -1).T
    return ours, theirs, float(np.abs(where - near).max()), bool(inside.all())
