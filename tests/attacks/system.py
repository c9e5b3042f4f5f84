"""The system under attack, as its operator sees it: configuration, inventory, logs, processes, hosts."""
import glob
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import tomllib

LOGS = ("frontend", "scheduler", "edge", "agent-*")


class Site:
    def __init__(self, data, wharfinger):
        self.data, self.wharfinger = pathlib.Path(data), str(wharfinger)
        read = lambda name: tomllib.loads((self.data / "config" / f"{name}.toml").read_text())
        self.frontend, self.scheduler = read("frontend")["frontend"], read("scheduler")["scheduler"]
        names = sorted(path.stem for path in (self.data / "config").glob("agent-*.toml"))
        self.agents = [read(name)["agent"] for name in names]
        self.database = self.frontend["database_url"]
        host, _, port = self.frontend["listen"].rpartition(":")
        self.listen = (host.strip("[]"), int(port))
        self.run = pathlib.Path(self.agents[0]["run"]).parent
        self.pids = self.roles()
        self.programs = self.hashes()

    def sql(self, text):
        """Rows of unaligned text."""
        done = subprocess.run(["psql", self.database, "-qAtXF", "\t", "-v", "ON_ERROR_STOP=1", "-c", text],
                              capture_output=True, text=True, check=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def tenant(self, name):
        subprocess.run([self.wharfinger, "--data-dir", self.data, "tenants", "create", name], check=True, capture_output=True)
        lines = subprocess.run([self.wharfinger, "--data-dir", self.data, "env", "--tenant", name],
                               check=True, capture_output=True, text=True).stdout
        host, _, port = lines.split("tcp://")[1].split()[0].rpartition(":")
        [[ident, ordinal]] = self.sql(f"select id, ordinal from tenants where name = '{name}'")
        return {"name": name, "id": ident, "uid_base": 100_000 + 65_536 * int(ordinal),
                "bundle": str(self.data / "tenants" / name), "address": (host, int(port))}

    def revoke(self, tenant):
        self.sql(f"update credentials set revoked_at = now() where tenant_id = '{tenant['id']}'")

    def rows(self, tenant):
        """Everything of a tenant that a refused request must leave as it is."""
        parts = {
            "containers": "id, name, status, exit_code, restart_count, labels, cpu_millis, memory_bytes",
            "networks": "id, name, subnet, labels", "volumes": "name, id, labels", "images": "id, layers",
            "image_tags": "repository, tag, image_id", "execs": "id, started", "published_ports": "protocol, port",
            "endpoints": "network_id, container_id, address, mac, aliases"}
        text = [f"select '{table}', row({columns})::text from {table} where tenant_id = '{tenant}'"
                for table, columns in parts.items()]
        return sorted(map(tuple, self.sql(" union all ".join(text))))

    def roles(self):
        """Process id of each role: a role that died was started again under another."""
        found = {}
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                words = open(path, "rb").read().split(b"\0")
            except OSError:
                continue
            if len(words) > 3 and str(self.data / "config").encode() in words[3]:
                found[pathlib.Path(words[3].decode()).stem] = int(path.split("/")[2])
        return found

    def memory_mib(self):
        """Resident memory of each role."""
        sizes = {}
        for role, pid in self.pids.items():
            for line in open(f"/proc/{pid}/status"):
                if line.startswith("VmRSS:"):
                    sizes[role] = int(line.split()[1]) / 1024
        return sizes

    def logged(self, text, names=LOGS):
        """The lines of the roles' logs that have `text`."""
        files = [file for name in names for file in glob.glob(str(self.data / "log" / f"{name}.log"))]
        done = subprocess.run(["grep", "-hF", "--", text, *files], capture_output=True, text=True)
        return done.stdout.splitlines()

    def hashes(self):
        """What no tenant may ever change."""
        files = [self.wharfinger, *glob.glob(self.agents[0]["helpers"] + "/*"), "/etc/passwd", "/etc/shadow", "/etc/group"]
        files += [path for path in ("/usr/bin/runc", "/usr/sbin/runc", "/usr/bin/containerd-shim-runc-v2") if os.path.exists(path)]
        return {file: hashlib.sha256(open(file, "rb").read()).hexdigest() for file in files}

    def secrets(self):
        """Words of the operator that no tenant may read."""
        addresses = {agent["listen"].split(":")[0] for agent in self.agents}
        addresses |= {self.scheduler["listen"].split(":")[0], self.frontend["internal_listen"].split(":")[0]}
        return [str(self.data), str(self.run), socket.gethostname(), "postgres://", "panicked at", ".rs:", "/usr/bin/runc",
                *addresses, *(agent["host_id"] for agent in self.agents)]

    def shadow(self):
        """Lines of this machine's files that only a break-out can show."""
        lines = []
        for file in ("/etc/shadow", "/etc/passwd", "/etc/group"):
            lines += [line for line in open(file).read().splitlines() if len(line) > 20]
        return [line for line in lines if not line.startswith(("root:x", "nobody:x", "daemon:x"))]

    def containerd(self):
        """Ids of the containers that the hosts have."""
        ids = set()
        for agent in self.agents:
            done = subprocess.run(["ctr", "-a", agent["containerd"], "-n", "wharfinger", "containers", "ls", "-q"],
                                  capture_output=True, text=True, check=True)
            ids |= set(done.stdout.split())
        return ids

    def network_namespace(self, agent):
        """Name of the namespace of a simulated host; None on a machine that is the host itself."""
        name = "wh-" + agent["cgroup_parent"].strip("/").removeprefix("wharfinger-")
        return name if os.path.exists(f"/run/netns/{name}") else None

    def cgroup(self, container, file):
        """A limit of a running container, whichever version of cgroups this is."""
        for agent in self.agents:
            found = glob.glob(f"/sys/fs/cgroup/**{agent['cgroup_parent']}/*/{container}/{file}", recursive=True)
            found += glob.glob(f"/sys/fs/cgroup/*{agent['cgroup_parent']}/*/{container}/{file}")
            if found:
                return open(found[0]).read().strip()
        return None

    def spec(self, container):
        [[text]] = self.sql(f"select spec from containers where id = '{container}'")
        return json.loads(text)
