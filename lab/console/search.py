"""Search in sections: each word must be there, and what has them in its heading comes first."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from lab.console.markdown import Section

MAX_QUERY = 100  # characters; the rest is not looked at
_BEFORE, _LENGTH = 60, 260  # characters: of a snippet before its first word, and in all


@dataclass(frozen=True)
class Place:
    """A section, the title of its document, and where to read it."""

    document: str
    url: str
    section: Section


@dataclass(frozen=True)
class Hit:
    """`title` and `snippet` are the section's, with the words that were looked for marked."""

    place: Place
    title: Markup
    snippet: Markup


def find(query: str, places: Iterable[Place]) -> list[Hit]:
    """All hits, the best first: by the words in the heading, then by how often the words come in the text."""
    words = [re.escape(word) for word in dict.fromkeys(query[:MAX_QUERY].split())]
    if not words:
        return []
    any_word = re.compile(f"({'|'.join(words)})", re.IGNORECASE)
    places = [place for place in places if all(_has(word, place.section) for word in words)]
    places.sort(key=lambda place: (sum(_is_in(word, place.section.title) for word in words),
                                   len(any_word.findall(place.section.text))), reverse=True)
    return [Hit(place, _marked(place.section.title, any_word), _snippet(place.section.text, any_word)) for place in places]


def _is_in(word: str, text: str) -> bool:
    return re.search(word, text, re.IGNORECASE) is not None


def _has(word: str, section: Section) -> bool:
    return _is_in(word, section.title) or _is_in(word, section.text)


def _snippet(text: str, words: re.Pattern) -> Markup:
    first = words.search(text)
    start = max(0, first.start() - _BEFORE) if first else 0
    if start:
        start = text.find(" ", start, first.start()) + 1 or start
    shown = text[start:start + _LENGTH]
    return ("… " if start else "") + _marked(shown, words) + (" …" if start + _LENGTH < len(text) else "")


def _marked(text: str, words: re.Pattern) -> Markup:
    # Every second part is one of the words.
    parts = words.split(text)
    return Markup("").join(Markup("<mark>{}</mark>").format(part) if index % 2 else escape(part)
                           for index, part in enumerate(parts))
