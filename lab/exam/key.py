"""The interviewer's key: one secret, from which the keys that seal, sign and draw are derived.

https://cryptography.io/en/latest/hazmat/primitives/key-derivation-functions/#hkdf
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lab.errors import LabError

SIZE = 32


class PublicKey:
    """Verifies what the key signed; may be handed to anybody. `text` is its one line."""

    def __init__(self, text: str):
        """Raises LabError for a text that is no public key."""
        try:
            self._key = Ed25519PublicKey.from_public_bytes(_decoded(text))
        except ValueError:
            raise LabError(f"{text!r} is no public key: `lab exam public-key` prints one") from None
        self.text = text

    def has_signed(self, signature: str, data: bytes) -> bool:
        try:
            self._key.verify(_decoded(signature), data)
        except (InvalidSignature, ValueError):
            return False
        return True


class Key:
    """The secret in memory: its file may be gone."""

    def __init__(self, secret: bytes):
        self._draw = _derived(secret, b"draw")
        self._seal = Fernet(base64.urlsafe_b64encode(_derived(secret, b"seal")))
        self._sign = Ed25519PrivateKey.from_private_bytes(_derived(secret, b"sign"))
        self.public = PublicKey(_encoded(self._sign.public_key().public_bytes_raw()))

    @classmethod
    def create(cls, path: Path) -> "Key":
        """A new one, in a new file that only its owner may read. Raises LabError."""
        secret = secrets.token_bytes(SIZE)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(_encoded(secret) + "\n")
        except FileExistsError:
            raise LabError(f"{path} is there already, and is not replaced: exams may be sealed with it") from None
        except OSError as error:
            raise LabError(f"{path} cannot be written: {error.strerror}") from None
        return cls(secret)

    @classmethod
    def read(cls, path: Path) -> "Key":
        """Raises LabError where the file holds no key."""
        try:
            return cls.from_text(path.read_text(errors="replace", encoding="utf-8"))
        except OSError as error:
            raise LabError(f"the key {path} cannot be read: {error.strerror}; `lab exam key FILE` makes one") from None
        except LabError as error:
            raise LabError(f"{path} cannot be read: {error}") from None

    @classmethod
    def from_text(cls, text: str) -> "Key":
        """From the one line that is a key's file. Raises LabError where that is no key."""
        try:
            secret = _decoded(text.strip())
        except ValueError:
            secret = b""
        if len(secret) != SIZE:
            raise LabError("this holds no key: `lab exam key FILE` makes one")
        return cls(secret)

    def seal(self, text: str) -> str:
        """Encrypted and authenticated; only this key opens it again."""
        return self._seal.encrypt(text.encode()).decode()

    def unseal(self, token: str) -> str:
        """Raises LabError for what this key did not seal."""
        try:
            return self._seal.decrypt(token).decode()
        except InvalidToken:
            raise LabError("the exam that is on was sealed with another key, or its record was edited: "
                           "name its own key, or end it (lab reset)") from None

    def sign(self, data: bytes) -> str:
        return _encoded(self._sign.sign(data))

    def number_for(self, text: str) -> int:
        """A large number that the text determines, and that nobody can tell without the key."""
        return int.from_bytes(hmac.digest(self._draw, text.encode(), hashlib.sha256))


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), SIZE, salt=None, info=b"sre-lab exam: " + purpose).derive(secret)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Raises ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
