//! The log: complete, in order, once.

use std::time::Duration;

use domain::{Event, EventType, Happening, Observation, Status};
use sqlx::PgPool;

use super::{POOL, World, observed};
use crate::{Recorded, Span, event::put};

fn event(action: &str) -> Event {
    Event::new(EventType::Image, action, "busybox:latest").with("name", "busybox")
}

fn actions(events: &[Recorded]) -> Vec<&str> {
    events.iter().map(|e| e.event.action.as_str()).collect()
}

/// The transactions of other tests in the same PostgreSQL hold the horizon back too: waits until it has passed what is
/// written now.
async fn settle(world: &World) {
    let query = sqlx::query_scalar("SELECT pg_current_xact_id()::text::bigint");
    let now: i64 = query.fetch_one(&world.inventory.pool).await.unwrap();
    for _ in 0..1000 {
        if world.inventory.events_horizon().await.unwrap() > now.unsigned_abs() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a transaction of another test does not end");
}

/// All that the tenant can see now.
async fn log(world: &World) -> Vec<Recorded> {
    settle(world).await;
    let upto = world.inventory.events_horizon().await.unwrap();
    world.view().events(0, &Span { xids: (0, upto), at_ns: (0, i64::MAX) }, 1000).await.unwrap()
}

fn saw(world: &World, id: &domain::ContainerId, generation: u64, status: Status, told: &[(u64, &str)]) -> Observation {
    let happenings = told
        .iter()
        .map(|(generation, action)| Happening {
            generation: *generation,
            at: chrono::DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap(),
            action: (*action).to_owned(),
            attributes: [("exitCode".to_owned(), "0".to_owned())].into_iter().filter(|_| *action == "die").collect(),
        })
        .collect();
    Observation { happenings, ..observed(world.tenant.id, id, generation, status) }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_committed_late_is_not_skipped(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let start = world.inventory.events_horizon().await.unwrap();
    let mut late = world.inventory.pool.begin().await.unwrap();
    put(&mut *late, world.tenant.id, &[event("first")]).await.unwrap();
    world.view().record_event(event("second")).await.unwrap();

    let window = world.inventory.events_since(start).await.unwrap();
    assert!(window.events.is_empty() && window.pending, "{window:?}");
    late.commit().await.unwrap();
    settle(&world).await;
    let next = world.inventory.events_since(window.upto).await.unwrap();
    assert_eq!(actions(&next.events), ["first", "second"]);
    assert!(!next.pending);
    let rest = world.inventory.events_since(next.upto).await.unwrap();
    assert!(rest.events.is_empty() && rest.upto >= next.upto);
}

#[sqlx::test(migrations = "../../migrations")]
async fn whoever_began_first_and_wrote_last_comes_last(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let start = world.inventory.events_horizon().await.unwrap();
    let mut early = world.inventory.pool.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *early).await.unwrap();
    world.view().record_event(event("cause")).await.unwrap();
    put(&mut *early, world.tenant.id, &[event("effect")]).await.unwrap();
    early.commit().await.unwrap();
    settle(&world).await;
    assert_eq!(actions(&world.inventory.events_since(start).await.unwrap().events), ["cause", "effect"]);
    assert_eq!(actions(&log(&world).await), ["cause", "effect"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn everybody_loses_and_doubles_nothing_under_load(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let mut horizon = world.inventory.events_horizon().await.unwrap();
    let writers: Vec<_> = (0..6)
        .map(|w| {
            let view = world.view();
            tokio::spawn(async move {
                for n in 0..100 {
                    let mut tx = view.pool.begin().await.unwrap();
                    put(&mut *tx, view.id, &[event(&format!("{w} {n}"))]).await.unwrap();
                    if n % 7 == 0 {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                    tx.commit().await.unwrap();
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) || seen.len() < 600 {
        let window = world.inventory.events_since(horizon).await.unwrap();
        horizon = window.upto;
        seen.extend(window.events.into_iter().map(|e| e.event.action));
        assert!(seen.len() <= 600);
    }
    for w in 0..6 {
        let own: Vec<_> = seen.iter().filter_map(|a| a.strip_prefix(&format!("{w} "))?.parse::<u32>().ok()).collect();
        assert_eq!(own, (0..100).collect::<Vec<_>>());
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_observation_that_comes_twice_is_told_once_and_in_dockers_order(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let id = world.place("web").await;
    let created = saw(&world, &id, 1, Status::Created, &[(1, "create")]);
    let ran = [(1, "create"), (2, "connect"), (2, "start"), (3, "disconnect"), (3, "die")];
    let exited = saw(&world, &id, 3, Status::Exited, &ran);
    world.view().observe(&created).await.unwrap();
    let reports = (world.inventory.clone(), world.hosts[0], exited.clone());
    let report = tokio::spawn(async move { reports.0.ingest(reports.1, &[reports.2], &[], false).await });
    let verb = world.view().observe(&exited).await;
    verb.unwrap();
    report.await.unwrap().unwrap();
    world.inventory.ingest(world.hosts[0], &[created, exited.clone()], &[], true).await.unwrap();
    world.view().forget_with(&id, &exited.happenings).await.unwrap();

    let log = log(&world).await;
    assert_eq!(actions(&log), ["create", "connect", "start", "disconnect", "die", "destroy"]);
    let die = &log[4].event;
    assert_eq!(die.at.timestamp_subsec_nanos(), 123_456_789);
    assert_eq!((die.kind, die.actor.as_str()), (EventType::Container, id.as_str()));
    let attributes: Vec<_> = die.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(attributes, ["exitCode=0", "image=busybox", "name=web", "role=web"]);
    let connect = &log[1].event;
    let attributes: Vec<_> = connect.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(attributes, [format!("container={id}").as_str(), "name=bridge", "type=bridge"]);
    assert_eq!(connect.kind, EventType::Network);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_create_that_was_taken_back_was_never_there(pool: PgPool) {
    let world = World::new(pool, 1).await;
    let id = world.place("web").await;
    assert!(world.view().forget(&id).await.unwrap());
    let second = world.place("web").await;
    world.view().observe(&saw(&world, &second, 1, Status::Created, &[(1, "create")])).await.unwrap();
    world.view().rename(&second, &"other".parse().unwrap()).await.unwrap();
    let removed = Observation { removed: true, ..saw(&world, &second, 2, Status::Exited, &[(1, "create")]) };
    world.view().observe(&removed).await.unwrap();
    world.view().observe(&removed).await.unwrap();
    let log = log(&world).await;
    assert_eq!(actions(&log), ["create", "rename", "destroy"]);
    assert_eq!(log[1].event.attributes["oldName"], "/web");
    assert_eq!(log[1].event.attributes["name"], "other");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_look_back_begins_where_it_is_asked_to_and_sees_one_tenant(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let other = world.inventory.create_tenant("other", POOL.parse().unwrap()).await.unwrap();
    for n in 0..5 {
        world.view().record_event(event(&n.to_string())).await.unwrap();
        world.inventory.tenant(other.id).record_event(event("foreign")).await.unwrap();
    }
    sqlx::query(
        "UPDATE events SET stored_at = stored_at - interval '1 hour', at_ns = at_ns - 3600000000000 WHERE action < '3'",
    )
    .execute(&world.inventory.pool)
    .await
    .unwrap();
    let all = log(&world).await;
    assert_eq!(actions(&all), ["0", "1", "2", "3", "4"]);
    let recent = chrono::Utc::now() - chrono::TimeDelta::minutes(1);
    let from = world.view().events_beginning(recent).await.unwrap().unwrap();
    assert!(from > all[2].id && from <= all[3].id);
    assert_eq!(world.view().events_beginning(chrono::DateTime::UNIX_EPOCH).await.unwrap(), Some(all[0].id));
    let span = Span { xids: (0, u64::MAX >> 1), at_ns: (recent.timestamp_nanos_opt().unwrap(), i64::MAX) };
    assert_eq!(actions(&world.view().events(from, &span, 1).await.unwrap()), ["3"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn old_events_go_in_batches(pool: PgPool) {
    let world = World::new(pool, 0).await;
    for n in 0..10 {
        world.view().record_event(event(&n.to_string())).await.unwrap();
    }
    sqlx::query("UPDATE events SET stored_at = now() - interval '8 days' WHERE action < '7'")
        .execute(&world.inventory.pool)
        .await
        .unwrap();
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(world.inventory.trim_events(week, 5).await.unwrap(), 5);
    assert_eq!(world.inventory.trim_events(week, 5).await.unwrap(), 2);
    assert_eq!(world.inventory.trim_events(week, 5).await.unwrap(), 0);
    assert_eq!(actions(&log(&world).await), ["7", "8", "9"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn writers_wake_readers(pool: PgPool) {
    let world = World::new(pool, 0).await;
    let mut listener = world.inventory.listen().await.unwrap();
    world.view().record_event(event("pull")).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), listener.rung()).await.expect("woken").unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn events_of_a_restored_database_stay_visible(pool: PgPool) {
    let world = World::new(pool, 0).await;
    world.view().record_event(event("pull")).await.unwrap();
    sqlx::query("UPDATE events SET xid = '99999999999'").execute(&world.inventory.pool).await.unwrap();
    assert!(log(&world).await.is_empty());
    world.inventory.migrate().await.unwrap();
    assert_eq!(actions(&log(&world).await), ["pull"]);
}
