//! `docker rename`: DNS answers the new name on every host once the command has returned, and no longer the old one.

use crate::system::{Tenant, eventually};

const SLEEP: [&str; 3] = ["busybox", "sleep", "1000"];

fn run(t: &Tenant, name: &str, more: &[&str]) {
    t.docker(&[&["run", "-d", "--name", name][..], more, &SLEEP].concat()).ok();
}

fn field(t: &Tenant, container: &str, format: &str) -> String {
    t.docker(&["inspect", "-f", format, container]).ok().trim().to_owned()
}

/// The address that `name` has for `container`. By ping, since the nslookup of a busybox asks for AAAA too.
fn resolved(t: &Tenant, container: &str, name: &str) -> Option<String> {
    let done = t.docker(&["exec", container, "ping", "-c", "1", "-W", "2", name]);
    let address = done.out.split_once('(')?.1.split_once(')')?.0.to_owned();
    (done.code == 0).then_some(address)
}

#[test]
fn every_host_answers_the_new_name_and_no_longer_the_old_one() {
    let t = Tenant::new("rename");
    t.docker(&["network", "create", "app"]).ok();
    // Two containers that repel each other, and a third one beside the first.
    let apart = ["--network", "app", "--network-alias", "www", "-l", "kind=apart", "-e", "affinity:kind!=apart"];
    run(&t, "web", &apart);
    run(&t, "far", &["--network", "app", "-l", "kind=apart", "-e", "affinity:kind!=apart"]);
    run(&t, "near", &["--network", "app", "-e", "affinity:container==web"]);
    let address = field(&t, "web", "{{.NetworkSettings.Networks.app.IPAddress}}");
    let short = field(&t, "web", "{{.Id}}")[..12].to_owned();
    for host in ["near", "far", "web"] {
        assert_eq!(resolved(&t, host, "web"), Some(address.clone()), "before, from {host}");
    }
    t.docker(&["rename", "web", "front"]).ok();
    let check = |hosts: &[&str], when: &str| {
        for host in hosts {
            for name in ["front", "front.app", "www", &short] {
                assert_eq!(resolved(&t, host, name), Some(address.clone()), "{name} from {host} {when}");
            }
            assert_eq!(resolved(&t, host, "web"), None, "from {host} {when}");
        }
    };
    check(&["near", "far", "front"], "after the rename");
    // The host made it under the old name, and makes its next run of the same record.
    t.docker(&["restart", "-t", "0", "front"]).ok();
    check(&["near", "front"], "after a restart");
    // Another host may have heard of the end between the two runs.
    eventually(8, "it is known elsewhere", || resolved(&t, "far", "front").is_some());
    t.docker(&["network", "create", "other"]).ok();
    t.docker(&["network", "connect", "other", "front"]).ok();
    // It knows itself by either address now.
    check(&["near", "far"], "in one more network");
    // The old name is anybody's.
    run(&t, "web", &["--network", "app"]);
    let second = field(&t, "web", "{{.NetworkSettings.Networks.app.IPAddress}}");
    for host in ["near", "far", "front"] {
        assert_eq!(resolved(&t, host, "web"), Some(second.clone()), "the next one, from {host}");
    }
}

#[test]
fn a_container_that_is_renamed_before_it_starts_is_known_by_the_new_name() {
    let t = Tenant::new("rename");
    t.docker(&["network", "create", "app"]).ok();
    t.docker(&[&["create", "--name", "web", "--network", "app"][..], &SLEEP].concat()).ok();
    run(&t, "near", &["--network", "app", "-e", "affinity:container==web"]);
    t.docker(&["rename", "web", "front"]).ok();
    t.docker(&["start", "front"]).ok();
    assert!(resolved(&t, "near", "front").is_some());
    assert_eq!(resolved(&t, "near", "web"), None);
}

#[test]
fn a_link_follows_its_container() {
    let t = Tenant::new("rename");
    run(&t, "web", &[]);
    run(&t, "client", &["--link", "web:srv"]);
    assert!(resolved(&t, "client", "srv").is_some());
    t.docker(&["rename", "web", "front"]).ok();
    assert!(resolved(&t, "client", "srv").is_some());
}
