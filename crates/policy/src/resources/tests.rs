use super::*;

const MIB: i64 = 1 << 20;

fn create(wanted: Wanted) -> Result<(Resources, usize)> {
    let package = Package::standard();
    let mut warnings = Vec::new();
    let limits = Limits { at: "HostConfig.", package: &package, current: None };
    limits.resolve(&wanted, &mut warnings).map(|r| (r, warnings.len()))
}

#[test]
fn nothing_given_gives_the_package() {
    let (r, warnings) = create(Wanted::default()).expect("default");
    assert_eq!(
        (r.memory_bytes, r.cpu_millis, r.cpu_quota_us, r.pids_limit, warnings),
        (512 * MIB, 1000, 100_000, 4096, 0)
    );
}

#[test]
fn what_fits_is_kept_without_a_word() {
    let wanted = Wanted {
        memory: 16 * MIB,
        memory_swap: 16 * MIB,
        pids_limit: Some(50),
        nano_cpus: 500_000_000,
        ..Wanted::default()
    };
    let (r, warnings) = create(wanted).expect("fits");
    assert_eq!((r.memory_bytes, r.pids_limit, r.cpu_millis, r.cpu_quota_us, warnings), (16 * MIB, 50, 500, 50_000, 0));
    let soft = Wanted { memory_reservation: 1024 * MIB, ..Wanted::default() };
    assert_eq!(create(soft).expect("soft").0.memory_bytes, 1024 * MIB);
}

#[test]
fn hostile_numbers_are_refused_by_name() {
    let max = i64::MAX;
    for (wanted, part) in [
        (Wanted { memory: max, ..Wanted::default() }, "HostConfig.Memory="),
        (Wanted { memory: -1, ..Wanted::default() }, "HostConfig.Memory=-1"),
        (Wanted { memory: 1, ..Wanted::default() }, "Minimum memory limit allowed is 6MB"),
        (Wanted { memory_reservation: max, ..Wanted::default() }, "exceeds the package"),
        (Wanted { memory_swap: -2, ..Wanted::default() }, "MemorySwap"),
        (Wanted { nano_cpus: 9_000_000_000_000_000_000, ..Wanted::default() }, "NanoCpus"),
        (Wanted { cpu_quota: max, ..Wanted::default() }, "CpuQuota"),
        (Wanted { cpu_quota: -5, ..Wanted::default() }, "CPU cfs quota"),
        (Wanted { cpu_period: 1, ..Wanted::default() }, "CPU cfs period"),
        (Wanted { cpu_shares: -1, ..Wanted::default() }, "CpuShares"),
        (Wanted { nano_cpus: 1_000_000_000, cpu_quota: 5000, ..Wanted::default() }, "Conflicting options"),
        (Wanted { memory_swappiness: Some(101), ..Wanted::default() }, "swappiness range"),
        (Wanted { blkio_weight: 5, ..Wanted::default() }, "blkio weight"),
    ] {
        let text = create(wanted.clone()).expect_err(part).to_string();
        assert!(text.contains(part), "{wanted:?}: {text}");
    }
}

#[test]
fn what_is_lowered_is_said() {
    let wanted = Wanted {
        memory_swap: -1,
        pids_limit: Some(i64::MAX),
        cpu_shares: 1,
        memory_swappiness: Some(60),
        ..Wanted::default()
    };
    let (r, warnings) = create(wanted).expect("clamped");
    assert_eq!((r.pids_limit, r.cpu_shares, warnings), (4096, 2, 4));
}

#[test]
fn an_update_changes_only_what_it_names() {
    let package = Package::standard();
    let (current, _) =
        create(Wanted { memory: 64 * MIB, nano_cpus: 2_000_000_000, pids_limit: Some(7), ..Wanted::default() })
            .expect("create");
    let limits = Limits { at: "", package: &package, current: Some(&current) };
    let resolve = |w: Wanted| limits.resolve(&w, &mut Vec::new()).expect("update");
    assert_eq!(resolve(Wanted::default()), current);
    let r = resolve(Wanted { memory: 48 * MIB, memory_swap: 48 * MIB, ..Wanted::default() });
    assert_eq!((r.memory_bytes, r.cpu_millis, r.pids_limit), (48 * MIB, 2000, 7));
    assert_eq!(resolve(Wanted { pids_limit: Some(0), ..Wanted::default() }).pids_limit, 4096);
}
