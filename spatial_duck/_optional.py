"""Optional dependencies: imported on use, and named with the extra that brings them if missing.

``require("nibabel", "Reading NIfTI")`` returns the module. `PACKAGES` says once for each importable
name which package of the index holds it, and which extra of spatial_duck brings that package.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

__all__ = ["PACKAGES", "is_installed", "missing_extra", "require"]

#: Importable name: its package on the index, and the extra that brings it (None: no extra does).
PACKAGES = MappingProxyType(
    {
        "SimpleITK": ("SimpleITK", "interop"),
        "ants": ("antspyx", "ants"),
        "array_api_compat": ("array-api-compat", "interop"),
        "cupy": ("cupy", "cupy"),
        "dask": ("dask", "dask"),
        "h5py": ("h5py", "io"),
        "highdicom": ("highdicom", "libraries"),
        "imageio": ("imageio", "io"),
        "ipyniivue": ("ipyniivue", None),
        "itk": ("itk", "libraries"),
        "matplotlib": ("matplotlib", "plot"),
        "monai": ("monai", "torch"),
        "napari": ("napari[all]", None),
        "ngff_zarr": ("ngff-zarr", "libraries"),
        "nibabel": ("nibabel", "io"),
        "nrrd": ("pynrrd", "io"),
        "pydicom": ("pydicom", "io"),
        "pyvista": ("pyvista", "libraries"),
        "rasterio": ("rasterio", "libraries"),
        "rioxarray": ("rioxarray", "libraries"),
        "scipy": ("scipy", "resample"),
        "skimage": ("scikit-image", None),
        "spatial_image": ("spatial-image", "libraries"),
        "tifffile": ("tifffile", "io"),
        "torchio": ("torchio", "torch"),
        "xarray": ("xarray", "interop"),
        "zarr": ("zarr", "zarr"),
    }
)


def require(module: str, what: str, extra: str | None = None) -> Any:
    """Return an optional module, imported.

    Parameters
    ----------
    module : str
        Dotted name, as in ``import``.
    what : str
        What needs it, as the subject of a sentence.
    extra : str, optional
        The extra to name where another than that of `PACKAGES` brings all that `what` needs.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra.

    Examples
    --------
    >>> require("numpy.linalg", "This example").__name__
    'numpy.linalg'
    """
    top = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        name = error.name or top
        if name.partition(".")[0] not in (top, "spatial_duck") and is_installed(top):
            top = name.partition(".")[0]
        raise missing_extra(top, what, extra) from error


def is_installed(module: str) -> bool:
    """Return whether a package can be found, without importing it."""
    try:
        return find_spec(module) is not None
    except (ValueError, ImportError):  # marked in sys.modules as one that cannot be imported
        return False


def missing_extra(module: str, what: str, extra: str | None = None) -> ImportError:
    """Return the error for a package that is not installed, to be raised.

    Parameters
    ----------
    module : str
        Importable name of the package.
    what : str
        What needs it, as the subject of a sentence.
    extra : str, optional
        As for `require`.

    Examples
    --------
    >>> print(missing_extra("nrrd", "Reading NRRD"))
    Reading NRRD needs 'pynrrd', which is not installed: pip install 'spatial-duck[io]'
    """
    package, usual = PACKAGES.get(module, (module, None))
    extra = extra or usual
    wanted = package if extra is None else f"spatial-duck[{extra}]"
    return ImportError(
        f"{what} needs {package!r}, which is not installed: pip install '{wanted}'", name=module
    )
