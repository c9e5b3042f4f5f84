//! docker-py, the SDK that most scripts use.

use crate::system::Tenant;

const HEAD: &str = "import docker\nc = docker.from_env(timeout=60)\n";

pub(crate) fn python(t: &Tenant, script: &str) -> String {
    t.python(&format!("{HEAD}{script}")).ok()
}

#[test]
fn containers_run_and_logs() {
    let t = Tenant::new("py");
    let script = r#"
print(c.ping(), c.version()["ApiVersion"])
print(c.containers.run("busybox", ["echo", "hi"], remove=True))
k = c.containers.run("busybox", ["sh", "-c", "echo out; echo err >&2; exit 3"], detach=True)
print(k.wait()["StatusCode"], k.logs(stdout=True, stderr=False), k.logs(stdout=False, stderr=True))
k.reload(); print(k.status, k.attrs["State"]["ExitCode"]); k.remove()
print(len(c.containers.list(all=True)))
try:
    c.containers.run("busybox", ["sh", "-c", "exit 4"], remove=True)
except docker.errors.ContainerError as e:
    print("error", e.exit_status)
try:
    c.containers.get("nonesuch")
except docker.errors.NotFound as e:
    print(e.explanation)
"#;
    let expected = "True 1.51\nb'hi\\n'\n3 b'out\\n' b'err\\n'\nexited 3\n0\nerror 4\nNo such container: nonesuch\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn exec_in_its_three_ways() {
    let t = Tenant::new("py");
    let script = r#"
k = c.containers.run("busybox", ["sleep", "1000"], detach=True)
print(k.exec_run(["sh", "-c", "echo o; echo e >&2; exit 5"], demux=True))
print(b"".join(k.exec_run(["seq", "3"], stream=True).output))
s = k.exec_run("cat", stdin=True, socket=True).output
s.sendall(b"through\n")
import struct
head = s.recv(8); n = struct.unpack(">I", head[4:])[0]
print(s.recv(n)); s.close()
k.kill(); print(k.wait()["StatusCode"]); k.remove()
"#;
    assert_eq!(
        python(&t, script),
        "ExecResult(exit_code=5, output=(b'o\\n', b'e\\n'))\nb'1\\n2\\n3\\n'\nb'through\\n'\n137\n"
    );
}

#[test]
fn attach_follow_and_images() {
    let t = Tenant::new("py");
    let script = r#"
k = c.containers.create("busybox", ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done"])
stream = k.attach(stream=True, stdout=True)
k.start()
print(b"".join(stream))
print([l for l in k.logs(stream=True, follow=True)][-1])
i = c.images.get("busybox"); print(i.tags); i.tag("again", "v1"); print(sorted(c.images.get("again:v1").tags))
c.images.remove("again:v1"); print(len(c.images.list()))
k.remove()
"#;
    assert_eq!(python(&t, script), "b'1\\n2\\n3\\n'\nb'3\\n'\n['busybox:latest']\n['again:v1', 'busybox:latest']\n1\n");
}

#[test]
fn an_attached_socket_carries_both_ways() {
    let t = Tenant::new("py");
    let script = r#"
import struct, socket
def frame(s):
    head = b""
    while len(head) < 8:
        piece = s.recv(8 - len(head))
        if not piece: return None
        head += piece
    n = struct.unpack(">I", head[4:])[0]; body = b""
    while len(body) < n: body += s.recv(n - len(body))
    return head[0], body
k = c.containers.create("busybox", ["sh", "-c", "read line; echo got $line; echo oops >&2; cat"], stdin_open=True)
s = k.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
k.start()
s.sendall(b"hello\n")
print(sorted([frame(s), frame(s)]))
s.sendall(b"tail\n"); print(frame(s))
s.close()
k.kill(); k.wait(); k.remove()
t = c.containers.run("busybox", ["sh", "-c", "stty size; cat"], tty=True, stdin_open=True, detach=True)
s = t.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1, "logs": 1})
s.sendall(b"raw\n")
got = b""
while not got.endswith(b"raw\r\nraw\r\n"): got += s.recv(100)
t.resize(40, 100); print("done"); s.close(); t.remove(force=True)
"#;
    assert_eq!(python(&t, script), "[(1, b'got hello\\n'), (2, b'oops\\n')]\n(1, b'tail\\n')\ndone\n");
}

#[test]
fn exec_run_with_each_of_its_options() {
    let t = Tenant::new("py");
    let script = r#"
k = c.containers.run("busybox", ["sleep", "1000"], detach=True, environment={"A": "run"})
print(k.exec_run("true").exit_code, k.exec_run(["sh", "-c", "exit 7"]).exit_code)
print(k.exec_run(["sh", "-c", "echo $A $B; id -u; pwd"], environment={"B": "exec"}, user="1000", workdir="/tmp").output)
out = k.exec_run(["sh", "-c", "echo o; sleep 0.3; echo e >&2; sleep 0.3; echo p"], stream=True, demux=True).output
print(list(out))
print(list(k.exec_run(["sh", "-c", "printf a; sleep 0.3; printf b"], stream=True).output))
print(k.exec_run("touch /tmp/d", detach=True).output, k.exec_run("tty", tty=True).output)
e = c.api.exec_create(k.id, ["sh", "-c", "cat >/tmp/in; exit 3"], stdin=True)
s = c.api.exec_start(e["Id"], socket=True)
s._sock.sendall(b"x" * 100000) if hasattr(s, "_sock") else s.sendall(b"x" * 100000)
import socket, time
(s._sock if hasattr(s, "_sock") else s).close(); s.close()
for _ in range(100):
    if not c.api.exec_inspect(e["Id"])["Running"]: break
    time.sleep(0.1)
print(k.exec_run("wc -c /tmp/in").output)
k.remove(force=True)
"#;
    let expected = "0 7\nb'run exec\\n1000\\n/tmp\\n'\n[(b'o\\n', None), (None, b'e\\n'), (b'p\\n', None)]\n[b'a', b'b']\n b'/dev/pts/0\\r\\n'\nb'100000 /tmp/in\\n'\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn logs_in_each_form() {
    let t = Tenant::new("py");
    let script = r#"
k = c.containers.run("busybox", ["sh", "-c", "for i in 1 2 3 4; do echo line $i; done; echo last >&2"], detach=True)
k.wait()
print(k.logs(stderr=False), k.logs(stdout=False), k.logs(tail=2, stderr=False))
print(list(k.logs(stream=True, stderr=False)))
line = k.logs(timestamps=True, tail=1, stderr=False).decode().split(" ", 1)
print(len(line[0]), line[1])
print(k.logs(since=1)[:4], k.logs(until=1))
k.remove()
"#;
    let expected = "b'line 1\\nline 2\\nline 3\\nline 4\\n' b'last\\n' b'line 3\\nline 4\\n'\n[b'line 1\\n', b'line 2\\n', b'line 3\\n', b'line 4\\n']\n30 line 4\n\nb'line' b''\n";
    assert_eq!(python(&t, script), expected);
}

#[test]
fn images_pulled_saved_and_loaded() {
    let t = Tenant::bare("py");
    let name = format!("{}/library/busybox", crate::system::registry());
    let script = r#"
i = c.images.pull(NAME, tag="latest")
print(i.tags == [NAME + ":latest"], i.id.startswith("sha256:"), len(i.history()) > 0)
data = b"".join(i.save(named=True))
c.images.remove(i.id, force=True); print(c.images.list())
loaded = c.images.load(data); print(loaded[0].id == i.id, loaded[0].tags == i.tags)
print(c.containers.run(NAME, "echo from the pulled image", remove=True))
try: c.images.get("nonesuch")
except docker.errors.ImageNotFound as e: print(e.explanation)
try: c.containers.run(NAME, "/nonesuch")
except docker.errors.APIError as e: print(e.status_code, "nonesuch" in e.explanation)
print(c.images.prune()["ImagesDeleted"])
"#;
    let out = python(&t, &script.replace("NAME", &format!("{name:?}")));
    assert_eq!(
        out,
        "True True True\n[]\nTrue True\nb'from the pulled image\\n'\nNo such image: nonesuch:latest\n400 True\nNone\n"
    );
}
