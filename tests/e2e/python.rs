//! docker-py, the SDK that most scripts use.

use crate::system::Tenant;

const HEAD: &str = "import docker\nc = docker.from_env(timeout=60)\n";

fn python(t: &Tenant, script: &str) -> String {
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
