"""The table of facts by format in spatial_duck/io/README.md: ``python -m benchmarks.facts``.

A test that compares with another library says what it shows,
``@pytest.mark.fact("slice times", "NIfTI", "both ways", "nibabel", says="slice code")``: the fact,
the format, "read", "written", "both ways" or "refused", the other library, and how the format calls
it. The marks are read from the tests' source, so that no library is needed.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COORDINATES", "DIRECTIONS", "FORMATS", "README", "Shown", "shown", "table", "written"]

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "spatial_duck" / "io" / "README.md"
#: Facts, by rows of the table, and the coordinates or attrs that they are.
COORDINATES = {
    "units": "`image.unit`",
    "components of vectors": "`component`, with its frame",
    "symmetric tensors": "`component`",
    "colors of samples": "`channel` red, green, blue",
    "names of channels": "`channel`",
    "colors of channels": "`channel_color`",
    "wavelengths": "`emission_wavelength`, `excitation_wavelength`",
    "display windows": "`display_window`, `window_center`, …",
    "uneven times": "`t`",
    "b-values and gradients": "`b_value`, `gradient_direction`",
    "measurement frame": "turns `gradient_direction`",
    "echo and repetition times": "`echo_time`, `repetition_time`, …",
    "slice times": "`slice_time`",
    "frequency, phase, slice": "`…_encoding`",
    "segments": "`segment_label`, `color`, …",
    "labels of an image": '`attrs["ome"]["image-label"]`',
    "scales and offsets": "`scale_factor`, `add_offset`",
    "no data": '`attrs["nodata"]`',
}
FORMATS = ("NIfTI", "NRRD", "MetaImage", "DICOM", "OME-Zarr", "OME-TIFF", "ImageJ TIFF", "GeoTIFF")
DIRECTIONS = ("both ways", "read", "written", "refused")


class Shown(NamedTuple):
    """What a test shows of a fact: see the module."""

    fact: str
    format: str
    direction: str
    referee: str
    says: str
    test: str


def shown() -> Iterator[Shown]:
    """Yield what the marks of all tests say."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.fact(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fact":
                        words = [ast.literal_eval(a) for a in mark.args]
                        named = {k.arg: ast.literal_eval(k.value) for k in mark.keywords}
                        where = f"{path.relative_to(ROOT).as_posix()}::{node.name}"
                        yield Shown(*words, named.get("says", ""), where)


def _cell(found: list[Shown]) -> str:
    """Return what several tests show of one fact in one format."""
    if not found:
        return "–"
    given = {s.direction for s in found}
    both = "both ways" in given or {"read", "written"} <= given
    direction = "both ways" if both else " and ".join(d for d in DIRECTIONS if d in given)
    says = ", ".join(dict.fromkeys(s.says for s in found if s.says))
    referees = ", ".join(dict.fromkeys(r for s in found for r in s.referee.split(", ")))
    return f"{says + ', ' if says else ''}{direction} ({referees})"


def table() -> str:
    """Return the table, in Markdown."""
    every = list(shown())
    lines = [
        "| " + " | ".join(["fact", "coordinate", *FORMATS]) + " |",
        "| " + " | ".join(["---"] * (2 + len(FORMATS))) + " |",
    ]
    for fact, coordinate in COORDINATES.items():
        cells = [_cell([s for s in every if (s.fact, s.format) == (fact, f)]) for f in FORMATS]
        lines.append("| " + " | ".join([fact, coordinate, *cells]) + " |")
    return "\n".join(lines)


def written(text: str) -> tuple[str, str, str]:
    """Return the README before its table, the table, and what follows."""
    start = text.index("| fact | coordinate |")
    end = text.index("\n\n", start)
    return text[:start], text[start:end], text[end:]


def main() -> None:
    """Write the table into the README."""
    before, _, after = written(README.read_text(encoding="utf-8"))
    README.write_text(before + table() + after, encoding="utf-8")
    print(table())


if __name__ == "__main__":
    main()
