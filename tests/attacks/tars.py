"""Archives as the cases describe them: honest ones, and those that lie."""
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import zlib

KINDS = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE,
         "block": tarfile.BLKTYPE, "char": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}


def made(entries, compress=None):
    """Bytes, or an iterator of parts where the archive is too large to be kept."""
    for entry in entries:
        if entry.get("name", "").startswith("e{0.."):
            return many(int(entry["name"].split("..")[1].split("}")[0]) + 1)
        if "zeros" in str(entry.get("size", "")):
            return bomb(entry["name"], 200 << 30)
    plain = b"".join(one(entry) for entry in entries) + b"\0" * 1024
    if compress == "xz":
        return lzma.compress(plain)
    return gzip.compress(plain) if compress == "gzip" else plain


def one(entry):
    if entry.get("gen") == "deep json":
        deep = b"[" * 10_000 + b"]" * 10_000
        return member("manifest.json", b'[{"Config":"c.json","Layers":[]}]') + member("c.json", deep)
    if entry.get("gen") == "nested compression":
        return member("manifest.json", b'[{"Config":"c.json","RepoTags":["x:1"],"Layers":["l"]}]') + \
            member("c.json", b'{"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' % (b"0" * 64)) + \
            member("l", gzip.compress(gzip.compress(b"\0" * (64 << 20))))
    if "raw" in entry:
        return member("manifest.json", entry["raw"].encode())
    kind = entry.get("type", "file")
    if kind == "gnu_sparse":
        return sparse(entry["name"])
    if kind == "pax_then_longname":
        long = tarfile.TarInfo("n" * 200)
        name = long.tobuf(tarfile.GNU_FORMAT, "utf-8")
        return pax(entry["pax"]) + name
    data = b""
    if "json" in entry:
        data = json.dumps(entry["json"]).encode()
    elif "tar" in entry:
        data = made(entry["tar"])
    elif "data" in entry:
        data = entry["data"].encode()
    head = pax(entry["pax"]) if "pax" in entry else b""
    info = tarfile.TarInfo(entry["name"].encode().decode("unicode_escape") if "\\x" in entry["name"] else entry["name"])
    info.type, info.linkname = KINDS[kind], entry.get("linkname", "")
    info.mode, info.uid = int(str(entry.get("mode", "0644")), 8), entry.get("uid", 0)
    if "dev" in entry:
        info.devmajor, info.devminor = (int(n) for n in entry["dev"].split(":"))
    info.size = len(data)
    return head + info.tobuf(tarfile.GNU_FORMAT, "latin-1", "replace") + padded(data)


def member(name, data, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    return info.tobuf(tarfile.GNU_FORMAT) + padded(data)


def padded(data):
    return data + b"\0" * (-len(data) % 512)


def pax(records):
    text = b""
    for key, value in records.items():
        line = f" {key}={value}\n".encode()
        size = len(line)
        while len(str(size)) + len(line) != size:
            size = len(str(size)) + len(line)
        text += str(size).encode() + line
    info = tarfile.TarInfo("PaxHeaders/x")
    info.type, info.size = tarfile.XHDTYPE, len(text)
    return info.tobuf(tarfile.USTAR_FORMAT) + padded(text)


def sparse(name):
    """GNU's old format, whose real size is a field of its own: 8 EiB of holes."""
    head = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    head[156:157] = b"S"
    head[483:495] = b"\x80" + b"\0" * 3 + (2**63 - 1).to_bytes(8, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def many(count):
    for start in range(0, count, 1000):
        yield b"".join(member(f"e{n}", b"") for n in range(start, min(count, start + 1000)))
    yield b"\0" * 1024


def bomb(name, size):
    """A gzip of `size` zeros, a thousand times smaller. It is made while it is sent."""
    info = tarfile.TarInfo(name)
    info.size = size
    press = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield press.compress(info.tobuf(tarfile.GNU_FORMAT))
    block = bytes(16 << 20)
    for _ in range(size // len(block)):
        if part := press.compress(block):
            yield part
    yield press.flush()


def image(rootfs, reference, config=None):
    """What `docker save` would write for an image of one layer."""
    diff = "sha256:" + hashlib.sha256(rootfs).hexdigest()
    body = json.dumps({"architecture": "amd64", "os": "linux", "config": config or {"Cmd": ["sh"]},
                       "rootfs": {"type": "layers", "diff_ids": [diff]}, "history": [{"created_by": "attacks"}]}).encode()
    name = hashlib.sha256(body).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
    return b"".join([member(name, body), member("layer.tar", rootfs), member("manifest.json", manifest), b"\0" * 1024])


def files(data):
    """Name to bytes of the plain files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
