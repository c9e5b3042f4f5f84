use domain::{ContainerId, Error, ExecId, ExecObservation, ExecSpec};
use futures::future::join_all;
use sqlx::PgPool;

use super::World;

fn spec() -> ExecSpec {
    ExecSpec {
        args: vec!["true".into()],
        env: vec![],
        cwd: String::new(),
        user: String::new(),
        tty: false,
        attach_stdin: false,
        attach_stdout: true,
        attach_stderr: true,
        detach_keys: String::new(),
        console_height: 0,
        console_width: 0,
    }
}

fn seen(world: &World, container: &ContainerId, exec: &ExecId, running: bool, exit_code: i32) -> ExecObservation {
    let (container, exec) = (container.clone(), exec.clone());
    ExecObservation { tenant: world.tenant.id, container, exec, running, pid: u32::from(running) * 7, exit_code }
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_exec_is_claimed_once(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, container, exec) = (world.view(), world.place("web").await, ExecId::random());
    view.add_exec(&container, &exec, &spec()).await.unwrap();
    let claims = join_all((0..10).map(|_| view.claim_exec(&exec))).await;
    assert_eq!(claims.iter().filter(|c| c.is_ok()).count(), 1);
    assert!(claims.into_iter().filter_map(|c| c.err()).all(|e| matches!(e, Error::Conflict(_))));
    let record = view.exec(&exec).await.unwrap();
    assert_eq!((record.spec, record.host, record.started, record.exit_code), (spec(), world.hosts[0], true, None));
    view.unclaim_exec(&exec).await.unwrap();
    assert!(view.claim_exec(&exec).await.unwrap().started);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_end_of_an_exec_is_final(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, container, exec) = (world.view(), world.place("web").await, ExecId::random());
    view.add_exec(&container, &exec, &spec()).await.unwrap();
    view.observe_exec(&seen(&world, &container, &exec, true, 0)).await.unwrap();
    assert_eq!(view.live_execs(&container).await.unwrap(), std::slice::from_ref(&exec));
    view.observe_exec(&seen(&world, &container, &exec, false, 3)).await.unwrap();
    view.observe_exec(&seen(&world, &container, &exec, true, 0)).await.unwrap();
    let record = view.exec(&exec).await.unwrap();
    assert_eq!((record.running, record.pid, record.exit_code), (false, 7, Some(3)));
    assert!(view.live_execs(&container).await.unwrap().is_empty());
    let text = view.claim_exec(&exec).await.unwrap_err().to_string();
    assert_eq!(text, format!("Error: Exec command {exec} has already run"));
    view.forget(&container).await.unwrap();
    assert_eq!(view.exec(&exec).await.unwrap_err().to_string(), format!("No such exec instance: {exec}"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn fifty_live_execs_are_the_most(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let (view, container) = (world.view(), world.place("web").await);
    let ids: Vec<_> = (0..60).map(|_| ExecId::random()).collect();
    let spec = spec();
    let added = join_all(ids.iter().map(|id| view.add_exec(&container, id, &spec))).await;
    let fits = view.live_execs(&container).await.unwrap();
    assert_eq!((added.iter().filter(|a| a.is_err()).count(), fits.len()), (10, 50));
    assert!(matches!(view.add_exec(&container, &ExecId::random(), &spec).await, Err(Error::Conflict(_))));
    view.observe_exec(&seen(&world, &container, &fits[0], false, 0)).await.unwrap();
    view.add_exec(&container, &ExecId::random(), &spec).await.unwrap();
    let missing = ContainerId::random();
    let error = view.add_exec(&missing, &ExecId::random(), &spec).await.unwrap_err();
    assert_eq!(error.to_string(), format!("No such container: {missing}"));
}
