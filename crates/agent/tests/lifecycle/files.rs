//! `cp`, `diff` and `export` on containers in each of their states.

use std::{fs, time::Duration};

use agent::lifecycle::Condition;
use bytes::Bytes;
use domain::{ContainerId, Error, Result, Status, spec::Tmpfs};
use futures::{StreamExt, TryStreamExt};
use rpc::v1;

use super::world::{Host, UID_BASE, on_a_host};

/// One file of root's, or of `uid`'s.
fn archive(name: &str, uid: u32, content: &[u8]) -> Bytes {
    let mut block = [0u8; 512];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, &format!("{uid:07o}"));
    put(116, &format!("{uid:07o}"));
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000001");
    put(148, "        ");
    put(156, "0");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut bytes = [&block[..], content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.into()
}

impl Host {
    async fn put(&self, id: &ContainerId, path: &str, archive: Bytes) -> Result<()> {
        let start = v1::PutStart { path: Bytes::copy_from_slice(path.as_bytes()), ..Default::default() };
        self.engine.put_archive(self.tenant, id, &start, futures::stream::iter([Ok(archive)])).await
    }

    /// The first file of an archive, or of an export the whole.
    async fn get(&self, id: &ContainerId, path: &str) -> Result<Vec<u8>> {
        let outputs = self.engine.get_archive(self.tenant, id, path.as_bytes()).await?;
        let bytes: Vec<v1::FilesOutput> = outputs.try_collect().await?;
        Ok(data(bytes))
    }

    async fn content(&self, id: &ContainerId, path: &str) -> String {
        let archive = self.get(id, path).await.unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&archive[124..135]).unwrap(), 8).unwrap();
        String::from_utf8(archive[512..512 + size].to_vec()).unwrap()
    }

    async fn changes(&self, id: &ContainerId) -> Vec<String> {
        let batches = self.engine.changes(self.tenant, id).await.unwrap();
        let batches: Vec<v1::ChangesOutput> = batches.try_collect().await.unwrap();
        let changes = batches.into_iter().flat_map(|batch| batch.changes);
        changes.map(|c| format!("{} {}", c.kind, String::from_utf8_lossy(&c.path))).collect()
    }
}

fn data(outputs: Vec<v1::FilesOutput>) -> Vec<u8> {
    let chunks = outputs.into_iter().filter_map(|m| match m.output {
        Some(v1::files_output::Output::Data(data)) => Some(data),
        _ => None,
    });
    chunks.flatten().collect()
}

fn helpers() -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let own = std::process::id();
    let is_ours = |dir: std::path::PathBuf| {
        let command = fs::read(dir.join("cmdline")).unwrap_or_default();
        let status = fs::read_to_string(dir.join("status")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains("wharfinger-enter") && status.contains(&format!("PPid:\t{own}\n"))
    };
    processes.filter(|entry| is_ours(entry.path())).count()
}

#[test]
fn files_go_in_and_out_in_every_state() {
    on_a_host(|host| async move {
        let mut spec = host.spec("cat /tmp/before; stat -c %u:%g /tmp/before; sleep 60");
        spec.tmpfs = vec![Tmpfs { target: "/scratch".into(), options: vec!["size=1m".into()] }];
        let id = host.create(spec).await;
        host.put(&id, "/tmp", archive("before", 7, b"created\n")).await.unwrap();
        assert_eq!(host.content(&id, "/tmp/before").await, "created\n");
        host.start(&id).await.unwrap();
        host.put(&id, "/tmp", archive("during", 100_000, b"running")).await.unwrap();
        host.put(&id, "/scratch", archive("small", 0, b"tmpfs")).await.unwrap();
        let (seen, _) =
            host.exec(&id, &["sh", "-c", "cat /tmp/during /scratch/small; stat -c %u /tmp/during"]).await.unwrap();
        assert_eq!(seen, "runningtmpfs0\n", "an id beyond the range is root's");
        assert_eq!(host.content(&id, "/etc/hostname").await, "box\n");
        host.engine.kill(host.tenant, &id, domain::Signal::KILL).await.unwrap();
        host.wait(&id, Condition::NotRunning).await;
        assert!(host.logs(&id).await.starts_with("created\n7:7\n"));
        assert_eq!(host.content(&id, "/tmp/during").await, "running");
        assert_eq!(host.content(&id, "/etc/hostname").await, "box\n", "its own files are mounted for the call");
        host.put(&id, "/tmp", archive("after", 0, b"stopped")).await.unwrap();
        assert_eq!(host.content(&id, "/tmp/after").await, "stopped");
        assert!(matches!(host.get(&id, "/scratch/small").await, Err(Error::Missing(_))));
        assert!(matches!(host.get(&id, "/nowhere").await, Err(Error::Missing(_))));
        // On the disk, ids count from 0, as for every tenant.
        assert_ne!(UID_BASE, 0);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&format!("/c/{id}")), "{mounts}");
    });
}

#[test]
fn changes_and_exports_are_the_containers_alone() {
    on_a_host(|host| async move {
        let id = host
            .create(
                host.spec("mkdir /new; echo 1 >/new/f; rm /bin/yes; chmod 700 /root; echo x >>/etc/passwd; sleep 60"),
            )
            .await;
        assert!(host.changes(&id).await.is_empty(), "created");
        host.start(&id).await.unwrap();
        for _ in 0..200 {
            if host.exec(&id, &["tail", "-n1", "/etc/passwd"]).await.unwrap().0 == "x\n" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let expected = ["0 /bin", "2 /bin/yes", "0 /etc", "0 /etc/passwd", "1 /new", "1 /new/f", "0 /root"];
        assert_eq!(host.changes(&id).await, expected, "running");
        let export = || async {
            let outputs = host.engine.export(host.tenant, &id).await.unwrap();
            let bytes = data(outputs.try_collect().await.unwrap());
            let names = bytes.chunks(512).filter(|b| b.get(257..262) == Some(b"ustar"));
            let name = |b: &[u8]| String::from_utf8_lossy(b[..100].split(|b| *b == 0).next().unwrap()).into_owned();
            names.map(name).collect::<Vec<String>>()
        };
        let running = export().await;
        assert!(running.contains(&"new/f".to_owned()) && !running.contains(&"bin/yes".to_owned()), "{running:?}");
        assert!(!running.iter().any(|name| name.starts_with("proc/") && name != "proc/"), "{running:?}");
        host.engine.kill(host.tenant, &id, domain::Signal::KILL).await.unwrap();
        host.wait(&id, Condition::NotRunning).await;
        assert_eq!(host.changes(&id).await, expected, "stopped");
        assert_eq!(export().await, running);
    });
}

#[test]
fn a_client_that_leaves_takes_the_helper_along() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("head -c 8388608 /dev/zero >/tmp/big; sleep 60")).await;
        host.until("the file is there", || host.observation(&id).status == Status::Running).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut outputs = host.engine.get_archive(host.tenant, &id, b"/tmp/big").await.unwrap();
        outputs.next().await.unwrap().unwrap();
        assert_eq!(helpers(), 1);
        drop(outputs);
        host.until("its helper is gone", || helpers() == 0).await;
        let whole = archive("half", 0, &[1; 4096]);
        let start = v1::PutStart { path: "/tmp".into(), ..Default::default() };
        let cut = futures::stream::iter([Ok(whole.slice(..1024)), Err(Error::invalid("gone"))]);
        let error = host.engine.put_archive(host.tenant, &id, &start, cut).await.unwrap_err();
        assert_eq!((error.to_string(), helpers()), ("gone".to_owned(), 0));
        // One that hangs in the middle is killed with its call.
        let hanging = futures::stream::iter([Ok(whole.slice(..1024))]).chain(futures::stream::pending());
        let call = host.engine.put_archive(host.tenant, &id, &start, hanging);
        assert!(tokio::time::timeout(Duration::from_millis(500), call).await.is_err());
        host.until("its helper is gone", || helpers() == 0).await;
    });
}

#[test]
fn a_readonly_root_takes_nothing() {
    on_a_host(|host| async move {
        let mut spec = host.spec("sleep 60");
        spec.rootfs_readonly = true;
        let id = host.create(spec).await;
        for _ in 0..2 {
            let error = host.put(&id, "/tmp", archive("a", 0, b"1")).await.unwrap_err();
            assert!(
                matches!(&error, Error::Forbidden(text) if text == "container rootfs is marked read-only"),
                "{error:?}"
            );
            host.start(&id).await.unwrap();
        }
    });
}
