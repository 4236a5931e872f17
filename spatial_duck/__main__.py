"""``python -m spatial_duck`` is ``spatial-duck``."""

from __future__ import annotations

from spatial_duck.cli import script

if __name__ == "__main__":
    script()
