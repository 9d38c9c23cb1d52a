"""The note that writes an email: one message per record, over TLS."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from ipaddress import ip_address
from typing import Any, Final

from weft.notes.errors import NoteError
from weft.notes.records import as_message, one_line

SOCKET_SECONDS: Final = 15.0  # below the limit of a note, so that the server's or system's own words are told
TLS_FROM_THE_START: Final = 465  # RFC 8314; elsewhere STARTTLS


class EmailNote:
    """Sends by SMTP. Nothing leaves this machine without TLS and a certificate that is trusted.

    sender: None is the user, if that is an address, else weft at this host. user: None sends without logging in.
    """

    def __init__(
        self,
        to: Sequence[str],
        *,
        host: str,
        subject: str,
        port: int = 587,
        sender: str | None = None,
        user: str | None = None,
        password: str | None = None,
    ):
        self._to = [one_line(address) for address in to]
        self._host = host
        self._port = port
        self._subject = one_line(subject)
        self._user = user
        self._password = password
        own = user if user is not None and "@" in user else f"weft@{socket.gethostname()}"
        self._from = one_line(sender or own)

    def send(self, record: Mapping[str, Any]) -> None:
        """One message; raises NoteError with the server's words."""
        message = EmailMessage()
        message["Subject"] = self._subject
        message["From"] = self._from
        message["To"] = ", ".join(self._to)
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = make_msgid(domain="weft.invalid")
        message.set_content(as_message(record))
        try:
            with self._connect() as server:
                if self._user is not None and self._password is not None:
                    server.login(self._user, self._password)
                refused = server.send_message(message)
        except smtplib.SMTPResponseException as error:
            raise NoteError(f"{self._where()}: {error.smtp_code} {_words(error.smtp_error)}") from error
        except smtplib.SMTPRecipientsRefused as error:
            raise NoteError(f"{self._where()} refuses {_refusals(error.recipients)}") from error
        except smtplib.SMTPException as error:
            raise NoteError(f"{self._where()}: {error}") from error
        except ssl.SSLCertVerificationError as error:
            raise NoteError(f"{self._where()}: its certificate is not trusted: {error.verify_message}") from error
        except OSError as error:
            raise NoteError(f"{self._where()}: {error.strerror or error}") from error
        if refused:
            raise NoteError(f"{self._where()} refuses {_refusals(refused)}")

    def _connect(self) -> smtplib.SMTP:
        if self._port == TLS_FROM_THE_START:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self._host, self._port, timeout=SOCKET_SECONDS, context=context)
        server = smtplib.SMTP(self._host, self._port, timeout=SOCKET_SECONDS)
        try:
            server.ehlo_or_helo_if_needed()
            if server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
            elif not _is_this_machine(self._host):
                raise NoteError(f"{self._where()} offers no TLS (STARTTLS), so nothing is sent to it")
        except BaseException:
            server.close()
            raise
        return server

    def _where(self) -> str:
        return f"mail server {self._host}:{self._port}"


def _is_this_machine(host: str) -> bool:
    """Whether what is sent there stays here."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _words(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address}: {code} {_words(text)}" for address, (code, text) in refused.items())
