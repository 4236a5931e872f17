"""A write that is interrupted or fails at any point of publishing leaves one image whole."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.io import _publishing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

NAMES = ["a.nii", "a.nhdr", "a.mhd", "a.npy"]


def _image(seed: int) -> sd.SpatialArray:
    values = np.random.default_rng(seed).integers(1, 200, (2, 3, 4), dtype="u1")
    return sd.SpatialArray(values, spacing=(seed, 1, 1), origin=(5, 6, 7), unit="mm", frame="LPS")


def _seed(path: Path) -> int:
    """Return the seed of the image in a file, which must be whole."""
    back = sd.read(path, dims="zyx")
    seed = int(back.spacing[0])
    np.testing.assert_array_equal(back, _image(seed))
    return seed


@contextmanager
def _interrupt(number: int) -> Iterator[Callable[[], bool]]:
    """Raise KeyboardInterrupt before the nth line of publishing; yield whether it was reached."""
    left = number

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != _publishing.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: left <= 0
    finally:
        sys.settrace(before)


@contextmanager
def _fail(number: int) -> Iterator[Callable[[], bool]]:
    """Let the nth change of the file system fail."""
    left = number

    def failing(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.EIO, "no such luck")
            return change(*args, **kwargs)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        for name in ("link", "unlink", "replace", "rename", "mkdir"):
            patch.setattr(os, name, failing(getattr(os, name)))
        patch.setattr(shutil, "copy2", failing(shutil.copy2))
        patch.setattr(_publishing, "_renameat2", failing(_publishing._renameat2))
        yield lambda: left <= 0


@contextmanager
def _fail_by_links(number: int) -> Iterator[Callable[[], bool]]:
    """Let the nth change fail on a file system that cannot rename to a new name in one step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_publishing, "_renameat2", lambda *_: None)
        with _fail(number) as was_reached:
            yield was_reached


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, those of data files without what makes them unique."""
    return sorted("data" if p.suffix == ".raw" else p.name for p in folder.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open files
@pytest.mark.parametrize("fault", [_interrupt, _fail, _fail_by_links])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_fault_at_any_point(tmp_path, name, overwrite, fault):
    for folder, seed in (("old", 1), ("new", 2)):
        (tmp_path / folder).mkdir()
        sd.write(tmp_path / folder / name, _image(seed))
    wanted = _names(tmp_path / "new")
    new = _image(2)
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "old", folder) if overwrite else folder.mkdir()
        path = folder / name
        with fault(number) as was_reached, suppress(KeyboardInterrupt, OSError):
            sd.write(path, new, overwrite=overwrite)
        if path.exists():
            assert _seed(path) == 2 or overwrite
        else:
            assert not overwrite
            assert "data" not in _names(folder)
        sd.write(path, new, overwrite=True)
        assert _seed(path) == 2
        assert _names(folder) == wanted
        if not was_reached():
            break
    assert number > (50 if fault is _interrupt else 4)
