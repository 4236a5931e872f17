"""Settings that hold for a block of code: tolerance, what a lost geometry does, limits of memory.

They live in a context variable, so that threads and async tasks do not disturb each other.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

from spatial_duck.errors import GeometryLossError

__all__ = ["Settings", "config", "current", "note_bare", "note_loss"]


class Settings(NamedTuple):
    """The settings in force; `config` says what each does."""

    tolerance: float = 1e-3
    on_loss: Literal["keep", "warn", "raise"] = "keep"
    on_bare: Literal["keep", "warn", "raise"] = "keep"
    max_read_bytes: float = 4 * 2**30
    max_kept_bytes: float = 160e6
    max_wait_seconds: float = 10.0
    max_idle_seconds: float = 300.0
    progress: bool = True


#: What each setting must be: a test, and its words.
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "tolerance": (lambda x: 0 < x < math.inf, "a positive number of voxels"),
    "on_loss": (lambda x: x in ("keep", "warn", "raise"), "'keep', 'warn' or 'raise'"),
    "on_bare": (lambda x: x in ("keep", "warn", "raise"), "'keep', 'warn' or 'raise'"),
    "max_read_bytes": (lambda x: x > 0, "a positive number, math.inf for no limit"),
    "max_kept_bytes": (lambda x: x >= 0, "0 or more"),
    "max_wait_seconds": (lambda x: x >= 0, "0 or more, math.inf to wait as long as it takes"),
    "max_idle_seconds": (lambda x: x >= 0, "0 or more"),
    "progress": (lambda x: isinstance(x, bool), "True or False"),
}
_DEFAULTS = Settings()
_settings: ContextVar[Settings] = ContextVar("spatial_duck_settings", default=_DEFAULTS)
current = _settings.get


@contextmanager
def config(**changes: Any) -> Iterator[Settings]:
    """Change settings inside a ``with`` block, for this thread and task alone.

    What is not given, or None, stays as it is.

    Parameters
    ----------
    tolerance : float, optional
        Largest displacement, in voxels, at which two grids count as the same.
    on_loss : {"keep", "warn", "raise"}, optional
        What happens when a function cannot keep an axis's positions: the geometry keeps the
        function's name and nothing more; a warning is given as well; or `GeometryLossError`.
    on_bare : {"keep", "warn", "raise"}, optional
        What happens when other code takes an image's bare array, by ``__array__``, ``__dlpack__``
        or the buffer protocol, and loses its geometry: nothing; a warning that names the
        library and the converter that keeps the geometry; or `GeometryLossError`.
    max_read_bytes : float, optional
        Most bytes that ``np.asarray`` of an array on disk reads; above it, it refuses and says
        how to go on.
    max_kept_bytes : float, optional
        Most bytes of decoded chunks of an array on disk that one computation of a resampled image
        keeps for the blocks to come, in each process; what it had to drop is read again. A
        worker of Dask with a memory limit keeps a quarter of that at most.
    max_wait_seconds : float, optional
        Longest that a write of parts of chunks waits for others that write to the same local
        Zarr array; then it is refused, before it has written anything.
    max_idle_seconds : float, optional
        Longest that `spatial_duck.write` waits for a Dask client that has no workers; then it stops
        with an error, and can be resumed.
    progress : bool, optional
        Whether terminals and notebooks show how far work is that takes longer than two seconds:
        writing, registering, computing lazy images.

    Yields
    ------
    Settings
        The settings inside the block.

    Raises
    ------
    TypeError
        If there is no setting of the name.
    ValueError
        If it cannot have the value.

    Examples
    --------
    >>> import numpy as np, spatial_duck as sd
    >>> image = sd.SpatialArray(np.zeros((4, 6)), spacing=(2.0, 0.5))
    >>> with sd.config(on_loss="raise"):
    ...     image.ravel()
    Traceback (most recent call last):
    spatial_duck.errors.GeometryLossError: 'ravel' cannot keep the positions along axis 0 ('y')...
    """
    for name, value in changes.items():
        if name not in _CHECKS:
            raise TypeError(f"config has no setting {name}=; it has {', '.join(_CHECKS)}")
        is_valid, wanted = _CHECKS[name]
        try:
            valid = value is None or is_valid(value)
        except TypeError:
            valid = False
        if not valid:
            raise ValueError(f"{name} must be {wanted}, got {value!r}")
    given = {name: value for name, value in changes.items() if value is not None}
    token = _settings.set(current()._replace(**given))
    try:
        yield current()
    finally:
        _settings.reset(token)


config.__signature__ = inspect.signature(Settings)  # type: ignore[attr-defined]  # for help


def note_loss(function: str, axis: int, name: str | None) -> None:
    """Do what the settings say when `function` loses the positions along an axis.

    Parameters
    ----------
    function : str
        Name of the function that loses them.
    axis : int
        The axis of its input.
    name : str or None
        The axis's name.
    """
    on_loss = current().on_loss
    if on_loss == "keep":
        return
    message = (
        f"{function!r} cannot keep the positions along axis {axis} ({name!r}): the axis becomes "
        "plain. Work on image.data where positions do not matter, or use config(on_loss='keep')"
    )
    if on_loss == "raise":
        raise GeometryLossError(message)
    warnings.warn(message, UserWarning, stacklevel=4)


#: Converters that keep the geometry, by the name of the library that takes the image.
_CONVERTERS = {
    "SimpleITK": "spatial_duck.to_simpleitk(image), or spatial_duck.sitk.<Filter>(image)",
    "ants": "spatial_duck.to_ants(image)",
    "itk": "spatial_duck.to_itk(image), spatial_duck.itk.<filter>(image), or hook_itk()",
    "matplotlib": "image.plot(), which draws in world units",
    "monai": "spatial_duck.to_monai(image)",
    "napari": "spatial_duck.to_napari(image)",
    "nibabel": "spatial_duck.to_nibabel(image)",
    "pyvista": "spatial_duck.to_pyvista(image)",
    "rasterio": "spatial_duck.to_rasterio(image)",
    "torch": "spatial_duck.to_monai(image), or image.to('torch')",
    "torchio": "spatial_duck.to_torchio(image)",
    "xarray": "spatial_duck.to_xarray(image)",
}


def note_bare(library: str | None) -> None:
    """Do what the settings say when other code takes an image's bare array.

    Parameters
    ----------
    library : str or None
        Top-level name of the module that takes it; None for this package, which may.
    """
    on_bare = current().on_bare
    if on_bare == "keep" or library is None:
        return
    message = (
        f"{library} takes the bare array of an image, and loses its geometry: use "
        + _CONVERTERS.get(library, "image.data where the geometry does not matter")
        + ", or config(on_bare='keep')"
    )
    if on_bare == "raise":
        raise GeometryLossError(message)
    warnings.warn(message, UserWarning, stacklevel=4)
