"""The channel `raw`: bytes of our own over TLS, well-formed or not; and HTTP/2 frames at ports that may or may not speak it."""
import re
import socket

import frames
import loads
import wire
from cases import Outcome
from stage import filled

PATIENCE = 15


def body_of(case):
    """Bytes as the case spells them; several where it names several."""
    raw = case.body["raw"] if isinstance(case.body, dict) else ""
    if raw == "<empty>" or not raw:
        return [b""]
    if raw.startswith("<100000"):
        return [b"[" * 100_000]
    if "invalid UTF-8 in strings" in raw:
        return [b'\xef\xbb\xbf{"Image":"x"}', b'{"Image":"x\xff\xfe"}']
    if raw.startswith("GET with body"):
        return [b"GET /v1.44/version HTTP/1.1\r\nHost: x\r\n".ljust(98, b"X")[:96] + b"\r\n\r\n"]
    if "hello" in raw:
        return [raw.replace("\\r\\n", "\r\n").encode() + b"\r\nHost: x\r\n\r\n"]
    return [raw.encode()]


def attack(case, known, world):
    body = case.body or {}
    if "h2" in body:
        return frames.attack(case, known, world)
    if "gen" in body:
        return loads.attack(case, known, world)
    return [one(case, known, world.stage.a, data) for data in body_of(case)]


def one(case, known, tenant, data):
    headers = [(k, v) for k, v in filled(case.headers, known).items()]
    names = {key.lower() for key, _ in headers}
    if data and not names & {"content-length", "transfer-encoding"}:
        headers.append(("Content-Length", str(len(data))))
    target = filled(case.path, known)
    request = wire.head(case.method, target, headers, "x") + data
    try:
        with wire.dial(tenant.address, tenant.tls, PATIENCE) as stream:
            reader = wire.Reader(stream)
            reader.send(request)
            first = reader.answer(case.method)
            note = second(reader, stream)
            return Outcome(str(first.status), first, request.decode("latin-1"), note)
    except wire.Closed as closed:
        return Outcome("tls_alert" if closed.alert else "close", None, target, str(closed))
    except (TimeoutError, socket.timeout):
        return Outcome("timeout", None, target)


def second(reader, stream):
    """Whether what followed on the connection was taken for a request of its own."""
    stream.settimeout(1.5)
    try:
        while True:
            reader.more()
    except (TimeoutError, socket.timeout, wire.Closed):
        pass
    found = re.findall(rb"HTTP/1\.[01] (\d+)", reader.kept)
    return f"a second answer: {[f.decode() for f in found]}" if found else ""
