"""Markdown as HTML: the repository's own texts, without raw HTML."""

from markdown_it import MarkdownIt

_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")


def render(text: str) -> str:
    return _PARSER.render(text)
