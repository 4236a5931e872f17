"""imageio's v3 plugin: ``iio.imread(path, plugin=spatial_duck.interop.ImageioPlugin)``.

imageio returns bare arrays. The geometry is in ``properties(...).spacing`` and ``metadata(...)``,
under the names of the duck interface. Imported on first use, as it subclasses imageio's class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from imageio.core.request import InitializationError, IOMode
from imageio.core.v3_plugin_api import ImageProperties, PluginV3

from spatial_duck.array import SpatialArray
from spatial_duck.errors import SpatialDuckError
from spatial_duck.io import read, write

__all__ = ["ImageioPlugin"]


class ImageioPlugin(PluginV3):
    """Reads and writes the formats of `spatial_duck.read` for imageio.

    Parameters
    ----------
    request : imageio.core.Request
        Request of a local file.
    """

    def __init__(self, request: Any) -> None:
        super().__init__(request)
        self._image: SpatialArray | None = None
        if request.mode.io_mode == IOMode.write:
            return
        try:
            self._image = read(request.get_local_filename())
        except (SpatialDuckError, OSError) as error:
            raise InitializationError(f"spatial_duck cannot read it: {error}") from error

    def _part(self, index: Any) -> SpatialArray:
        assert self._image is not None
        image = self._image
        if index is None or index is Ellipsis:
            return image
        part: SpatialArray = image[index]
        return part

    def read(self, *, index: Any = None) -> Any:
        """Return the voxels.

        Parameters
        ----------
        index : int or Ellipsis, optional
            Along the first axis; by default all.
        """
        return np.asarray(self._part(index).compute().data)

    def iter(self) -> Iterator[Any]:
        """Yield the voxels along the first axis.

        Returns
        -------
        iterator of ndarray
            One for each index.
        """
        assert self._image is not None
        return (self.read(index=i) for i in range(len(self._image)))

    def write(
        self,
        ndimage: Any,
        *,
        spacing: Any = None,
        origin: Any = None,
        direction: Any = None,
        dims: Any = None,
        unit: Any = None,
        frame: str | None = None,
    ) -> bytes | None:
        """Write an image.

        Parameters
        ----------
        ndimage : SpatialArray or array_like
            The image; a bare array gets the geometry of the other arguments.
        spacing, origin, direction, dims, unit, frame : optional
            Geometry of a bare array, as for `SpatialArray`.

        Returns
        -------
        bytes or None
            The content of the file, if the request is for bytes.
        """
        image = ndimage
        if not isinstance(image, SpatialArray):
            image = SpatialArray(
                np.asarray(ndimage), spacing=spacing, origin=origin, direction=direction,
                dims=dims, unit=unit, frame=frame,
            )  # fmt: skip
        write(self._request.get_local_filename(), image, overwrite=True)
        return self._request.get_result()  # type: ignore[no-any-return]

    def properties(self, index: Any = None) -> Any:
        """Return shape, type and spacing, without reading voxels.

        Parameters
        ----------
        index : int or Ellipsis, optional
            Along the first axis.
        """
        part = self._part(index)
        return ImageProperties(
            shape=tuple(part.shape), dtype=np.dtype(part.dtype),
            is_batch=False,
            spacing=tuple(part.spacing.tolist()),
        )  # fmt: skip

    def metadata(self, index: Any = None, exclude_applied: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the geometry under the names of the duck interface, and the image's attrs.

        Parameters
        ----------
        index : int or Ellipsis, optional
            Along the first axis.
        exclude_applied : bool, optional
            Ignored: no metadata were applied to the voxels.
        """
        part = self._part(index)
        return {
            "dims": part.dims, "spacing": part.spacing, "origin": part.origin,
            "direction": part.direction, "world": part.world.axes, "unit": part.unit,
            "frame": part.frame, **part.attrs,
        }  # fmt: skip
