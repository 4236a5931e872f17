"""``python -m spatial_duck.cli`` is ``spatial-duck``."""

from __future__ import annotations

import sys

from spatial_duck.cli import main

if __name__ == "__main__":
    sys.exit(main())
