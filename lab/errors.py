"""The one error that people are meant to read."""


class LabError(Exception):
    """Something a person can act on: the message says what is wrong and what to do."""
