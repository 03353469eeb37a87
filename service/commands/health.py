"""`image-gateway health`: does the gateway of this container answer?

Rule: it is asked every few seconds, so it imports the standard library only and is run as `python -m
service.commands.health`; the command is the same for people. No answer, or one that is not 200, is one line on standard
error and exit code 1.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

PATH = "/health/live"
SECONDS = 3.0
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (asked, not listened on)


def health(host: str = "", port: int = 0) -> None:
    """Ask /health/live of the gateway that listens on HOST and PORT; exit with 1 if it does not answer."""
    host = host or os.environ.get("HOST", "")
    problem = health_problem(ANY_ADDRESS.get(host, host), port or int(os.environ.get("PORT") or 8080))
    if problem:
        sys.stderr.write(f"image-gateway: {problem}\n")
        sys.exit(1)


def health_problem(host: str, port: int, seconds: float = SECONDS) -> str | None:
    """What is wrong with the answer of a gateway, or None. `seconds` is how long each word of it may take."""
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", PATH)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{host} port {port} does not answer: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"{host} port {port} answers {status}"  # noqa: PLR2004 (the status of HTTP)


if __name__ == "__main__":
    health()
