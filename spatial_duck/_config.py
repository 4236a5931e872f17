"""Settings that hold for a block of code: tolerance, what a lost geometry does, limits of memory.

They live in a context variable, so that threads and async tasks do not disturb each other.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, NamedTuple

from spatial_duck.errors import GeometryLossError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DEFAULTS", "Settings", "config", "current", "note_loss"]


class Settings(NamedTuple):
    """The settings in force.

    Attributes
    ----------
    tolerance : float
        Largest displacement, in voxels, at which two grids count as the same.
    on_loss : {"keep", "warn", "raise"}
        What happens when a function cannot keep an axis's positions: the geometry keeps the
        function's name and nothing more; a warning is given as well; or `GeometryLossError`.
    max_read_bytes : float
        Most bytes that ``np.asarray`` of an array on disk reads; above it, it refuses and says
        how to go on.
    max_kept_bytes : float
        Most bytes of decoded chunks of an array on disk that one computation of a resampled image
        keeps for the blocks to come, in each process; what it had to drop is read again. A
        worker of Dask with a memory limit keeps a quarter of that at most.
    max_wait_seconds : float
        Longest that a write of parts of chunks waits for others that write to the same local
        Zarr array; then it is refused, before it has written anything.
    max_idle_seconds : float
        Longest that `spatial_duck.write` waits for a Dask client that has no workers; then it stops
        with an error, and can be resumed.
    """

    tolerance: float = 1e-3
    on_loss: Literal["keep", "warn", "raise"] = "keep"
    max_read_bytes: float = 4 * 2**30
    max_kept_bytes: float = 160e6
    max_wait_seconds: float = 10.0
    max_idle_seconds: float = 300.0


DEFAULTS = Settings()
_settings: ContextVar[Settings] = ContextVar("spatial_duck_settings", default=DEFAULTS)
current = _settings.get


@contextmanager
def config(
    *,
    tolerance: float | None = None,
    on_loss: Literal["keep", "warn", "raise"] | None = None,
    max_read_bytes: float | None = None,
    max_kept_bytes: float | None = None,
    max_wait_seconds: float | None = None,
    max_idle_seconds: float | None = None,
) -> Iterator[Settings]:
    """Change settings inside a ``with`` block.

    Parameters
    ----------
    tolerance : float, optional
        Largest displacement, in voxels, at which two grids count as the same.
    on_loss : {"keep", "warn", "raise"}, optional
        What happens when a function cannot keep the positions along an axis.
    max_read_bytes : float, optional
        Most bytes that ``np.asarray`` of an array on disk reads; ``math.inf`` for no limit.
    max_kept_bytes : float, optional
        Most bytes of decoded chunks that are kept while a resampled image is computed from an
        array on disk, beside the blocks in flight. What holds is what held when it was resampled.
    max_wait_seconds : float, optional
        Longest that a write of parts of chunks waits for others that write to the same local
        Zarr array; 0 refuses it at once, ``math.inf`` waits as long as it takes.
    max_idle_seconds : float, optional
        Longest that `spatial_duck.write` waits for a Dask client that has no workers.

    Yields
    ------
    Settings
        Those in force inside the block.

    Raises
    ------
    ValueError
        If a number is not positive or `on_loss` is not one of its words.

    Examples
    --------
    >>> import numpy as np, spatial_duck as sd
    >>> image = sd.SpatialArray(np.zeros((4, 6)), spacing=(2.0, 0.5))
    >>> with sd.config(on_loss="raise"):
    ...     image.ravel()
    Traceback (most recent call last):
    spatial_duck.errors.GeometryLossError: 'ravel' cannot keep the positions along axis 0 ('y')...
    """
    now = current()
    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise ValueError(f"tolerance must be a positive number of voxels, got {tolerance!r}")
    if on_loss is not None and on_loss not in ("keep", "warn", "raise"):
        raise ValueError(f"on_loss must be 'keep', 'warn' or 'raise', got {on_loss!r}")
    if max_read_bytes is not None and not max_read_bytes > 0:
        raise ValueError(f"max_read_bytes must be a positive number, got {max_read_bytes!r}")
    if max_kept_bytes is not None and not max_kept_bytes >= 0:
        raise ValueError(f"max_kept_bytes must be 0 or more, got {max_kept_bytes!r}")
    if max_wait_seconds is not None and not max_wait_seconds >= 0:
        raise ValueError(f"max_wait_seconds must be 0 or more, got {max_wait_seconds!r}")
    if max_idle_seconds is not None and not max_idle_seconds >= 0:
        raise ValueError(f"max_idle_seconds must be 0 or more, got {max_idle_seconds!r}")
    token = _settings.set(
        Settings(
            now.tolerance if tolerance is None else float(tolerance),
            now.on_loss if on_loss is None else on_loss,
            now.max_read_bytes if max_read_bytes is None else max_read_bytes,
            now.max_kept_bytes if max_kept_bytes is None else max_kept_bytes,
            now.max_wait_seconds if max_wait_seconds is None else max_wait_seconds,
            now.max_idle_seconds if max_idle_seconds is None else max_idle_seconds,
        )
    )
    try:
        yield current()
    finally:
        _settings.reset(token)


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
