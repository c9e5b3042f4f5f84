#!/usr/bin/env python3
"""seed_registry.py HOST:PORT ROOTFS.tar : pushes library/busybox:latest (one image) and library/multi:latest (an index of
two platforms) to a plain registry, by the distribution protocol alone, so that no engine is needed to fill it."""
import gzip, hashlib, json, sys, urllib.request

registry, rootfs = sys.argv[1], open(sys.argv[2], "rb").read()
MANIFEST, INDEX = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"


def call(method, url, data=None, kind="application/octet-stream"):
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind})
    return urllib.request.urlopen(request)


def blob(repository, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    where = call("POST", f"http://{registry}/v2/{repository}/blobs/uploads/", b"").headers["Location"]
    call("PUT", where + ("&" if "?" in where else "?") + "digest=" + digest, data)
    return {"digest": digest, "size": len(data)}


def manifest(repository, name, body, kind):
    data = json.dumps(body).encode()
    call("PUT", f"http://{registry}/v2/{repository}/manifests/{name or 'sha256:' + hashlib.sha256(data).hexdigest()}", data, kind)
    return {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


def image(repository, tag, architecture):
    config = {"architecture": architecture, "os": "linux", "created": "2024-01-01T00:00:00Z",
              "config": {"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(rootfs).hexdigest()]},
              "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "ADD rootfs"}]}
    config = blob(repository, json.dumps(config).encode())
    layer = blob(repository, gzip.compress(rootfs, 6, mtime=0))
    body = {"schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **config},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", **layer}]}
    return manifest(repository, tag, body, MANIFEST)


image("library/busybox", "latest", "amd64")
each = [dict(image("library/multi", None, a), platform={"architecture": a, "os": "linux"}) for a in ("arm64", "amd64")]
manifest("library/multi", "latest", {"schemaVersion": 2, "mediaType": INDEX, "manifests": each}, INDEX)
