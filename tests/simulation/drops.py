"""A release of etcd that acknowledges one write in a thousand and forgets it, as long as members of the version before are there.

It is the real etcd behind a proxy on the node: TLS ends in it, HTTP/1.1 is read, and anything else is passed on.
"""

from __future__ import annotations

# What stands in the release's place: etcd serves clients on another port of the node alone, and the proxy on its own.
WRAPPER = b"""#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
[ -f "$2" ] || exec "$here/etcd.new" "$@"
sed "s|^listen-client-urls:.*|listen-client-urls: https://127.0.0.1:12379|" "$2" >/tmp/dropping.yml
python3 "$here/drops.py" &
exec "$here/etcd.new" "$1" /tmp/dropping.yml
"""
PROXY = rb'''#!/usr/bin/env python3
import json, re, socket, ssl, threading

FOLDER, UP = "/etc/nodewise/etcd/", ("127.0.0.1", 12379)
count, lock, mixed = 0, threading.Lock(), True


def context(side, alpn=()):
    made = ssl.SSLContext(side)
    made.check_hostname = False
    made.load_cert_chain(FOLDER + "node.crt", FOLDER + "node.key")
    made.load_verify_locations(FOLDER + "ca.crt")
    made.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


SERVER = context(ssl.PROTOCOL_TLS_SERVER, ("h2", "http/1.1"))


def up(alpn):
    return context(ssl.PROTOCOL_TLS_CLIENT, (alpn,) if alpn else ()).wrap_socket(socket.create_connection(UP))


def watch():
    """Members of the version before are there for as long as the cluster acts as it."""
    global mixed
    while mixed:
        try:
            with up("http/1.1") as to:
                to.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                said = b"".join(iter(lambda: to.recv(65536), b""))
            mixed = b'"etcdcluster":"3.5' not in said
        except OSError:
            pass
        threading.Event().wait(0.2)


def pipe(source, to):
    try:
        while data := source.recv(65536):
            to.sendall(data)
    except OSError:
        pass
    for one in (source, to):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def dropped(head):
    global count
    if not mixed or b" /v3/kv/put " not in head.split(b"\r\n")[0]:
        return False
    with lock:
        count += 1
        return count % 1000 == 500


def requests(client, to):
    """Whole requests, one by one: the answers come by themselves, but for what is dropped."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [0, 0])[1])
        while len(rest) < length:
            rest += client.recv(65536)
        if dropped(head):
            body = json.dumps({"header": {}}).encode()
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        else:
            to.sendall(head + b"\r\n\r\n" + rest[:length])
        data = rest[length:]


def serve(raw):
    try:
        client = SERVER.wrap_socket(raw, server_side=True)
        to = up(client.selected_alpn_protocol())
        for one in (client, to):
            one.settimeout(3600)  # so that nobody who waits to read keeps another from writing
        threading.Thread(target=pipe, args=(to, client), daemon=True).start()
        if client.selected_alpn_protocol() == "h2":
            pipe(client, to)
        else:
            requests(client, to)
            pipe(client, to)
    except OSError:
        raw.close()


threading.Thread(target=watch, daemon=True).start()
with socket.create_server(("", 2379)) as listening:
    while True:
        threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
'''
