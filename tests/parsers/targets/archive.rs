//! Tars with sound checksums and everything else out of the input: names, kinds, sizes, links, extension headers.
//!
//! Input: for each entry its kind, the length of its name, the name, the length of its target, the target, a claimed
//! size (0: the true one), the length of its data, the data.

use std::cell::RefCell;

use images::foreign;

pub const SEEDS: &[&[u8]] = &[
    b"0\x0dmanifest.json\0\0\x05[{}]\n",
    b"2\x01a\x09../../etc\0\0",
    b"1\x01a\x01b\0\x001\x01b\x01a\0\0",
    b"x\x01p\0\0\x1330 path=/etc/shadow\n0\x01q\0\0\x02hi",
    b"L\x01l\0\0\x08a/../../x0\x01q\0\0\x02hi",
    b"S\x01s\0\xff\x02hi",
    b"5\x02d/\0\0\x004\x02d/\0\0\0",
];

pub fn run(data: &[u8]) {
    let tar = tar(data);
    let _ = foreign::layer(&tar);
    thread_local! {
        static RUNTIME: RefCell<tokio::runtime::Runtime> =
            RefCell::new(tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime"));
    }
    if let Ok(entries) = RUNTIME.with_borrow(|runtime| runtime.block_on(foreign::archive(&tar))) {
        assert!(entries <= data.len());
    }
}

fn tar(mut input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((kind, rest)) = input.split_first() {
        input = rest;
        let (name, target) = (piece(&mut input), piece(&mut input));
        let claimed = piece_size(&mut input);
        let data = piece(&mut input);
        let size = if claimed == 0 { data.len() as u64 } else { claimed };
        out.extend_from_slice(&header(*kind, name, target, size));
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out
}

fn piece<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, rest)) = input.split_first() else { return &[] };
    let (piece, rest) = rest.split_at(rest.len().min(usize::from(*length)));
    *input = rest;
    piece
}

/// Mostly small, sometimes absurd.
fn piece_size(input: &mut &[u8]) -> u64 {
    let Some((size, rest)) = input.split_first() else { return 0 };
    *input = rest;
    match size {
        0..=250 => u64::from(*size),
        251 => 1 << 20,
        252 => (1 << 20) + 1,
        253 => 1 << 62,
        254 => u64::MAX,
        255 => u64::MAX - 511,
    }
}

fn header(kind: u8, name: &[u8], target: &[u8], size: u64) -> [u8; 512] {
    let mut header = [0u8; 512];
    header[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    header[100..107].copy_from_slice(b"0000644");
    header[124] = 0x80;
    header[128..136].copy_from_slice(&size.to_be_bytes());
    header[156] = kind;
    header[157..157 + target.len().min(100)].copy_from_slice(&target[..target.len().min(100)]);
    header[257..263].copy_from_slice(b"ustar\0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}
