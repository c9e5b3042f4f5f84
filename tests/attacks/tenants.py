"""A tenant with its endpoint: the few Docker calls that preconditions and checks need."""
import json
import struct
import urllib.parse

import wire

V = "/v1.44"


class Unexpected(Exception):
    """A call that must succeed did not."""


class Tenant:
    def __init__(self, made):
        self.name, self.id, self.uid_base = made["name"], made["id"], made["uid_base"]
        self.bundle, self.address = made["bundle"], made["address"]
        self.tls = wire.context(self.bundle)

    def raw(self, method, target, headers=(), body=b"", patience=60):
        return wire.call(self.address, self.tls, method, target, headers, body, patience)

    def ask(self, method, path, body=None, kind="application/json", headers=(), patience=120):
        headers = list(headers)
        if body is not None:
            headers.append(("Content-Type", kind))
        data = b"" if body is None else body if not isinstance(body, (dict, list)) else json.dumps(body).encode()
        return self.raw(method, V + path, headers, data, patience)

    def do(self, method, path, body=None, **more):
        """The answer's JSON, or its bytes."""
        answer = self.ask(method, path, body, **more)
        if answer.status >= 400:
            raise Unexpected(f"{method} {path}: {answer.status} {answer.text[:300]}")
        if b'"errorDetail"' in answer.body:
            raise Unexpected(f"{method} {path}: {answer.text[-300:]}")
        try:
            return json.loads(answer.body)
        except ValueError:
            return answer.body

    def pull(self, reference, auth=None):
        headers = [("X-Registry-Auth", auth)] if auth else []
        return self.do("POST", f"/images/create?fromImage={urllib.parse.quote(reference, safe=':/')}", headers=headers)

    def container(self, name, image, command, **more):
        """Made and started: its id."""
        ident = self.do("POST", f"/containers/create?name={name}", {"Image": image, "Cmd": command, **more})["Id"]
        self.do("POST", f"/containers/{ident}/start")
        return ident

    def remove(self, container):
        self.ask("DELETE", f"/containers/{container}?force=1&v=1")

    def build(self, tag, context, query=""):
        return self.do("POST", f"/build?t={tag}&rm=1{query}", context, kind="application/x-tar", patience=180)

    def exec(self, container, command, patience=60):
        """Exit code and output (both streams) of a command in a running container."""
        ident = self.do("POST", f"/containers/{container}/exec",
                        {"Cmd": command, "AttachStdout": True, "AttachStderr": True})["Id"]
        answer = self.ask("POST", f"/exec/{ident}/start", {"Detach": False}, patience=patience)
        code = self.do("GET", f"/exec/{ident}/json")["ExitCode"]
        return code, frames(answer.body).decode("utf-8", "replace")

    def state(self, container):
        answer = self.ask("GET", f"/containers/{container}/json")
        return json.loads(answer.body) if answer.status == 200 else None


def frames(data):
    out = b""
    while len(data) >= 8:
        size = struct.unpack(">I", data[4:8])[0]
        out, data = out + data[8:8 + size], data[8 + size:]
    return out
