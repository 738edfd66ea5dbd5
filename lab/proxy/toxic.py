"""A toxic as the API knows it: a behaviour with a name, a direction and a toxicity."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from lab.proxy import go_json
from lab.proxy.errors import invalid_stream, invalid_toxic_type
from lab.proxy.toxics import REGISTRY, Behaviour, Noop


class Direction(Enum):
    """Upstream is from the client to the server, downstream the way back."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


@dataclass(eq=False)
class Toxic:
    """One entry of a proxy's chain; the same object acts on all of its connections."""

    name: str
    kind: str
    stream: str
    direction: Direction
    toxicity: float
    behaviour: Behaviour

    @classmethod
    def declared(cls, body: Any) -> "Toxic":
        """The toxic that a parsed request body asks for, its attributes yet to be set.

        Raises ProxyError 400 for a wrong field, stream or type. The defaults are those of
        AddToxicJson in toxic_collection.go.
        """
        fields = {"name": "", "type": "", "stream": "downstream", "toxicity": 1}
        fields.update(_decode_wrapper(body, _DECLARATION, "ToxicWrapper"))
        try:
            direction = Direction(fields["stream"].lower())
        except ValueError:
            raise invalid_stream() from None
        if fields["type"] not in REGISTRY:
            raise invalid_toxic_type()
        return cls(
            name=fields["name"] or f"{fields['type']}_{fields['stream']}",
            kind=fields["type"],
            stream=fields["stream"],
            direction=direction,
            toxicity=fields["toxicity"],
            behaviour=REGISTRY[fields["type"]](),
        )

    def set_attributes(self, body: Any) -> None:
        """Sets the attributes that ``body`` has; ProxyError 400 where one does not fit."""
        for name, value in self.behaviour.decode(_attributes(body)):
            setattr(self.behaviour, name, value)

    def update(self, body: Any) -> None:
        """Sets attributes and toxicity from ``body``; nothing else of a toxic can change."""
        self.set_attributes(body)
        fields = dict(_decode_wrapper(body, {"toxicity": go_json.FLOAT32}, ""))
        self.toxicity = fields.get("toxicity", self.toxicity)

    def as_json(self) -> dict:
        return {
            "attributes": asdict(self.behaviour),
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }


def pass_through(direction: Direction) -> Toxic:
    """The hidden head of every link: it takes what comes while the chain is changed."""
    return Toxic("", Noop.kind, direction.value, direction, 1, Noop())


def _decode_wrapper(
    body: Any, fields: dict[str, go_json.GoType], within: str
) -> Iterator[tuple[str, Any]]:
    target = "Go value of type toxics.ToxicWrapper"
    return go_json.decode(body, fields, within=within, target=target)


def _attributes(body: Any) -> Any:
    """The attributes of a body, by their name in any case."""
    items = body.items() if isinstance(body, dict) else ()
    return next((value for key, value in items if key.lower() == "attributes"), None)


_DECLARATION = {
    "name": go_json.STRING,
    "type": go_json.STRING,
    "stream": go_json.STRING,
    "toxicity": go_json.FLOAT32,
    "attributes": go_json.struct_type("toxics.NoopToxic"),  # while the type is unknown
}
