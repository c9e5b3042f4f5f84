"""Cases that are many requests at once: races, floods and streams that nobody reads. The sizes are scaled down (`SCALE`):
the machine has two cores that others use as well."""
import concurrent.futures
import json
import secrets
import select
import socket
import time

import wire
from cases import Outcome
from stage import dockerfile
from tenants import Tenant, V

SCALE = 20  # of the cases' numbers, one in so many


def outcome(answer):
    return Outcome(str(answer.status), answer)


def at_once(calls):
    """The outcomes of calls that begin together."""
    def one(call):
        try:
            return outcome(call())
        except wire.Closed as closed:
            return Outcome("close", note=str(closed))
        except TimeoutError:
            return Outcome("timeout")

    with concurrent.futures.ThreadPoolExecutor(min(len(calls), 50)) as pool:
        return list(pool.map(one, calls))


def attack(case, known, world):
    return globals()[case.id.replace("-", "_").lower()](case, known, world)


def ex_009(case, known, world):
    path = f"/containers/{known['own_container']}/exec"
    return at_once([lambda: world.stage.a.ask("POST", path, {"Cmd": ["true"]})] * 200)


def rounds(world, one):
    outcomes = []
    for number in range(world.tries):
        outcomes += one(number)
    return outcomes


def rc_001(case, known, world):
    body, a = {"Image": known["own_image"], "Cmd": ["true"]}, world.stage.a

    def one(number):
        found = at_once([lambda: a.ask("POST", f"/containers/create?name=dup{number}", body)] * (50 if number == 0 else 5))
        if sum(o.token == "201" for o in found) != 1:
            found.append(Outcome("winners", note=str([o.token for o in found])))
        for made in found:
            if made.token == "201":
                a.remove(json.loads(made.answer.body)["Id"])
        return found

    return rounds(world, one)


def rc_003(case, known, world):
    a = world.stage.a

    def one(number):
        name = f"race-{secrets.token_hex(4)}"
        ident = a.do("POST", f"/containers/create?name={name}", {"Image": known["own_image"], "Cmd": ["sleep", "100"]})["Id"]
        found = at_once([lambda: a.ask("POST", f"/containers/{ident}/start"),
                         lambda: a.ask("DELETE", f"/containers/{ident}?force=1"),
                         lambda: a.ask("POST", f"/containers/{ident}/update", {"Memory": 128 << 20}),
                         lambda: a.ask("POST", f"/containers/{ident}/rename?name={name}-new")])
        a.remove(ident)
        return found

    return rounds(world, one)


def rc_005(case, known, world):
    a = world.stage.a

    def one(number):
        volume = f"race-{secrets.token_hex(4)}"
        a.do("POST", "/volumes/create", {"Name": volume})
        body = {"Image": known["own_image"], "Cmd": ["true"], "HostConfig": {"Binds": [f"{volume}:/v"]}}
        deleted, made = at_once([lambda: a.ask("DELETE", f"/volumes/{volume}"), lambda: a.ask("POST", f"/containers/create?name={volume}", body)])
        if made.token == "201":
            if a.ask("GET", f"/volumes/{volume}").status != 200:
                deleted.token, deleted.note = "lost", "a container whose volume is missing"
            a.remove(json.loads(made.answer.body)["Id"])
        a.ask("DELETE", f"/volumes/{volume}?force=1")
        # The case speaks of the delete's answers; 201 is the other half of the race.
        return [deleted, *([] if made.token == "201" else [made])]

    return rounds(world, one)


def rc_007(case, known, world):
    a = world.stage.a

    def one(number):
        ident = a.do("POST", f"/containers/{known['own_container']}/exec", {"Cmd": ["true"]})["Id"]
        found = at_once([lambda: a.ask("POST", f"/exec/{ident}/start", {"Detach": True})] * 20)
        started = sum(o.token in ("200", "101") for o in found)
        return found + ([] if started == 1 else [Outcome("started", note=f"{started} times")])

    return rounds(world, one)


def rc_009(case, known, world):
    """Requests that are under way while the credential is revoked; those that begin more than a second later are refused."""
    found = []
    for number in range(3):
        made = world.site.tenant(f"atk-r-{secrets.token_hex(4)}")
        tenant = Tenant(made)
        tenant.pull("busybox")
        world.site.revoke(made)
        revoked = time.monotonic()
        while time.monotonic() < revoked + 3:
            began = time.monotonic() - revoked
            answer = tenant.ask("POST", f"/containers/create?name=late{secrets.token_hex(3)}", {"Image": "busybox", "Cmd": ["true"]})
            if began > 1.1 or answer.status != 201:
                found.append(outcome(answer))
            time.sleep(0.1)
        world.site.sql(f"update credentials set revoked_at = null where tenant_id = '{made['id']}'")
        time.sleep(1.2)
        for row in tenant.do("GET", "/containers/json?all=1"):
            tenant.remove(row["Id"])
    return found


def ds_001(case, known, world):
    """Sockets that say nothing are closed within seconds."""
    sockets = [socket.create_connection(world.stage.a.address) for _ in range(10_000 // SCALE)]
    world.neighbour.once()
    found, deadline = [], time.monotonic() + 15
    for quiet in sockets:
        quiet.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            found.append(Outcome("close" if quiet.recv(1) == b"" else "answered"))
        except ConnectionError:
            found.append(Outcome("close"))
        except TimeoutError:
            found.append(Outcome("open", note="after 15 s"))
        quiet.close()
    return found


def ds_003(case, known, world):
    """A head that comes byte by byte."""
    a, found = world.stage.a, []
    with wire.dial(a.address, a.tls) as stream:
        began = time.monotonic()
        try:
            for byte in b"GET /v1.44/_ping HTTP/1.1\r\nHost: x\r\n" + b"X-A: y\r\n" * 100:
                stream.sendall(bytes([byte]))
                if select.select([stream], [], [], 5)[0]:
                    return [outcome(wire.Reader(stream).answer())]
                if time.monotonic() > began + 40:
                    return [Outcome("open", note="after 40 s")]
        except (OSError, wire.Closed):
            return [Outcome("close")]
    return found


def ds_005(case, known, world):
    a = world.stage.a
    many = [(f"X-{n}", "y") for n in range(1000)]
    return at_once([lambda: a.raw("GET", V + "/_ping", many), lambda: a.raw("GET", V + "/_ping", [("X-Big", "y" * (1 << 20))]),
                    lambda: a.raw("GET", V + "/_ping?" + "y" * (64 << 10))])


def ds_007(case, known, world):
    terms = ",".join(f'"n{n}"' for n in range(10_000))
    a = world.stage.a
    return at_once([lambda: a.raw("GET", f"{V}/containers/json?filters=%7B%22name%22:%5B{t}%5D%7D")
                    for t in (terms.replace('"', "%22"), "%22" + "y" * (1 << 20) + "%22")])


def ds_009(case, known, world):
    a = world.stage.a
    ident = a.container(f"loud-{secrets.token_hex(3)}", "busybox:latest", ["sh", "-c", "exec yes 0123456789012345678901234567890123456789"],
                        HostConfig={"LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}, "NanoCpus": 500_000_000})
    stream = wire.dial(a.address, a.tls)
    stream.sendall(wire.head("GET", f"{V}/containers/{ident}/logs?follow=1&stdout=1", [], "x"))
    time.sleep(20)
    stream.close()
    a.remove(ident)
    return [Outcome("200")]


def streams(world, method, target, headers, count):
    a, found, opened = world.stage.a, [], []
    for _ in range(count):
        try:
            stream = wire.dial(a.address, a.tls)
            stream.sendall(wire.head(method, target, headers, "x"))
            found.append(outcome(wire.Reader(stream).answer("HEAD")))
            opened.append(stream)
        except wire.Closed as closed:
            found.append(Outcome("close", note=str(closed)))
    time.sleep(3)
    return found, opened


def ds_011(case, known, world):
    target = f"{V}/containers/{known['own_container']}/attach?stream=1&stdout=1"
    found, opened = streams(world, "POST", target, [("Connection", "Upgrade"), ("Upgrade", "tcp"), ("Content-Length", "0")], 500 // SCALE * 4)
    for stream in opened:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stream.close()
    return found


def ds_013(case, known, world):
    found, opened = streams(world, "GET", f"{V}/containers/{known['own_container']}/stats?stream=1", [], 1000 // SCALE * 2)
    for stream in opened:
        stream.close()
    return found


def ds_015(case, known, world):
    body, a = {"Image": known["own_image"], "Cmd": ["true"]}, world.stage.a
    return at_once([lambda: a.ask("POST", "/containers/create", body)] * (1000 // SCALE * 2))


def ds_017(case, known, world):
    return at_once([lambda: world.stage.a.ask("POST", "/volumes/create", {})] * (100_000 // SCALE // 25))


def ds_019(case, known, world):
    context = dockerfile("FROM busybox", "RUN sleep 86400")
    a, opened, found = world.stage.a, [], []
    for number in range(50 // SCALE * 4):
        stream = wire.dial(a.address, a.tls, 8)
        stream.sendall(wire.head("POST", f"{V}/build?t=slow{number}&q=0", [("Content-Type", "application/x-tar"), ("Content-Length", str(len(context)))], "x") + context)
        opened.append(stream)
    time.sleep(5)
    for stream in opened:
        try:
            found.append(outcome(wire.Reader(stream).answer("HEAD")))
        except (wire.Closed, TimeoutError) as error:
            found.append(Outcome("close", note=str(error)))
        stream.close()
    time.sleep(3)
    return found
