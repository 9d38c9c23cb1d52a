"""From a kind and its filled arguments to what sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weft.notes.errors import NoteError
from weft.ports import Notifier


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a sink works. root: what relative paths are relative to. environment: of programs. say: prints whole lines."""

    root: str
    environment: Mapping[str, str]
    say: Callable[[str], None]


def open_sink(kind: str, arguments: Mapping[str, Any], around: Surroundings) -> Notifier:
    """The sink; adapters are imported when they are used. Raises NoteError for arguments that cannot be."""
    match kind:
        case "file":
            from weft.notes.file import FileNote

            return FileNote(
                arguments["path"], root=around.root, overwrites=arguments["overwrites"], format=arguments["format"]
            )
        case "echo":
            from weft.notes.echo import EchoNote

            return EchoNote(say=around.say, max_len=arguments["max_len"], max_lines=arguments["max_lines"])
        case "email":
            return _email(arguments)
        case "telegram":
            from weft.notes.telegram import TelegramNote

            return TelegramNote(arguments["token"], arguments["chat_id"], arguments["api"])
        case "webhook":
            from weft.notes.webhook import WebhookNote

            return WebhookNote(arguments["url"])
        case "command":
            from weft.notes.command import CommandNote

            return CommandNote(arguments["command"], folder=around.root, environment=around.environment)
        case "apprise":
            from weft.notes.apprise import AppriseNote

            return AppriseNote(_texts(arguments["url"]), arguments["title"])
        case _:
            raise NoteError(f"there is no kind of note {kind!r}")


def _email(arguments: Mapping[str, Any]) -> Notifier:
    from weft.notes.email import EmailNote

    port = arguments["port"]
    try:
        number = int(port)
    except ValueError as error:
        raise NoteError(f"port must be an integer, not {port!r}") from error
    return EmailNote(
        _texts(arguments["to"]),
        host=arguments["host"],
        port=number,
        subject=arguments["subject"],
        sender=arguments["from"],
        user=arguments["user"],
        password=arguments["password"],
    )


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
