"""A proxy before a member's Patroni, with its certificate, which does to requests for a switchover what it is told."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.integration.patroni_cluster import PatroniCluster

Forward = Callable[[str, str, bytes, Any], tuple[int, bytes]]
Treat = Callable[[Forward, str, bytes, Any], tuple[int, bytes]]


def answers_503(forward: Forward, path: str, body: bytes, headers: Any) -> tuple[int, bytes]:
    """Passes the request on and says that it failed."""
    threading.Thread(target=forward, args=("POST", path, body, headers), daemon=True).start()
    return 503, b"Switchover failed"


def swallows(_forward: Forward, _path: str, _body: bytes, _headers: Any) -> tuple[int, bytes]:
    """Keeps the request, and says that all went well."""
    return 200, b'Successfully switched over to "n2"'


def promotes(name: str) -> Treat:
    """Asks for another candidate than was asked for."""

    def treat(forward: Forward, path: str, body: bytes, headers: Any) -> tuple[int, bytes]:
        return forward("POST", path, json.dumps({**json.loads(body), "candidate": name}).encode(), headers)

    return treat


@contextmanager
def before(cluster: PatroniCluster, name: str, treat: Treat) -> Iterator[dict[str, Any]]:
    """The options of the modules with such a proxy in the way to one member."""
    address, pair = cluster.addresses[name], [cluster.pki(f"nodes/{name}.{part}") for part in ("crt", "key")]

    def forward(method: str, path: str, body: bytes, headers: Any) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=cluster.pki("ca.crt"))
        context.load_cert_chain(*pair)
        connection = http.client.HTTPSConnection(address, 8008, timeout=30, context=context)
        try:
            kept = {key: value for key, value in headers.items() if key in ("Authorization", "Content-Type")}
            connection.request(method, path, body, kept)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = self.command == "POST" and self.path == "/switchover"
            arguments = (self.path, body, self.headers)
            status, said = treat(forward, *arguments) if asked else forward(self.command, *arguments)
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PATCH = handle_one  # noqa: N815  (http.server asks for these names)

        def log_message(self, *_words: Any) -> None:
            """Nothing is told."""

    server = ThreadingHTTPServer((address, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        rest = f"https://{address}:{server.server_port}"
        members = [{**one, "rest": rest} if one["name"] == name else one for one in cluster.options["members"]]
        yield {**cluster.options, "members": members}
    finally:
        server.shutdown()
        server.server_close()
