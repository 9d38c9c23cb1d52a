"""Servers on loopback for what notes send: SMTP with TLS, and HTTP. Real sockets, standard library only."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

CERTIFICATES = Path(__file__).parent / "certificates"
TRUSTED = str(CERTIFICATES / "localhost.crt")
"""For SSL_CERT_FILE: who trusts it trusts these servers."""


@dataclass
class Mailbox:
    """What an SMTP server has taken. logins: user and password; was_encrypted: for each message."""

    messages: list[Message] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)
    port: int = 0


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "localhost.pem")
    return context


@contextmanager
def smtp_server(
    *, offers_tls: bool = True, refuses: str | None = None, password: str | None = None
) -> Iterator[Mailbox]:
    """refuses: answer to a recipient. password: the one that is right; None takes any."""
    box = Mailbox()

    class Handler(StreamRequestHandler):
        is_encrypted = False

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())
            self.wfile.flush()

        def handle(self) -> None:
            try:
                self.talk()
            except (OSError, ssl.SSLError):
                pass  # whoever does not trust us hangs up

        def talk(self) -> None:
            self.say("220 test ESMTP")
            while line := self.rfile.readline():
                words = line.decode().strip().split(" ")
                match words[0].upper():
                    case "EHLO":
                        self.say("250-test")
                        if offers_tls and not self.is_encrypted:
                            self.say("250-STARTTLS")
                        self.say("250 AUTH PLAIN")
                    case "STARTTLS":
                        self.say("220 go on")
                        self.request = _context().wrap_socket(self.request, server_side=True)
                        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb")
                        self.is_encrypted = True
                    case "AUTH":
                        _, user, given = base64.b64decode(words[2]).decode().split("\0")
                        box.logins.append((user, given))
                        right = password is None or given == password
                        self.say("235 welcome" if right else f"535 bad password {given} for {user}")
                    case "RCPT" if refuses is not None:
                        self.say(refuses)
                    case "DATA":
                        self.say("354 go on")
                        data = b""
                        while not data.endswith(b"\r\n.\r\n"):
                            data += self.rfile.readline()
                        box.messages.append(message_from_bytes(data[:-5], policy=default))
                        box.was_encrypted.append(self.is_encrypted)
                        self.say("250 taken")
                    case "QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        self.say("250 ok")

        def finish(self) -> None:
            super().finish()
            self.request.close()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        box.port = server.server_address[1]
        with _serving(server):
            yield box


@dataclass
class Posts:
    """What an HTTP server has taken: path and parsed body of each request."""

    requests: list[tuple[str, Any]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def http_server(answer: Callable[[str], tuple[int, dict[str, str], bytes]] | None = None) -> Iterator[Posts]:
    """answer: status, headers and body by path; else all is taken."""
    posts = Posts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.requests.append((self.path, json.loads(body)))
            status, headers, text = answer(self.path) if answer is not None else (200, {}, b"{}")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            posts.requests.append((f"GET {self.path}", None))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        posts.port = server.server_address[1]
        with _serving(server):
            yield posts


@contextmanager
def _serving(server: ThreadingTCPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
