"""Measures our services against their peers: `python -m benchmarks`."""
