//! docker-py's high-level API, beyond what `python.rs` and the modules of the nouns ask of it.
//!
//! The scripts were run against a dockerd too. Its answers are those expected here, but for what policy refuses.

use crate::{python::python, system::Tenant};

#[test]
fn events_from_and_to_a_time_and_of_a_choice() {
    let t = Tenant::new("sdk");
    let script = r#"
import datetime, json, time
life = {"type": "container", "event": ["create", "start"]}
def told(**asked):
    return [e["Action"] + " " + e["Actor"]["Attributes"]["name"] for e in c.events(decode=True, **asked)]
c.containers.create("busybox", "true", name="first", labels={"role": "web"}).start()
# A whole second that lies between the two.
time.sleep(1.1); middle = int(time.time()); time.sleep(0.1)
k = c.containers.create("busybox", "true", name="second"); k.start()
now = int(time.time()) + 1
print(told(since=0, until=middle, filters=life))
print(told(since=middle, until=now, filters=life))
at = lambda second: datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
print(told(since=at(middle), until=at(now), filters=life))
print(told(since=0, until=now, filters={"label": "role=web", **life}))
print(told(since=0, until=now, filters={"container": [k.id], "event": "start"}))
e = json.loads(b"".join(c.events(since=middle, until=now, filters={"event": "start"})))
print(e["id"] == e["Actor"]["ID"] == k.id, e["status"], e["from"], e["scope"], e["time"] == e["timeNano"] // 10**9)
# What is stored comes first, and then what happens.
follow = c.events(since=middle, decode=True, filters=life)
print([next(follow)["Action"] for _ in range(2)])
c.containers.create("busybox", "true", name="third")
print(next(follow)["Actor"]["Attributes"]["name"]); follow.close()
"#;
    let expected = "['create first', 'start first']\n['create second', 'start second']\n['create second', 'start second']\n\
        ['create first', 'start first']\n['start second']\nTrue start busybox local True\n['create', 'start']\nthird\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn stats_as_a_stream_as_one_record_and_as_one_shot() {
    let t = Tenant::new("sdk");
    let script = r#"
import itertools
k = c.containers.run("busybox", ["sh", "-c", "while :; do :; done"], name="busy", nano_cpus=200_000_000, mem_limit="64m", detach=True)
def used(stats): return stats["cpu_usage"]["total_usage"]
stream = k.stats(decode=True)
records = list(itertools.islice(stream, 3))
for before, after in zip(records, records[1:]):
    assert after["precpu_stats"] == before["cpu_stats"] and after["preread"] == before["read"], records
    assert used(after["cpu_stats"]) > used(before["cpu_stats"]), records
print([(r["name"], r["id"] == k.id, r["memory_stats"]["limit"]) for r in records])
one = k.stats(stream=False)
assert used(one["cpu_stats"]) > used(one["precpu_stats"]) > 0, one
shot = k.stats(stream=False, one_shot=True)
print(used(shot["precpu_stats"]), used(shot["cpu_stats"]) >= used(one["cpu_stats"]), shot["pids_stats"]["current"])
k.kill(); k.wait()
still = k.stats(stream=False); print(still["read"], still["memory_stats"])
k.remove()
# It ends with the container.
rest = list(stream); print("ended")
"#;
    let expected = "[('/busy', True, 67108864), ('/busy', True, 67108864), ('/busy', True, 67108864)]\n0 True 1\n\
        0001-01-01T00:00:00Z {}\nended\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn a_tree_goes_through_archives_unchanged() {
    let t = Tenant::new("sdk");
    let script = r#"
import io, tarfile
def member(name, kind, **facts):
    info = tarfile.TarInfo(name); info.type = kind; info.mtime = 1_000_000_000
    for key, value in facts.items(): setattr(info, key, value)
    return info
content = bytes(range(256)) * 1000
own = {"mode": 0o640, "uid": 1000, "gid": 1001}
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as t:
    t.addfile(member("tree", tarfile.DIRTYPE, mode=0o1777))
    t.addfile(member("tree/data", tarfile.REGTYPE, size=len(content), **own), io.BytesIO(content))
    t.addfile(member("tree/same", tarfile.LNKTYPE, linkname="tree/data", **own))
    t.addfile(member("tree/tool", tarfile.REGTYPE, mode=0o4750))
    t.addfile(member("tree/link", tarfile.SYMTYPE, linkname="data"))
    t.addfile(member("tree/pipe", tarfile.FIFOTYPE, mode=0o600))
def shown(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as t:
        # The modes as they are in the headers.
        return [(m.name, m.type.decode(), oct(m.mode), m.uid, m.gid, m.mtime, m.linkname, m.isreg() and t.extractfile(m).read() == content) for m in t]
one, two = (c.containers.run("busybox", ["sleep", "1000"], name=n, detach=True) for n in ("one", "two"))
print(one.put_archive("/tmp", packed.getvalue()))
chunks, stat = one.get_archive("/tmp/tree")
archive = b"".join(chunks)
for line in shown(archive): print(*line)
print(stat["name"], oct(stat["mode"]), stat["linkTarget"] == "", stat["mtime"])
small = list(one.get_archive("/tmp/tree", chunk_size=512)[0])
print(max(map(len, small)), b"".join(small) == archive, b"".join(one.get_archive("/tmp/tree", encode_stream=True)[0]) == archive)
# From one container into the other, never whole in between.
print(two.exec_run("mkdir /srv").exit_code, two.put_archive("/srv", one.get_archive("/tmp/tree")[0]))
print(shown(b"".join(two.get_archive("/srv/tree")[0])) == shown(archive))
print(two.exec_run(["stat", "-c", "%a %u:%g %Y %h", "/srv/tree/data"]).output)
with tarfile.open(fileobj=io.BytesIO(b"".join(one.export()))) as t:
    print(*(m.name + oct(m.mode)[1:] for m in t if m.name.startswith("tmp/tree")))
try: one.get_archive("/none")
except docker.errors.NotFound as e: print(e.explanation.startswith("Could not find the file /none in container"))
"#;
    let expected = "True\ntree 5 0o1777 0 0 1000000000  False\ntree/data 0 0o640 1000 1001 1000000000  True\n\
        tree/link 2 0o777 0 0 1000000000 data False\ntree/pipe 6 0o600 0 0 1000000000  False\n\
        tree/same 1 0o640 1000 1001 1000000000 tree/data False\ntree/tool 0 0o4750 0 0 1000000000  False\n\
        tree 0o20004000777 True 2001-09-09T01:46:40Z\n512 True True\n0 True\nTrue\nb'640 1000:1001 1000000000 2\\n'\n\
        tmp/treeo1777 tmp/tree/datao640 tmp/tree/linko777 tmp/tree/pipeo600 tmp/tree/sameo640 tmp/tree/toolo4750\nTrue\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn images_are_built_from_a_context_of_ones_own() {
    let t = Tenant::new("sdk");
    let script = r#"
import gzip, io, tarfile
def context(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, text in files.items():
            info = tarfile.TarInfo(name); info.size = len(text); t.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()
steps = """FROM busybox AS base
ARG WHO
COPY data /data
RUN cat /data; echo for $WHO
FROM base AS more
RUN grep db /etc/hosts; df -m /dev/shm | tail -1
FROM base
RUN exit 9
"""
packed = gzip.compress(context(steps=steps, data="from the context\n"))
image, logs = c.images.build(
    fileobj=io.BytesIO(packed), custom_context=True, encoding="gzip", dockerfile="steps", tag="py:more", target="more",
    buildargs={"WHO": "you"}, labels={"a": "b"}, extra_hosts={"db": "10.1.2.3"}, shmsize=16 << 20,
    container_limits={"memory": 128 << 20}, network_mode="none", rm=True, forcerm=True)
logs = list(logs)
text = "".join(line.get("stream", "") for line in logs)
for wanted in ["Step 1/7 : FROM busybox AS base\n", "from the context\nfor you\n", "10.1.2.3\tdb\n", " 16 ",
               " ---> Running in ", " ---> Removed intermediate container "]:
    assert wanted in text, (wanted, text)
assert text.endswith("Successfully built " + image.id[7:19] + "\nSuccessfully tagged py:more\n"), text
assert [line["aux"]["ID"] for line in logs if "aux" in line][-1] == image.id, logs
print(image.tags, image.labels, c.images.get("py:more").id == image.id)
print(c.containers.run(image, ["cat", "/data"], remove=True))
lines = list(c.api.build(fileobj=io.BytesIO(b"FROM py:more\nENV A=1\n"), rm=True, decode=True))
print(repr(lines[0]["stream"]), lines[-1]["stream"].startswith("Successfully built "))
quiet, logs = c.images.build(fileobj=io.BytesIO(b"FROM py:more\nENV A=2\n"), quiet=True)
print([line["stream"] for line in logs] == [quiet.id + "\n"], quiet.tags, "A=2" in quiet.attrs["Config"]["Env"])
try: c.images.build(fileobj=io.BytesIO(packed), custom_context=True, encoding="gzip", dockerfile="steps", rm=True)
except docker.errors.BuildError as e: print(e.msg, any("for\n" in line.get("stream", "") for line in e.build_log))
"#;
    let expected = "['py:more'] {'a': 'b'} True\nb'from the context\\n'\n'Step 1/2 : FROM py:more' True\nTrue [] True\n\
        The command '/bin/sh -c exit 9' returned a non-zero code: 9 True\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn containers_run_with_options_that_have_effect() {
    let t = Tenant::new("sdk");
    let script = r#"
show = """echo $A $B; id -u; id -G; pwd; hostname; grep -c 10.1.2.3 /etc/hosts; ulimit -n
df -k /dev/shm | tail -1 | awk '{print $2}'; touch /x || touch /scratch/x && echo wrote; grep -c init /proc/1/comm"""
out = c.containers.run(
    "busybox", ["-c", show], entrypoint="sh", environment=["A=1", "B=two words"], user="1000:1001", group_add=["1002"],
    working_dir="/var", hostname="own", extra_hosts={"db": "10.1.2.3"}, shm_size="16m", read_only=True, init=True,
    ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)], tmpfs={"/scratch": "size=1m"}, cap_drop=["ALL"],
    stderr=False, remove=True)
print(out.decode().split("\n"))
k = c.containers.run(
    "busybox", "sleep 1000", name="kept", labels={"role": "web"}, mem_limit="64m", nano_cpus=500_000_000, pids_limit=50,
    restart_policy={"Name": "on-failure", "MaximumRetryCount": 3}, stop_signal="SIGKILL", detach=True,
    healthcheck={"test": ["CMD", "true"], "interval": 10**9})
host = k.attrs["HostConfig"]
print(k.name, k.labels, k.image.tags, host["Memory"], host["NanoCpus"], host["PidsLimit"], sorted(host["RestartPolicy"].values(), key=str))
print(sorted(k.attrs["Config"]["Healthcheck"].items()), k.attrs["Config"]["StopSignal"])
print([x.name for x in c.containers.list(filters={"label": "role=web"})])
k.stop(); k.reload(); print(k.status, k.attrs["State"]["ExitCode"])
lines = c.containers.run("busybox", ["sh", "-c", "echo one; sleep 0.5; echo two >&2"], stderr=True, stream=True, remove=True)
print(list(lines))
try: c.containers.run("busybox", ["sh", "-c", "echo out; echo err >&2; exit 3"], remove=True)
except docker.errors.ContainerError as e: print(e.exit_status, e.stderr)
gone = c.containers.run("busybox", "true", detach=True, remove=True)
try:
    gone.wait(condition="removed")
    gone.reload()
except docker.errors.NotFound: print("gone")
try: c.containers.run("busybox", "true", privileged=True)
except docker.errors.APIError as e: print(e.status_code)
print([x.name for x in c.containers.list(all=True)])
"#;
    let expected = "['1 two words', '1000', '1001 1002', '/var', 'own', '1', '100', '16384', 'wrote', '1', '']\n\
        kept {'role': 'web'} ['busybox:latest'] 67108864 500000000 50 [3, 'on-failure']\n\
        [('Interval', 1000000000), ('Test', ['CMD', 'true'])] SIGKILL\n['kept']\nexited 137\n[b'one\\n', b'two\\n']\n\
        3 b'err\\n'\ngone\n403\n['kept']\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn attached_streams_apart_and_what_was_before() {
    let t = Tenant::new("sdk");
    let script = r#"
import time
k = c.containers.create("busybox", ["sh", "-c", "echo early; read line; echo got $line; echo oops >&2"], stdin_open=True)
k.start()
for _ in range(100):
    if k.logs() == b"early\n": break
    time.sleep(0.1)
parts = k.attach(stream=True, logs=True, demux=True)
# Of this one, stderr alone, and not what came before.
s = k.attach_socket(params={"stdin": 1, "stderr": 1, "stream": 1})
s.sendall(b"it\n")
got = b""
while piece := s.recv(100): got += piece
print(got); s.close()
out, err = zip(*parts)
print(b"".join(filter(None, out)), b"".join(filter(None, err)))
print(k.wait()["StatusCode"], k.attach(logs=True, stdout=False), k.attach(logs=True, demux=True))
"#;
    let expected = "b'\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x05oops\\n'\nb'early\\ngot it\\n' b'oops\\n'\n\
        0 b'oops\\n' (b'early\\ngot it\\n', b'oops\\n')\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn execs_over_a_socket_with_a_terminal_and_of_one_stream() {
    let t = Tenant::new("sdk");
    let script = r#"
import time
k = c.containers.run("busybox", ["sleep", "1000"], detach=True)
e = c.api.exec_create(k.id, ["sh", "-c", "read go; stty size; exit 6"], stdin=True, tty=True)["Id"]
s = c.api.exec_start(e, tty=True, socket=True)
for _ in range(100):
    try: c.api.exec_resize(e, height=50, width=132); break
    except docker.errors.APIError: time.sleep(0.1)
s.sendall(b"go\n")
got = b""
while piece := s.recv(100): got += piece
print(got); s.close()
seen = c.api.exec_inspect(e)
print(seen["Running"], seen["ExitCode"], seen["ProcessConfig"]["tty"], seen["ProcessConfig"]["entrypoint"], seen["ContainerID"] == k.id)
# Frames of both streams; the command's end is the socket's.
command = ["sh", "-c", "read line; echo $line; sleep 0.5; echo $line >&2"]
s = k.exec_run(command, stdin=True, socket=True).output
s.sendall(b"x\n")
got = b""
while piece := s.recv(100): got += piece
print(got); s.close()
both = ["sh", "-c", "echo o; echo e >&2"]
print(k.exec_run(both, stderr=False, demux=True))
print(list(k.exec_run(both, stdout=False, stream=True, demux=True).output))
print(k.exec_run("/nonesuch").exit_code)
try: k.exec_run("true", privileged=True)
except docker.errors.APIError as e: print(e.status_code)
k.kill(); k.wait()
try: k.exec_run("true")
except docker.errors.APIError as e: print(e.status_code, "is not running" in e.explanation)
"#;
    let expected = "b'go\\r\\n50 132\\r\\n'\nFalse 6 True sh True\n\
        b'\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x02x\\n\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x02x\\n'\n\
        ExecResult(exit_code=0, output=(b'o\\n', None))\n[(None, b'e\\n')]\n126\n403\n409 True\n";
    assert_eq!(python(&t, script), expected);
}
