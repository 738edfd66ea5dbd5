"""Loads a scenario, runs it through Chaos Toolkit, and keeps the run's record."""
