"""The channel `tls`: the right request with the wrong certificate, or with one that is revoked meanwhile."""
import pathlib
import secrets
import socket
import ssl
import subprocess
import tempfile
import time

import certificates as c
import wire
from cases import Invalid, Outcome
from tenants import Tenant

PATH = "/v1.44/containers/json"
CUT_S = 60


def attack(case, known, world):
    if world.stage.a.raw("GET", PATH).status != 200:
        raise Invalid("control: the good certificate is refused")
    work = globals()[case.id.replace("-", "_").lower()]
    return work(world)


def call(world, files=None):
    """With this certificate; who is reached is checked as always."""
    a = world.stage.a
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(f"{a.bundle}/ca.pem")
    if files:
        tls.load_cert_chain(files["cert"], files["key"])
    outcomes = []
    for path in (PATH, "/_ping"):
        try:
            answer = wire.call(a.address, tls, "GET", path)
            outcomes.append(Outcome(str(answer.status), answer))
        except wire.Closed as closed:
            outcomes.append(Outcome("tls_alert" if closed.alert else "close", note=str(closed)))
    return outcomes


def tenants_authority(world):
    return c.Issuer.read(world.site.data / "authority/tenants.pem", world.site.data / "authority/tenants.key")


def uri(tenant):
    return c.uri_of(f"{tenant.bundle}/cert.pem")


def with_(world, made):
    return call(world, c.files(made))


def tl_001(world):
    return call(world)


def tl_003(world):
    real = tenants_authority(world)
    false = c.issue(None, subject=real.certificate.subject, ca=True, usage=None)
    return with_(world, c.issue(false, uri=uri(world.stage.v)))


def tl_005(world):
    a = world.stage.a
    own = c.Issuer.read(f"{a.bundle}/cert.pem", f"{a.bundle}/key.pem")
    below = c.issue(own, uri=uri(world.stage.v))
    minted = c.issue(tenants_authority(world), uri=uri(a), ca=True)
    return with_(world, below) + with_(world, minted) + with_(world, c.issue(minted, uri=uri(world.stage.v)))


def tl_007(world):
    return with_(world, c.issue(tenants_authority(world), uri=uri(world.stage.a), begin=1))


def tl_009(world):
    return with_(world, c.issue(tenants_authority(world), uri=uri(world.stage.a), usage=c.Usage.SERVER_AUTH))


def tl_011(world):
    files = world.site.frontend["tls"]
    root = c.Issuer.read(world.site.data / "authority/root.pem", world.site.data / "authority/root.key")
    return call(world, files) + with_(world, c.issue(root, common="operator", uri="wharfinger://operator/root"))


def tl_013(world):
    return with_(world, c.issue(tenants_authority(world), common=world.stage.v.name, uri=uri(world.stage.a)))


def tl_015(world):
    a = world.stage.a
    between = c.issue(c.Issuer.read(f"{a.bundle}/cert.pem", f"{a.bundle}/key.pem"), common="*", ca=True, usage=None)
    return with_(world, c.issue(between, common="*", dns="*", uri=uri(world.stage.v)))


def tl_017(world):
    made = c.issue(None, common="0", ca=True, usage=None)
    for number in range(99):
        made = c.issue(made, common=str(number % 7), ca=True, usage=None)
    began = time.monotonic()
    outcomes = with_(world, c.issue(made, uri=uri(world.stage.v)))
    if time.monotonic() > began + 5:
        outcomes.append(Outcome("slow", note="the chain cost more than 5 s"))
    return outcomes


def tl_019(world):
    """OpenSSL's client sends early data only with a ticket that allows it."""
    a, folder = world.stage.a, pathlib.Path(tempfile.mkdtemp(prefix="attack-"))
    early = folder / "early"
    name = "early-" + secrets.token_hex(4)
    body = '{"Name":"%s"}' % name
    early.write_text(f"POST /v1.44/volumes/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n{body}")
    common = ["openssl", "s_client", "-connect", f"{a.address[0]}:{a.address[1]}", "-cert", f"{a.bundle}/cert.pem",
              "-key", f"{a.bundle}/key.pem", "-tls1_3"]
    get = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    first = subprocess.run([*common, "-sess_out", folder / "ticket", "-ign_eof"], input=get, capture_output=True, timeout=30)
    if not (folder / "ticket").exists():
        raise Invalid("control: no ticket was given: " + first.stderr.decode()[-200:])
    again = subprocess.run([*common, "-sess_in", folder / "ticket", "-early_data", early], input=b"", capture_output=True, timeout=30)
    executed = world.stage.a.ask("GET", f"/volumes/{name}").status == 200
    accepted = executed or b"Early data was accepted" in again.stdout
    # Refused early data is never read: the connection is as good as closed to it.
    return [Outcome("accepted" if accepted else "close", note=again.stdout.decode("latin-1")[-200:])]


def fleeting(world):
    """A tenant whose credential is about to be revoked."""
    made = world.site.tenant(f"atk-r-{secrets.token_hex(4)}")
    tenant = Tenant(made)
    if tenant.ask("GET", "/containers/json").status != 200:
        raise Invalid("control: the certificate is refused before it is revoked")
    return made, tenant


def tl_021(world):
    made, tenant = fleeting(world)
    with wire.dial(tenant.address, tenant.tls) as stream:
        stream.sendall(wire.head("GET", PATH, [], "x"))
        wire.Reader(stream).answer()
        ticket = stream.session
    with wire.dial(tenant.address, tenant.tls, session=ticket) as stream:
        stream.sendall(wire.head("GET", PATH, [], "x"))
        if wire.Reader(stream).answer().status != 200 or not stream.session_reused:
            raise Invalid("control: a ticket does not resume even before")
        ticket = stream.session
    world.site.revoke(made)
    time.sleep(1.5)
    try:
        with wire.dial(tenant.address, tenant.tls, session=ticket) as stream:
            stream.sendall(wire.head("GET", PATH, [], "x"))
            answer = wire.Reader(stream).answer()
            return [Outcome(str(answer.status), answer, note=f"resumed: {stream.session_reused}")]
    except wire.Closed as closed:
        return [Outcome("close", note=str(closed))]


def tl_023(world):
    made, tenant = fleeting(world)
    tenant.pull("busybox")
    ident = tenant.container("open", "busybox:latest", ["sleep", "1000"])
    execution = tenant.do("POST", f"/containers/{ident}/exec", {"Cmd": ["sleep", "1000"], "AttachStdout": True})["Id"]
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "tcp"), ("Content-Type", "application/json")]
    wanted = {"events": ("GET", "/events", [], b""), "logs": ("GET", f"/containers/{ident}/logs?follow=1&stdout=1", [], b""),
              "attach": ("POST", f"/containers/{ident}/attach?stream=1&stdout=1&stdin=1", [*upgrade, ("Content-Length", "0")], b""),
              "exec": ("POST", f"/exec/{execution}/start", [*upgrade, ("Content-Length", "2")], b"{}"),
              "stats": ("GET", f"/containers/{ident}/stats", [], b"")}
    streams = {}
    for what, (method, path, headers, body) in wanted.items():
        streams[what] = wire.dial(tenant.address, tenant.tls)
        streams[what].sendall(wire.head(method, "/v1.44" + path, headers, "x") + body)
        status = wire.Reader(streams[what]).answer("HEAD").status
        if status not in (101, 200):
            raise Invalid(f"control: {what} {status}")
    world.site.revoke(made)
    outcomes, deadline = [], time.monotonic() + CUT_S
    for what, stream in streams.items():
        outcomes.append(Outcome(drained(stream, deadline), note=what))
    world.site.sql(f"update credentials set revoked_at = null where tenant_id = '{made['id']}'")
    time.sleep(1.2)
    tenant.remove(ident)
    return outcomes


def drained(stream, deadline):
    try:
        while time.monotonic() < deadline:
            stream.settimeout(max(0.1, deadline - time.monotonic()))
            if not stream.recv(1 << 16):
                return "close"
    except (TimeoutError, socket.timeout):
        return "open"
    except OSError:
        return "close"
    return "open"


def tl_025(world):
    """There is no list: a credential's row says that it is revoked. See decided.tsv."""
    return [Outcome("no_crl")]
