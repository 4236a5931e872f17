"""Registration: `register` finds the transform that brings one image onto another.

``front`` checks what the user gives, brings a coarse level of both images into memory (`levels`),
finds where to start (`starts`), and judges the answer (`judge`); an engine optimises. To add an
engine, write a module with ``run(job) -> Outcome`` (`spatial_duck.registration._outcome`), and with
``ready()``, which raises before anything is read where the engine's package is missing; and add its
row to `ENGINES`.
"""

from __future__ import annotations

from spatial_duck.registration._api import ENGINES, METRICS, MODELS, register
from spatial_duck.registration._outcome import LevelLog, Registration

__all__ = ["ENGINES", "METRICS", "MODELS", "LevelLog", "Registration", "register"]
