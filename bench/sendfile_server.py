"""The yardstick of a large GET: an HTTP server that does nothing but sendfile one file, a thread a connection.

`python -m bench.sendfile_server FILE` prints its port and serves until it is killed.
"""

import os
import socket
import sys
import threading


def main() -> None:
    descriptor = os.open(sys.argv[1], os.O_RDONLY)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, descriptor), daemon=True).start()


def _serve(connection: socket.socket, descriptor: int) -> None:
    size_bytes = os.fstat(descriptor).st_size
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size_bytes}\r\n\r\n".encode()
    with connection:
        pending = b""
        while block := connection.recv(65536):
            pending += block
            while b"\r\n\r\n" in pending:
                pending = pending.partition(b"\r\n\r\n")[2]
                connection.sendall(head)
                offset = 0
                while offset < size_bytes:
                    offset += os.sendfile(connection.fileno(), descriptor, offset, size_bytes - offset)


if __name__ == "__main__":
    main()
