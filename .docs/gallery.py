"""Make the gallery: what the how-to pages and the examples end with, as pictures.

With the extra ``docs``, from the project's folder::

    python .docs/gallery.py [FOLDER [NAME ...]]

The pictures go to ``.docs/_build/gallery`` by default, where the reference finds them.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
GALLERY = DOCS / "_build" / "gallery"


class Picture(NamedTuple):
    """What a page's picture shows, and how it is drawn with the page's own variables."""

    title: str
    draw: Callable[[dict[str, Any]], Any]


#: How-to pages, by name.
PAGES = {
    "mask_onto_a_scan": Picture(
        "A mask of another grid on the scan",
        lambda page: page["scan"].plot(overlay=page["on_scan"]),
    ),
    "volumes_in_millilitres": Picture(
        "Objects with their outlines",
        lambda page: page["scan"].plot(overlay=page["objects"], contours=True, colorbar=True),
    ),
    "channels_and_filters_in_micrometres": Picture(
        "Nuclei, numbered", lambda page: page["dapi"].plot(overlay=page["cells"], at=(6, 11, 5))
    ),
    "patches_and_segmentation": Picture(
        "A network's answer, back on the scan",
        lambda page: page["scan"].plot(overlay=page["back"], contours=True),
    ),
    "register_two_scans": Picture(
        "What is left between two scans after registration",
        lambda page: (page["moved"] - page["fixed"]).plot(colorbar=True),
    ),
    "filters_of_simpleitk": Picture(
        "A head after N4", lambda page: page["corrected"].plot(limits=(0, 150), colorbar=True)
    ),
}
#: Examples that draw a picture themselves; those with a folder take one that they make.
DRAWN = {
    "05_dicom_to_ome_zarr": "A CT with a tilted gantry, as an OME-Zarr",
    "06_segment_in_millimetres": "A segmentation in millimetres",
    "fmri_to_xarray_and_back": "The mean of an oblique fMRI, by xarray",
}


def titles() -> dict[str, str]:
    """Return what each picture shows, by its name."""
    return {name: picture.title for name, picture in PAGES.items()} | DRAWN


def make(name: str, target: Path) -> None:
    """Make one picture."""
    if name in PAGES:
        page = runpy.run_path(str(DOCS / "how_to" / f"{name}.py"))
        PAGES[name].draw(page).savefig(target)
        return
    script = EXAMPLES / f"{name}.py"
    find = runpy.run_path(str(script)).get("folder_of_slices")
    with tempfile.TemporaryDirectory() as made:
        folder = [] if find is None else [str(find(made))]
        environ = os.environ | {"MPLBACKEND": "Agg"}
        command = [sys.executable, str(script), *folder, str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environ)


def main(folder: Path, names: list[str]) -> None:
    """Make the pictures named, or all."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or [*titles()]:
        make(name, folder.resolve() / f"{name}.png")
        print(f"{name}.png: {titles()[name]}")


if __name__ == "__main__":
    wanted = sys.argv[1:]
    sys.argv[1:] = []  # the examples look there themselves
    sys.path.insert(0, str(DOCS.parent))
    main(Path(wanted[0]) if wanted else GALLERY, wanted[1:])
