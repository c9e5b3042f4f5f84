"""The channel `container`: what a process inside a tenant's container tries. Blocked is what did not come through."""
import pathlib
import secrets
import shutil
import subprocess
import tempfile
import time

import tars
from cases import Invalid, Outcome

PORT = "8099"


def attack(case, known, world):
    if case.id == "IC-021":
        return [Outcome("not_promised")]
    return [Outcome(token, note=note) for token, note in globals()[case.id.replace("-", "_").lower()](Inside(world))]


def verdict(through, note=""):
    return ("through" if through else "blocked", note[:300])


class Inside:
    """Two containers of the attacker's in one network: the one that attacks, and one that may be reached."""

    def __init__(self, world):
        self.world, self.a, self.site = world, world.stage.a, world.site
        self.me = world.stage.own()
        self.peer = self.a.container("peer-" + secrets.token_hex(3), "busybox:latest", ["httpd", "-f", "-p", "80"])
        self.peer_at = self.endpoint(self.peer)
        self.me_at = self.endpoint(self.me)
        if not self.reaches(self.peer_at["IPAddress"], "80"):
            raise Invalid("control: a container does not reach its peer")

    def endpoint(self, container):
        return self.a.state(container)["NetworkSettings"]["Networks"]["bridge"]

    def sh(self, script, container=None):
        return self.a.exec(container or self.me, ["sh", "-c", script])

    def reaches(self, address, port):
        return self.sh(f"echo | nc -w 2 {address} {port} >/dev/null 2>&1 && echo through")[1].strip() == "through"

    def put_probe(self):
        """The C program, for what busybox cannot try."""
        folder = tempfile.mkdtemp(prefix="attack-")
        source = pathlib.Path(__file__).with_name("probe.c")
        done = subprocess.run(["cc", "-static", "-O1", "-o", f"{folder}/probe", source], capture_output=True, text=True)
        if done.returncode:
            raise Invalid(f"the probe cannot be compiled: {done.stderr[:200]}")
        data = tars.member("probe", pathlib.Path(folder, "probe").read_bytes(), 0o755) + b"\0" * 1024
        shutil.rmtree(folder)
        for container in (self.me, self.peer):
            self.a.do("PUT", f"/containers/{container}/archive?path=/tmp", data, kind="application/x-tar")

    def probe(self, *words):
        return self.a.exec(self.me, ["/tmp/probe", *words])

    def heard(self, port, send):
        """What the peer hears at a UDP port while `send` runs."""
        self.sh(f"(/tmp/probe listen {port} 4 > /tmp/got) >/dev/null 2>&1 &", self.peer)
        time.sleep(0.7)
        said = send()
        time.sleep(0.7)
        return self.sh("cat /tmp/got; pkill probe", self.peer)[1], said


def ic_001(inside):
    return [verdict(inside.reaches("169.254.169.254", "80"))]


def sniffed(inside, marker, send):
    """Whether a frame with `marker` is seen on any interface of any host while `send` runs."""
    watch = ("import socket, sys, time\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))\ns.settimeout(0.2)\n"
             "end = time.time() + 6\nprint('on', flush=True)\nwhile time.time() < end:\n  try:\n    data, where = s.recvfrom(65535)\n"
             "  except TimeoutError: continue\n"
             f"  if b'{marker}' in data and where[0] == sys.argv[1]: print('seen', where, flush=True); break\n")
    watches = []
    for agent in inside.site.agents:
        space = inside.site.network_namespace(agent)
        prefix = ["ip", "netns", "exec", space] if space else []
        watches.append(subprocess.Popen([*prefix, "python3", "-c", watch, agent["underlay_interface"]], stdout=subprocess.PIPE, text=True))
    for process in watches:
        process.stdout.readline()
    send()
    return "".join(process.communicate(timeout=20)[0] for process in watches)


def ic_003(inside):
    """A tunnel frame from within: it must not come out of the tenant's network."""
    vtep, marker = inside.world.stage.fixed["vtep_ip"], "ATK" + secrets.token_hex(6)
    inside.put_probe()
    got, said = inside.heard("4789", lambda: inside.probe("send", inside.peer_at["IPAddress"], "4789", marker))
    if marker not in got:
        raise Invalid(f"control: UDP does not reach the peer: {said} {got}")
    hosts = dict.fromkeys([*(agent["listen"].split(":")[0] for agent in inside.site.agents), vtep])
    seen = sniffed(inside, marker, lambda: [inside.probe("send", host, port, marker) for host in hosts for port in ("4789", "8472")])
    return [verdict("seen" in seen, seen)]


def ic_005(inside):
    """With the addresses of the gateway and of a neighbour; the right ones are the control."""
    me, peer, found = inside.me_at, inside.peer_at, []
    target, mac = peer["IPAddress"], peer["MacAddress"]
    inside.put_probe()
    third = inside.a.container("third-" + secrets.token_hex(3), "busybox:latest", ["sleep", "1000"])
    other = inside.endpoint(third)
    for what, source, hardware in (("own", me["IPAddress"], me["MacAddress"]), ("gateway", me["Gateway"], me["MacAddress"]),
                                   ("neighbour", other["IPAddress"], me["MacAddress"]), ("its MAC", me["IPAddress"], other["MacAddress"]),
                                   ("both", other["IPAddress"], other["MacAddress"])):
        heard, out = inside.heard(PORT, lambda: inside.probe("spoof", "eth0", source, hardware, target, mac, PORT))
        got = "ATKSPOOF" in heard
        if what == "own" and not got:
            raise Invalid(f"control: the true addresses do not come through: {out}")
        if what != "own":
            found.append(verdict(got, f"as the {what}: {out}"))
    return found


def ic_007(inside):
    """Services of the host at loopback and underlay addresses, by way of the gateway and of a published port."""
    site, gateway = inside.site, inside.me_at["Gateway"]
    places = [("127.0.0.1", str(site.listen[1])), (gateway, str(site.listen[1])), (gateway, "7400"), (gateway, "22"), (gateway, "5432")]
    for full in (site.frontend["internal_listen"], site.scheduler["listen"], *(agent["listen"] for agent in site.agents)):
        places.append(tuple(full.rsplit(":", 1)))
    places.append(tuple(map(str, inside.a.address)))
    places.append(("127.0.0.1", str(inside.world.canary.port)))
    return [verdict(inside.reaches(*place), f"{place}") for place in places]


def ic_009(inside):
    if inside.sh("echo x > /tmp/x && echo through")[1].strip() != "through":
        raise Invalid("control: /tmp is not written to")
    files = ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper", "/proc/sys/vm/drop_caches", "/proc/kcore")
    return [verdict("through" in inside.sh(f": >> {file} && echo through")[1], file) for file in files]


def ic_011(inside):
    """An image whose mount points are links to elsewhere; a start fails or is safe."""
    a, name, found = inside.a, "links-" + secrets.token_hex(3), []
    rootfs = a.do("GET", f"/containers/{inside.peer}/export")
    busybox = max(tars.files(rootfs).values(), key=len)
    before = inside.site.hashes()
    for what, links in (("dev", [("dev", "/etc")]), ("null", [("dev/null", "/etc/passwd"), ("dev/pts", "/etc")]), ("proc", [("proc", "/etc"), ("sys", "/etc")])):
        body = tars.member("bin/busybox", busybox, 0o755)
        body += b"".join(tars.one({"name": n, "type": "symlink", "linkname": to}) for n, to in links) + b"\0" * 1024
        a.do("POST", "/images/load", tars.image(body, f"{name}-{what}:1"), kind="application/x-tar")
        made = a.do("POST", f"/containers/create?name={name}-{what}", {"Image": f"{name}-{what}:1", "Cmd": ["/bin/busybox", "ls", "/etc", "/dev", "/proc"]})["Id"]
        started = a.ask("POST", f"/containers/{made}/start")
        time.sleep(1)
        said = a.ask("GET", f"/containers/{made}/logs?stdout=1&stderr=1").text if started.status < 300 else started.text
        found.append(verdict(inside.site.hashes() != before or "shadow" in said, f"{what}: {started.status} {said}"))
        a.remove(made)
        a.ask("DELETE", f"/images/{name}-{what}:1?force=1")
    return found


def ic_013(inside):
    inside.put_probe()
    if inside.probe("socket", "2", "1")[0] != 0:
        raise Invalid("control: an ordinary socket is refused")
    families = {"AF_ALG": "38", "AF_VSOCK": "40"}
    return [verdict(inside.probe("socket", number, kind)[0] == 0, name) for name, number in families.items() for kind in ("1", "5")]


def ic_015(inside):
    out = inside.sh("cat /proc/net/unix")[1]
    if "Num" not in out:
        raise Invalid("control: /proc/net/unix is not read")
    return [verdict("containerd" in out or "@" in out, out)]


def ic_017(inside):
    """More memory than it has: it alone is killed."""
    a = inside.a
    ident = a.container("balloon-" + secrets.token_hex(3), "busybox:latest", ["sh", "-c", "head -c 1000m /dev/zero | tail"],
                        HostConfig={"Memory": 64 << 20})
    deadline = time.monotonic() + 60
    while (state := a.state(ident)["State"])["Running"] and time.monotonic() < deadline:
        time.sleep(0.5)
    others = all(a.state(c)["State"]["Running"] for c in (inside.me, inside.peer))
    return [verdict(state["Running"] or not state["OOMKilled"] or not others, f"{state}")]


def ic_019(inside):
    """As much output as it can for 15 s (the case: 10 minutes): the log stays within its limit, the neighbour within patience."""
    a, world = inside.a, inside.world
    limit = {"LogConfig": {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "2"}}}
    ident = a.container("loud-" + secrets.token_hex(3), "busybox:latest", ["yes", "0123456789" * 20], HostConfig=limit)
    world.neighbour.watch()
    time.sleep(15)
    world.neighbour.rest()
    size = 0
    for agent in inside.site.agents:
        for path in pathlib.Path(agent["root"]).glob(f"containers/**/{ident}/**/*"):
            size += path.stat().st_size if path.is_file() else 0
    a.remove(ident)
    slow = world.neighbour.verdict()
    return [verdict(size > 12 << 20, f"{size} bytes of log"), verdict(bool(slow), slow or "")]
