"""PyTorch, JAX, sparse, array_api_strict: any array that follows the array API standard."""

from __future__ import annotations

from spatial_duck._optional import require

require("array_api_compat", "Work on array-API arrays")
