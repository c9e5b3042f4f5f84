//! A small mutator: seeds are cut, spliced, repeated and flipped. The same inputs in each run, so that a failure comes back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

const INPUTS: usize = 20_000;
/// Slow targets (threads, disks) see fewer inputs.
const PATIENCE: Duration = Duration::from_secs(3);
const INPUT_MAX_BYTES: usize = 4096;
/// Bytes that readers have opinions on.
const TELLING: &[u8] = b"\0\x01\x7f\x80\xff \n\t\"'\\/.,:;=-+@%{}[]()0123456789ealntuTZ";

pub(super) fn shake(seeds: &[&[u8]], run: fn(&[u8])) {
    let mut random = StdRng::seed_from_u64(0x5eed);
    let deadline = Instant::now() + PATIENCE;
    seeds.iter().for_each(|seed| check(seed, run));
    for _ in 0..INPUTS {
        let mut input = seeds[random.random_range(0..seeds.len())].to_vec();
        for _ in 0..random.random_range(1..6) {
            mutate(&mut input, seeds, &mut random);
            input.truncate(INPUT_MAX_BYTES);
        }
        check(&input, run);
        if Instant::now() > deadline {
            break;
        }
    }
}

fn check(input: &[u8], run: fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(input))) {
        eprintln!("the input was b\"{}\"", input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[&[u8]], random: &mut StdRng) {
    let at = random.random_range(0..=input.len());
    let end = random.random_range(at..=input.len());
    match random.random_range(0..8) {
        0 => drop(input.drain(at..end)),
        1 => input.truncate(at),
        2 => input.insert(at, TELLING[random.random_range(0..TELLING.len())]),
        3 => input.insert(at, random.random()),
        4 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        5 if at < input.len() => input[at] = TELLING[random.random_range(0..TELLING.len())],
        6 => {
            let again = input[at..end].repeat(random.random_range(1..20));
            input.splice(at..at, again);
        }
        _ => {
            let other = seeds[random.random_range(0..seeds.len())];
            let from = random.random_range(0..=other.len());
            input.splice(at..end, other[from..].iter().copied());
        }
    }
}
