"""PyTorch, JAX, sparse, array_api_strict: any array that follows the array API standard."""
