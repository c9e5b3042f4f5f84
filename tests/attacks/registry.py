"""Servers of ours that must not be reached, or that lie: the canary, and a registry that the operator trusts by mistake."""
import base64
import gzip
import hashlib
import http.server
import json
import socket
import threading
import time

import tars

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
CREDENTIAL = ("puller", "swordfish-5b1c")


class Canary:
    """Counts connections at a loopback address that no tenant's request may cause."""

    def __init__(self):
        self.heard, self.lock = [], threading.Lock()
        first = socket.create_server(("127.0.0.1", 0))
        self.port = first.getsockname()[1]
        listeners = [first]
        listeners.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for listener in listeners:
            threading.Thread(target=self.listen, args=(listener,), daemon=True).start()

    def must_hear(self):
        """Its own control: one that is deaf would prove anything."""
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, self.port)).close()
        deadline = time.monotonic() + 5
        while len(self.heard) < 2:
            if time.monotonic() > deadline:
                raise RuntimeError("the canary does not hear")
            time.sleep(0.05)

    def listen(self, listener):
        while True:
            stream, _ = listener.accept()
            with self.lock:
                self.heard.append(b"")
                place = len(self.heard) - 1
            stream.settimeout(1)
            try:
                self.heard[place] = stream.recv(4096)
            except OSError:
                pass
            stream.close()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """`address` is one of the operator's `insecure_registries`."""

    def __init__(self, address, canary, marker):
        self.address, self.seen = address, []
        self.manifests, self.blobs, self.redirects = {}, {}, {}
        self.fill(marker, canary)
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                registry.answer(self)

            do_HEAD = do_GET

        host, _, port = address.rpartition(":")
        self.server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def fill(self, marker, canary):
        layer = gzip.compress(tars.member("secret", marker.encode()) + b"\0" * 1024, mtime=0)
        diff = digest(gzip.decompress(layer))
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"m": marker}},
                             "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()
        self.blobs = {digest(config): config, digest(layer): layer}
        manifest = self.manifest(config, layer)
        self.manifests = {"private/img": (DOCKER, manifest), "redirect/img": (DOCKER, manifest)}
        # A layer whose bytes are not those of its digest; the right size, so that only the digest tells.
        wrong = digest(b"something else")
        self.blobs[wrong] = layer
        lying = json.loads(manifest)
        lying["layers"][0]["digest"] = wrong
        self.manifests["mismatch/img"] = (DOCKER, json.dumps(lying).encode())
        self.redirects["redirect/img"] = f"http://127.0.0.1:{canary.port}/blob"
        inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
        for _ in range(8):
            self.manifests["loop/img@" + digest(inner)] = (INDEX, inner)
            inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
                {"mediaType": INDEX, "digest": digest(inner), "size": len(inner),
                 "platform": {"architecture": "amd64", "os": "linux"}}]}).encode()
        self.manifests["loop/img"] = (INDEX, inner)
        self.manifests["schema1/img"] = (SCHEMA1, json.dumps(
            {"schemaVersion": 1, "name": "schema1/img", "tag": "latest", "architecture": "amd64",
             "fsLayers": [{"blobSum": digest(layer)}], "history": [{"v1Compatibility": "{}"}], "signatures": []}).encode())
        self.private_digest = digest(manifest)

    def manifest(self, config, layer):
        return json.dumps({"schemaVersion": 2, "mediaType": DOCKER,
                           "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config),
                                      "digest": digest(config)},
                           "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(layer),
                                       "digest": digest(layer)}]}).encode()

    def answer(self, request):
        authorization = request.headers.get("Authorization", "")
        self.seen.append((request.path, authorization))
        repository, _, rest = request.path.removeprefix("/v2/").partition("/manifests/")
        good = "Basic " + base64.b64encode(":".join(CREDENTIAL).encode()).decode()
        if request.path.startswith("/v2/private/") and authorization != good:
            return self.reply(request, 401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": 'Basic realm="r"'})
        if request.path == "/v2/":
            return self.reply(request, 200, b"{}")
        if rest:
            kind, data = self.manifests.get(f"{repository}@{rest}") or self.manifests.get(repository, (None, None))
            if data is None:
                return self.reply(request, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            return self.reply(request, 200, data, {"Content-Type": kind, "Docker-Content-Digest": digest(data)})
        repository, _, rest = request.path.removeprefix("/v2/").partition("/blobs/")
        if repository in self.redirects:
            return self.reply(request, 307, b"", {"Location": self.redirects[repository]})
        data = self.blobs.get(rest)
        return self.reply(request, 200, data) if data else self.reply(request, 404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')

    def reply(self, request, status, data, headers=()):
        request.send_response(status)
        for key, value in dict(headers).items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(data)
