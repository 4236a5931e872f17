"""Each how-to page runs from its top to its end, and is a notebook in the percent format."""

from __future__ import annotations

import re
import runpy
import tempfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / ".docs" / "how_to"

#: What a page needs besides NumPy.
NEEDS: dict[str, tuple[str, ...]] = {
    "accept_duck_arrays": ("dask",),
    "add_a_format": (),
    "augmentation_of_torchio_and_monai": ("torchio", "monai"),
    "channels_and_filters_in_micrometres": ("scipy",),
    "dicom_series_to_nifti": ("pydicom", "nibabel"),
    "filters_of_simpleitk": ("SimpleITK", "scipy"),
    "fmri_orientation_and_slice_times": ("nibabel",),
    "geotiff_nodata_and_xarray": ("rasterio", "rioxarray"),
    "mask_onto_a_scan": ("scipy",),
    "ome_zarr_pyramid": ("zarr", "dask", "tifffile"),
    "patches_and_segmentation": ("scipy", "dask"),
    "register_two_scans": ("SimpleITK", "scipy"),
    "resample_as_monai_and_totalsegmentator": ("monai", "scipy"),
    "transforms_of_ants_and_fsl": ("SimpleITK", "scipy"),
    "volumes_in_millilitres": ("scipy",),
}
LIBRARY = {
    "augmentation_of_torchio_and_monai",
    "geotiff_nodata_and_xarray",
    "resample_as_monai_and_totalsegmentator",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.library] if n in LIBRARY else []) for n in NEEDS],
)
def test_it_runs_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in NEEDS[name]:
        pytest.importorskip(package, reason=f"needs {package}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert not list(tmp_path.iterdir()), "the page leaves files behind"


def test_every_page_is_listed_here_and_for_readers() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NEEDS)
    text = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\(how_to/(\w+)\.py\)", text)) == sorted(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_it_is_a_notebook(name: str) -> None:
    """Cells of text and of code, with a title, and something that is checked."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert re.match(r"# %% \[markdown\]\n# # [A-Z].*\n#\n# ", text)
    assert "\nassert " in text
    cells = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)[1:]
    for kind, cell in zip(cells[::2], cells[1::2], strict=True):
        lines = cell.strip().split("\n")
        if kind == " [markdown]":
            assert all(line.startswith("#") for line in lines), cell
        else:
            assert not lines[0].startswith("#"), cell
