"""Effective limits of a container, as inspect shows them and as the kernel has them."""
import json

# policy::Package::standard
MEMORY_MAX, PIDS_MAX, CPUS_MAX, NOFILE_MAX = 16 << 30, 4096, 8_000_000_000, 1 << 20


def of(world, outcome, known):
    """Id of the container that the outcome is about; None when there is none."""
    if outcome.token == "201":
        return json.loads(outcome.answer.body).get("Id")
    return known.get("own_container")


def inspect(world, outcome, known):
    ident = of(world, outcome, known)
    state = ident and world.stage.a.state(ident)
    if not state:
        return None if outcome.denied else "no container to inspect"
    host = state["HostConfig"]
    wrong = []
    if not 0 < (host.get("PidsLimit") or 0) <= PIDS_MAX:
        wrong.append(f"PidsLimit {host.get('PidsLimit')}")
    if not 0 < host["Memory"] <= MEMORY_MAX:
        wrong.append(f"Memory {host['Memory']}")
    if host["MemorySwap"] != host["Memory"]:
        wrong.append(f"MemorySwap {host['MemorySwap']} of {host['Memory']}")
    if not 0 <= host["NanoCpus"] <= CPUS_MAX:
        wrong.append(f"NanoCpus {host['NanoCpus']}")
    for name in ("CpusetCpus", "CpusetMems", "CpuCount", "CpuPercent", "Devices", "BlkioDeviceWriteBps", "BlkioWeightDevice"):
        if host.get(name):
            wrong.append(f"{name} {host[name]}")
    if host.get("OomKillDisable"):
        wrong.append("OomKillDisable")
    for limit in host.get("Ulimits") or []:
        if limit["Name"] == "nofile" and limit["Hard"] > NOFILE_MAX or limit["Name"] in ("rtprio", "nice", "bogus"):
            wrong.append(f"Ulimits {limit}")
    log = (host.get("LogConfig") or {}).get("Config") or {}
    if log.get("unknown-opt") or "Attributes" in log.get("tag", "") or int(log.get("max-file", "1")) > 10 or log.get("max-size") == "-1":
        wrong.append(f"LogConfig {log}")
    for target, options in (host.get("Tmpfs") or {}).items():
        if "size=100g" in options or "nr_inodes=0" in options:
            wrong.append(f"Tmpfs {target} {options}")
    return "; ".join(wrong) or None


def cgroup(world, outcome, known):
    ident = of(world, outcome, known)
    if not ident or not (state := world.stage.a.state(ident)):
        return None
    if not state["State"]["Running"]:
        # `true` has ended before anybody looks: the same limits with something that stays.
        host = {key: state["HostConfig"][key] for key in ("PidsLimit", "Memory", "MemorySwap")}
        ident = world.stage.a.container("limits-" + ident[:8], "busybox:latest", ["sleep", "1000"], HostConfig=host)
        state = world.stage.a.state(ident)
    host, wrong = state["HostConfig"], []
    pids = world.site.cgroup(ident, "pids.max")
    if pids != str(host["PidsLimit"]):
        wrong.append(f"pids.max {pids}, PidsLimit {host['PidsLimit']}")
    memory = world.site.cgroup(ident, "memory.limit_in_bytes") or world.site.cgroup(ident, "memory.max")
    if memory != str(host["Memory"]):
        wrong.append(f"memory {memory}, Memory {host['Memory']}")
    return "; ".join(wrong) or None
