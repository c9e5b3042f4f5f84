"""The channel `grpc`: calls between roles by somebody who should not make them. The cases name services of another design;
each is sent to the one here that does the same (README, proto/). Messages are put together by hand."""
import json
import secrets

import certificates as c
import false_host
import frames
import grpc
import wire
from cases import Invalid, Outcome

WAIT_S = 20


def attack(case, known, world):
    return globals()[case.id.replace("-", "_").lower()](Roles(world))


def text(field, value):
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def number(field, value):
    return varint(field << 3) + varint(value)


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


class Roles:
    """Addresses and certificates of the roles, and a container of the attacker's to speak of."""

    def __init__(self, world):
        self.world, self.site, self.a = world, world.site, world.stage.a
        self.container = world.stage.own()
        [[host]] = self.site.sql(f"select host_id from containers where id = '{self.container}'")
        self.agent = next(a for a in self.site.agents if a["host_id"] == host)
        self.other = next((a for a in self.site.agents if a["host_id"] != host), self.agent)
        self.key = text(1, self.a.id) + text(2, self.container)
        self.top = text(1, self.key)
        token = self.to_agent("Agent/Top", self.top)[0].token
        if token != "grpc:OK":
            raise Invalid(f"control: a frontend's Top: {token}")

    def to_agent(self, method, message, files=None):
        return self.call(self.agent["listen"], f"{self.agent['host_id']}.host.wharfinger", method, message, files)

    def to_scheduler(self, method, message, files, stream=False):
        return self.call(self.site.scheduler["listen"], "scheduler.wharfinger", method, message, files, stream)

    def call(self, address, name, method, message, files=None, stream=False):
        files = files or self.site.frontend["tls"]
        read = lambda path: open(path, "rb").read()
        credentials = grpc.ssl_channel_credentials(read(self.site.frontend["tls"]["ca"]), read(files["key"]), read(files["cert"]))
        with grpc.secure_channel(address, credentials, (("grpc.ssl_target_name_override", name),)) as channel:
            path = method if method.startswith("/") else f"/wharfinger.v1.{method}"
            try:
                if stream:
                    answers = channel.stream_stream(path)(iter([message]), timeout=WAIT_S)
                    next(answers)
                    answers.cancel()
                else:
                    channel.unary_unary(path)(message, timeout=WAIT_S)
            except grpc.RpcError as error:
                return [Outcome(f"grpc:{error.code().name}", note=error.details())]
            except StopIteration:
                return [Outcome("grpc:OK", note="no answer")]
        return [Outcome("grpc:OK")]


def refused(address, files):
    """Whether TLS lets this certificate in: the alert comes with the first read."""
    host, _, port = address.rpartition(":")
    try:
        with wire.dial((host, int(port)), frames.loose(**files), 10) as stream:
            stream.sendall(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0))
            while (got := stream.recv(4096)):
                return Outcome("served", note=f"{address} {got[:20]!r}")
    except (wire.Closed, OSError) as error:
        return Outcome("tls_alert", note=str(error))
    return Outcome("tls_alert", note="closed")


def gr_001(roles):
    infra = c.Issuer.read(roles.site.data / "authority/infra.pem", roles.site.data / "authority/infra.key")
    expired = c.files(c.issue(infra, uri=f"wharfinger://host/{roles.agent['host_id']}", begin=-72, days=1))
    bundle = {"cert": f"{roles.a.bundle}/cert.pem", "key": f"{roles.a.bundle}/key.pem"}
    doors = [roles.agent["listen"], roles.site.scheduler["listen"], roles.site.frontend["internal_listen"]]
    found = [refused(door, files) for door in doors for files in ({}, bundle, expired)]
    # A role that may not: another host's certificate, the edge's, the scheduler's own.
    for files in (roles.other["tls"], roles.site.scheduler["tls"]):
        for method in ("Agent/Top", "Agent/Create", "Files/Stat", "Measure/Update", "Layers/Make"):
            [outcome] = roles.to_agent(method, roles.top, files)
            if outcome.token not in ("grpc:PERMISSION_DENIED", "grpc:UNAUTHENTICATED"):
                found.append(Outcome(outcome.token, note=f"{method} by {files['cert']}: {outcome.note}"))
    return found


def gr_003(roles):
    good = number(1, 1) + text(2, roles.other["host_id"])
    if (token := roles.to_scheduler("Scheduler/Report", good, roles.other["tls"], stream=True)[0]).token != "grpc:OK":
        raise Invalid(f"control: a report for its own host: {token}")
    return roles.to_scheduler("Scheduler/Report", number(1, 1) + text(2, roles.agent["host_id"]), roles.other["tls"], stream=True)


def gr_005(roles):
    """No credential ever goes to a host; what a host may ask for is the blobs of its containers."""
    victim = text(1, roles.world.stage.v.id) + text(2, roles.world.stage.fixed["victim_container"])
    [[host]] = roles.site.sql(f"select host_id from containers where id = '{roles.world.stage.fixed['victim_container']}'")
    stranger = next(a for a in roles.site.agents if a["host_id"] != host)
    [[blob]] = roles.site.sql(f"select layers->0->>'digest' from images where tenant_id = '{roles.world.stage.v.id}' limit 1")
    fetch = lambda files: roles.call(roles.site.frontend["internal_listen"], "frontend.wharfinger", "Blobs/Fetch",
                                     text(1, victim) + text(2, blob or ""), files)
    return fetch(stranger["tls"]) + fetch(roles.site.scheduler["tls"])


def gr_007(roles):
    return roles.to_agent("/wharfinger.v1.Agent/Create%2f..%2fExec", roles.top)


def gr_009(roles):
    """A spec that policy would have refused, by the hand of a frontend: created, perhaps, and never started."""
    def with_(**process):
        spec = roles.site.spec(roles.container)
        spec["process"] |= process
        return spec

    plain, found = with_(), []
    tmpfs = {"target": "/proc", "options": []}
    volume = {"name": "../../../../etc", "target": "/v", "readonly": False, "no_copy": True, "subpath": "", "anonymous": False, "mode": ""}
    bad = [plain | {"privileged": True}, plain | {"binds": ["/:/host"]}, plain | {"tmpfs": [tmpfs]}, plain | {"volumes": [volume]},
           plain | {"sysctls": {"kernel.core_pattern": "|/bin/sh"}}, plain | {"network": "host"},
           with_(capabilities=[*plain["process"]["capabilities"], "CAP_SYS_ADMIN"])]
    if started(roles, plain) != "grpc:OK":
        raise Invalid("control: an honest spec does not start")
    for spec in bad:
        changed = [key for key in spec if spec[key] != plain.get(key)]
        found.append(Outcome(started(roles, spec), note=str(changed)))
    return found


def started(roles, spec):
    """What comes of a create and a start. A container that the inventory does not know is soon forgotten: then once more."""
    for _ in range(10):
        key = text(1, roles.a.id) + text(2, secrets.token_hex(32))
        name = "direct-" + secrets.token_hex(3)
        [outcome] = roles.to_agent("Agent/Create", text(1, key) + text(2, name) + number(3, roles.a.uid_base) +
                                   text(4, json.dumps(spec)) + text(5, "[]"))
        if outcome.token != "grpc:OK":
            break
        [outcome] = roles.to_agent("Agent/Start", text(1, key))
        roles.to_agent("Agent/Remove", text(1, key) + number(2, 1))
        if outcome.token != "grpc:NOT_FOUND":
            break
    return outcome.token


def gr_011(roles):
    return false_host.answered(roles, frames.END_STREAM)


def gr_013(roles):
    return false_host.answered(roles, 0)


def gr_015(roles):
    deep = b""
    for _ in range(200):
        deep = text(1, deep)
    wait = text(1, roles.key) + number(2, 9999)
    key = text(1, roles.a.id) + text(2, secrets.token_hex(32))
    nested = text(1, key) + text(2, "deep") + number(3, roles.a.uid_base) + text(4, "[" * 10_000) + text(5, "[]")
    found = roles.to_agent("Agent/Wait", wait) + roles.to_agent("Agent/Create", nested)
    # Bytes that are no message at all are the library's to refuse: INTERNAL is its word for it.
    broken = roles.to_agent("Agent/Top", b"\xff" * 64) + roles.to_agent("Agent/Top", text(1, deep))
    return found + [o for o in broken if o.token == "grpc:OK"]


def gr_017(roles):
    return [refused(roles.agent["listen"], {}), refused(roles.site.scheduler["listen"], {})]


def gr_019(roles):
    return roles.to_scheduler("Scheduler/Enroll", text(1, "token"), roles.other["tls"])


def gr_021(roles):
    [[facts]] = roles.site.sql(f"select facts from hosts where id = '{roles.other['host_id']}'")
    known = json.loads(facts)
    claim = text(1, known["endpoint"]) + text(2, known["underlay_address"]) + number(3, 10**12) + number(4, 1 << 60) + \
        text(5, known["kernel_version"]) + text(6, known["architecture"]) + text(7, known["operating_system"]) + \
        b"".join(text(8, text(1, k) + text(2, v)) for k, v in known["labels"].items()) + number(9, known["underlay_mtu"]) + \
        number(20, int(known["shared_volumes"])) + number(21, int(known["volume_quotas"])) + number(10, known["cgroup_version"])
    room = "select cpu_millis_free, memory_bytes_free from hosts where id = '%s'" % roles.other["host_id"]
    [[cpu, memory]] = roles.site.sql(room)
    found = roles.to_scheduler("Scheduler/Report", number(1, 1) + text(2, roles.other["host_id"]) + text(3, claim), roles.other["tls"], stream=True)
    quoted = facts.replace("'", "''")
    roles.site.sql(f"update hosts set facts = '{quoted}', cpu_millis_free = {cpu}, memory_bytes_free = {memory} where id = '{roles.other['host_id']}'")
    return found
