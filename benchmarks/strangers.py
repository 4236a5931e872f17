"""Read files of public repositories, and compare with other libraries.

    python -m benchmarks.strangers FOLDER [owner+name ...]

Each folder of FOLDER is a checkout ``owner+name``. Every file (and folder of Zarr) whose content is
of a format that is read goes through `spatial_duck.read` and through the format's own library, and
shape, voxels and points are compared; folders of ``neurolabusc+dcm_qa…`` go through dcm2niix, a
series at a time. One row a repository is written into ``tests/io/REFEREES.md``; what differs, and
why files were refused, goes to the terminal. Nothing of the files is kept.

Needs nibabel, pynrrd, slicerio, SimpleITK, pydicom, tifffile, rasterio, Pillow, zarr, and the
program dcm2niix.
"""

from __future__ import annotations

import gzip
import re
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import spatial_duck as sd
from benchmarks._strangers_referees import REFEREES, Told, by_dcm2niix, volumes_of
from spatial_duck import io
from spatial_duck.io.dicom import _format as dicom

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LOG", "Seen", "compare", "look", "main"]

LOG = Path(__file__).resolve().parent.parent / "tests" / "io" / "REFEREES.md"
OUTCOMES = ("right", "refused", "differs, explained", "not compared", "wrong")
#: What differs from the referee for a reason: where, and why, by the start of its name.
EXPLAINED = {
    ("icometrix/dicom2nifti", "tests/data/failing/gantrytilting/001"): (
        "dcm2niix writes a tilted gantry with square axes, and resampled; here the shear is kept, "
        "and each slice lies at its ImagePositionPatient (pydicom)"
    ),
    ("icometrix/dicom2nifti", "tests/data/generic/anatomical/002_non_isotropic"): (
        "each slice has a RescaleSlope of its own; dcm2niix applies the first's (pydicom: equal)"
    ),
    ("pydicom/pydicom", "src/pydicom/data/test_files: 4 Lv2"): (
        "the JPEG 2000 stream of `J2K_pixelrep_mismatch.dcm` contradicts its header about signs; "
        "dcm2niix takes the stream's word, pydicom the header's (equal)"
    ),
    **{
        ("neurolabusc/dcm_qa_polar", f"In/{number}"): (
            "volumes of reversed polarity are stored with their rows reversed, which no standard "
            "element says; dcm2niix turns them by private ones, and the stored rows are equal"
        )
        for number in (6, 7, 8)
    },
}
#: Names of files in messages, so that reasons can be counted.
_SPOKEN = re.compile(r"…/[^\s:']+")
_TEXT = {".py", ".md", ".rst", ".txt", ".json", ".xml", ".xsd", ".java", ".sh", ".toml", ".yml",
         ".html", ".js", ".css", ".svg", ".c", ".h"}  # fmt: skip


class Seen(NamedTuple):
    """What became of one file or series: an outcome of `OUTCOMES`, by which referee, and why."""

    name: str
    outcome: str
    by: str = ""
    why: str = ""


def compare(image: sd.SpatialArray, told: Told) -> str:
    """Return how an image differs from what a referee says of its file, or nothing."""
    values = np.asarray(image.data)
    if values.shape != told.values.shape:
        return f"shape {values.shape}, {told.by} has {told.values.shape}"
    equal = values == told.values
    if values.dtype.kind in "fc":
        equal |= np.isclose(values, told.values, rtol=1e-6, atol=0, equal_nan=True)
    if not equal.all():
        return f"{np.count_nonzero(~equal)} of {equal.size} values"
    if told.points is None:
        return ""
    if told.has_frame != (image.frame is not None):
        return f"frame {image.frame}, {told.by} has {'one' if told.has_frame else 'none'}"
    geometry = image.geometry.to_frame("LPS") if told.has_frame else image.geometry
    names = [n for n in ("x", "y", "z") if n in geometry.world.axes]
    if not names:
        return ""
    rows = [geometry.world.axes.index(n) for n in names]
    ours, theirs = geometry.index_to_physical(told.index)[:, rows], told.points[:, : len(rows)]
    if not told.has_frame:
        # Each library has an origin, and signs, of its own where the file says none.
        first = told.index.sum(axis=1).argmin()
        ours, theirs = abs(ours - ours[first]), abs(theirs - theirs[first])
    worst = float(np.abs(ours - theirs).max()) / float(image.spacing[image.spacing > 0].min())
    return "" if worst < 1e-3 else f"points by {worst:.3g} voxels"


def _places(folder: Path) -> Iterator[Path]:
    """Yield files, and folders of Zarr, that may be images."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if any((path / name).exists() for name in (".zgroup", "zarr.json", ".zattrs")):
                if io.sniff(path) == "ome-zarr":
                    yield path
                    continue
                if (path / ".zarray").exists():
                    continue
            yield from _places(path)
        elif path.suffix.lower() not in _TEXT and path.stat().st_size:
            yield path


def look(path: Path, name: str) -> Seen | None:
    """Read one file and compare it; None if its content is of no format that is read."""
    try:
        format = io.sniff(path)
    except (OSError, sd.FormatError) as error:
        return Seen(name, "refused", "", str(error))
    if format not in REFEREES:
        return None
    try:
        image = sd.read(path, lazy=False)
    except (sd.SpatialDuckError, ImportError) as error:
        return Seen(name, "refused", format, str(error).replace(str(path.parent), "…"))
    except Exception as error:  # every other error is a fault
        return Seen(name, "wrong", format, f"{type(error).__name__}: {error}")
    try:
        told = REFEREES[format](path, image)
    except Exception as error:  # each library raises its own
        return Seen(name, "not compared", format, f"{type(error).__name__}: {error}"[:150])
    different = compare(image, told)
    return Seen(name, "wrong" if different else "right", told.by, different)


def _series(name: str, files: list[Path]) -> Iterator[Seen]:
    """Yield what became of each series of a folder's own files, beside dcm2niix."""
    with tempfile.TemporaryDirectory() as alone:
        ours, unpacked = Path(alone, "ours"), Path(alone, "unpacked")
        for path in files:
            uid = _uid(path) or "none"
            for place in (ours, unpacked):
                (place / uid).mkdir(exist_ok=True, parents=True)
            (ours / uid / path.name).symlink_to(path)
            if path.suffix == ".gz":  # dcm2niix looks for none
                (unpacked / uid / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
            else:
                (unpacked / uid / path.name).symlink_to(path)
        theirs = by_dcm2niix(unpacked)
        every = [(f, s) for f in sorted(ours.iterdir()) for s in dicom.series_of(f)]
        numbers = Counter(s.number for _, s in every)
        for folder, series in every:
            # Where dcm2niix names no series, its number tells, if it is that of one.
            lone = theirs.get(f"#{series.number}") if numbers[series.number] == 1 else None
            images = theirs.get(series.uid) or lone or []
            title = f"{name}: {series.number} {series.description}"
            yield Seen(title, *_one_series(folder, series.uid, images))


def _uid(path: Path) -> str:
    import pydicom

    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        found = pydicom.dcmread(
            file, force=True, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]
        )
    return str(found.get("SeriesInstanceUID", ""))


def _one_series(folder: Path, uid: str, theirs: list[Any]) -> tuple[str, str, str]:
    try:
        image = sd.read(folder, format="dicom", series=uid, lazy=False)
    except (sd.SpatialDuckError, ImportError) as error:
        return "refused", "dicom", str(error).replace(str(folder), "…")
    except Exception as error:  # every other error is a fault
        return "wrong", "dicom", f"{type(error).__name__}: {error}"
    if not theirs:
        return "not compared", "dicom", "dcm2niix names no file by its series"
    if "segment_label" in image.coords:
        return "not compared", "dicom", "a segmentation: highdicom compares its file"
    if image.frame is None or "z" not in image.dims:
        return "not compared", "dicom", "no volume in a patient"
    different = _against_volumes(image, theirs)
    return "wrong" if different else "right", "dcm2niix", different


def _against_volumes(image: sd.SpatialArray, theirs: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """Return how a series differs from the volumes that dcm2niix made of it, or nothing.

    Some volumes are in several of its files: those that a scanner derived are left out of one.
    """
    said: list[str] = []
    covered: set[int] = set()
    ours = np.empty((0, 0))
    for affine, values in theirs:
        ours, others, distance, inside = volumes_of(image, affine, values)
        if distance > 0.01 or not inside:
            said.append(f"points by {distance:.3g} voxels")
            continue
        left = list(range(len(ours)))
        near = 1e-6 * float(np.abs(values).max())  # a header's scale has 32 bits
        for other in others:
            same = [k for k in left if np.allclose(ours[k], other, rtol=1e-5, atol=near)]
            if same:
                left.remove(same[0])
                covered.add(same[0])
            else:
                said.append("values of a volume")
    if len(covered) < len(ours):
        said.append(f"{len(ours) - len(covered)} volumes of ours are not theirs")
    return ", ".join(f"{what} ({n})" for what, n in Counter(said).items())


def _source(folder: Path) -> Iterator[Seen]:
    """Yield what became of a repository's files, and of its DICOM series."""
    series_alone = "+dcm_qa" in folder.name  # of some thousand files each
    if not series_alone:
        for path in _places(folder):
            seen = look(path, path.relative_to(folder).as_posix())
            if seen is not None:
                yield seen
    for inside in sorted(p for p in folder.rglob("*") if p.is_dir()):
        files = [p for p in inside.iterdir() if p.is_file() and p.suffix.lower() not in _TEXT]
        found = sum(dicom.looks_like_dicom(p) for p in files)
        if found > 1 or (found and series_alone):
            yield from _series(inside.relative_to(folder).as_posix(), files)


def _explained(repository: str, seen: Seen) -> Seen:
    """Return what was seen, told apart where the difference has a reason."""
    for (where, start), why in EXPLAINED.items():
        if seen.outcome == "wrong" and where == repository and seen.name.startswith(start):
            return seen._replace(outcome="differs, explained", why=why)
    return seen


def _write(rows: dict[str, Counter[str]], referees: dict[str, set[str]]) -> None:
    text = LOG.read_text(encoding="utf-8")
    begin, end = "<!-- table -->\n", "<!-- end of table -->"
    before, _, rest = text.partition(begin)
    table, _, after = rest.partition(end)
    kept = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")
            and line.count("|") == len(OUTCOMES) + 3}  # fmt: skip
    for name, counts in rows.items():
        source = name.replace("+", "/")
        cells = [str(counts[o]) for o in OUTCOMES]
        kept[source] = f"| `{source}` | {' | '.join(cells)} | {', '.join(sorted(referees[name]))} |"
    sums = np.sum([[int(c) for c in row.split(" | ")[1:-1]] for row in kept.values()], axis=0)
    heads = ["repository", *OUTCOMES, "beside"]
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join(["---"] * len(heads)) + " |"]
    lines += [kept[k] for k in sorted(kept)]
    lines += [f"| all | {' | '.join(map(str, sums))} | |"]
    why = ["", "| what differs | why |", "| --- | --- |"]
    why += [f"| `{where}` {start} | {text} |" for (where, start), text in EXPLAINED.items()]
    LOG.write_text(before + begin + "\n".join(lines + why) + "\n" + end + after, encoding="utf-8")


def main() -> int:
    """Look at the repositories named, or at all, and write their rows."""
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    rows: dict[str, Counter[str]] = {}
    referees: dict[str, set[str]] = {}
    for source in sorted(p for p in folder.iterdir() if p.is_dir() and "+" in p.name):
        if names and source.name not in names:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seen = [_explained(source.name.replace("+", "/"), s) for s in _source(source)]
        rows[source.name] = Counter(s.outcome for s in seen)
        referees[source.name] = {s.by for s in seen if s.outcome in ("right", "wrong")} - {""}
        reasons = Counter(
            (s.outcome, s.by, re.sub(r"\d+(\.\d+)?", "#", _SPOKEN.sub("…", s.why)[:160]))
            for s in seen
            if s.outcome in ("refused", "not compared")
        )
        print(f"\n{source.name}: {dict(rows[source.name])}", flush=True)
        for (outcome, by, why), n in reasons.most_common():
            print(f"  {outcome} {n}, {by}: {why}")
        for s in seen:
            if s.outcome == "wrong":
                print(f"  WRONG {s.name} ({s.by}): {s.why}")
        _write({source.name: rows[source.name]}, referees)
    return int(any(r["wrong"] for r in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
