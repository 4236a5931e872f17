"""The engines that there are: this package's, and those of others by entry point.

An engine's module is imported when the engine is asked for; what it needs, when it runs.
"""

from __future__ import annotations

from spatial_duck._lazy import load
from spatial_duck._plugins import plugins
from spatial_duck.registration._engine import Engine

__all__ = ["engine_names", "engines_for", "named_engine"]

_MODULES = {
    "simpleitk": "spatial_duck.registration._simpleitk_engine",
    "ants": "spatial_duck.registration._ants_engine",
}
_GROUP = "spatial_duck.registration"


def _own(name: str) -> Engine:
    found: Engine = load(_MODULES[name]).ENGINE
    return found


def _others() -> dict[str, Engine]:
    """Return the engines of other packages by their names."""
    found = plugins(_GROUP, Engine, "engine", _MODULES)
    return {engine.name: engine for engine in found}


def engine_names() -> tuple[str, ...]:
    """Return the names of all engines, those of other packages included.

    Examples
    --------
    >>> engine_names()[:2]
    ('simpleitk', 'ants')
    """
    return (*_MODULES, *_others())


def named_engine(engine: str | Engine) -> Engine:
    """Return an engine by its name; one that is given is the one.

    Raises
    ------
    ValueError
        If there is none of the name.
    """
    if isinstance(engine, Engine):
        return engine
    if isinstance(engine, str) and engine in _MODULES:
        return _own(engine)
    if engine not in (names := engine_names()):
        raise ValueError(
            f"engine must be one of {', '.join(names)}, or an object of a class derived from "
            f"spatial_duck.registration.Engine, got {engine!r}"
        )
    return _others()[engine]


def engines_for(model: str, metric: str) -> list[str]:
    """Return the names of the engines that search for a model by a metric."""
    every = [named_engine(name) for name in engine_names()]
    return [e.name for e in every if model in e.models and metric in e.metrics]
