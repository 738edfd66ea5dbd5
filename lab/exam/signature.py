"""Signs a report so that a change shows, and which part was changed.

The signature covers a digest of each section, in canonical JSON (sorted keys, no spaces).
https://cryptography.io/en/latest/hazmat/primitives/asymmetric/ed25519/
"""

import hashlib
import json

from lab.exam.key import Key, PublicKey

FIELD = "signature"


def signed(content: dict, page: str, key: Key) -> dict:
    """The content with a signature over it, and over the page that shows it."""
    sections = _digests(content) | {"report.html": _digest(page)}
    return content | {FIELD: {
        "algorithm": "Ed25519", "public_key": key.public.text,
        "sections": sections, "value": key.sign(_canonical(sections))}}


def problems(content: dict, page: str | None, public: PublicKey) -> list[str]:
    """What is not as it was signed; nothing where all is. `page` is None where only the JSON is at hand."""
    match content.get(FIELD):
        case {"sections": dict() as sections, "value": str() as value}:
            if not public.has_signed(value, _canonical(sections)):
                return ["the signature is not of this key, or was edited"]
        case _:
            return ["there is no signature"]
    present = _digests(content)
    if page is not None:
        present["report.html"] = _digest(page)
    return [f"{name} was {_change(name, sections, present)}" for name in sorted(sections.keys() | present.keys())
            if sections.get(name) != present.get(name) and not (name == "report.html" and page is None)]


def _change(name: str, before: dict, after: dict) -> str:
    if name not in before:
        return "added"
    return "changed" if name in after else "removed"


def _digests(content: dict) -> dict[str, str]:
    return {name: _digest(_canonical(section)) for name, section in content.items() if name != FIELD}


def _digest(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def _canonical(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
