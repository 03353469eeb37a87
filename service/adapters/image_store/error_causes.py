"""What an error of the picture store means to an operator.

Rule: obstore gives the parts of an error as text only. This reads the status, the code of S3, the id of the request
and the errno from that text. It passes on nothing else, because the rest holds addresses.
"""

import errno
import os
import re
from collections.abc import Sequence

STATUS = re.compile(r"status code: (\d{3})")
CODE = re.compile(r"<Code>(\w{1,64})</Code>")
REQUEST = re.compile(r"<RequestId>([\w-]{1,64})</RequestId>")
SYSTEM = re.compile(r"\bcode: (\d{1,3}),")
CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
TEXT_BY_SIGN: Sequence[tuple[str, str]] = (
    ("BareRedirect", "it redirects without an address; the region may be wrong"),
    ("dns error", "DNS does not know its name"),
    ("InvalidContentType", "it does not speak TLS"),
    ("kind: Timeout", "it did not answer in time"),
)


def describe_cause(error: BaseException) -> str:
    """One line for an error of obstore or of the system."""
    if isinstance(error, OSError) and error.errno is not None:
        return _system(error.errno)
    text = str(error)
    if status := STATUS.search(text):
        code, request = CODE.search(text), REQUEST.search(text)
        parts = (f"status {status[1]}", code and code[1], request and f"request {request[1]}")
        return ", ".join(filter(None, parts))
    if number := SYSTEM.search(text):
        return _system(int(number[1]))
    if certificate := CERTIFICATE.search(text):
        return f"TLS does not trust its certificate ({certificate[1]})"
    return next((words for sign, words in TEXT_BY_SIGN if sign in text), type(error).__name__)


def _system(number: int) -> str:
    return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
