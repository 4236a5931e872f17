"""Registration: `register` finds the transform that brings one image onto another.

`register` checks its arguments, reads coarse levels of both images into memory (``_levels``), finds
an initial transform (``_initial_transforms``), and checks the result (``_similarity_check``,
``_trust``); an `Engine` optimises. README.md in this folder has the recipe for one more engine.
`register_landmarks` fits corresponding points, without images.
"""

from __future__ import annotations

from spatial_duck.registration._api import METRICS, MODELS, register
from spatial_duck.registration._engine import Engine
from spatial_duck.registration._landmarks import (
    LANDMARK_MODELS,
    LandmarkFit,
    register_landmarks,
)
from spatial_duck.registration._outcome import (
    Level,
    LevelLog,
    Outcome,
    Registration,
    RegistrationJob,
)
from spatial_duck.registration._registry import engine_names, named_engine

__all__ = [
    "LANDMARK_MODELS",
    "METRICS",
    "MODELS",
    "Engine",
    "LandmarkFit",
    "Level",
    "LevelLog",
    "Outcome",
    "Registration",
    "RegistrationJob",
    "engine_names",
    "named_engine",
    "register",
    "register_landmarks",
]
