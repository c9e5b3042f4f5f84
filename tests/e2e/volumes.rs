//! Volumes, as a tenant sees them: life, sharing, the host that they tie their containers to.

use crate::system::{Tenant, eventually, kill_hard, role_pid};

/// Which host a container is on, by the operator's label: tenants do not see hosts.
fn zone(t: &Tenant, container: &str) -> String {
    ["z1", "z2", "z3"]
        .into_iter()
        .find(|zone| {
            let wish = format!("affinity:container=={container}");
            let place = format!("constraint:zone=={zone}");
            let probe = t.docker(&["create", "-e", &wish, "-e", &place, "busybox", "true"]);
            probe.code == 0 && t.docker(&["rm", probe.out.trim()]).code == 0
        })
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_life_of_a_volume() {
    let t = Tenant::new("vol");
    assert_eq!(t.docker(&["volume", "create", "--label", "a=b", "data"]).ok(), "data\n");
    assert_eq!(t.docker(&["volume", "create", "data"]).ok(), "data\n", "again is no error");
    let format = "{{.Name}} {{.Driver}} {{json .Labels}} {{.Scope}} {{.Mountpoint}} {{json .Options}}";
    assert_eq!(
        t.docker(&["volume", "inspect", "-f", format, "data"]).ok(),
        "data local {\"a\":\"b\"} local /var/lib/docker/volumes/data/_data null\n"
    );
    t.docker(&["run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/f"]).ok();
    assert_eq!(t.docker(&["run", "--rm", "-v", "data:/e:ro", "busybox", "cat", "/e/f"]).ok(), "kept\n");
    let readonly = ["run", "--rm", "--mount", "type=volume,src=data,dst=/e,readonly", "busybox", "touch", "/e/x"];
    t.docker(&readonly).fails_with(1, "Read-only file system");
    let id = t.docker(&["create", "-v", "data:/d", "--name", "user", "busybox", "true"]).ok();
    t.docker(&["volume", "rm", "data"]).fails_with(1, &format!("remove data: volume is in use - [{}]", id.trim()));
    t.docker(&["rm", "-v", "user"]).ok();
    assert_eq!(t.docker(&["volume", "ls", "-q"]).ok(), "data\n", "a named volume stays");
    t.docker(&["volume", "rm", "data"]).ok();
    t.docker(&["volume", "rm", "data"]).fails_with(1, "get data: no such volume");
    t.docker(&["volume", "rm", "-f", "data"]).ok();
    // The name again is an empty volume.
    assert_eq!(t.docker(&["run", "--rm", "-v", "data:/d", "busybox", "ls", "/d"]).ok(), "");
}

#[test]
fn what_is_refused_and_how() {
    let t = Tenant::new("vol");
    for (args, text) in [
        (&["-o", "x=y", "v"][..], "create v: invalid option: \"x\""),
        (
            &["-o", "type=nfs", "-o", "o=addr=10.0.0.1", "v"],
            "DriverOpts=o is not permitted on this endpoint (policy M10)",
        ),
        (&["-o", "size=zz", "v"], "create v: invalid size: 'zz'"),
        (&["-o", "size=10m", "v"], "create v: quota size requested but no quota support"),
        (&["-d", "nosuch", "v"], "create v: error looking up volume plugin nosuch: plugin \"nosuch\" not found"),
        (&["a b"], "includes invalid characters for a local volume name"),
    ] {
        t.docker(&[&["volume", "create"], args].concat()).fails_with(1, text);
    }
    t.docker(&["run", "--rm", "-v", "/etc:/x", "busybox", "true"]).fails_with(125, "policy M01");
    t.docker(&["volume", "ls", "-f", "foo=bar"]).fails_with(1, "invalid filter 'foo'");
    t.docker(&["run", "--rm", "--volumes-from", "nosuch", "busybox", "true"])
        .fails_with(125, "No such container: nosuch");
    let cluster = r#"{"Name":"c","ClusterVolumeSpec":{"Group":"g"}}"#;
    assert_eq!(t.refused("POST", "/v1.44/volumes/create", cluster).0, 501);
    assert_eq!(t.docker(&["volume", "ls", "-q"]).ok(), "", "nothing was made on the way");
}

#[test]
fn filters_and_prune() {
    let t = Tenant::new("vol");
    for (name, label) in [("odb", "keep=1"), ("web_odb", "tier=web"), ("other", "tier=db")] {
        t.docker(&["volume", "create", "--label", label, name]).ok();
    }
    t.docker(&["create", "--name", "user", "-v", "odb:/x", "-v", "/anon", "busybox", "true"]).ok();
    let ls = |filter: &str| t.docker(&["volume", "ls", "-q", "-f", filter]).ok();
    assert_eq!(ls("name=odb"), "odb\nweb_odb\n");
    assert_eq!(ls("label=tier"), "other\nweb_odb\n");
    assert_eq!(ls("dangling=true"), "other\nweb_odb\n");
    assert_eq!(ls("dangling=false").lines().count(), 2);
    assert_eq!(ls("driver=shared"), "");
    assert_eq!(t.docker(&["ps", "-aq", "-f", "volume=odb"]).ok().lines().count(), 1);
    assert_eq!(t.docker(&["ps", "-aq", "-f", "volume=/anon"]).ok().lines().count(), 1);
    assert_eq!(t.docker(&["ps", "-aq", "-f", "volume=other"]).ok(), "");
    t.docker(&["rm", "user"]).ok();
    // Only those that nobody named; then the named ones that are asked for.
    assert_eq!(t.docker(&["volume", "prune", "-f"]).ok().lines().count(), 4);
    assert_eq!(ls("name=odb"), "odb\nweb_odb\n");
    let pruned = t.docker(&["volume", "prune", "-a", "-f", "--filter", "label!=keep"]).ok();
    assert!(pruned.contains("other\n") && pruned.contains("web_odb\n"), "{pruned}");
    assert_eq!(t.docker(&["volume", "ls", "-q"]).ok(), "odb\n");
    t.docker(&["volume", "prune", "-f", "--filter", "bogus=1"]).fails_with(1, "invalid filter");
}

#[test]
fn anonymous_volumes_go_with_their_container_if_they_shall() {
    let t = Tenant::new("vol");
    let volumes = || t.docker(&["volume", "ls", "-q"]).ok();
    t.docker(&["run", "--rm", "-v", "/anon", "busybox", "touch", "/anon/x"]).ok();
    eventually(10, "--rm takes it along", || volumes().is_empty());
    t.docker(&["run", "-d", "--name", "a1", "-v", "/anon", "busybox", "sleep", "1000"]).ok();
    let name = volumes().trim().to_owned();
    assert_eq!(name.len(), 64);
    let shown = "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.Driver}} {{.RW}}{{end}}";
    let expected = format!("volume {name} /anon local true\n");
    assert_eq!(t.docker(&["inspect", "-f", shown, "a1"]).ok(), expected);
    assert_eq!(
        t.docker(&["ps", "--no-trunc", "--format", "{{.Mounts}} {{.LocalVolumes}}"]).ok(),
        format!("{name} 1\n")
    );
    t.docker(&["rm", "-fv", "a1"]).ok();
    assert_eq!(volumes(), "");
    t.docker(&["run", "--name", "a2", "-v", "/anon", "busybox", "true"]).ok();
    t.docker(&["rm", "a2"]).ok();
    assert_eq!(volumes().lines().count(), 1, "without -v it stays");
    // A create that fails on its host leaves none.
    t.docker(&["create", "--name", "a3", "-v", "/anon2", "--label", "x", "nosuchimage:x"]).fails_with(1, "");
    assert_eq!(volumes().lines().count(), 1);
}

#[test]
fn containers_share_a_volume_while_they_run() {
    let t = Tenant::new("vol");
    t.docker(&["run", "-d", "--name", "one", "-v", "data:/d", "busybox", "sleep", "1000"]).ok();
    t.docker(&["run", "-d", "--name", "two", "--volumes-from", "one", "--tmpfs", "/d/t", "busybox", "sleep", "1000"])
        .ok();
    t.docker(&["run", "-d", "--name", "three", "--volumes-from", "one:ro", "busybox", "sleep", "1000"]).ok();
    t.docker(&["exec", "one", "sh", "-c", "echo first > /d/f"]).ok();
    t.docker(&["exec", "two", "sh", "-c", "cat /d/f; echo second >> /d/f; echo > /d/t/gone"]).ok();
    assert_eq!(t.docker(&["exec", "three", "cat", "/d/f"]).ok(), "first\nsecond\n");
    t.docker(&["exec", "three", "touch", "/d/x"]).fails_with(1, "Read-only file system");
    assert_eq!(t.docker(&["exec", "one", "ls", "/d/t"]).ok(), "", "a tmpfs in a volume is the container's own");
    let owner = t.docker(&["exec", "--user", "1000:1000", "one", "sh", "-c", "touch /d/mine"]);
    owner.fails_with(1, "Permission denied");
    t.docker(&["exec", "one", "chmod", "777", "/d"]).ok();
    t.docker(&["exec", "--user", "1000:1001", "one", "touch", "/d/mine"]).ok();
    assert_eq!(t.docker(&["exec", "two", "stat", "-c", "%u %g", "/d/mine"]).ok(), "1000 1001\n");
}

#[test]
fn a_volume_ties_its_containers_to_its_host() {
    let t = Tenant::new("vol");
    t.docker(&["create", "--name", "first", "-v", "data:/d", "busybox", "true"]).ok();
    let home = zone(&t, "first");
    assert!(home.starts_with('z'), "{home}");
    // Others go elsewhere; those that have the volume do not.
    for n in 0..4 {
        let name = format!("c{n}");
        t.docker(&["create", "--name", &name, "-v", "data:/d", "busybox", "true"]).ok();
        assert_eq!(zone(&t, &name), home);
    }
    let other = if home == "z1" { "z2" } else { "z1" };
    let wish = format!("constraint:zone=={other}");
    t.docker(&["create", "-e", &wish, "-v", "data:/d", "busybox", "true"])
        .fails_with(1, &format!("the host of volume data does not satisfy the constraint zone=={other}"));
    t.docker(&["create", "-e", &wish, "-v", "far:/d", "busybox", "true"]).ok();
    t.docker(&["create", "-v", "data:/d", "-v", "far:/f", "busybox", "true"])
        .fails_with(1, "volumes data and far are kept in different places");
    t.docker(&["create", "--name", "both", "-v", "data:/d", "-v", "new:/n", "busybox", "true"]).ok();
    assert_eq!(zone(&t, "both"), home);
}

#[test]
fn first_users_of_a_volume_at_the_same_time_meet() {
    let t = Tenant::new("vol");
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|n| {
                let t = &t;
                scope.spawn(move || t.docker(&["run", "-v", "data:/d", "busybox", "touch", &format!("/d/{n}")]).ok())
            })
            .collect();
        runs.into_iter().for_each(|run| drop(run.join().expect("run")));
    });
    assert_eq!(t.docker(&["run", "--rm", "-v", "data:/d", "busybox", "ls", "/d"]).ok(), "0\n1\n2\n3\n4\n5\n6\n7\n");
}

#[test]
fn a_shared_volume_is_on_every_host() {
    let t = Tenant::new("vol");
    t.docker(&["volume", "create", "-d", "shared", "common"]).ok();
    assert_eq!(t.docker(&["volume", "inspect", "-f", "{{.Driver}} {{.Scope}}", "common"]).ok(), "shared global\n");
    let run = |zone: &str, script: &str| {
        let wish = format!("constraint:zone=={zone}");
        t.docker(&["run", "--rm", "-e", &wish, "-v", "common:/c", "busybox", "sh", "-c", script]).ok()
    };
    run("z1", "echo one > /c/f; chown 7:8 /c/f");
    assert_eq!(run("z2", "cat /c/f; stat -c '%u %g' /c/f"), "one\n7 8\n");
    t.docker(&["volume", "create", "-d", "local", "common"]).fails_with(1, "volume name must be unique");
    t.docker(&["volume", "rm", "common"]).ok();
}

#[test]
fn a_part_of_a_volume() {
    let t = Tenant::new("vol");
    let script = "mkdir /d/sub; echo in > /d/sub/f; ln -s /etc /d/out";
    t.docker(&["run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", script]).ok();
    let run = |subpath: &str, args: &[&str]| {
        let mount = format!("type=volume,src=data,dst=/s,volume-subpath={subpath}");
        t.docker(&[&["run", "--rm", "--mount", &mount, "busybox"], args].concat())
    };
    assert_eq!(run("sub", &["cat", "/s/f"]).ok(), "in\n");
    for bad in ["nosub", "out"] {
        let path = format!("/var/lib/docker/volumes/data/_data/{bad}");
        run(bad, &["true"])
            .fails_with(127, &format!("cannot access path {path}: lstat {path}: no such file or directory"));
    }
    run("../x", &["true"]).fails_with(125, "policy M04");
}

#[test]
fn an_image_fills_its_volumes() {
    let t = Tenant::new("vol");
    // Without a builder or cp at hand: an image whose tar has something at the place of the volume.
    let tar = "d=$(mktemp -d); mkdir -p $d/www/sub; echo hello > $d/www/index.html; chmod 750 $d/www; \
               tar -C $d --owner=33 --group=33 -cf $d.tar www; cat $d.tar \
               | docker import -c 'VOLUME /www' - onlywww >/dev/null; rm -r $d $d.tar";
    t.shell(tar).ok();
    let id = t.docker(&["create", "-v", "site:/www", "onlywww", "x"]).ok();
    t.docker(&["rm", id.trim()]).ok();
    let look = [
        "run",
        "--rm",
        "-v",
        "site:/s",
        "busybox",
        "sh",
        "-c",
        "cat /s/index.html; stat -c '%u %g %a' /s; ls -d /s/sub",
    ];
    assert_eq!(t.docker(&look).ok(), "hello\n33 33 750\n/s/sub\n");
    let id = t.docker(&["create", "--mount", "type=volume,src=bare,dst=/www,volume-nocopy", "onlywww", "x"]).ok();
    t.docker(&["rm", id.trim()]).ok();
    assert_eq!(t.docker(&["run", "--rm", "-v", "bare:/s", "busybox", "ls", "/s"]).ok(), "");
    // VOLUME of the image makes an anonymous one.
    let id = t.docker(&["create", "onlywww", "x"]).ok();
    let mounts = t.docker(&["inspect", "-f", "{{range .Mounts}}{{.Destination}} {{len .Name}}{{end}}", id.trim()]).ok();
    assert_eq!(mounts, "/www 64\n");
    t.docker(&["rm", "-v", id.trim()]).ok();
}

#[test]
fn second_tenant_has_volumes_of_its_own() {
    let (one, two) = (Tenant::new("vol"), Tenant::new("vol"));
    one.docker(&["run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "echo secret > /d/f"]).ok();
    two.docker(&["volume", "inspect", "data"]).fails_with(1, "get data: no such volume");
    let (status, text) = two.refused("DELETE", "/v1.44/volumes/data", "");
    assert_eq!((status, text.as_str()), (404, "get data: no such volume"));
    assert_eq!(two.docker(&["run", "--rm", "-v", "data:/d", "busybox", "ls", "/d"]).ok(), "");
    two.docker(&["volume", "rm", "data"]).ok();
    assert_eq!(one.docker(&["run", "--rm", "-v", "data:/d", "busybox", "cat", "/d/f"]).ok(), "secret\n");
}

#[test]
fn the_sdk_of_python() {
    let t = Tenant::new("vol");
    let script = r#"
import docker
c = docker.from_env(timeout=60)
v = c.volumes.create("data", labels={"a": "b"})
print(v.name, v.attrs["Driver"], v.attrs["Labels"])
c.containers.run("busybox", ["sh", "-c", "echo py > /d/f"], volumes={"data": {"bind": "/d", "mode": "rw"}}, remove=True)
m = docker.types.Mount("/m", "data", type="volume", read_only=True)
print(c.containers.run("busybox", ["cat", "/m/f"], mounts=[m], remove=True))
k = c.containers.create("busybox", "true", volumes=["data:/d:ro"])
k.reload(); print([(x["Name"], x["Destination"], x["Mode"], x["RW"]) for x in k.attrs["Mounts"]])
try:
    v.remove()
except docker.errors.APIError as e:
    print(e.status_code, "in use" in e.explanation)
k.remove(v=True)
print([x.name for x in c.volumes.list(filters={"dangling": True})])
v.remove()
try:
    c.volumes.get("data")
except docker.errors.NotFound as e:
    print(e.explanation)
print(c.volumes.prune())
"#;
    let expected = "data local {'a': 'b'}\nb'py\\n'\n[('data', '/d', 'ro', False)]\n409 True\n['data']\n\
                    get data: no such volume\n{'VolumesDeleted': None, 'SpaceReclaimed': 0}\n";
    assert_eq!(t.python(script).ok(), expected);
}

#[test]
fn volumes_outlive_every_role() {
    let t = Tenant::new("vol");
    let script = "i=0; while :; do i=$((i+1)); echo $i >> /d/log; sleep 0.2; done";
    t.docker(&["run", "-d", "--name", "writer", "-v", "data:/d", "busybox", "sh", "-c", script]).ok();
    let lines = |t: &Tenant| {
        let seen = t.docker(&["exec", "writer", "sh", "-c", "wc -l < /d/log"]);
        seen.out.trim().parse::<u32>().unwrap_or(0)
    };
    eventually(10, "it writes", || lines(&t) > 0);
    let home = zone(&t, "writer");
    let agent = format!("agent-h{}", &home[1..]);
    let old = role_pid(&agent);
    kill_hard(old);
    eventually(20, "another agent", || {
        std::fs::read_to_string(crate::system::data_dir().join(format!("run/{agent}.ready")))
            .is_ok_and(|pid| pid.trim() != old.to_string())
    });
    let before = lines(&t);
    eventually(20, "it writes on", || lines(&t) > before);
    t.docker(&["rm", "-f", "writer"]).ok();
    let kept = t.docker(&["run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "wc -l < /d/log"]).ok();
    assert!(kept.trim().parse::<u32>().expect("lines") >= before);
}
