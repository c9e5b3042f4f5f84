"""What a case finds there: the attacker's own objects, a victim's, and the values of the cases' placeholders."""
import base64
import json
import re
import secrets
import time

import tars
from cases import Invalid
from registry import CREDENTIAL
from tenants import Tenant, Unexpected

PLACEHOLDER = re.compile(r"\{([a-z_0-9]+)\}")
VICTIM_SUBNET = "172.31.77.0/24"
# Images of the attacker's for some preconditions: steps on top of busybox.
IMAGES = {
    "atk/links": "RUN ln -s /etc /link-to-host-etc && echo container-shadow-marker > /etc/shadow",
    "atk/packers": "RUN mkdir -p /usr/bin && for p in xz unpigz gzip zstd; do printf '#!/bin/sh\\ntouch /executed\\n' > /usr/bin/$p;"
                   " chmod 755 /usr/bin/$p; done",
    "atk/self": "RUN ln -s /proc/self/exe /entry",
    "atk/users": "RUN echo 99999999999:x:0:0::/:/bin/sh >> /etc/passwd",
    "atk/labels": "LABEL containerd.io/restart.loguri=binary:///bin/true containerd.io/restart.status=running",
}
SWAP = "cd /; while :; do rm -rf swap; ln -s / swap; rm -f swap; mkdir swap; done"


def dockerfile(*lines):
    return tars.member("Dockerfile", "\n".join(lines).encode()) + b"\0" * 1024


class Stage:
    def __init__(self, site, canary, registry):
        self.site, self.canary, self.registry = site, canary, registry
        self.run = secrets.token_hex(3)
        self.a = Tenant(site.tenant(f"atk-a-{self.run}"))
        self.v = Tenant(site.tenant(f"atk-v-{self.run}"))
        self.marker = f"victims-secret-{secrets.token_hex(8)}"
        self.secret = f"attackers-token-{secrets.token_hex(8)}"
        self.images, self.kept = {}, {}
        self.fixed, self.removable = {}, []
        self.build_victim()
        self.build_own()

    def build_victim(self):
        v = self.v
        v.pull("busybox")
        self.private = f"victims/private-{self.run}"
        v.build(f"{self.private}:latest", dockerfile("FROM busybox", f"LABEL m={self.marker}", f"RUN echo {self.marker} > /secret"))
        v.do("POST", "/networks/create", {"Name": f"victim-net-{self.run}", "IPAM": {"Config": [{"Subnet": VICTIM_SUBNET}]}})
        v.do("POST", "/volumes/create", {"Name": f"victim-vol-{self.run}"})
        self.victim_name = f"victim-db-{self.run}"
        # EN-011 wants an id that begins with a.
        for attempt in range(200):
            victim = v.do("POST", f"/containers/create?name={self.victim_name}", {
                "Image": f"{self.private}:latest", "Cmd": ["sh", "-c", f"echo {self.marker}; exec sleep 100000"],
                "Env": [f"SECRET={self.marker}"], "Labels": {"m": self.marker},
                "HostConfig": {"NetworkMode": f"victim-net-{self.run}", "Binds": [f"victim-vol-{self.run}:/data"]}})["Id"]
            if victim.startswith("a"):
                break
            v.remove(victim)
        v.do("POST", f"/containers/{victim}/start")
        v.do("POST", f"/containers/create?name=victim-stopped-{self.run}", {"Image": f"{self.private}:latest", "Cmd": ["true"]})
        v.do("POST", "/volumes/create", {"Name": f"victim-idle-{self.run}"})
        v.do("POST", "/networks/create", {"Name": f"victim-idle-{self.run}"})
        image = v.do("GET", f"/images/{self.private}:latest/json")["Id"]
        [[vni]] = self.site.sql(f"select vni from networks where tenant_id = '{v.id}' and name = 'victim-net-{self.run}'")
        build = secrets.token_hex(8)
        if self.registry:
            v.pull(f"{self.registry.address}/private/img:latest", auth=auth(self.registry.address, *CREDENTIAL))
        self.fixed |= {
            "victim_container": victim, "victim_container_name": self.victim_name, "victim_container_prefix12": victim[:12],
            "victim_image": f"{self.private}:latest", "victim_image_sha": image.split(":")[1],
            "victim_repo": self.private, "victim_volume": f"victim-vol-{self.run}", "victim_network": f"victim-net-{self.run}",
            "victim_subnet": VICTIM_SUBNET, "victim_tenant": v.id, "victim_vni": vni, "victim_build_id": build,
            "victim_cache_id": f"cache-{self.run}", "victim_token": secrets.token_hex(16),
            "victim_manifest_digest": self.registry.private_digest if self.registry else image}

    def build_own(self):
        a = self.a
        a.pull("busybox")
        a.do("POST", "/networks/create", {"Name": f"own-net-{self.run}", "IPAM": {"Config": [{"Subnet": "172.30.9.0/24"}]}})
        a.do("POST", "/volumes/create", {"Name": "own-vol"})
        underlay = self.site.agents[0]["listen"].split(":")
        port = self.canary.port
        self.fixed |= {
            "own_image": "busybox:latest", "own_network": f"own-net-{self.run}", "own_gateway": "172.30.9.1", "own_volume": "own-vol",
            "own_registry_auth": auth("registry.example", "puller", self.secret), "secret_marker": self.secret,
            "canary_host": "127.0.0.1", "canary_port": str(port), "canary_url": f"http://127.0.0.1:{port}",
            "mgmt_ip": self.site.scheduler["listen"].split(":")[0], "agent_port": underlay[1], "vtep_ip": underlay[0],
            "rebind_host": f"localhost:{port}", "plain_http_registry": f"localhost:{port}", "host": self.site.agents[0]["host_id"],
            "public_registry_with_blob_redirect_to_internal": self.hostile("redirect/img"),
            "victim_private_ref": self.hostile("private/img:latest"), "registry_digest_mismatch": self.hostile("mismatch/img:latest"),
            "registry_index_loop": self.hostile("loop/img:latest"), "registry_schema1": self.hostile("schema1/img:latest")}

    def hostile(self, reference):
        return f"{self.registry.address}/{reference}" if self.registry else None

    def image(self, name):
        if name not in self.images:
            self.a.build(f"{name}:latest", dockerfile("FROM busybox", IMAGES[name]))
            self.images[name] = f"{name}:latest"
        return self.images[name]

    def own(self, kind="plain"):
        """A running container of the attacker's; made again when a case has ended it."""
        found = self.kept.get(kind)
        state = found and self.a.state(found)
        if state and state["State"]["Running"]:
            return found
        if state:
            self.a.remove(found)
        image, command, more = "busybox:latest", ["sleep", "100000"], {}
        if kind in IMAGES:
            image = self.image(kind)
        elif kind == "swap":
            command = ["sh", "-c", SWAP]
        elif kind == "ro":
            more = {"HostConfig": {"ReadonlyRootfs": True, "Binds": ["own-vol:/ro:ro"]}}
        for _ in range(200):
            self.kept[kind] = self.a.container(f"own-{kind.replace('/', '-')}-{secrets.token_hex(2)}", image, command, **more)
            if not self.kept[kind].startswith("a"):
                return self.kept[kind]
            self.a.remove(self.kept[kind])

    def values(self, case):
        """What the placeholders of `case` stand for, its precondition made."""
        try:
            return self.make(case)
        except Unexpected as error:
            raise Invalid(f"precondition: {error}") from error

    def make(self, case):
        known, before = dict(self.fixed), case.precondition
        known |= {"run": self.run, "random_id": secrets.token_hex(32), "now": str(int(time.time()))}
        wanted = set(PLACEHOLDER.findall(case.text))
        kind = {"image has": "atk/links", "container loops": "swap", "image ships": "atk/packers", "image entrypoint": "atk/self",
                "ReadonlyRootfs": "ro"}
        chosen = next((k for start, k in kind.items() if before.startswith(start)), "plain")
        if wanted & {"own_container", "own_exec"} or chosen != "plain":
            known["own_container"] = self.own(chosen)
        if "own_exec" in wanted:
            known["own_exec"] = self.a.do("POST", f"/containers/{known['own_container']}/exec", {"Cmd": ["true"]})["Id"]
        if "victim_exec" in wanted:
            known["victim_exec"] = self.v.do("POST", f"/containers/{known['victim_container']}/exec", {"Cmd": ["id"], "Tty": True})["Id"]
        if "image_with_reserved_labels" in wanted:
            known["image_with_reserved_labels"] = self.image("atk/labels")
        if before.startswith("image /etc/passwd"):
            known["own_image"] = self.image("atk/users")
        if before.startswith("image tagged"):
            known["own_image"] = f"127.0.0.1:{self.canary.port}/x"
            self.a.do("POST", f"/images/busybox:latest/tag?repo={known['own_image']}&tag=x")
        lacking = [name for name in wanted if name in known and known[name] is None]
        if lacking:
            raise Invalid(f"no registry of the operator's is free for {', '.join(lacking)}")
        return known

    def clean(self, case):
        """Takes away what cases have left of the attacker's; a container that was filled up or has many execs as well."""
        [[execs]] = self.site.sql(f"select count(*) from execs where tenant_id = '{self.a.id}'")
        if int(execs) > 20 or "{0.." in case.text:
            self.kept.clear()
        keep = set(self.kept.values())
        for row in self.a.do("GET", "/containers/json?all=1"):
            # One that a case has renamed is made anew.
            if row["Id"] not in keep or not row["Names"][0].startswith("/own-"):
                self.a.remove(row["Id"])
        for row in self.a.do("GET", "/volumes")["Volumes"] or []:
            if row["Name"] != "own-vol":
                self.a.ask("DELETE", f"/volumes/{row['Name']}?force=1")
        for row in self.a.do("GET", "/networks"):
            if row["Name"] not in ("bridge", "host", "none", f"own-net-{self.run}"):
                self.a.ask("DELETE", f"/networks/{row['Id']}")
        if not any(n["Name"] == f"own-net-{self.run}" for n in self.a.do("GET", "/networks")):
            self.a.do("POST", "/networks/create", {"Name": f"own-net-{self.run}", "IPAM": {"Config": [{"Subnet": "172.30.9.0/24"}]}})
        tags = {tag for row in self.a.do("GET", "/images/json") for tag in row["RepoTags"] or []}
        for tag in tags - {"busybox:latest", *self.images.values()}:
            self.a.ask("DELETE", f"/images/{tag}?force=1")
        self.images = {name: tag for name, tag in self.images.items() if tag in tags}
        if "busybox:latest" not in tags:
            self.a.pull("busybox")

    def end(self):
        for tenant in (self.a, self.v):
            for row in tenant.do("GET", "/containers/json?all=1"):
                tenant.remove(row["Id"])


def auth(server, user, word):
    return base64.urlsafe_b64encode(json.dumps({"username": user, "password": word, "serveraddress": server}).encode()).decode()


def filled(thing, known):
    """`thing` with its placeholders replaced; those that have no value stay."""
    if isinstance(thing, str):
        return PLACEHOLDER.sub(lambda m: str(known.get(m[1], m[0])), thing)
    if isinstance(thing, dict):
        return {filled(k, known): filled(v, known) for k, v in thing.items()}
    return [filled(v, known) for v in thing] if isinstance(thing, list) else thing
