"""What must hold after a case: each check of the file by its name. A check that nobody can make is said so, not passed."""
import json
import re
import stat
import subprocess
import time

import limits

UNCHECKED = {"audited": "there is no audit log yet"}
# What differs between any two answers.
OWN_HEADERS = {"date", "x-request-id", "content-length"}
GROWTH_MIB = 64


class Watch:
    """Looks at the system before a case and after it."""

    def __init__(self, world, case, known):
        self.world, self.case, self.known = world, case, known
        self.names = set(case.checks_always) | set(case.checks_if_denied) | {"server_alive"}
        site, stage = world.site, world.stage
        self.own, self.victim = site.rows(stage.a.id), self.victims()
        self.heard = len(stage.canary.heard)
        self.served = len(stage.registry.seen) if stage.registry else 0
        self.memory = site.memory_mib() if "bounded_memory" in self.names else {}
        self.unchecked = []

    def problems(self, outcomes):
        denied = bool(outcomes) and all(o.denied for o in outcomes)
        names = [*self.case.checks_always, *(self.case.checks_if_denied if denied else ()), "server_alive"]
        found = []
        for name in dict.fromkeys(names):
            if name in UNCHECKED:
                self.unchecked.append((name, UNCHECKED[name]))
                continue
            check = getattr(self, name, None)
            if check is None:
                self.unchecked.append((name, "no way to check it is known"))
                continue
            if problem := check(outcomes):
                found.append(f"{name}: {problem}")
        return found

    def victims(self):
        """Without execs: those that were never started end by themselves."""
        return [row for row in self.world.site.rows(self.world.stage.v.id) if row[0] != "execs"]

    def answers(self, outcomes):
        return [o for o in outcomes if o.answer is not None]

    def no_side_effect(self, _):
        after = self.world.site.rows(self.world.stage.a.id)
        if self.case.channel == "grpc":  # which make an exec to speak of
            after = [row for row in after if row[0] != "execs"]
            self.own = [row for row in self.own if row[0] != "execs"]
        gone, new = set(self.own) - set(after), set(after) - set(self.own)
        return f"the attacker's rows: gone {sorted(gone)[:3]}, new {sorted(new)[:3]}" if gone or new else None

    def no_agent_call(self, outcomes):
        if not self.world.agents_log:
            self.unchecked.append(("no_agent_call", "the agents' log does not name each call (WHARFINGER_LOG=info,agent=debug)"))
            return None
        for outcome in self.answers(outcomes):
            ident = outcome.answer.header("x-request-id")
            if ident and (lines := self.world.site.logged(ident, ("agent-*",))):
                return f"an agent was called: {lines[0][:200]}"
        return None

    def clear_message(self, outcomes):
        for outcome in self.answers(outcomes):
            if self.case.method == "HEAD" or outcome.answer.status < 400:
                continue
            try:
                body = json.loads(outcome.answer.body)
            except ValueError:
                return f"not JSON: {outcome.answer.text[:100]!r}"
            if set(body) != {"message"} or len(body["message"]) < 8 or "internal error" in body["message"]:
                return f"{body}"
        return None

    def not_found_identical(self, outcomes):
        for outcome in outcomes:
            if outcome.twin is None or outcome.answer is None or outcome.twin.answer is None:
                return "there is no answer to compare"
            ours, nobody = (self.plain(o, outcome.twin.note) for o in (outcome, outcome.twin))
            if ours != nobody:
                return f"{ours} for the victim's, {nobody} for nobody's"
        return None

    def plain(self, outcome, pairs):
        text = outcome.answer.text
        for pair in json.loads(pairs):
            for word in sorted(filter(None, pair), key=len, reverse=True):
                text = text.replace(str(word), "X")
        headers = sorted((k, v) for k, v in outcome.answer.headers if k not in OWN_HEADERS)
        return outcome.answer.status, headers, text

    def victim_unchanged(self, _):
        after = self.victims()
        gone, new = set(self.victim) - set(after), set(after) - set(self.victim)
        return f"the victim's rows: gone {sorted(gone)[:3]}, new {sorted(new)[:3]}" if gone or new else None

    def no_leak(self, outcomes):
        stage, fixed = self.world.stage, self.world.stage.fixed
        words = [stage.marker, stage.v.name, *self.world.site.secrets()]
        words += [v for k, v in fixed.items() if k.startswith("victim_") and v and len(v) > 5 and k != "victim_subnet"]
        for outcome in self.answers(outcomes):
            text = outcome.answer.all_text
            for word in words:
                if word in text and word not in outcome.request:
                    return f"the answer has {word!r}: ...{text[max(0, text.index(word) - 60):][:160]!r}"
        return None

    def server_alive(self, _):
        for tenant in (self.world.stage.a, self.world.stage.v):
            if (status := tenant.ask("GET", "/_ping").status) != 200:
                return f"_ping of {tenant.name}: {status}"
        roles = self.world.site.roles()
        if roles != self.world.site.pids:
            lost = [role for role, pid in self.world.site.pids.items() if roles.get(role) != pid]
            self.world.site.pids = roles
            return f"started again: {lost}"
        if panics := self.world.site.logged("panicked at")[self.world.panics:]:
            self.world.panics += len(panics)
            return panics[0][:300]
        return None

    def canary_not_contacted(self, _):
        heard = self.world.stage.canary.heard[self.heard:]
        return f"{len(heard)} connections, the first: {heard[0][:100]!r}" if heard else None

    def creds_not_forwarded(self, _):
        seen = self.world.stage.registry.seen[self.served:] if self.world.stage.registry else []
        sent = [line for line in seen if line[1]] + [h for h in self.world.stage.canary.heard[self.heard:] if b"uthorization" in h]
        return f"a credential went to {sent[0]}" if sent else None

    def host_file_unread(self, outcomes):
        for outcome in self.answers(outcomes):
            for line in self.world.shadow:
                if line.encode() in outcome.answer.body:
                    return "the answer has a line of a file of this machine"
        return None

    def host_file_unchanged(self, _):
        now = self.world.site.hashes()
        changed = [file for file in now if now[file] != self.world.site.programs.get(file)]
        return f"changed: {changed}" if changed else None

    def host_gid_mapped(self, _):
        """Files that a tenant writes belong to its range of ids on the host's disk."""
        low = self.world.stage.a.uid_base
        for path, about in self.world.written(self.known["own_container"]):
            if stat.S_ISBLK(about.st_mode) or (stat.S_ISCHR(about.st_mode) and about.st_rdev):
                return f"a device node: {path}"
            if not (low <= about.st_uid < low + 65536 and low <= about.st_gid < low + 65536):
                return f"{path} is of {about.st_uid}:{about.st_gid}, the range begins at {low}"
        return None

    def bounded_memory(self, _):
        deadline = time.monotonic() + 20
        while True:
            now = self.world.site.memory_mib()
            grown = {role: round(size - self.memory.get(role, size)) for role, size in now.items()}
            worst = max(grown, key=grown.get)
            if grown[worst] <= GROWTH_MIB:
                return None
            if time.monotonic() > deadline:
                return f"{worst} grew by {grown[worst]} MiB"
            time.sleep(1)

    def neighbour_slo(self, _):
        return self.world.neighbour.verdict()

    def inspect_effective(self, outcomes):
        return next(filter(None, (limits.inspect(self.world, o, self.known) for o in self.answers(outcomes))), None)

    def cgroup_limit_set(self, outcomes):
        return next(filter(None, (limits.cgroup(self.world, o, self.known) for o in self.answers(outcomes))), None)

    def race_1000(self, outcomes):
        if len(outcomes) < 1000:
            self.unchecked.append(("race_1000", f"fewer tries than 1000 (--tries {self.world.tries})"))

    def inventory_consistent(self, _):
        deadline = time.monotonic() + 30
        while True:
            rows = {row[0] for row in self.world.site.sql("select id from containers")}
            there = self.world.site.containerd()
            if rows == there:
                return None
            if time.monotonic() > deadline:
                return f"only in the inventory {sorted(rows - there)[:3]}, only on hosts {sorted(there - rows)[:3]}"
            time.sleep(1)

    def same_as_without_header(self, outcomes):
        plain = json.dumps(self.world.stage.a.do("GET", "/containers/json?all=1"), sort_keys=True)
        for outcome in self.answers(outcomes):
            if outcome.answer.status == 200 and without_clock(json.dumps(json.loads(outcome.answer.body), sort_keys=True)) != without_clock(plain):
                return "another body than without the header"
        return None

    def no_second_response(self, outcomes):
        return next((f"{o.note}" for o in outcomes if o.note.startswith("a second")), None)

    def secret_absent_in_logs(self, _):
        time.sleep(0.3)
        lines = self.world.site.logged(self.world.stage.secret)
        lines += self.world.site.logged("A" * 60)
        return f"in a log: {lines[0][:80]}" if lines else None

    def containerd_labels_clean(self, outcomes):
        ident = json.loads(outcomes[0].answer.body)["Id"]
        for agent in self.world.site.agents:
            done = subprocess.run(["ctr", "-a", agent["containerd"], "-n", "wharfinger", "containers", "info", ident],
                                  capture_output=True, text=True)
            if done.returncode == 0:
                labels = json.loads(done.stdout).get("Labels") or {}
                return f"containerd has {labels}" if any("restart" in key for key in labels) else None
        return "no host has the container"

    def no_exec_from_rootfs(self, _):
        code, _out = self.world.stage.a.exec(self.known["own_container"], ["test", "-e", "/executed"])
        return "a program of the image was run" if code == 0 else None

    def no_packet_cross(self, _):
        return self.world.no_packet_cross()

    def quota_enforced(self, outcomes):
        return None if all(o.denied for o in outcomes) else "the archive was taken as a whole"

    def conn_closed(self, outcomes):
        return None if all(o.token == "close" for o in outcomes) else "a stream outlived its credential"


def without_clock(text):
    return re.sub(r'"Status": "[^"]*"', "", text)
