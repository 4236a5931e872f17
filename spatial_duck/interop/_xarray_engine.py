"""``xr.open_dataset(path, engine="spatial_duck")``: every format that `spatial_duck.read` reads.

xarray finds it by the entry point ``xarray.backends``, and imports it on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from xarray.backends import BackendEntrypoint

from spatial_duck import backends
from spatial_duck.interop._xarray import to_xarray
from spatial_duck.io import read

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SpatialDuckEntrypoint"]


class SpatialDuckEntrypoint(BackendEntrypoint):
    """Opens images as datasets of one variable, ``image``, with an xarray index."""

    description = "Medical, microscopy and Earth images with their geometry, by spatial_duck"
    open_dataset_parameters: ClassVar = ("filename_or_obj", "drop_variables", "options")

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a dataset, whose voxels are read when they are used.

        Parameters
        ----------
        filename_or_obj : path or str
            An image, as for `spatial_duck.read`.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out.
        options : dict, optional
            Options of `spatial_duck.read`.
        """
        image = read(filename_or_obj, **(options or {}))
        lazy = image.chunk() if backends.is_stored(image.data) else image
        dataset = to_xarray(lazy, index=True).to_dataset(name="image")
        names = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        dataset = dataset.drop_vars(names, errors="ignore")
        dataset.set_close(image.close)
        return dataset
