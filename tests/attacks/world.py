"""Everything that a case may need, in one hand: the site, the stage, and a neighbour whose patience is measured."""
import os
import statistics
import threading
import time

import registry
from stage import Stage
from system import Site

SLACK_S = 0.5  # two cores that others use as well


class Neighbour:
    """The victim lists its containers again and again: its waits, quiet and under attack."""

    def __init__(self, tenant):
        self.tenant, self.waits, self.stop, self.thread = tenant, [], threading.Event(), None
        self.baseline = [self.once() for _ in range(30)]

    def once(self):
        began = time.monotonic()
        answer = self.tenant.ask("GET", "/containers/json?all=1")
        return time.monotonic() - began if answer.status == 200 else 60.0

    def watch(self):
        self.waits = []
        self.stop.clear()

        def run():
            while not self.stop.wait(0.1):
                try:
                    self.waits.append(self.once())
                except Exception:  # whatever it is, the neighbour was not served
                    self.waits.append(60.0)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def rest(self):
        self.stop.set()
        self.thread.join()

    def verdict(self):
        if not self.waits:
            return None
        p99 = lambda waits: sorted(waits)[min(len(waits) - 1, int(len(waits) * 0.99))]
        allowed = max(2 * p99(self.baseline), SLACK_S)
        slowest = p99(self.waits)
        if slowest > allowed:
            return f"the neighbour waited {slowest:.2f} s (median {statistics.median(self.waits):.2f}), allowed are {allowed:.2f}"
        return None


class World:
    def __init__(self, data, wharfinger, tries):
        self.site, self.tries = Site(data, wharfinger), tries
        self.canary = registry.Canary()
        self.canary.must_hear()
        self.registry = self.hostile_registry()
        self.stage = Stage(self.site, self.canary, self.registry)
        self.shadow, self.panics = self.site.shadow(), len(self.site.logged("panicked at"))
        self.neighbour = Neighbour(self.stage.v)
        self.agents_log = self.agents_are_heard()

    def agents_are_heard(self):
        answer = self.stage.a.ask("GET", f"/containers/{self.stage.own()}/top")
        time.sleep(0.2)
        return bool(self.site.logged(answer.header("x-request-id"), ("agent-*",)))

    def hostile_registry(self):
        """At an address that the operator trusts and nobody listens at; None where there is none."""
        for address in self.site.frontend.get("insecure_registries", []):
            if address.startswith("127.0.0.1:"):
                try:
                    return registry.Registry(address, self.canary, "hostile-" + address)
                except OSError:
                    continue
        return None

    def written(self, container):
        """Path and lstat of what is in the container's own layer on its host's disk."""
        [[pid]] = self.site.sql(f"select pid from containers where id = '{container}'")
        with open(f"/proc/{pid}/mountinfo") as mounts:
            upper = next(line for line in mounts if " / / " in line and "upperdir=" in line)
        upper = upper.split("upperdir=")[1].split(",")[0]
        for root, folders, files in os.walk(upper):
            for name in folders + files:
                yield f"{root}/{name}", os.lstat(f"{root}/{name}")

    def no_packet_cross(self):
        """From a container of the attacker's, in a network of the victim's subnet, to the victim's address."""
        [[address]] = self.site.sql(f"select host(address) from endpoints where container_id = '{self.stage.fixed['victim_container']}'")
        a = self.stage.a
        ident = a.container("cross-" + self.stage.run, "busybox:latest", ["sleep", "1000"], HostConfig={"NetworkMode": "overlap"})
        mine = a.state(ident)["NetworkSettings"]["Networks"]["overlap"]["IPAddress"]
        code, out = a.exec(ident, ["ping", "-c", "2", "-W", "1", address]) if mine != address else (1, "")
        a.remove(ident)
        return f"{address} answers: {out}" if code == 0 else None
