use domain::LogDriver;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Got, Scratch, all, collect, log_spec, record, write};
use crate::stdio::{backward::disk_end, logs, record::Position};
use rpc::v1::LogsRequest;

const START: u64 = 1_700_000_000_000_000_000;
const OUT: u8 = 1;
const ERR: u8 = 2;
const END: u8 = 3;

async fn read(scratch: &Scratch, request: &LogsRequest) -> Got {
    collect(logs(&scratch.paths(), request, &log_spec(0, 0), false).unwrap()).await
}

/// A log of random lines, cut at random into records and segments; now and then a run ends.
struct Random {
    pieces: Vec<(u8, u64, Vec<u8>)>,
}

impl Random {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pieces = Vec::new();
        let count = if seed.is_multiple_of(10) { 400 } else { 40 };
        for i in 0..rng.random_range(0..count) {
            let kind = [OUT, OUT, OUT, ERR, ERR, END][rng.random_range(0..6)];
            let max = [3, 30, 300, 70_000][rng.random_range(0..if seed.is_multiple_of(7) { 4 } else { 3 })];
            let newlines = rng.random_range(0.0..0.5);
            let mut byte = || if rng.random_bool(newlines) { b'\n' } else { b'a' + rng.random_range(0..26u8) };
            let first = byte();
            let payload: Vec<u8> = std::iter::repeat_with(&mut byte).take(max).collect();
            let len = rng.random_range(0..max);
            let payload = if kind == END { Vec::new() } else { [&[first], &payload[..len]].concat() };
            pieces.push((kind, START + i, payload));
        }
        Self { pieces }
    }

    fn write(&self, scratch: &Scratch, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let dir = scratch.paths().log_dir;
        let _ = std::fs::remove_dir_all(&dir);
        let (mut number, mut segment) = (rng.random_range(1..5), Vec::new());
        for (kind, time, payload) in &self.pieces {
            segment.push(record(*kind, *time, payload));
            if rng.random_bool(0.05) {
                write(&dir, number, &std::mem::take(&mut segment));
                number += 1;
            }
        }
        write(&dir, number, &segment);
    }

    fn bytes(&self, kind: u8) -> Vec<u8> {
        self.pieces.iter().filter(|p| p.0 == kind).flat_map(|p| p.2.clone()).collect()
    }

    /// Lines in the order of their last bytes, each with its stream and the time of its beginning.
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut open: [Option<(usize, u64, Vec<u8>)>; 2] = [None, None];
        for (moment, (kind, time, payload)) in self.pieces.iter().enumerate() {
            if *kind == END {
                let rest = open.iter_mut().zip([OUT, ERR]);
                lines.extend(rest.filter_map(|(o, kind)| o.take().map(|(at, time, line)| (at, kind, time, line))));
                continue;
            }
            let slot = &mut open[usize::from(*kind) - 1];
            for &byte in payload {
                let line = slot.get_or_insert_with(|| (moment, *time, Vec::new()));
                line.0 = moment;
                line.2.push(byte);
                if byte == b'\n' {
                    let (at, time, line) = slot.take().unwrap();
                    lines.push((at, *kind, time, line));
                }
            }
        }
        let rest = open.into_iter().zip([OUT, ERR]);
        lines.extend(rest.filter_map(|(o, kind)| o.map(|(at, time, line)| (at, kind, time, line))));
        lines.sort_by_key(|l| l.0);
        lines.into_iter().map(|(_, kind, time, line)| (kind, time, line)).collect()
    }
}

/// Stream, time of its beginning, bytes.
type Line = (u8, u64, Vec<u8>);

fn of(lines: &[Line], kind: u8) -> Vec<u8> {
    lines.iter().filter(|l| l.0 == kind).flat_map(|l| l.2.clone()).collect()
}

#[tokio::test]
async fn any_cutting_into_records_gives_the_same_bytes() {
    let scratch = Scratch::new("cutting");
    for seed in 0..200 {
        let log = Random::new(seed);
        log.write(&scratch, seed);
        let got = read(&scratch, &all()).await;
        assert_eq!(got.error, None);
        assert!(got.stdout == log.bytes(OUT) && got.stderr == log.bytes(ERR), "seed {seed}");
        assert!(got.chunks.iter().all(|c| c.1 <= 256 << 10));
        let only = read(&scratch, &LogsRequest { stderr: false, ..all() }).await;
        assert!(only.stdout == log.bytes(OUT) && only.stderr.is_empty(), "seed {seed}");
    }
}

#[tokio::test]
async fn tail_gives_the_last_lines_of_the_wanted_streams() {
    let scratch = Scratch::new("tail");
    for seed in 0..300 {
        let log = Random::new(seed);
        log.write(&scratch, seed);
        let lines = log.lines();
        for n in [0, 1, 2, 5, 17, 1000] {
            let got = read(&scratch, &LogsRequest { tail: Some(n as u64), ..all() }).await;
            let last = &lines[lines.len().saturating_sub(n)..];
            assert!(got.stdout == of(last, OUT) && got.stderr == of(last, ERR), "seed {seed} tail {n}");
        }
        let wanted: Vec<_> = lines.iter().filter(|l| l.0 == ERR).cloned().collect();
        let got = read(&scratch, &LogsRequest { tail: Some(3), stdout: false, ..all() }).await;
        let last = &wanted[wanted.len().saturating_sub(3)..];
        assert!(got.stderr == of(last, ERR) && got.stdout.is_empty(), "seed {seed}");
    }
}

#[tokio::test]
async fn since_and_until_go_by_the_time_of_records() {
    let scratch = Scratch::new("since");
    for seed in 0..100 {
        let log = Random::new(seed);
        log.write(&scratch, seed);
        let count = log.pieces.len() as u64;
        for (since, until) in [(0, count / 2), (count / 2, count), (count / 3, count / 2), (count, 0)] {
            let time =
                |n: u64| Some(prost_types::Timestamp { seconds: (START / 1_000_000_000) as i64, nanos: n as i32 });
            let got = read(&scratch, &LogsRequest { since: time(since), until: time(until), ..all() }).await;
            let within = |kind: u8| -> Vec<u8> {
                let wanted = log.pieces.iter().take_while(|p| p.1 <= START + until);
                wanted.filter(|p| p.0 == kind && p.1 >= START + since).flat_map(|p| p.2.clone()).collect()
            };
            assert!(got.stdout == within(OUT) && got.stderr == within(ERR), "seed {seed} {since}..{until}");
        }
    }
}

#[tokio::test]
async fn timestamps_stand_before_each_line_and_nowhere_else() {
    let scratch = Scratch::new("times");
    for seed in 0..100 {
        let log = Random::new(seed);
        log.write(&scratch, seed);
        let got = read(&scratch, &LogsRequest { timestamps: true, ..all() }).await;
        for (kind, bytes) in [(OUT, &got.stdout), (ERR, &got.stderr)] {
            let expected: Vec<u8> = log
                .lines()
                .into_iter()
                .filter(|l| l.0 == kind)
                .flat_map(|(_, time, line)| {
                    let prefix = format!("2023-11-14T22:13:20.{:09}Z ", time - START);
                    [prefix.as_bytes(), &line].concat()
                })
                .collect();
            assert!(bytes == &expected, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn frames_hold_whole_lines() {
    let scratch = Scratch::new("frames");
    let text: Vec<u8> = (0..100_000).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
    let records: Vec<_> = text.chunks(65_536).map(|c| record(OUT, START, c)).collect();
    write(&scratch.paths().log_dir, 1, &records);
    let got = read(&scratch, &all()).await;
    assert!(got.stdout == text);
    let mut end = 0;
    for (_, bytes) in got.chunks {
        end += bytes;
        assert_eq!(text[end - 1], b'\n');
    }
}

#[tokio::test]
async fn details_are_a_prefix() {
    let scratch = Scratch::new("details");
    write(&scratch.paths().log_dir, 1, &[record(OUT, START, b"a\nb\n")]);
    let mut spec = log_spec(0, 0);
    spec.attributes.insert("tier".into(), "front end".into());
    let request = LogsRequest { details: true, ..all() };
    let got = collect(logs(&scratch.paths(), &request, &spec, false).unwrap()).await;
    assert_eq!(got.stdout, b"tier=front+end a\ntier=front+end b\n");
}

#[tokio::test]
async fn a_torn_tail_is_not_shown() {
    let scratch = Scratch::new("torn");
    let dir = scratch.paths().log_dir;
    let torn = record(OUT, START, b"never finished\n");
    for cut in 1..torn.len() {
        write(&dir, 3, &[record(OUT, START, b"one\n"), torn[..cut].to_vec()]);
        assert_eq!(disk_end(&dir).unwrap(), Position { segment: 3, offset: 24 });
        assert_eq!(read(&scratch, &all()).await.stdout, b"one\n");
        assert_eq!(read(&scratch, &LogsRequest { tail: Some(1), ..all() }).await.stdout, b"one\n");
    }
    write(&dir, 3, &[record(OUT, START, b"one\n"), vec![0; 9000]]);
    write(&dir, 4, &[record(OUT, START, b"two\n")]);
    assert_eq!(read(&scratch, &all()).await.stdout, b"one\ntwo\n", "zeros after a power cut");
    assert_eq!(read(&scratch, &LogsRequest { tail: Some(2), ..all() }).await.stdout, b"one\ntwo\n");
}

#[tokio::test]
async fn lost_output_is_told_of() {
    let scratch = Scratch::new("lost");
    let records = [record(OUT, START, b"a\n"), record(4, START, &7u64.to_le_bytes()), record(OUT, START, b"b\n")];
    write(&scratch.paths().log_dir, 1, &records);
    let got = read(&scratch, &all()).await;
    assert_eq!(got.stdout, b"a\nb\n");
    assert_eq!(got.stderr, b"[7 bytes of output were lost: the disk of the log was full]\n");
}

#[tokio::test]
async fn no_log_yet_is_an_empty_log() {
    let scratch = Scratch::new("none");
    for request in [all(), LogsRequest { tail: Some(5), follow: true, ..all() }] {
        assert_eq!(read(&scratch, &request).await, Got::default());
    }
}

#[tokio::test]
async fn the_driver_none_keeps_no_log() {
    let scratch = Scratch::new("driver");
    let mut spec = log_spec(0, 0);
    spec.driver = LogDriver::None;
    let error = logs(&scratch.paths(), &all(), &spec, false).unwrap_err();
    assert!(matches!(error, domain::Error::Unsupported(_)));
    assert_eq!(error.to_string(), "configured logging driver does not support reading");
}
