"""What an error of a connection means to an operator: DNS, TLS, a refused connection and the rest, in words.

Rule: the text names the cause and never an address, a user or a password.
"""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ErrorTexts = Sequence[tuple[type[BaseException], Callable[[Any], str | None]]]
"""Words for each kind of error, the more particular kinds first. None leaves the error to the one above it."""


def describe_network_error(error: BaseException, texts: ErrorTexts) -> str | None:
    """What `texts` say of the deepest cause of an error that they know."""
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
    reason, _, _ = str(error.verify_message).partition(",")  # behind it stands the name that was asked for
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
