"""A host that answers wrongly: it has a host's certificate and takes the host's place in the inventory for a moment."""
import socket
import ssl
import struct
import threading
import time

import frames
import wire
from cases import Invalid, Outcome


class FalseHost:
    """Answers every call alike. `flags` END_STREAM: success at once without a message; 0: headers, then a reset."""

    def __init__(self, address, tls, flags):
        self.flags, self.calls = flags, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(tls["cert"], tls["key"])
        self.context.set_alpn_protocols(["h2"])
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain):
        try:
            stream = self.context.wrap_socket(plain, server_side=True)
            preface = b""
            while len(preface) < len(frames.PREFACE):
                preface += stream.recv(len(frames.PREFACE) - len(preface))
            stream.sendall(frames.frame(frames.SETTINGS, 0, 0))
            while (got := frames.read(stream)) is not None:
                kind, flags, number, payload = got
                if kind == frames.SETTINGS and not flags & frames.ACK:
                    stream.sendall(frames.frame(frames.SETTINGS, frames.ACK, 0))
                elif kind == frames.PING and not flags & frames.ACK:
                    stream.sendall(frames.frame(frames.PING, frames.ACK, 0, payload))
                elif kind == frames.HEADERS:
                    self.calls += 1
                    stream.sendall(self.answer(number))
        except (OSError, ssl.SSLError):
            pass

    def answer(self, number):
        block = b"\x88" + frames.literal(b"content-type", b"application/grpc")
        if self.flags:
            return frames.frame(frames.HEADERS, frames.END_HEADERS | self.flags, number, block + frames.literal(b"grpc-status", b"0"))
        return frames.frame(frames.HEADERS, frames.END_HEADERS, number, block) + frames.frame(frames.RST, 0, number, struct.pack(">I", 0))


def answered(roles, flags):
    """What the attacker's client is told when its container's host answers so."""
    site, ident = roles.site, roles.agent["host_id"]
    [[real]] = site.sql(f"select facts->>'endpoint' from hosts where id = '{ident}'")
    false = FalseHost(site.scheduler["listen"].split(":")[0], roles.agent["tls"], flags)
    point = lambda to: site.sql(f"update hosts set facts = jsonb_set(facts, '{{endpoint}}', to_jsonb('{to}'::text)) where id = '{ident}'")
    found = []
    execution = roles.a.do("POST", f"/containers/{roles.container}/exec", {"Cmd": ["true"], "AttachStdout": True})["Id"]
    try:
        point(f"https://{site.scheduler['listen'].split(':')[0]}:{false.port}")
        deadline = time.monotonic() + 15
        while not false.calls and time.monotonic() < deadline:
            roles.a.ask("GET", f"/containers/{roles.container}/top", patience=20)
            time.sleep(0.5)
        if not false.calls:
            raise Invalid("precondition: the frontend does not turn to the false host")
        reads = [f"/containers/{roles.container}/{what}" for what in (
            "logs?stdout=1", "top", "export", "archive?path=/etc/hostname")]
        for method, path, body in [("POST", f"/exec/{execution}/start", {"Detach": False}), *(("GET", path, None) for path in reads)]:
            try:
                answer = roles.a.ask(method, path, body, patience=30)
                empty = answer.status == 200 and not answer.body
                token = "close" if answer.broken else "empty_success" if empty else str(answer.status)
                found.append(Outcome(token, answer, note=path))
            except wire.Closed as closed:
                found.append(Outcome("close", note=f"{path} {closed}"))
    finally:
        point(real)
        false.listener.close()
        time.sleep(1)
    return found
