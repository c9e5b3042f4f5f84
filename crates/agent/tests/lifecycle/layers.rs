//! Layers of containers: what they hold, that a container stands still meanwhile, and that it goes on in every case.

use std::{fs, time::Duration};

use agent::lifecycle::{Condition, Shape};
use domain::{ContainerId, Signal, Status};

use crate::world::{Host, in_two_lives, on_a_host};

/// What came, in order: the layer's bytes, or the word that it is known; and how it ended.
#[derive(Debug, Default, PartialEq)]
struct Came {
    data: Vec<u8>,
    known: bool,
    empty: bool,
    paused: bool,
}

async fn layer(host: &Host, id: &ContainerId) -> Came {
    let mut shapes = host.engine.make_layer(host.tenant, id, true, false).unwrap();
    let mut came = Came::default();
    while let Some(shape) = shapes.recv().await {
        match shape.unwrap() {
            Shape::Data(data) => came.data.extend_from_slice(&data),
            Shape::Known(_) => came.known = true,
            Shape::End { empty, paused } => (came.empty, came.paused) = (empty, paused),
        }
    }
    came
}

fn names(data: &[u8]) -> Vec<String> {
    let plain = zstd::decode_all(data).unwrap();
    let mut archive = tar::Archive::new(plain.as_slice());
    let entries = archive.entries().unwrap();
    entries.map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_layer_is_what_a_container_changed() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("touch /new; rm -r /tmp; mkdir /tmp; echo x >> /etc/passwd; sleep 1000")).await;
        assert_eq!(
            host.exec(&id, &["sh", "-c", "while ! grep -q x$ /etc/passwd; do :; done"]).await.unwrap().1,
            Some(0)
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
        let came = layer(&host, &id).await;
        assert_eq!(names(&came.data), ["etc/", "etc/passwd", "new", "tmp/", "tmp/.wh..wh..opq"]);
        assert!(came.paused && !came.empty && !came.known);
        assert!(layer(&host, &id).await.known, "nothing has changed");
        assert_eq!(host.observation(&id).status, Status::Running);
        assert_eq!(host.exec(&id, &["touch", "/newer"]).await.unwrap().1, Some(0), "it goes on");
        assert!(names(&layer(&host, &id).await.data).contains(&"newer".to_owned()));
        host.engine.kill(host.tenant, &id, Signal::KILL).await.unwrap();
        let came = layer(&host, &id).await;
        assert!(!came.paused && !came.empty);
    });
}

#[test]
fn one_that_changed_nothing_has_no_layer() {
    on_a_host(|host| async move {
        let created = host.create(host.spec("true")).await;
        let ended = host.launch(host.spec("true")).await;
        host.wait(&ended, Condition::NotRunning).await;
        for id in [created, ended] {
            assert_eq!(layer(&host, &id).await, Came { empty: true, ..Came::default() });
        }
    });
}

#[test]
fn a_caller_that_goes_away_leaves_it_running() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("dd if=/dev/urandom of=/big bs=1M count=32; touch /done; sleep 1000")).await;
        assert_eq!(host.exec(&id, &["sh", "-c", "while ! test -e /done; do :; done"]).await.unwrap().1, Some(0));
        let mut shapes = host.engine.make_layer(host.tenant, &id, true, true).unwrap();
        shapes.recv().await.unwrap().unwrap();
        drop(shapes);
        assert_eq!(host.exec(&id, &["true"]).await.unwrap().1, Some(0));
        // Nor does a kill wait for a caller that does not read.
        let mut shapes = host.engine.make_layer(host.tenant, &id, true, true).unwrap();
        shapes.recv().await.unwrap().unwrap();
        let killed = host.engine.kill(host.tenant, &id, Signal::KILL);
        tokio::time::timeout(Duration::from_secs(5), killed).await.expect("in time").unwrap();
    });
}

#[test]
fn an_agent_that_died_in_the_middle_left_it_frozen() {
    let first = |host: Host| async move {
        let id = host.launch(host.spec("sleep 1000")).await;
        let pid = host.observation(&id).pid;
        let run = host.world.lock().unwrap().config().run.clone();
        let marker = run.join("c").join(id.as_str()).join("frozen");
        assert!(marker.parent().unwrap().is_dir(), "{}", marker.display());
        fs::write(&marker, "").unwrap();
        freeze(pid);
        (Some((id, marker)), host.kept())
    };
    in_two_lives(first, |host, (id, marker)| async move {
        assert_eq!(host.observation(&id).status, Status::Running);
        let done = tokio::time::timeout(Duration::from_secs(5), host.exec(&id, &["true"])).await.expect("in time");
        assert_eq!(done.unwrap().1, Some(0));
        assert!(!marker.exists());
    });
}

fn freeze(pid: u32) {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = |mark: &str| text.lines().find_map(|l| l.split_once(mark).map(|(_, path)| path.to_owned()));
    match path(":freezer:") {
        Some(path) => fs::write(format!("/sys/fs/cgroup/freezer{path}/freezer.state"), "FROZEN").unwrap(),
        None => fs::write(format!("/sys/fs/cgroup{}/cgroup.freeze", path("0::").unwrap()), "1").unwrap(),
    }
}
