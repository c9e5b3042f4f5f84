//! Dockerfiles, and the instructions of `ONBUILD`.

use build::dockerfile::{Dockerfile, trigger};

pub const SEEDS: &[&[u8]] = &[
    b"ARG V=1\nFROM busybox:${V} AS one\nRUN [\"a\", \"b\"]\nCOPY --from=0 --chown=1:2 --chmod=755 /a /b\n",
    b"# escape=`\nFROM x\nRUN a `\n  b\nENV A=1 B=\"2 3\" C=d\\ e\n",
    b"FROM x\nRUN <<EOF\necho $A\nEOF\nCOPY <<-\"A\" <<B /to\n\tone\nA\ntwo\nB\n",
    b"FROM --platform=linux/amd64 x\nHEALTHCHECK --interval=5m --retries=3 CMD [\"x\"]\nSHELL [\"sh\", \"-c\"]\nONBUILD RUN x\n",
    b"# syntax=docker/dockerfile:1\nFROM scratch\nEXPOSE 80/tcp 90-99\nSTOPSIGNAL 9\nUSER a:b\nVOLUME [\"/v\"]\nADD http://x/y.tar /\n",
];

pub fn run(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let _ = text.lines().next().map(trigger);
    let Ok(mut dockerfile) = Dockerfile::parse(text) else { return };
    assert!(dockerfile.steps() > 0 && dockerfile.steps() <= text.lines().count() + 1);
    let _ = dockerfile.until("one");
}
