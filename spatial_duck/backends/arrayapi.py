"""PyTorch, JAX, sparse and any other array that follows the array API standard."""
from __future__ import annotations
