"""What an error of a Redis server, or of the way to it, means to an operator.

Rule: the text names the cause and never the address, a user or a password. DNS, TLS, a refused connection, a refused
user and a missing right each have words of their own.
"""

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
)

RIGHTS = "it needs ~igw:* +@all -@dangerous +info"
COMMAND = re.compile(r"permissions to run the '([a-z|]+)' command")


def problem_of(error: BaseException) -> str:
    """One line for an error of a question, by the cause that lies deepest."""
    return next(filter(None, map(_known, reversed([*_causes(error)]))), f"does not answer ({type(error).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _known(error: BaseException) -> str | None:
    return next((words(error) for kind, words in WORDS if isinstance(error, kind)), None)


def _permission(error: Any) -> str:  # noqa: ANN401 (each row knows its kind)
    command = COMMAND.search(str(error))
    return f"refuses its user {f'the command {command[1].upper()}' if command else 'what the gateway does'}; {RIGHTS}"


def _response(error: Any) -> str:  # noqa: ANN401 (likewise)
    if "DB index" in str(error):
        return "does not have the database of that number"
    return f"refuses a command ({str(error).partition(' ')[0]})"


def _system(error: Any) -> str | None:  # noqa: ANN401 (likewise)
    return f"does not answer: {error.strerror}" if error.strerror else None


WORDS: Sequence[tuple[type[BaseException], Callable[[Any], str | None]]] = (
    (socket.gaierror, lambda error: f"does not answer: DNS does not know its name ({error.strerror})"),
    (
        ssl.SSLCertVerificationError,
        lambda error: f"does not answer: TLS does not trust its certificate ({error.verify_message})",
    ),
    (ssl.SSLError, lambda error: f"does not answer: TLS failed ({error.reason or type(error).__name__})"),
    (ConnectionRefusedError, lambda _: "does not answer: the connection is refused"),
    (NoPermissionError, _permission),
    (AuthenticationError, lambda _: "refuses the user or the password"),
    (BusyLoadingError, lambda _: "is still loading its data"),
    (ReadOnlyError, lambda _: "is a replica that takes no writes"),
    (ResponseError, _response),
    (TimeoutError, lambda _: None),
    (OSError, _system),
)
"""Words for each kind of error, the more particular kinds first."""
