"""A server of push notifications whose certificate is the test's: tells who shakes hands with it and who does not.

Usage: push_server.py PORT CERTIFICATE KEY
Listens on 127.0.0.1 and prints "listening", then "asked METHOD PATH" for every request, which it answers 200, and "refused REASON"
for every client that does not go on with the handshake.
"""

import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        print("asked", self.command, self.path, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        # Every notification has a handshake of its own.
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", port))
    print("listening", flush=True)
    while True:
        plain, peer = listener.accept()
        plain.settimeout(10)
        try:
            with context.wrap_socket(plain, server_side=True) as stream:
                Handler(stream, peer, None)
        except (OSError, ValueError) as error:
            print("refused", error, flush=True)


main()
