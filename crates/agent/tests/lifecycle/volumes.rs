//! Volumes in real containers: owners under the user namespace, copy-up, parts of volumes, and what a hostile image or
//! container tries.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
};

use domain::{
    ContainerId, ContainerSpec, Error, PlacedVolume, VolumeDriver, VolumeId,
    spec::{Tmpfs, VolumeMount},
};

use crate::world::{Host, UID_BASE, in_two_lives, on_a_host, sh};

fn volume(name: &str, driver: VolumeDriver) -> PlacedVolume {
    PlacedVolume { id: VolumeId::random(), name: name.into(), driver, size_bytes: None }
}

fn local(name: &str) -> PlacedVolume {
    volume(name, VolumeDriver::Local)
}

fn mount(volume: &PlacedVolume, target: &str) -> VolumeMount {
    VolumeMount {
        name: volume.name.clone(),
        target: target.into(),
        readonly: false,
        no_copy: false,
        subpath: String::new(),
        anonymous: false,
        mode: String::new(),
    }
}

fn part(volume: &PlacedVolume, target: &str, subpath: &str) -> VolumeMount {
    VolumeMount { subpath: subpath.into(), ..mount(volume, target) }
}

impl Host {
    fn mounting(&self, script: &str, mounts: &[VolumeMount]) -> ContainerSpec {
        ContainerSpec { volumes: mounts.to_vec(), ..self.spec(script) }
    }

    async fn start_with(&self, spec: ContainerSpec, volumes: &[PlacedVolume]) -> domain::Result<ContainerId> {
        let id = ContainerId::random();
        self.create_with(&id, spec, volumes.to_vec()).await?;
        self.start(&id).await?;
        Ok(id)
    }

    /// Runs a script with volumes; exit code and output.
    async fn script(&self, script: &str, mounts: &[VolumeMount], volumes: &[PlacedVolume]) -> (i32, String) {
        let id = self.start_with(self.mounting(script, mounts), volumes).await.unwrap();
        let exit = self.wait(&id, agent::lifecycle::Condition::NotRunning).await;
        let text = self.logs(&id).await;
        self.engine.remove(self.tenant, &id, true).await.unwrap();
        (exit.exit_code, text)
    }

    fn data(&self, volume: &PlacedVolume) -> PathBuf {
        let root = self.world.lock().unwrap().root.clone();
        let root = match volume.driver {
            VolumeDriver::Local => root.join("agent/volumes"),
            VolumeDriver::Shared => root.join("shared"),
        };
        root.join(self.tenant.to_string()).join(volume.id.to_string()).join("_data")
    }

    /// The unpacked layer of the tests' image, to put things into.
    fn image_dir(&self) -> PathBuf {
        let snapshots =
            self.world.lock().unwrap().root.join("containerd/io.containerd.snapshotter.v1.overlayfs/snapshots");
        let mut dirs: Vec<_> = fs::read_dir(snapshots).unwrap().map(|e| e.unwrap().path().join("fs")).collect();
        dirs.retain(|d| d.join("bin/busybox").exists());
        dirs.pop().unwrap()
    }
}

#[test]
fn data_outlives_its_container_and_belongs_to_who_wrote_it() {
    on_a_host(|host| async move {
        for data in [local("d"), volume("s", VolumeDriver::Shared)] {
            let at = [mount(&data, "/data")];
            let volumes = [data.clone()];
            let write = "echo kept > /data/f; chown 1000:1001 /data/f; mkdir /data/d; stat -c '%u %g %a' /data";
            assert_eq!(host.script(write, &at, &volumes).await, (0, "0 0 755\n".into()));
            let read = "cat /data/f; stat -c '%u %g' /data/f /data/d; grep ' /data ' /proc/mounts | grep -c nodev";
            assert_eq!(host.script(read, &at, &volumes).await, (0, "kept\n1000 1001\n0 0\n1\n".into()));
            let disk = fs::metadata(host.data(&data).join("f")).unwrap();
            let base = if data.driver == VolumeDriver::Shared { UID_BASE } else { 0 };
            assert_eq!((disk.uid(), disk.gid()), (base + 1000, base + 1001));
            let above = fs::metadata(host.data(&data).parent().unwrap()).unwrap();
            assert_eq!(above.permissions().mode() & 0o077, 0, "nobody else on the host gets in");
        }
    });
}

#[test]
fn readonly_nested_and_shared_between_containers() {
    on_a_host(|host| async move {
        let (outer, inner) = (local("outer"), local("inner"));
        let volumes = [outer.clone(), inner.clone()];
        let mut readonly = mount(&outer, "/ro");
        readonly.readonly = true;
        // The inner one first: order is by depth.
        let mounts = [mount(&inner, "/a/b/c"), mount(&outer, "/a"), readonly];
        let mut spec = host.mounting("sleep 100", &mounts);
        spec.tmpfs = vec![Tmpfs { target: "/a/t".into(), options: vec!["size=64k".into()] }];
        let first = host.start_with(spec, &volumes).await.unwrap();
        let script = "echo 1 > /a/x; echo 2 > /a/b/c/y; echo 3 > /a/t/z; cat /ro/x; echo no > /ro/x";
        let (text, code) = host.exec(&first, &["sh", "-c", script]).await.unwrap();
        let read = text.lines().any(|line| line == "1");
        assert!(read && text.contains("Read-only file system") && code == Some(1), "{text}");
        let mounts = [mount(&outer, "/o"), mount(&inner, "/i")];
        let second = host.script("cat /o/x; ls /o/b/c /o/t; cat /i/y", &mounts, &volumes).await;
        assert_eq!(second, (0, "1\n/o/b/c:\n\n/o/t:\n2\n".into()));
        host.engine.remove(host.tenant, &first, true).await.unwrap();
        assert!(host.data(&outer).join("x").exists());
    });
}

#[test]
fn an_empty_volume_gets_what_the_image_has() {
    on_a_host(|host| async move {
        let image = host.image_dir();
        sh(&format!(
            "cd {0}; mkdir -p www/sub; echo hi > www/index; ln www/index www/hard; ln -s index www/soft; \
             chmod 4711 www/index; chown -h 33:34 www www/soft www/sub; chmod 1775 www; mkfifo www/pipe; mkdir empty; \
             chown 5:6 empty; ln -s /../../../www escape; ln -s /../../../../../../../../etc out; \
             echo x > file; setfattr -n user.a -v b www/sub 2>/dev/null || true",
            image.display()
        ));
        let look =
            "cd /w; ls -ln | grep -v total | sed 's/  */ /g' | cut -d' ' -f1,2,3,4,9-; stat -c '%u %g %a' .; cat index";
        let expected = "-rws--x--x 2 0 0 hard\n-rws--x--x 2 0 0 index\nprw-r--r-- 1 0 0 pipe\nlrwxrwxrwx 1 33 34 soft -> index\n\
                        drwxr-xr-x 2 33 34 sub\n33 34 1775\nhi\n";
        for driver in [VolumeDriver::Local, VolumeDriver::Shared] {
            let www = volume("www", driver);
            let volumes = [www.clone()];
            assert_eq!(host.script("true", &[mount(&www, "/www")], &volumes).await.0, 0);
            assert_eq!(host.script(look, &[mount(&www, "/w")], &volumes).await, (0, expected.into()), "{driver}");
            // Once only: what a container deletes stays deleted, and what it writes is not written over.
            let change = "rm -r /w/*; echo mine > /w/index";
            assert_eq!(host.script(change, &[mount(&www, "/w")], &volumes).await.0, 0);
            assert_eq!(
                host.script("ls /www; cat /www/index", &[mount(&www, "/www")], &volumes).await.1,
                "index\nmine\n"
            );
        }
        // Owner and mode even of an empty directory; nothing with nocopy; a link inside the image is followed inside it.
        let (empty, plain, linked, outside, of_file, missing) =
            (local("e"), local("p"), local("l"), local("o"), local("f"), local("m"));
        let mut no_copy = mount(&plain, "/www");
        no_copy.no_copy = true;
        let mounts = [mount(&empty, "/empty"), no_copy, mount(&missing, "/nowhere/at/all")];
        let volumes = [empty.clone(), plain.clone(), missing.clone()];
        let (code, text) = host
            .script("stat -c '%u %g' /empty; ls /www | wc -l; stat -c '%u %a' /nowhere/at/all", &mounts, &volumes)
            .await;
        assert_eq!((code, text.as_str()), (0, "5 6\n0\n0 755\n"));
        for (volume, target) in [(&linked, "/escape"), (&outside, "/out"), (&of_file, "/file")] {
            let id = ContainerId::random();
            let spec = host.mounting("true", &[mount(volume, target)]);
            host.create_with(&id, spec, vec![volume.clone()]).await.unwrap();
        }
        assert!(host.data(&linked).join("index").exists(), "the image's own /www");
        let copied: Vec<_> = fs::read_dir(host.data(&outside)).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(
            copied.iter().any(|n| n == "passwd") && !copied.iter().any(|n| n == "shadow"),
            "the image's /etc: {copied:?}"
        );
        assert_eq!(fs::read_dir(host.data(&of_file)).unwrap().count(), 0);
    });
}

#[test]
fn eight_containers_fill_one_volume_once() {
    on_a_host(|host| async move {
        sh(&format!(
            "mkdir -p {0}/www; seq 200 | while read n; do echo $n > {0}/www/$n; done",
            host.image_dir().display()
        ));
        let www = local("www");
        let runs = (0..8).map(|_| {
            host.start_with(host.mounting("ls /www | wc -l", &[mount(&www, "/www")]), std::slice::from_ref(&www))
        });
        for id in futures::future::join_all(runs).await {
            let id = id.unwrap();
            host.wait(&id, agent::lifecycle::Condition::NotRunning).await;
            assert_eq!(host.logs(&id).await, "200\n");
        }
        assert!(!host.data(&www).with_file_name("_copy").exists());
    });
}

#[test]
fn a_part_of_a_volume_and_no_way_out_of_it() {
    on_a_host(|host| async move {
        let data = local("data");
        let volumes = [data.clone()];
        let prepare = "mkdir -p /d/a/b; echo deep > /d/a/b/f; echo one > /d/file; ln -s ../../../.. /d/up; ln -s /etc /d/abs; \
                       ln -s a/b /d/in; ln -s /proc/self/root /d/magic; ln -s loop /d/loop";
        assert_eq!(host.script(prepare, &[mount(&data, "/d")], &volumes).await.0, 0);
        // A directory of the host beside the volume's content must not be reachable.
        fs::write(host.data(&data).with_file_name("secret"), "no").unwrap();
        for (subpath, script, expected) in [
            ("a/b", "cat /p/f; touch /p/new; stat -c %u /p/new", "deep\n0\n"),
            ("in", "cat /p/f", "deep\n"),
            ("up", "ls /p", "a\nabs\nfile\nin\nloop\nmagic\nup\n"),
        ] {
            let (code, text) = host.script(script, &[part(&data, "/p", subpath)], &volumes).await;
            assert_eq!((code, text.as_str()), (0, expected), "{subpath}");
        }
        assert_eq!(host.script("cat /p", &[part(&data, "/p", "file")], &volumes).await, (0, "one\n".into()));
        for (subpath, why) in [
            ("nosub", "no such file or directory"),
            ("abs", "no such file or directory"),
            ("magic", "no such file or directory"),
            ("file/x", "not a directory"),
            ("loop", "too many levels of symbolic links"),
        ] {
            let refused =
                host.start_with(host.mounting("true", &[part(&data, "/p", subpath)]), &volumes).await.unwrap_err();
            let path = format!("/var/lib/docker/volumes/data/_data/{subpath}");
            assert_eq!(refused.to_string(), format!("cannot access path {path}: lstat {path}: {why}"));
            assert!(matches!(refused, Error::Invalid(_)));
        }
        let left = host.world.lock().unwrap().run.join("agent/subpaths");
        assert_eq!(fs::read_dir(left).unwrap().count(), 0, "our own mounts are gone");
    });
}

#[test]
fn a_part_is_mounted_anew_at_each_start() {
    on_a_host(|host| async move {
        let data = local("data");
        let volumes = [data.clone()];
        assert_eq!(host.script("mkdir /d/a; echo 1 > /d/a/f", &[mount(&data, "/d")], &volumes).await.0, 0);
        let id = host.start_with(host.mounting("cat /p/f", &[part(&data, "/p", "a")]), &volumes).await.unwrap();
        host.wait(&id, agent::lifecycle::Condition::NotRunning).await;
        // Now it is a link out of the volume.
        fs::remove_dir_all(host.data(&data).join("a")).unwrap();
        symlink("/", host.data(&data).join("a")).unwrap();
        host.start(&id).await.unwrap();
        assert_eq!(host.wait(&id, agent::lifecycle::Condition::NotRunning).await.exit_code, 1);
        assert!(host.logs(&id).await.contains("can't open '/p/f'"));
    });
}

#[test]
fn a_volume_is_deleted_when_nobody_here_has_it() {
    on_a_host(|host| async move {
        for driver in [VolumeDriver::Local, VolumeDriver::Shared] {
            let data = volume("data", driver);
            let spec = host.mounting("touch /d/x; sleep 100", &[mount(&data, "/d")]);
            let id = host.start_with(spec, std::slice::from_ref(&data)).await.unwrap();
            assert!(!host.engine.delete_volume(host.tenant, data.id, driver).await.unwrap());
            assert!(host.data(&data).exists());
            host.engine.remove(host.tenant, &id, true).await.unwrap();
            // Deeper than a recursion would like, with names that a path could not hold.
            let deep = format!("{:?}", host.data(&data));
            let dig = "import os\nos.chdir(PLACE)\nfor i in range(60): os.mkdir(str(0) * 200); os.chdir(str(0) * 200)";
            sh(&format!("python3 -c '{}'", dig.replace("PLACE", &deep)));
            assert!(host.engine.delete_volume(host.tenant, data.id, driver).await.unwrap());
            assert!(!host.data(&data).parent().unwrap().exists());
            assert!(host.engine.delete_volume(host.tenant, data.id, driver).await.unwrap(), "again");
        }
    });
}

#[test]
fn a_volume_stays_mounted_when_the_agent_and_containerd_die() {
    in_two_lives(
        |host| async move {
            let data = local("data");
            let spec = host.mounting(
                // By a rename: who looks meanwhile must not find the file empty.
                "while :; do date +%s%N > /d/new && mv /d/new /d/now; sleep 0.1; done",
                &[mount(&data, "/d")],
            );
            let id = host.start_with(spec, std::slice::from_ref(&data)).await.unwrap();
            {
                let mut world = host.world.lock().unwrap();
                world.kill_containerd();
                world.start_containerd();
            }
            let kept = host.kept();
            (Some((id, data)), kept)
        },
        |host, (id, data)| async move {
            let before = fs::read_to_string(host.data(&data).join("now")).unwrap();
            host.until("the container writes on", || {
                fs::read_to_string(host.data(&data).join("now")).is_ok_and(|now| now != before)
            })
            .await;
            assert!(!host.engine.delete_volume(host.tenant, data.id, data.driver).await.unwrap());
            let (text, code) = host.exec(&id, &["sh", "-c", "test -s /d/now && echo seen"]).await.unwrap();
            assert_eq!((text.as_str(), code), ("seen\n", Some(0)));
            host.engine.remove(host.tenant, &id, true).await.unwrap();
            let mounts = [mount(&data, "/d")];
            let after = host.script("test -s /d/now && echo kept", &mounts, std::slice::from_ref(&data)).await;
            assert_eq!(after, (0, "kept\n".into()));
        },
    );
}
