//! References of images, and names of platforms.

use domain::ImageRef;
use images::Platform;

pub const SEEDS: &[&[u8]] = &[
    b"busybox",
    b"127.0.0.1:5000/a/b:v1",
    b"docker.io/library/busybox@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    b"[::1]:5000/x__y/z-.w:T",
    b"linux/arm64/v8",
];

pub fn run(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let _ = Platform::parse(text);
    let Ok(reference) = text.parse::<ImageRef>() else { return };
    let again: ImageRef = reference.to_string().parse().expect("what was accepted is accepted as it is shown");
    assert_eq!(again.to_string(), reference.to_string());
    assert!(!reference.path().contains("..") && !reference.path().contains("//"), "{reference}");
}
