"""Grades a run from measured facts: the ledger and Prometheus."""
