"""Progress of a Dask computation on this machine, for those who look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spatial_duck._progress import is_watched, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["with_progress"]


def with_progress(compute: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Call ``compute(**options)``, and show how many tasks are done where somebody looks.

    Callbacks go with the call: nothing of Dask's own is changed. Where the user has callbacks (such
    as Dask's ``ProgressBar``) or a distributed client, whose dashboard tells, these are left alone.
    """
    import dask.base
    from dask.callbacks import Callback

    scheduler = options.get("scheduler") or dask.base.get_scheduler()
    bound = getattr(scheduler, "__self__", None)
    if not is_watched() or bound is not None or Callback.active or "callbacks" in options:
        return compute(**options)
    if isinstance(scheduler, str) and scheduler not in _LOCAL:
        return compute(**options)
    with progress_bar("computing", unit="tasks") as report:

        def after(*found: Any) -> None:
            state = found[3]  # after the task's key, its result and the graph
            done = len(state["finished"])
            waiting = sum(len(state[name]) for name in ("ready", "waiting", "running"))
            report(done, done + waiting)

        return compute(**options, callbacks=[(None, None, None, after, None)])


_LOCAL = ("threads", "threading", "sync", "synchronous", "single-threaded", "processes")
