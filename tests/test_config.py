"""Settings hold inside their block, in their thread and task, and nowhere else."""

from __future__ import annotations

import inspect
import threading

import pytest

from spatial_duck._config import _CHECKS, Settings, config, current, note_loss
from spatial_duck.errors import GeometryLossError
from spatial_duck.geometry import Geometry


def test_settings_nest_and_come_back():
    assert current() == Settings(1e-3, "keep")
    with config(tolerance=0.5) as outer:
        assert outer == current() == Settings(0.5, "keep")
        with config(on_loss="warn"):
            assert current() == Settings(0.5, "warn")
        assert current() == outer
    assert current() == Settings()


def test_settings_come_back_after_an_error():
    with pytest.raises(KeyError), config(tolerance=0.5):
        raise KeyError
    assert current() == Settings()


def test_other_threads_do_not_see_them():
    seen = []
    with config(tolerance=0.5):
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join()
    assert seen == [Settings()]


@pytest.mark.parametrize("tolerance", [0, -1, float("nan"), float("inf")])
def test_bad_tolerance(tolerance):
    with pytest.raises(ValueError, match="positive"), config(tolerance=tolerance):
        pass
    assert current() == Settings()


def test_every_setting_is_checked_and_shown():
    assert [*inspect.signature(config).parameters] == [*Settings._fields] == [*_CHECKS]
    for name in Settings._fields:
        assert f"\n{name} : " in inspect.getdoc(config)
        with pytest.raises(ValueError, match=f"{name} must be"), config(**{name: "much"}):
            pass
    with pytest.raises(TypeError, match="no setting tolerence=; it has tolerance, "):
        config(tolerence=1).__enter__()


def test_bad_word():
    with pytest.raises(ValueError, match="'keep', 'warn' or 'raise'"), config(on_loss="ignore"):
        pass


@pytest.mark.parametrize(
    "name", ["max_read_bytes", "max_kept_bytes", "max_wait_seconds", "max_idle_seconds"]
)
@pytest.mark.parametrize("limit", [-1, float("nan")])
def test_bad_limits(name, limit):
    with pytest.raises(ValueError, match=name), config(**{name: limit}):
        pass
    assert current() == Settings()


def test_tolerance_decides_what_is_the_same_grid():
    a, b = Geometry((4, 5), (2, 1)), Geometry((4, 5), (2, 1), (0.1, 0))
    assert not a.isclose(b)
    with config(tolerance=0.2):
        assert a.isclose(b)
    assert a.isclose(b, tolerance=0.2)


def test_a_loss_does_what_the_settings_say():
    note_loss("sort", 0, "z")
    with config(on_loss="warn"), pytest.warns(UserWarning, match="'sort'.*axis 0 \\('z'\\)"):
        note_loss("sort", 0, "z")
    with config(on_loss="raise"), pytest.raises(GeometryLossError, match="'sort'"):
        note_loss("sort", 0, "z")
