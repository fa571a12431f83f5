"""Moto's server on a free port, which it prints; until standard input ends. Run with `python -m`."""

import sys

from moto.server import ThreadedMotoServer


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    print(port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
