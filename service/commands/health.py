"""`image-gateway health`: check of the gateway in this container.

Rule: containers run it every few seconds, as `python -m service.commands.health`. So it imports the standard library
alone.

Fails with: one line on standard error and exit code 1, without a response or with another status than 200.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

PATH = "/health/live"
SECONDS = 3.0
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (an address to connect to, not to listen on)


def health(host: str = "", port: int = 0) -> None:
    """Request /health/live of the gateway on HOST and PORT; exit with 1 if it does not answer."""
    host = host or os.environ.get("HOST", "")
    problem = health_problem(ANY_ADDRESS.get(host, host), port or int(os.environ.get("PORT") or 8080))
    if problem:
        sys.stderr.write(f"image-gateway: {problem}\n")
        sys.exit(1)


def health_problem(host: str, port: int, seconds: float = SECONDS) -> str | None:
    """Return the problem of a gateway, or None. `seconds` is the timeout of each read."""
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", PATH)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{host} port {port} does not answer: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"{host} port {port} answers {status}"  # noqa: PLR2004 (OK in HTTP)


if __name__ == "__main__":
    health()
