//! `docker cp` both ways, `docker diff`, `docker export`.

use crate::system::Tenant;

/// A script in a directory of its own, with a container `c` that has something to copy.
fn with_container(tenant: &Tenant, script: &str) -> String {
    let prologue = "set -e; d=$(mktemp -d); trap 'rm -rf $d' EXIT; cd $d\n";
    tenant.shell(&format!("{prologue}{script}")).ok()
}

fn running(name: &str) -> Tenant {
    let t = Tenant::new(name);
    let script = "mkdir -p /srv/d/e; echo hi >/srv/d/f; ln /srv/d/f /srv/d/h; ln -s /srv/d /srv/l; ln -s f /srv/d/s; \
                  ln -s nowhere /srv/dangling; echo odd >'/srv/a b\nc'; touch /srv/ready; sleep 600";
    t.docker(&["run", "-d", "--name", "box", "--tmpfs", "/scratch", "busybox", "sh", "-c", script]).ok();
    crate::system::eventually(20, "the files are there", || t.docker(&["exec", "box", "ls", "/srv/ready"]).code == 0);
    t
}

#[test]
fn files_and_directories_are_copied_out() {
    let t = running("cpout");
    let out = with_container(
        &t,
        "docker cp -q box:/srv/d/f one; cat one
         docker cp -q box:/srv/d two; ls two; [ two/f -ef two/h ] && echo linked; readlink two/s
         mkdir three; docker cp -q box:/srv/d three; ls three; docker cp -q box:/srv/d/. three; ls three
         docker cp -q box:/srv/l four; readlink four; docker cp -qL box:/srv/l five; ls five
         docker cp -q box:srv/d/f - | tar -tf -; docker cp -q 'box:/srv/a b
c' six; cat six
         docker cp -q box:/etc/hostname host; test -s host && echo named",
    );
    let expected = "hi\ne\nf\nh\ns\nlinked\nf\nd\nd\ne\nf\nh\ns\n/srv/d\ne\nf\nh\ns\nf\nodd\nnamed\n";
    assert_eq!(out, expected);
    t.docker(&["cp", "box:/none", "-"]).fails_with(1, "Could not find the file /none in container box");
    t.docker(&["cp", "none:/x", "-"]).fails_with(1, "No such container: none");
    t.docker(&["cp", "box:/proc/1/root/etc/passwd", "-"]).fails_with(1, "Could not find the file");
}

#[test]
fn files_and_directories_are_copied_in() {
    let t = running("cpin");
    let out = with_container(
        &t,
        "echo new >f; mkdir -p dir/sub; echo deep >dir/sub/x; ln -s sub dir/link; chmod 4750 f; chown 1000:1000 dir/sub/x
         docker cp -q f box:/srv; docker cp -q f box:/srv/named; docker cp -q dir box:/srv; docker cp -q dir box:/srv/fresh
         docker cp -q dir/. box:/srv/l; tar -c f | docker cp -q - box:/scratch; docker cp -q f box:/srv/dangling
         docker exec box sh -c 'cat /srv/f /srv/named /srv/dir/sub/x /srv/fresh/sub/x /srv/d/sub/x /scratch/f /srv/nowhere
           stat -c %a:%u /srv/f /srv/dir/sub/x; readlink /srv/dir/link'",
    );
    assert_eq!(out, "new\nnew\ndeep\ndeep\ndeep\nnew\nnew\n4750:0\n644:1000\nsub\n");
    let refused = |script: &str, text: &str| {
        let done =
            t.shell(&format!("d=$(mktemp -d); cd $d; touch f; mkdir dir; {script}; code=$?; rm -rf $d; exit $code"));
        assert!(done.code != 0 && done.err.contains(text), "{script}: {done:?}");
    };
    refused("docker cp f box:/srv/none/", "no such directory");
    refused("docker cp dir box:/srv/f", "cannot copy directory");
    refused("docker cp f box:/srv/f/below", "not a directory");
    refused("docker cp none box:/srv", "no such file or directory");
    refused("tar -c f | docker cp - box:/srv/f", "must be a directory");
}

#[test]
fn containers_that_do_not_run_are_copied_to_and_from() {
    let t = Tenant::new("cpstill");
    let out = with_container(
        &t,
        "docker create --name box busybox cat /given >/dev/null; echo first >given; docker cp -q given box:/given
         docker cp -q box:/given back; cat back; docker start -a box
         echo second >given; docker cp -q given box:/given; docker start -a box; docker cp -q box:/given - | tar -xO",
    );
    assert_eq!(out, "first\nfirst\nsecond\nsecond\n");
}

#[test]
fn the_containers_user_becomes_the_owner() {
    let t = Tenant::new("cpowner");
    t.docker(&["run", "-d", "--name", "box", "--user", "1234:5678", "busybox", "sleep", "600"]).ok();
    let owner = |flag: &str| {
        let copy = format!("echo x >f; docker cp -q {flag} f box:/tmp/f; docker exec box stat -c %u:%g /tmp/f");
        with_container(&t, &copy)
    };
    assert_eq!((owner(""), owner("-a")), ("0:0\n".to_owned(), "1234:5678\n".to_owned()));
}

#[test]
fn docker_py_puts_and_gets_compressed_archives() {
    let t = running("cppy");
    let script = r"
import bz2, docker, gzip, io, lzma, tarfile
c = docker.from_env().containers.get('box')
def tar(name, data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as t:
        info = tarfile.TarInfo(name); info.size = len(data); t.addfile(info, io.BytesIO(data))
    return out.getvalue()
for name, press in [('plain', bytes), ('gz', gzip.compress), ('bz2', bz2.compress), ('xz', lzma.compress)]:
    assert c.put_archive('/tmp', press(tar(name, name.encode()))), name
    chunks, stat = c.get_archive('/tmp/' + name)
    with tarfile.open(fileobj=io.BytesIO(b''.join(chunks))) as t:
        print(t.getnames(), t.extractfile(name).read().decode(), stat['name'], stat['size'], oct(stat['mode']), stat['linkTarget'])
_, stat = c.get_archive('/srv/l'); print(stat['linkTarget'])
def refused(path, body):
    try: c.put_archive(path, body)
    except docker.errors.APIError as e: print(e.response.status_code, e.explanation)
refused('/none', tar('a', b'')); refused('/srv/d/f', tar('a', b'')); refused('/tmp', tar('../a', b''))
refused('/tmp', b'x' * 2048); refused('/tmp', gzip.compress(tar('a', b'1' * 4096))[:40])
refused('/tmp', gzip.compress(tar('zeros', bytes(80 << 20))))
print(docker.from_env().api.diff('box')[0])
";
    let out = t.python(script).ok();
    let file = |name: &str| format!("['{name}'] {name} {name} {} 0o644 \n", name.len());
    let expected = [
        file("plain") + &file("gz") + &file("bz2") + &file("xz"),
        "/srv/d\n404 Could not find the file /none in container ".to_owned(),
    ];
    assert!(out.starts_with(&expected.concat()), "{out}");
    for line in [
        "400 extraction point is not a directory",
        "400 \"../a\" is outside of \"/tmp\"",
        "400 archive/tar: invalid tar header",
        "400 unexpected EOF",
        "400 the archive unpacks to too many bytes (policy E08)",
        "{'Path': '/scratch', 'Kind': 1}",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
}

#[test]
fn a_hostile_container_gets_nothing_of_the_host() {
    let t = Tenant::new("cpevil");
    // Exchanges a directory for a link to the root as fast as it can.
    let script = "mkdir -p /swap/in; echo own >/swap/in/passwd; while true; do mv /swap/in /swap/was; ln -s /etc /swap/in; \
                  rm /swap/in; mv /swap/was /swap/in; done";
    t.docker(&["run", "-d", "--name", "box", "busybox", "sh", "-c", script]).ok();
    let own = t.docker(&["exec", "box", "cat", "/etc/passwd"]).ok();
    for _ in 0..40 {
        let got = t.shell("docker cp -q box:/swap/in/passwd - 2>/dev/null | tar -xO 2>/dev/null").out;
        assert!(["own\n", &own, ""].contains(&got.as_str()), "{got}");
        t.shell("echo x | docker cp -q - box:/swap/in 2>/dev/null");
    }
    for path in ["/../../../../etc/shadow", "/proc/1/root/etc/shadow", "/dev/mem", "/proc/kcore"] {
        t.docker(&["cp", &format!("box:{path}"), "-"]).fails_with(1, "Could not find the file");
    }
}

#[test]
fn what_a_container_changes_is_told() {
    let t = Tenant::new("diff");
    t.docker(&["run", "--name", "box", "busybox", "sh", "-c", "mkdir /new; echo 1 >/new/f; rm /bin/yes"]).ok();
    let diff = t.docker(&["diff", "box"]).ok();
    assert_eq!(diff, "C /bin\nD /bin/yes\nA /new\nA /new/f\n");
    t.docker(&["create", "--name", "fresh", "busybox"]).ok();
    assert_eq!(t.docker(&["diff", "fresh"]).ok(), "");
    assert_eq!(t.http("GET", "/containers/fresh/changes", &[], "").1, "null\n");
    t.docker(&["diff", "none"]).fails_with(1, "No such container: none");
}

#[test]
fn an_export_is_an_image_again() {
    let t = Tenant::new("export");
    t.docker(&[
        "run",
        "-d",
        "--name",
        "box",
        "busybox",
        "sh",
        "-c",
        "mkdir /new; echo 1 >/new/f; rm /bin/yes; sleep 600",
    ])
    .ok();
    crate::system::eventually(20, "changed", || t.docker(&["exec", "box", "ls", "/bin/yes"]).code != 0);
    let image = with_container(
        &t,
        "docker export box | docker import - again:1 >/dev/null; docker rm -f box >/dev/null
         docker run --rm again:1 sh -c 'cat /new/f; ls /bin/yes 2>/dev/null || echo gone'",
    );
    assert_eq!(image, "1\ngone\n");
}

#[test]
fn another_tenants_files_are_not_there() {
    let (a, b) = (running("cpa"), Tenant::new("cpb"));
    let id = a.inspect("box")["Id"].as_str().expect("an id").to_owned();
    for reference in [&id[..], &id[..12], "box"] {
        for (method, route) in
            [("GET", "archive?path=/srv"), ("PUT", "archive?path=/srv"), ("GET", "changes"), ("GET", "export")]
        {
            let (status, text) = b.http(method, &format!("/containers/{reference}/{route}"), &[], "");
            assert_eq!((status, text), (404, format!("{{\"message\":\"No such container: {reference}\"}}\n")));
        }
        assert_eq!(b.http("HEAD", &format!("/containers/{reference}/archive?path=/srv"), &[], "").0, 404);
    }
}
