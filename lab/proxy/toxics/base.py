"""What every toxic is: attributes, and how chunks flow through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from lab.proxy import go_json

if TYPE_CHECKING:
    from lab.proxy.stub import Stub


class Interrupted(Exception):
    """The pipeline is about to change: leave now, and drop nothing."""


@dataclass
class Behaviour:
    """A kind of toxic. Its dataclass fields are its attributes, integers with default 0."""

    kind: ClassVar[str]
    go_name: ClassVar[str]
    attribute_type: ClassVar[go_json.GoType] = go_json.INT64
    buffer_chunks: ClassVar[int] = 0  # how many chunks may wait in front of it
    resets: ClassVar[bool] = False  # its connections end by TCP reset
    closes_when_removed: ClassVar[bool] = False

    def decode(self, attributes: Any) -> Iterator[tuple[str, int]]:
        """Name and value of what a JSON object sets; ProxyError 400 where it misfits."""
        return go_json.decode(
            attributes,
            {field.name: self.attribute_type for field in fields(self)},
            within=f"{self.go_name}.attributes",
            target=f"Go struct field .attributes of type toxics.{self.go_name}",
        )

    def new_state(self) -> Any:
        """What a connection has to remember for as long as the toxic is in its chain."""
        return None

    async def pipe(self, stub: Stub) -> None:
        """Moves chunks from the stub's source to its sink.

        To return is to end the stream. Interrupted has to leave the method, once the chunk
        in hand was sent.
        """
        raise NotImplementedError
