"""Erlang terms, for the broker's configuration and for what its tools evaluate."""


def binary(text: str) -> str:
    """Text as a binary. https://www.erlang.org/doc/system/data_types.html#escape-sequences"""
    return '<<"%s"/utf8>>' % text.replace("\\", "\\\\").replace('"', '\\"')
