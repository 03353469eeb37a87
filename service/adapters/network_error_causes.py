"""Causes of connection errors in an operator's words: DNS, TLS, a refused connection and others.

Rule: a text names the cause and never an address, a user or a password.

Fails with: None for an error without a known cause.
"""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ErrorTexts = Sequence[tuple[type[BaseException], Callable[[Any], str | None]]]
"""Texts by kind of error, special kinds first. None leaves the error to a later row."""


def describe_network_error(error: BaseException, texts: ErrorTexts) -> str | None:
    """Describe the deepest known cause of an error; None if `texts` know none of its causes."""
    descriptions = (_describe(cause, texts) for cause in reversed([*_causes(error)]))
    return next(filter(None, descriptions), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _describe(error: BaseException, texts: ErrorTexts) -> str | None:
    return next((describe(error) for kind, describe in texts if isinstance(error, kind)), None)


def _dns(error: socket.gaierror) -> str:
    return f"DNS does not know its name ({error.strerror})"


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    reason, _, _ = str(error.verify_message).partition(",")  # the part behind the comma has the host's name
    return f"TLS does not trust its certificate ({reason})"


def _tls(error: ssl.SSLError) -> str:
    return f"TLS failed ({error.reason or type(error).__name__})"


def _system(error: OSError) -> str | None:
    if error.errno is None or not error.strerror:
        return None
    name = errno.errorcode.get(error.errno)
    return f"{error.strerror} ({name})" if name else error.strerror


NETWORK_TEXTS: ErrorTexts = (
    (socket.gaierror, _dns),
    (ssl.SSLCertVerificationError, _certificate),
    (ssl.SSLError, _tls),
    (ConnectionRefusedError, lambda _: "the connection is refused"),
    (OSError, _system),
)
