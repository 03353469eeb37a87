"""Relay between a client and a gateway that forwards every byte. Tests read the client's bytes of each connection."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Relay:
    """Listens between `__enter__` and `__exit__`. `sent` has the client's bytes, by connection."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._target = (address.hostname, address.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listening]
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.sent: list[bytearray] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._open:
            with suppress(OSError):  # the other side has disconnected before
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listening.accept()
                gateway = socket.create_connection(self._target)
                self._open += [client, gateway]
                received = bytearray()
                self.sent.append(received)
                threading.Thread(target=_hand_on, args=(client, gateway, received), daemon=True).start()
                threading.Thread(target=_hand_on, args=(gateway, client, bytearray()), daemon=True).start()


def _hand_on(source: socket.socket, target: socket.socket, received: bytearray) -> None:
    with suppress(OSError):  # either side may disconnect
        while data := source.recv(65536):
            received += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
