//! Tenants' quotas, as the operator sets them and clients meet them.

use crate::system::{Tenant, operator};

#[test]
fn a_quota_is_exact_under_racing_creates_and_evicts_nothing_when_lowered() {
    let t = Tenant::new("quota");
    let quota = |args: &[&str]| operator(&[&["tenants", "quota", &t.name][..], args].concat()).ok();
    quota(&["--containers", "5"]);
    let create = "docker create -m 16m --cpus 0.05 busybox true";
    let raced = t.shell(&format!("for i in $(seq 20); do {create} & done; wait"));
    assert_eq!(raced.out.lines().count(), 5, "{raced:?}");
    let text = "quota exceeded: containers: 1 asked for, 0 of 5 left (quota)";
    assert_eq!(raced.err.matches(text).count(), 15, "{raced:?}");
    t.docker(&["create", "busybox", "true"]).fails_with(1, text);
    let lowered = quota(&["--containers", "2", "--memory", "1g", "--cpus", "1.5"]);
    assert!(lowered.contains("quota of containers allows: nothing is evicted"), "{lowered}");
    assert_eq!(t.docker(&["ps", "-aq"]).ok().lines().count(), 5);
    assert_eq!(t.docker(&["info", "-f", "{{.NCPU}} {{.MemTotal}}"]).ok(), "2 1073741824\n");
    let shown = quota(&[]);
    for words in ["80MiB       1GiB", "0.25        1.5", "5          2"] {
        assert!(shown.contains(words), "{words:?} is not in: {shown}");
    }
    let list = operator(&["tenants", "list"]).ok();
    let row = list.lines().find(|line| line.starts_with(&t.name)).expect("a row");
    assert!(row.contains("80MiB/1GiB") && row.ends_with("5/2"), "{row}");
    assert!(quota(&["--containers", "none"]).contains("none"));
    t.shell(create).ok();
}

#[test]
fn a_quota_that_is_none_is_refused_by_name() {
    let t = Tenant::bare("quota");
    let quota = |args: &[&str]| operator(&[&["tenants", "quota"][..], args].concat());
    quota(&[&t.name, "--memory", "8x"]).fails_with(2, "--memory");
    quota(&[&t.name, "--cpus", "1x"]).fails_with(2, "--cpus");
    quota(&[&t.name, "--containers", "1.5"]).fails_with(2, "--containers");
    quota(&[&t.name, "--memory", "2000000t"]).fails_with(1, "quota of memory");
    quota(&["nosuch"]).fails_with(1, "no such tenant: nosuch");
    quota(&[&t.name, "--containers"]).fails_with(2, "--containers");
    assert!(!quota(&[&t.name]).ok().contains("nothing is evicted"));
}
