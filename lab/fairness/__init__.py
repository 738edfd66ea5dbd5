"""Proves that scenarios are fair: plays each one as good, lazy and lucky candidates would, and judges what they got."""
