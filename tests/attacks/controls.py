"""A case's control: the honest twin of the attack, which must succeed, or the refusal of the attack says nothing."""
import json
import secrets

import by_docker
import stage as staging
import tars
import wire
from cases import Invalid
from tenants import Unexpected

TAR = "application/x-tar"


def run(case, known, world):
    control = case.control
    try:
        if control.startswith("same body without"):
            create(world.stage.a)
        elif control.startswith("well-formed create"):
            create(world.stage.a)
        elif control.startswith("well-formed request"):
            if case.method == "POST":
                create(world.stage.a)
            else:
                world.stage.a.do("GET", "/containers/json")
        elif control.startswith("same call as tenant_victim"):
            rightful(case, known, world.stage)
        elif control.startswith("same call without the header"):
            world.stage.a.do("GET", "/containers/json?all=1")
        elif control.startswith("same call with benign"):
            benign(case, known, world.stage)
        # The others (a good certificate, the rightful peer, an allowed target) are their channel's own.
    except Unexpected as error:
        raise Invalid(f"control: {error}") from error


def create(tenant):
    name = "ctl-" + secrets.token_hex(4)
    made = tenant.do("POST", f"/containers/create?name={name}",
                     {"Image": "busybox:latest", "Cmd": ["true"], "HostConfig": {}})
    tenant.remove(made["Id"])


def benign(case, known, stage):
    """The same route with values that nobody objects to, undone at once."""
    a, name, path = stage.a, "ctl-" + secrets.token_hex(4), case.path.removeprefix("/v1.44")
    own = known.get("own_container")
    if path.startswith("/volumes/create"):
        a.do("POST", "/volumes/create", {"Name": name})
        a.do("DELETE", f"/volumes/{name}")
    elif path.startswith("/networks/create"):
        a.do("POST", "/networks/create", {"Name": name})
        a.do("DELETE", f"/networks/{name}")
    elif "/connect" in path:
        own = stage.own()
        a.do("POST", f"/networks/{known['own_network']}/connect", {"Container": own})
        a.do("POST", f"/networks/{known['own_network']}/disconnect", {"Container": own})
    elif path.endswith("/update"):
        a.do("POST", f"/containers/{own}/update", {"Memory": 256 << 20})
        a.do("POST", f"/containers/{own}/update", {"Memory": 512 << 20})
    elif path.endswith("/exec"):
        a.do("POST", f"/containers/{own}/exec", {"Cmd": ["id"]})
    elif "/archive" in path:
        archive(case, own, a)
    elif path.startswith("/images/load"):
        a.do("POST", "/images/load", tars.image(tars.member("f", b"x") + b"\0" * 1024, f"{name}:1"), kind=TAR)
        a.do("DELETE", f"/images/{name}:1")
    elif path.startswith("/images/create"):
        a.pull("busybox")
    elif path.startswith("/commit"):
        a.do("POST", f"/commit?container={stage.own()}&repo={name}", {})
        a.do("DELETE", f"/images/{name}")
    elif path.startswith("/images/get"):
        a.do("GET", f"/images/get?names={known['own_image']}")
    elif path.endswith("latest") and "/tag?" in path:
        a.do("POST", f"/images/busybox:latest/tag?repo={name}&tag=1")
        a.do("DELETE", f"/images/{name}:1")
    elif "/push" in path:
        push(name, a, stage)
    elif path.startswith("/build/prune"):
        a.do("POST", "/build/prune")
    elif path.startswith("/build"):
        a.build(name, staging.dockerfile("FROM busybox", "LABEL a=b"))
        a.do("DELETE", f"/images/{name}")


def archive(case, own, a):
    if case.method == "GET":
        a.do("GET", f"/containers/{own}/archive?path=/etc/hostname")
    elif "path=/ro" in case.path:
        other = a.container("ctl-" + secrets.token_hex(4), "busybox:latest", ["sleep", "1000"])
        a.do("PUT", f"/containers/{other}/archive?path=/tmp", tars.made([{"name": "a"}]), kind=TAR)
        a.remove(other)
    else:
        a.do("PUT", f"/containers/{own}/archive?path=/tmp", tars.made([{"name": "a", "data": "x"}], case.body.get("compress")
                                                                      if case.body.get("compress") == "gzip" else None), kind=TAR)


def push(name, a, stage):
    """To the registry that the mirror is, which takes pushes."""
    where = stage.site.frontend["insecure_registries"][0]
    a.do("POST", f"/images/busybox:latest/tag?repo={where}/attacks/{name}&tag=1")
    a.do("POST", f"/images/{where}/attacks/{name}/push?tag=1", headers=[("X-Registry-Auth", "e30=")])
    a.do("DELETE", f"/images/{where}/attacks/{name}:1")


def rightful(case, known, stage):
    """By the victim itself, on objects of its own that nobody misses afterwards."""
    v, name = stage.v, "ctl-" + secrets.token_hex(4)
    twin = dict(known)
    ident = None
    if "victim_container" in case.path or "victim_exec" in case.path:
        ident = v.container(name, known["victim_image"], ["sleep", "1000"])
        for form, value in (("victim_container", ident), ("victim_container_prefix12", ident[:12]), ("victim_container_name", name)):
            twin[form] = value
        if "unpause" in case.path:
            v.do("POST", f"/containers/{ident}/pause")
    if "victim_exec" in case.path:
        twin["victim_exec"] = v.do("POST", f"/containers/{ident}/exec", {"Cmd": ["sleep", "5"], "Tty": True})["Id"]
        held = wire.dial(v.address, v.tls)  # attached: resize wants a terminal that somebody looks at
        held.sendall(wire.head("POST", f"/v1.44/exec/{twin['victim_exec']}/start", [("Content-Type", "application/json"), ("Content-Length", "30")], "x")
                     + b'{"Detach": false, "Tty": true}')
        wire.Reader(held).answer("HEAD")
    if "victim_image" in case.path:
        v.build(f"{name}:latest", staging.dockerfile("FROM busybox", f"LABEL n={name}"))
        twin["victim_image"] = f"{name}:latest"
        twin["victim_image_sha"] = v.do("GET", f"/images/{name}/json")["Id"].split(":")[1]
    if "victim_volume" in case.path:
        v.do("POST", "/volumes/create", {"Name": name})
        twin["victim_volume"] = name
    if "victim_network" in case.path:
        v.do("POST", "/networks/create", {"Name": name})
        twin["victim_network"] = name
    outcome = by_docker.send(case, twin, v)
    undo(v, name, ident)
    if outcome.token in ("404", "close", "tls_alert", "timeout", "500"):
        raise Invalid(f"control: as the victim {outcome.token} {outcome.answer and outcome.answer.text[:200]}")


def undo(v, name, ident):
    if ident:
        v.remove(ident)
    for path in (f"/images/{name}:latest?force=1", f"/volumes/{name}", f"/networks/{name}"):
        v.ask("DELETE", path)


def same_as_plain(world):
    return json.dumps(world.stage.a.do("GET", "/containers/json?all=1"), sort_keys=True)
