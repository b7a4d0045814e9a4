"""docs/asyncapi.yaml: the live channel as AsyncAPI 3.0, made of the message classes.

As AsyncAPI has it, the document tells what the application does, which is the server: it *receives*
a subscribe and *sends* positions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from processor import __version__
from processor.core.live.messages import CLIENT_SAYS, CLOSE_CODES, SERVER_SAYS

EVENT = "event:6f9619ff-8b86-d011-b42d-00cf4fc964ff"
DEVICE = "356307042441013"
FIX: Mapping[str, Any] = {
    "deviceId": DEVICE,
    "lat": 41.3275,
    "lon": 19.8187,
    "ts": 1780819951482,
    "speed": 63.0,
    "course": 118.0,
}

EXAMPLES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "Subscribe": [
        {"type": "subscribe", "topic": EVENT, "id": "1"},
        {"type": "subscribe", "topic": EVENT, "frames": "batch", "history": 200},
    ],
    "Unsubscribe": [{"type": "unsubscribe", "topic": EVENT, "id": "2"}],
    "Subscribed": [
        {
            "type": "subscribed",
            "topic": EVENT,
            "snapshot": [FIX],
            "serverTime": 1780819951800,
            "id": "1",
        }
    ],
    "PositionFrame": [{"type": "position", "topic": EVENT, **FIX}],
    "PositionsFrame": [{"type": "positions", "topic": EVENT, "positions": [FIX]}],
    "Unsubscribed": [{"type": "unsubscribed", "topic": EVENT, "id": "2"}],
    "ErrorMessage": [
        {
            "type": "error",
            "code": "forbidden",
            "message": "you may not read this event",
            "topic": EVENT,
            "id": "1",
        }
    ],
}

HANDSHAKE = {
    101: "welcome",
    401: "no session, or one that has ended: log in first",
    403: "the Origin is not allowed here",
    429: "too many connections of one user: close one first",
    503: "not ready, full, or Directus cannot be asked: try again after Retry-After",
}


def document() -> dict[str, Any]:
    """The whole document, as plain data."""
    _, schemas = msgspec.json.schema_components(
        (*CLIENT_SAYS, *SERVER_SAYS), ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "processor: the live channel",
            "version": __version__,
            "description": "Positions of cars and riders, live. docs/LIVE.md tells it in words.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "localhost:8081",
                "protocol": "ws",
                "security": [{"$ref": "#/components/securitySchemes/session"}],
            }
        },
        "channels": {
            "live": {
                "address": "/ws-live",
                "messages": {
                    kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}
                    for kind in (*CLIENT_SAYS, *SERVER_SAYS)
                },
                "bindings": {"ws": {"method": "GET", "headers": _headers()}},
            }
        },
        "operations": _operations(),
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in (*CLIENT_SAYS, *SERVER_SAYS)},
            "schemas": schemas,
            "securitySchemes": {
                "session": {
                    "type": "httpApiKey",
                    "name": "directus_session_token",
                    "in": "cookie",
                    "description": "a session of Directus, from POST /auth/login with mode session",
                }
            },
        },
        "x-handshake": {str(status): meaning for status, meaning in HANDSHAKE.items()},
        "x-close-codes": {str(code): meaning for code, meaning in CLOSE_CODES.items()},
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "Origin": {"type": "string", "description": "one of LIVE_WS_ALLOWED_ORIGINS, exactly"},
            "Cookie": {"type": "string", "description": "as Directus has set it"},
        },
    }


def _operations() -> dict[str, Any]:
    def told(*names: str) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/live/messages/{name}"} for name in names]

    channel = {"$ref": "#/channels/live"}
    asked = {
        "subscribe": ("Subscribe", ("Subscribed", "ErrorMessage")),
        "unsubscribe": ("Unsubscribe", ("Unsubscribed", "ErrorMessage")),
    }
    sent = {"position": "PositionFrame", "positions": "PositionsFrame", "error": "ErrorMessage"}
    receives = {
        name: {
            "action": "receive",
            "channel": channel,
            "messages": told(message),
            "reply": {"channel": channel, "messages": told(*replies)},
        }
        for name, (message, replies) in asked.items()
    }
    sends = {
        name: {"action": "send", "channel": channel, "messages": told(message)}
        for name, message in sent.items()
    }
    return receives | sends


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": kind.__struct_config__.tag,
        "summary": " ".join((kind.__doc__ or "").split()),
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "examples": [{"payload": example} for example in EXAMPLES[kind.__name__]],
    }


def as_yaml() -> str:
    """The document as it stands in the file. Needs PyYAML, which only developers have."""
    head = "# Written by `processor reference` from core/live/messages.py.\n"
    return head + msgspec.yaml.encode(document()).decode()
