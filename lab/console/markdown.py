"""Markdown as HTML, without raw HTML. Headings have the anchors that GitHub gives them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token
from markupsafe import Markup
from mdit_py_plugins.anchors import anchors_plugin

_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").use(anchors_plugin, max_level=6)
# What is wider than its page scrolls by itself, with the keyboard, too.
_PARSER.renderer.rules |= {
    "fence": lambda tokens, index, *_: f'<pre tabindex="0"><code>{escapeHtml(tokens[index].content)}</code></pre>\n',
    "table_open": lambda *_: '<div class="wide" tabindex="0"><table>\n',
    "table_close": lambda *_: "</table></div>\n",
}


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it until the next one, as plain text."""

    level: int
    title: str
    anchor: str
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@dataclass(frozen=True)
class Document:
    html: Markup
    sections: list[Section]

    @property
    def title(self) -> str:
        return self.sections[0].title if self.sections else ""


def is_outside(href: str) -> bool:
    """Whether a link leads to another site."""
    parts = urlsplit(href)
    return bool(parts.scheme or parts.netloc)


def keep_outside(href: str) -> str | None:
    """For texts without a place of their own, where a relative link leads nowhere."""
    return href if is_outside(href) else None


def render(text: str) -> Markup:
    return parse(text).html


def parse(text: str, resolve: Callable[[str], str | None] = keep_outside) -> Document:
    """`resolve` says where each link and picture leads from the page; where it says None, only the words stay."""
    tokens = _PARSER.parse(text)
    for token in tokens:
        if token.children:
            token.children = list(_resolved(token.children, resolve))
    return Document(Markup(_PARSER.renderer.render(tokens, _PARSER.options, {})), _sections(tokens))


def _resolved(tokens: list[Token], resolve: Callable[[str], str | None]) -> Iterator[Token]:
    leads_somewhere = True
    for token in tokens:
        if token.type == "image":
            if target := resolve(token.attrGet("src")):
                token.attrSet("src", target)
                yield token
            else:
                yield from token.children
        elif token.type == "link_open":
            target = resolve(token.attrGet("href"))
            leads_somewhere = target is not None
            if leads_somewhere:
                token.attrSet("href", target)
                if is_outside(target):
                    token.attrSet("rel", "noreferrer noopener")
                yield token
        elif token.type != "link_close" or leads_somewhere:
            yield token


def _sections(tokens: list[Token]) -> list[Section]:
    sections = []
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            sections.append(Section(int(before.tag[1]), _plain(token), before.attrGet("id")))
        elif sections and token.type in {"inline", "fence", "code_block"}:
            sections[-1].texts.append(_plain(token))
    return sections


def _plain(token: Token) -> str:
    if token.children is None:
        return token.content
    return "".join(child.content or (" " if child.type.endswith("break") else "") for child in token.children)
