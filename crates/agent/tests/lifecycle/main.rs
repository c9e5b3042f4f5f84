//! The real lifecycle: containerd, runc, namespaces, the logger. Needs root and containerd; without them the tests say so
//! and pass.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so by a panic

mod files;
mod layers;
mod volumes;
mod world;

use std::time::{Duration, Instant};

use agent::lifecycle::{Condition, Input, Inputs};
use domain::{
    ContainerId, ContainerSpec, Error, HealthStatus, Healthcheck, Observation, Signal, Status, spec::RestartPolicy,
};
use futures::StreamExt;
use rpc::v1;
use world::{Host, in_two_lives, on_a_host, text};

#[test]
fn a_container_runs_to_its_end_and_is_removed() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("echo out; echo err >&2; exit 37")).await;
        let exit = host.wait(&id, Condition::NotRunning).await;
        assert_eq!((exit.status, exit.exit_code, exit.oom_killed), (Status::Exited, 37, false));
        assert!(exit.started_at.is_some() && exit.finished_at >= exit.started_at);
        let logs = host.logs(&id).await;
        assert!(logs.contains("out\n") && logs.contains("err\n"), "{logs}");
        let gone = host.engine.remove(host.tenant, &id, false).await.unwrap();
        assert!(gone.observation.removed && gone.observation.generation > exit.generation);
        assert!(matches!(host.start(&id).await, Err(Error::NotFound { .. })));
        // Once more: it is gone already.
        assert!(host.engine.remove(host.tenant, &id, false).await.unwrap().already);
    });
}

#[test]
fn how_long_a_run_takes() {
    on_a_host(|host| async move {
        let mut spec = host.spec("");
        spec.process.args = vec!["true".into()];
        spec.auto_remove = true;
        let mut laps: [Vec<f64>; 4] = Default::default();
        for _ in 0..30 {
            let begin = Instant::now();
            let id = host.create(spec.clone()).await;
            let created = begin.elapsed();
            host.start(&id).await.unwrap();
            let started = begin.elapsed();
            let exit = host.wait(&id, Condition::Removed).await;
            assert_eq!((exit.exit_code, exit.removed), (0, true));
            let removed = begin.elapsed();
            let times = [created, started - created, removed - started, removed];
            laps.iter_mut().zip(times).for_each(|(lap, t)| lap.push(t.as_secs_f64() * 1e3));
            if std::env::var_os("PACED").is_some() {
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        }
        let median = laps.map(|mut lap| {
            lap.sort_by(f64::total_cmp);
            format!("{:.1}", lap[lap.len() / 2])
        });
        println!("median ms: create {} start {} exit {} all {}", median[0], median[1], median[2], median[3]);
    });
}

#[test]
fn eight_at_once() {
    on_a_host(|host| async move {
        let mut spec = host.spec("");
        spec.process.args = vec!["true".into()];
        spec.auto_remove = true;
        let begin = Instant::now();
        let runs = futures::stream::iter(0..40).map(|_| async {
            let id = host.launch(spec.clone()).await;
            host.wait(&id, Condition::Removed).await;
        });
        runs.buffer_unordered(8).collect::<Vec<()>>().await;
        println!("{:.1} runs a second, 8 at once", 40.0 / begin.elapsed().as_secs_f64());
    });
}

#[test]
fn input_and_output_flow_through_an_attached_client() {
    on_a_host(|host| async move {
        let mut spec = host.spec("cat; echo end");
        (spec.stdin_open, spec.stdin_once) = (true, true);
        let id = host.create(spec).await;
        let start = v1::AttachStart { stdin: true, stdout: true, stderr: true, stream: true, ..Default::default() };
        let lines = ["a\n", "b\n"].map(|line| Input::Bytes(line.into()));
        // All of the input is there, and closed, before the container is started.
        let input: Inputs = Box::pin(futures::stream::iter(lines));
        let attached = host.engine.attach(host.tenant, &id, &start, input).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        host.start(&id).await.unwrap();
        let (output, _) = tokio::time::timeout(Duration::from_secs(10), text(attached)).await.expect("in time");
        assert_eq!(output, "a\nb\nend\n");
        assert_eq!(host.wait(&id, Condition::NotRunning).await.exit_code, 0);
    });
}

#[test]
fn an_attached_client_does_not_wait_for_a_start_that_failed() {
    on_a_host(|host| async move {
        let mut spec = host.spec("");
        spec.process.args = vec!["/nonesuch".into()];
        spec.auto_remove = true;
        let id = host.create(spec).await;
        let start = v1::AttachStart { stdout: true, stream: true, ..Default::default() };
        let attached = host.engine.attach(host.tenant, &id, &start, Box::pin(futures::stream::empty())).unwrap();
        host.start(&id).await.unwrap_err();
        tokio::time::timeout(Duration::from_secs(5), text(attached)).await.expect("in time");
        let gone = host.wait(&id, Condition::Removed).await;
        assert_eq!((gone.removed, gone.exit_code), (true, 127));
    });
}

#[test]
fn output_of_a_removed_container_is_read_to_its_end() {
    on_a_host(|host| async move {
        let mut spec = host.spec("dd if=/dev/zero bs=64k count=160 2>/dev/null");
        spec.auto_remove = true;
        let id = host.create(spec).await;
        let start = v1::AttachStart { stdout: true, stream: true, ..Default::default() };
        let mut attached = host.engine.attach(host.tenant, &id, &start, Box::pin(futures::stream::empty())).unwrap();
        host.start(&id).await.unwrap();
        let mut bytes = 0;
        while let Some(item) = attached.next().await {
            if let Some(v1::stream_output::Output::Chunk(chunk)) = item.unwrap().output {
                bytes += chunk.data.len();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert_eq!(bytes, 160 << 16);
    });
}

#[test]
fn execs_run_beside_the_container() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("sleep 60")).await;
        assert_eq!(host.exec(&id, &["sh", "-c", "echo o; echo e >&2; exit 42"]).await.unwrap().1, Some(42));
        assert_eq!(host.exec(&id, &["echo", "hello"]).await.unwrap(), ("hello\n".into(), Some(0)));
        let error = host.exec(&id, &["/nonesuch"]).await.unwrap_err();
        let text = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/nonesuch\": stat \
                    /nonesuch: no such file or directory: unknown";
        assert_eq!(error.to_string(), text);
        let table = host.engine.top(host.tenant, &id, &[]).await.unwrap();
        assert_eq!(table.titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(
            (table.rows[0][0].as_str(), table.rows[0][1].as_str(), table.rows[0][7].as_str()),
            ("0", "1", "sleep 60")
        );
        host.engine.kill(host.tenant, &id, Signal::KILL).await.unwrap();
        assert!(matches!(host.exec(&id, &["true"]).await, Err(Error::Conflict(_))));
    });
}

/// What the first life of an agent leaves to the second.
struct Left {
    lasting: ContainerId,
    ending: ContainerId,
    vanishing: ContainerId,
    reading: ContainerId,
    created: ContainerId,
    restarting: ContainerId,
    before: Observation,
}

#[test]
fn an_agent_that_comes_back_finds_everything() {
    let first = |host: Host| async move {
        let with = |script: &str, change: fn(&mut ContainerSpec)| {
            let mut spec = host.spec(script);
            change(&mut spec);
            spec
        };
        let lasting = host.launch(host.spec("while :; do echo tick; sleep 0.1; done")).await;
        let left = Left {
            before: host.observation(&lasting),
            lasting,
            ending: host.launch(host.spec("sleep 1; exit 5")).await,
            vanishing: host.launch(with("sleep 1; exit 6", |s| s.auto_remove = true)).await,
            reading: host.launch(with("cat", |s| s.stdin_open = true)).await,
            created: host.create(host.spec("true")).await,
            restarting: host.launch(with("sleep 1; exit 7", |s| s.restart = RestartPolicy::Always)).await,
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        (Some(left), host.kept())
    };
    in_two_lives(first, |host, left| async move {
        let after = host.observation(&left.lasting);
        assert_eq!(
            (after.status, after.pid, after.started_at),
            (Status::Running, left.before.pid, left.before.started_at)
        );
        assert!(after.generation > left.before.generation);
        let exit = host.wait(&left.ending, Condition::NotRunning).await;
        assert_eq!((exit.status, exit.exit_code), (Status::Exited, 5));
        host.until("the removal", || host.engine.find(host.tenant, &left.vanishing).is_err()).await;
        assert_eq!(host.observation(&left.created).status, Status::Created);
        host.until("the restart", || host.observation(&left.restarting).restart_count >= 1).await;
        // stdin is open still.
        let start = v1::AttachStart { stdin: true, stdout: true, stream: true, ..Default::default() };
        let input: Inputs = Box::pin(futures::stream::iter([Input::Bytes("hi\n".into())]));
        let attached = host.engine.attach(host.tenant, &left.reading, &start, input).unwrap();
        let chunks = attached.filter_map(|item| async move {
            match item.unwrap().output {
                Some(v1::stream_output::Output::Chunk(chunk)) => Some(chunk.data),
                _ => None,
            }
        });
        let echoed =
            tokio::time::timeout(Duration::from_secs(5), std::pin::pin!(chunks).next()).await.expect("in time");
        assert_eq!(echoed.unwrap(), "hi\n".as_bytes());
        // Everything can be ended as if nothing had happened.
        assert_eq!(
            host.engine.kill(host.tenant, &left.lasting, Signal::KILL).await.unwrap().observation.exit_code,
            137
        );
        assert_eq!(host.exec(&left.reading, &["echo", "x"]).await.unwrap().0, "x\n");
        assert!(host.engine.remove(host.tenant, &left.reading, true).await.unwrap().observation.removed);
        host.start(&left.created).await.unwrap();
    });
}

#[test]
fn a_containerd_that_is_killed_disturbs_nobody() {
    on_a_host(|host| async move {
        let lasting = host.launch(host.spec("while :; do sleep 0.1; done")).await;
        let ending = host.launch(host.spec("sleep 0.6; exit 5")).await;
        let pid = host.observation(&lasting).pid;
        host.world.lock().unwrap().kill_containerd();
        let error = host.try_create(host.spec("true")).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{}", error.operator_text());
        tokio::time::sleep(Duration::from_secs(1)).await;
        host.world.lock().unwrap().start_containerd();
        let exit = host.wait(&ending, Condition::NotRunning).await;
        assert_eq!(exit.exit_code, 5);
        assert_eq!((host.observation(&lasting).status, host.observation(&lasting).pid), (Status::Running, pid));
        assert_eq!(host.run(host.spec("exit 3")).await.0, 3);
        assert_eq!(
            host.engine.stop(host.tenant, &lasting, Some(Signal::KILL), None).await.unwrap().observation.exit_code,
            137
        );
    });
}

#[test]
fn a_shim_that_is_killed_ends_its_container() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("sleep 60")).await;
        let pid = host.observation(&id).pid;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let shim: i32 = stat[stat.rfind(')').unwrap() + 1..].split_whitespace().nth(1).unwrap().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL).unwrap();
        let exit = host.wait(&id, Condition::NotRunning).await;
        assert_eq!((exit.status, exit.exit_code), (Status::Exited, 137));
        host.engine.remove(host.tenant, &id, false).await.unwrap();
    });
}

#[test]
fn a_health_check_speaks_up() {
    on_a_host(|host| async move {
        let mut spec = host.spec("sleep 60");
        spec.health = Some(Healthcheck {
            args: ["sh", "-c", "echo probed; test -f /tmp/ok"].map(String::from).to_vec(),
            interval_ns: 500_000_000,
            timeout_ns: 5_000_000_000,
            start_period_ns: 0,
            start_interval_ns: 0,
            retries: 2,
        });
        let id = host.launch(spec).await;
        let health = |wanted| host.observation(&id).health.is_some_and(|h| h.status == wanted);
        assert!(health(HealthStatus::Starting));
        host.until("unhealthy", || health(HealthStatus::Unhealthy)).await;
        host.exec(&id, &["touch", "/tmp/ok"]).await.unwrap();
        host.until("healthy", || health(HealthStatus::Healthy)).await;
        let log = host.observation(&id).health.unwrap().log;
        assert_eq!((log.last().unwrap().exit_code, log.last().unwrap().output.as_str()), (0, "probed\n"));
    });
}

#[test]
fn a_create_happens_once() {
    on_a_host(|host| async move {
        let id = ContainerId::random();
        let (first, second) =
            tokio::join!(host.create_as(&id, host.spec("true")), host.create_as(&id, host.spec("true")));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first.already != second.already);
        assert_eq!(first.observation.generation, second.observation.generation);
        host.start(&id).await.unwrap();
        let stranger = domain::TenantId::random();
        assert!(matches!(host.engine.find(stranger, &id), Err(Error::NotFound { .. })));
        let (begun, again) = (host.wait(&id, Condition::NotRunning).await, host.start(&id).await.unwrap());
        assert!(!again.already && again.observation.generation > begun.generation);
    });
}

#[test]
fn a_restart_by_hand_keeps_a_container_of_rm() {
    on_a_host(|host| async move {
        let mut spec = host.spec("sleep 60");
        spec.auto_remove = true;
        let id = host.launch(spec).await;
        let before = host.observation(&id).pid;
        let done = host.engine.restart(host.tenant, &id, Some(Signal::KILL), Some(1), Vec::new()).await.unwrap();
        assert_eq!(done.observation.status, Status::Running);
        assert_ne!(done.observation.pid, before);
        host.engine.kill(host.tenant, &id, Signal::KILL).await.unwrap();
        assert!(host.wait(&id, Condition::Removed).await.removed);
    });
}

#[test]
fn a_missing_command_is_127_and_a_directory_126_in_dockerds_words() {
    on_a_host(|host| async move {
        for (command, code, text) in [
            ("/nonesuch", 127, "no such file or directory"),
            ("nonesuch", 127, "executable file not found"),
            ("/etc", 126, ""),
        ] {
            let mut spec = host.spec("");
            spec.process.args = vec![command.into()];
            let id = host.create(spec).await;
            let error = host.start(&id).await.unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{}", error.operator_text());
            let start = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc \
                         create failed: unable to start container process: exec: ";
            assert!(error.to_string().starts_with(start) && error.to_string().contains(text), "{error}");
            let seen = host.observation(&id);
            assert_eq!((seen.status, seen.exit_code, seen.error), (Status::Created, code, error.to_string()));
        }
        let mut spec = host.spec("true");
        spec.process.user = "nosuchuser".into();
        let id = host.create(spec).await;
        let error = host.start(&id).await.unwrap_err();
        assert_eq!(error.to_string(), "unable to find user nosuchuser: no matching entries in passwd file");
    });
}

#[test]
fn a_stop_is_a_signal_a_grace_and_a_kill() {
    on_a_host(|host| async move {
        let polite = host.launch(host.spec("trap 'exit 9' TERM; while :; do sleep 0.05; done")).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let stopped = host.engine.stop(host.tenant, &polite, None, None).await.unwrap();
        assert_eq!((stopped.already, stopped.observation.exit_code), (false, 9));
        assert!(host.engine.stop(host.tenant, &polite, None, None).await.unwrap().already);

        let rude = host.launch(host.spec("trap '' TERM; while :; do sleep 0.05; done")).await;
        let begin = Instant::now();
        let killed = host.engine.stop(host.tenant, &rude, None, Some(1)).await.unwrap();
        assert_eq!(killed.observation.exit_code, 137);
        assert!(begin.elapsed() >= Duration::from_secs(1));
    });
}

#[test]
fn a_kill_reaches_a_container_that_is_being_stopped() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("trap '' TERM; while :; do sleep 0.05; done")).await;
        let (engine, tenant, other) = (host.engine.clone(), host.tenant, id.clone());
        let stopping = tokio::spawn(async move { engine.stop(tenant, &other, None, Some(60)).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let killed = host.engine.kill(host.tenant, &id, Signal::KILL).await.unwrap();
        assert_eq!((killed.observation.exit_code, killed.observation.status), (137, Status::Exited));
        assert_eq!(stopping.await.unwrap().unwrap().observation.exit_code, 137);
        let error = host.engine.kill(host.tenant, &id, Signal::TERM).await.unwrap_err();
        assert_eq!(error.to_string(), format!("container {id} is not running"));
    });
}

#[test]
fn a_paused_container_stands_still_and_can_be_killed() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("sleep 60")).await;
        let paused = host.engine.pause(host.tenant, &id).await.unwrap();
        assert_eq!(paused.observation.status, Status::Paused);
        let again = host.engine.pause(host.tenant, &id).await.unwrap_err();
        assert_eq!(again.to_string(), format!("container {id} is already paused"));
        assert!(matches!(host.exec(&id, &["true"]).await, Err(Error::Conflict(_))));
        assert_eq!(host.engine.unpause(host.tenant, &id).await.unwrap().observation.status, Status::Running);
        host.engine.pause(host.tenant, &id).await.unwrap();
        let killed = host.engine.kill(host.tenant, &id, Signal::KILL).await.unwrap();
        assert_eq!(killed.observation.exit_code, 137);
    });
}

#[test]
fn a_running_container_is_removed_by_force_only() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("sleep 60")).await;
        let error = host.engine.remove(host.tenant, &id, false).await.unwrap_err();
        assert_eq!(error.to_string(), "container is running: stop the container before removing or force remove");
        let gone = host.engine.remove(host.tenant, &id, true).await.unwrap();
        assert_eq!((gone.observation.removed, gone.observation.exit_code), (true, 137));
    });
}

#[test]
fn a_restart_policy_counts_and_a_stop_ends_it() {
    on_a_host(|host| async move {
        let mut spec = host.spec("exit 3");
        spec.restart = RestartPolicy::OnFailure { max_retries: 2 };
        let id = host.launch(spec).await;
        host.until("two retries", || {
            let seen = host.observation(&id);
            (seen.status, seen.restart_count, seen.exit_code) == (Status::Exited, 2, 3)
        })
        .await;
        let mut spec = host.spec("sleep 0.1");
        spec.restart = RestartPolicy::Always;
        let id = host.launch(spec).await;
        host.until("a restart", || host.observation(&id).restart_count >= 2).await;
        host.engine.stop(host.tenant, &id, None, Some(1)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(host.observation(&id).status, Status::Exited);
    });
}

#[test]
fn out_of_memory_is_told() {
    on_a_host(|host| async move {
        let mut spec = host.spec("dd if=/dev/zero of=/dev/null bs=64M count=1");
        spec.resources.memory_bytes = 16 << 20;
        let id = host.launch(spec).await;
        let exit = host.wait(&id, Condition::NotRunning).await;
        assert_eq!((exit.exit_code, exit.oom_killed), (137, true));
    });
}

#[test]
fn the_inside_is_dockers() {
    on_a_host(|host| async move {
        let (_, caps) = host.run(host.spec("grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status")).await;
        assert!(
            caps.contains("00000000a80425fb") && caps.contains("Seccomp:\t2") && caps.contains("NoNewPrivs:\t0"),
            "{caps}"
        );
        let (_, map) =
            host.run(host.spec("cat /proc/self/uid_map; hostname; cat /etc/hostname; pwd; echo $HOME $HOSTNAME")).await;
        assert!(map.contains(&world::UID_BASE.to_string()) && map.contains("box\nbox\n/\n/root box\n"), "{map}");
        let (code, limits) = host.run(host.spec("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; cat /proc/self/cgroup | head -3")).await;
        assert!(code == 0 && limits.starts_with("67108864\n"), "{limits}");
        assert!(!limits.contains("whlife"), "{limits}");
        let (code, files) = host.run(host.spec("touch /x && chown 1000:1000 /x && ls -ln /x && mkdir /d && rm -r /d /etc/group && df -m /dev/shm | tail -1")).await;
        assert!(code == 0 && files.contains("1000     1000") && files.contains(" 32 "), "{files}");
        let (code, denied) = host
            .run(host.spec(
                "mount -t tmpfs x /tmp; mknod /k c 1 3; echo 1 >/proc/sys/kernel/hostname; unshare -U true; echo end",
            ))
            .await;
        assert!(
            code == 0
                && denied.contains("ermitted")
                && denied.matches("ermitted").count() + denied.matches("ermission denied").count() >= 3
                && denied.contains("end\n"),
            "{denied}"
        );
        let mut spec = host.spec("id -u; id -g; id -G; touch /x || echo no");
        spec.process.user = "nobody".into();
        let (_, ids) = host.run(spec).await;
        assert!(ids.starts_with("65534\n65534\n65534 10\n") && ids.contains("no\n"), "{ids}");
    });
}

#[test]
fn the_options_of_a_spec_are_obeyed() {
    on_a_host(|host| async move {
        let mut spec = host.spec("cat /proc/1/comm");
        spec.init = true;
        assert_eq!(host.run(spec).await.1, "docker-init\n");
        let mut spec = host.spec("touch /x; touch /t/y && echo ok; ulimit -n; ulimit -Hn; grep ' /t ' /proc/mounts");
        spec.rootfs_readonly = true;
        spec.tmpfs = vec![domain::spec::Tmpfs {
            target: "/t".into(),
            options: ["nosuid", "nodev", "size=1m"].map(String::from).to_vec(),
        }];
        spec.process.rlimits = vec![domain::spec::Rlimit { name: "nofile".into(), soft: 512, hard: 1024 }];
        let text = host.run(spec).await.1;
        assert!(
            text.contains("Read-only file system") && text.contains("ok\n512\n1024\n") && text.contains("size=1024k"),
            "{text}"
        );
        let mut spec = host.spec("cat /proc/sys/net/ipv4/ip_forward; grep NoNew /proc/self/status; pwd");
        spec.sysctls = [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into();
        spec.process.no_new_privileges = true;
        spec.process.cwd = "/newdir".into();
        assert_eq!(host.run(spec).await.1, "1\nNoNewPrivs:\t1\n/newdir\n");
    });
}

/// For a look around by hand.
#[test]
#[ignore = "holds a container for two minutes"]
fn hold() {
    on_a_host(|host| async move {
        let id = host.launch(host.spec("sleep 600")).await;
        println!("{}", host.engine.config.run.display());
        println!("{id}");
        tokio::time::sleep(Duration::from_secs(120)).await;
    });
}
