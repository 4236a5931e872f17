"""Benchmarks: each file is an asv suite, and prints a table with other libraries when run.

``python -m benchmarks.benchmark_wrapper`` from the top folder runs one of them; ``asv run`` runs
all. Libraries that are not installed are left out with a note.
"""
