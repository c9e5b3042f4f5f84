//! `docker build` with the classic builder, docker-py's `images.build`, and builds that fail or whose client goes away.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::system::{Done, Tenant, eventually, registry};

/// A context in a directory of its own.
pub(crate) struct Context {
    dir: tempfile::TempDir,
}

impl Context {
    pub(crate) fn new(dockerfile: &str) -> Self {
        let context = Self { dir: tempfile::tempdir().expect("directory") };
        context.put("Dockerfile", dockerfile)
    }

    pub(crate) fn put(self, name: &str, content: &str) -> Self {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directories");
        std::fs::write(path, content).expect("file");
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn build(&self, t: &Tenant, options: &str) -> Done {
        t.shell(&format!("DOCKER_BUILDKIT=0 docker build {options} {} 2>&1", self.path().display()))
    }
}

/// Of a build from standard input.
pub(crate) fn build(t: &Tenant, dockerfile: &str, options: &str) -> Done {
    Context::new(dockerfile).build(t, options)
}

#[track_caller]
pub(crate) fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn every_config_instruction_is_in_the_image() {
    let t = Tenant::new("bld");
    let file = "FROM busybox\nARG V=1\nARG U\nENV E=${V}x W=$U\nLABEL a=b \"c d\"=e\nEXPOSE 80 53/udp\nWORKDIR /a/b\n\
        WORKDIR c\nUSER nobody\nVOLUME /v /w\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s CMD true\n\
        SHELL [\"/bin/sh\",\"-ec\"]\nCMD echo hi\nENTRYPOINT [\"/bin/echo\"]\nONBUILD RUN echo trig\nMAINTAINER me\n";
    let out = build(&t, file, "-t one --build-arg V=7 --build-arg NOPE=1 --label l=1").ok();
    has(
        &out,
        &[
            "Step 1/18 : FROM busybox\n ---> ",
            "Step 18/18 : LABEL l=1\n ---> ",
            "[Warning] One or more build-args [NOPE] were not consumed\nSuccessfully built ",
            "Successfully tagged one:latest\n",
        ],
    );
    assert!(!out.contains("Running in"), "no container for what runs nothing: {out}");
    let config = t.docker(&["image", "inspect", "one", "--format", "{{json .Config}} {{.Author}}"]).ok();
    has(
        &config,
        &[
            "\"E=7x\",\"W=\"",
            "\"Entrypoint\":[\"/bin/echo\"]",
            "\"Cmd\":[\"/bin/sh\",\"-ec\",\"echo hi\"]",
            "\"53/udp\":{}",
            "\"WorkingDir\":\"/a/b/c\"",
            "\"User\":\"nobody\"",
            "\"/w\":{}",
            "\"l\":\"1\"",
            "\"c d\":\"e\"",
            "\"StopSignal\":\"SIGINT\"",
            "\"Interval\":5000000000",
            "\"OnBuild\":[\"RUN echo trig\"]",
            " me",
        ],
    );
    let history = t.docker(&["history", "--no-trunc", "one"]).ok();
    has(&history, &["/bin/sh -c #(nop)  ENV E=7x W=", "#(nop) WORKDIR /a/b/c", "#(nop)  EXPOSE 53/udp 80"]);
}

#[test]
fn steps_run_in_containers_and_nothing_of_them_stays() {
    let t = Tenant::new("bld");
    let file = "FROM busybox AS base\nARG V\nENV E=env\nRUN echo v=$V $E; echo err >&2; echo made > /made\nWORKDIR /w\nUSER nobody\n\
        RUN pwd; id -un\nUSER root\nFROM base\nRUN rm /made; mkdir -p /d; echo x > /d/x\nCMD [\"sh\",\"-c\",\"ls /d; ls /made\"]\n";
    let out = build(&t, file, "-t steps --build-arg V=7").ok();
    has(
        &out,
        &[
            "v=7 env\n",
            "\u{1b}[91merr\n\u{1b}[0m",
            "/w\nnobody\n",
            " ---> Running in ",
            " ---> Removed intermediate container ",
        ],
    );
    let done = t.docker(&["run", "--rm", "steps"]);
    assert_eq!((done.out.as_str(), done.code), ("x\n", 1), "{}", done.err);
    assert_eq!(t.docker(&["ps", "-aq"]).ok(), "");
    let again = build(&t, file, "-t steps --build-arg V=7").ok();
    assert_eq!(again.matches(" ---> Using cache\n").count(), 9, "{again}");
    let other = build(&t, file, "-t steps --build-arg V=8").ok();
    has(&other, &["v=8 env\n"]);
    let none = build(&t, file, "--no-cache --build-arg V=7").ok();
    assert!(!none.contains("Using cache"), "{none}");
}

#[test]
fn copies_go_where_dockerd_puts_them() {
    let t = Tenant::new("bld");
    let file = "FROM busybox\nRUN mkdir -p /old && chmod 777 /old && ln -s /old /link\nCOPY f1 /x\nCOPY f1 f2 /d/\nCOPY dir /e\n\
        COPY --chown=5 --chmod=750 f1 /owned/f\nCOPY --chown=nobody:nogroup f1 /o\nCOPY f* /w/\nCOPY dir /link\nADD a.tar.gz /t\nWORKDIR /deep/er\nCOPY f1 .\n\
        COPY [\"f2\", \"name with space\"]\nCOPY in /in\n\
        RUN cd / && cat /x /d/f2 /e/sub/y /in && ls -ldn /old /owned/f /o /t/f1 && ls -R /w /link/ /deep && ls -l /link\n";
    let context =
        Context::new(file).put("f1", "one\n").put("f2", "two\n").put("dir/sub/y", "why\n").put("dir/x", "ex\n");
    t.shell(&format!("cd {} && ln -s f1 in && tar czf a.tar.gz --owner=33 --group=33 f1", context.path().display()))
        .ok();
    let out = context.build(&t, "-t copies").ok();
    has(
        &out,
        &[
            "one\ntwo\nwhy\none\n",
            "drwxrwxrwx",
            "-rwxr-x---    1 5        5 ",
            "1 33       33 ",
            "/link -> /old",
            "/deep/er:\nf1\nname with space\n",
            "/link/:\nsub\nx\n",
            "/w:\nf1\nf2\n",
        ],
    );
    let again = context.build(&t, "-t copies").ok();
    assert_eq!(again.matches("Using cache").count(), 14, "{again}");
    let context = context.put("f2", "changed\n");
    let changed = context.build(&t, "-t copies").ok();
    assert_eq!(changed.matches("Using cache").count(), 2, "{changed}");
    has(&changed, &["one\nchanged\n"]);
}

#[test]
fn stages_images_and_targets() {
    let t = Tenant::new("bld");
    let image = format!("{}/library/busybox:latest", registry());
    let file = format!(
        "ARG BASE=busybox\nFROM $BASE AS one\nRUN mkdir -p /o/sub && echo art > /o/sub/f && ln -s sub/f /o/l && echo gone > /o/gone\n\
         RUN rm /o/gone\nFROM scratch\nCOPY --from=one /o /from-name\nCOPY --from=0 /o/l /from-number\n\
         COPY --from={image} /etc/passwd /p\nFROM busybox AS last\nCOPY --from=1 / /all/\nRUN cat /all/from-number && ls /all /all/from-name\n"
    );
    let out = build(&t, &file, "-t last").ok();
    has(&out, &["art\n", "from-name\nfrom-number\np\n", "l\nsub\n"]);
    assert!(!out.contains("\ngone\n"), "what was removed is not copied: {out}");
    build(&t, &file, "-t target --target ONE").ok();
    assert_eq!(t.docker(&["run", "--rm", "target", "cat", "/o/sub/f"]).ok(), "art\n");
    let out = build(&t, "FROM busybox\nRUN true\n", "--target zz");
    has(&out.out, &["target stage \"zz\" could not be found"]);
}

#[test]
fn heredocs_scripts_and_triggers() {
    let t = Tenant::new("bld");
    let file = "FROM busybox\nENV N=name\nRUN <<EOF\necho one\necho two > /two\nEOF\nRUN cat <<A >> /three && cat /three\nthree\nA\n\
        COPY <<conf <<'raw' /c/\nhi $N\nconf\nhi $N\nraw\nRUN <<EOF\n#!/bin/cat\nthe script itself\nEOF\nRUN cat /two /c/conf /c/raw\n\
        ONBUILD RUN echo triggered\nONBUILD COPY f /f\n";
    let out = build(&t, file, "-t here").ok();
    has(&out, &["one\n", "three\n", "the script itself\n", "two\nhi name\nhi $N\n"]);
    let child = Context::new("FROM here\nRUN cat /f\n").put("f", "content\n");
    let out = child.build(&t, "-t child").ok();
    has(&out, &["# Executing 2 build triggers\n", "triggered\n", "content\n"]);
    assert!(!t.docker(&["image", "inspect", "child", "--format", "{{json .Config}}"]).ok().contains("triggered"));
}

#[test]
fn a_failing_step_tells_its_code_and_leaves_nothing() {
    let t = Tenant::new("bld");
    let out = build(&t, "FROM busybox\nRUN echo before; exit 9\n", "");
    assert_ne!(out.code, 0);
    has(&out.out, &["before\n", "The command '/bin/sh -c echo before; exit 9' returned a non-zero code: 9"]);
    let out = build(&t, "FROM busybox\nRUN [\"/nonesuch\"]\n", "");
    assert_ne!(out.code, 0);
    has(&out.out, &["/nonesuch"]);
    let quiet = build(&t, "FROM busybox\nRUN exit 3\n", "-q");
    has(&quiet.out, &["returned a non-zero code: 3"]);
    assert_eq!(t.docker(&["ps", "-aq"]).ok(), "", "nothing is left of failed steps");
}

#[test]
fn what_is_wrong_is_said_in_dockerds_words() {
    let t = Tenant::new("bld");
    for (file, wanted) in [
        ("FROM busybox\nFOO x\n", "dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)"),
        ("# nothing\n", "failed to parse Dockerfile: file with no instructions"),
        ("", "the Dockerfile (Dockerfile) cannot be empty"),
        ("RUN x\n", "no build stage in current context"),
        (
            "FROM busybox\nCOPY nope /x\n",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist",
        ),
        ("FROM busybox\nCOPY nope* /x\n", "COPY failed: no source files were specified"),
        ("FROM busybox\nCOPY ../f /x\n", "COPY failed: forbidden path outside the build context: ../f ()"),
        (
            "FROM busybox\nCOPY Dockerfile Dockerfile /x\n",
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ),
        ("FROM busybox\nCOPY --chown=nosuch Dockerfile /x\n", "can't find uid for user nosuch: no such user: nosuch"),
        ("FROM busybox\nCOPY --from=5 /x /v\n", "invalid from flag value 5: index out of bounds"),
        ("FROM scratch\n", "No image was generated. Is your Dockerfile empty?"),
        ("FROM busybox AS a\nFROM busybox AS a\n", "a stage name already used"),
        ("FROM busybox\nENV a=${b:?err}\n", "failed to process \"${b:?err}\": b: err"),
        ("FROM busybox\nEXPOSE x\n", "Invalid containerPort: x"),
        ("FROM busybox\nRUN --mount=type=cache,target=/v ls\n", "the --mount option requires BuildKit"),
        ("FROM busybox\nRUN --network=host ls\n", "policy B10"),
        ("FROM busybox\nADD http://169.254.169.254/x /y\n", "I01"),
        ("FROM busybox\nADD https://10.0.0.1/x /y\n", "I01"),
        ("FROM 10.0.0.1/x\n", "I01"),
    ] {
        let out = build(&t, file, "");
        assert_ne!(out.code, 0, "{file}: {}", out.out);
        has(&out.out, &[wanted]);
    }
    assert_eq!(t.docker(&["ps", "-aq"]).ok(), "");
}

/// The registry stands for a server of the world: the operator lists it, as users of private addresses must.
#[test]
fn add_fetches_a_url_into_a_file_of_root_alone() {
    let t = Tenant::new("bld");
    let url = format!("http://{}/v2/library/busybox/tags/list", registry());
    let out = build(&t, &format!("FROM busybox\nADD {url} /list\nRUN cat /list && stat -c %a:%u /list\n"), "");
    assert_eq!(out.code, 0, "{}", out.out);
    has(&out.out, &["\"tags\":[\"latest\"]", "600:0"]);
}

#[test]
fn the_request_is_checked_by_its_own_rules() {
    let t = Tenant::new("bld");
    for (query, status, wanted) in [
        ("remote=http://169.254.169.254/", 403, "B01"),
        ("networkmode=host", 403, "B03"),
        ("securityopt=seccomp%3Dunconfined", 403, "B04"),
        ("squash=1", 400, "squash is only supported with experimental mode"),
        ("version=2", 501, "DOCKER_BUILDKIT=0"),
        ("unknownparam=1", 400, "unknownparam"),
    ] {
        let tar = [("content-type", "application/x-tar")];
        let (code, text) = t.http("POST", &format!("/v1.44/build?{query}"), &tar, vec![0u8; 1024]);
        assert_eq!(code, status, "{query}: {text}");
        has(&text, &[wanted]);
    }
    let (code, text) = t.http("POST", "/v1.44/build", &[("content-type", "application/x-tar")], vec![7u8; 2000]);
    assert_eq!(code, 400, "{text}");
    for (script, wanted) in [
        ("tar cP /etc/hostname", "Cannot locate specified Dockerfile"),
        ("cd $(mktemp -d) && echo x > f && tar cP --transform 's,f,../f,' f", "outside"),
        ("cd $(mktemp -d) && ln -s /etc/passwd Dockerfile && tar c Dockerfile", "Cannot locate specified Dockerfile"),
        (
            "cd $(mktemp -d) && printf 'FROM busybox\\nCOPY l /l\\n' > Dockerfile && ln -s /etc/passwd l && tar c Dockerfile l",
            "COPY failed: file not found",
        ),
        (
            "cd $(mktemp -d) && printf 'FROM busybox\\nRUN --security=insecure id' > Dockerfile && tar c Dockerfile",
            "B10",
        ),
    ] {
        let out = t.shell(&format!("set -o pipefail; ({script}) | DOCKER_BUILDKIT=0 docker build - 2>&1"));
        assert!(out.code != 0 && out.out.contains(wanted), "{script}: {}", out.out);
    }
}

#[test]
fn the_cache_is_the_tenants_own_and_can_be_pruned() {
    let (t, other) = (Tenant::new("bld"), Tenant::new("bld"));
    let file = "FROM busybox\nRUN echo secret > /secret\n";
    build(&t, file, "-t mine").ok();
    assert!(!build(&other, file, "").ok().contains("Using cache"), "another tenant's steps are nobody's");
    has(&build(&t, file, "").ok(), &["Using cache"]);
    let out = build(&t, "FROM busybox\nRUN echo secret > /secret\n", "--cache-from mine").ok();
    has(&out, &["Using cache"]);
    t.docker(&["builder", "prune", "-f"]).ok();
    assert!(!build(&t, file, "").ok().contains("Using cache"), "pruned");
    assert_eq!(t.docker(&["run", "--rm", "mine", "cat", "/secret"]).ok(), "secret\n", "images stay");
}

#[test]
fn what_a_step_writes_into_a_volume_is_not_kept() {
    let t = Tenant::new("bld");
    let out = build(&t, "FROM busybox\nVOLUME /v\nRUN echo a > /v/x && ls /v\nRUN ls /v | wc -l\n", "-t vol").ok();
    has(&out, &["x\n", "\n0\n"]);
    assert_eq!(t.docker(&["volume", "ls", "-q"]).ok(), "", "the steps' volumes have gone with them");
}

#[test]
fn limits_networks_and_files_of_other_names() {
    let t = Tenant::new("bld");
    let out = build(&t, "FROM busybox\nRUN ip addr | grep -c eth0 || echo none\n", "--network none").ok();
    has(&out, &["none\n"]);
    let file = "FROM busybox\nRUN cat /etc/hosts; ulimit -n; df -m /dev/shm | tail -1\n";
    let out = build(&t, file, "--add-host box:10.9.8.7 --ulimit nofile=100:200 --shm-size 16m -m 128m").ok();
    has(&out, &["10.9.8.7\tbox", "\n100\n", " 16 "]);
    let context = Context::new("FROM nothing\n").put("sub/my.docker", "FROM busybox\nCOPY . /c\nRUN ls -A /c\n");
    let context = context.put(".dockerignore", "secret*\n**/*.log\n!keep.log\nDockerfile\n");
    let context = context.put("secret1", "").put("a/b.log", "").put("keep.log", "").put("pub", "");
    let out = context
        .build(
            &t,
            "-f sub/my.docker -t a:1 -t b:2".replace("sub/", &format!("{}/sub/", context.path().display())).as_str(),
        )
        .ok();
    has(&out, &[".dockerignore\na\nkeep.log\npub\nsub\n", "Successfully tagged a:1\nSuccessfully tagged b:2\n"]);
    let id = build(&t, "FROM busybox\nRUN true\n", "-q").ok();
    // The CLI's own warning comes before it.
    let id = id.lines().last().unwrap_or_default();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    let out = t.shell("printf 'FROM busybox\\nRUN echo from-stdin\\n' | DOCKER_BUILDKIT=0 docker build - 2>&1").ok();
    has(&out, &["from-stdin\n"]);
    let kept = build(&t, "FROM busybox\nRUN echo kept-step\n", "--rm=false").ok();
    assert!(!kept.contains("Removed intermediate"), "{kept}");
    assert_eq!(t.docker(&["ps", "-aq"]).ok().lines().count(), 1);
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    let t = Tenant::new("bld");
    let context = Context::new("FROM busybox\nRUN echo started; sleep 1000\n");
    let script = format!("DOCKER_BUILDKIT=0 exec docker build {} 2>&1", context.path().display());
    let mut child = t.shell_child(&script);
    eventually(60, "the step runs", || !t.docker(&["ps", "-q"]).ok().is_empty());
    child.kill().expect("killed");
    child.wait().expect("gone");
    let since = Instant::now();
    eventually(10, "the step is gone", || t.docker(&["ps", "-aq"]).ok().is_empty());
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[test]
fn docker_py_builds() {
    let t = Tenant::new("bld");
    let out = t.python(
        "import docker, io
c = docker.from_env()
image, logs = c.images.build(fileobj=io.BytesIO(b'FROM busybox\\nARG A\\nRUN echo a=$A\\nLABEL x=y\\n'), tag='py:1', buildargs={'A': '5'}, rm=True)
text = ''.join(line.get('stream', '') for line in logs)
assert 'a=5' in text and 'Successfully tagged py:1' in text, text
assert image.labels == {'x': 'y'} and image.tags == ['py:1'], image.attrs
try:
    c.images.build(fileobj=io.BytesIO(b'FROM busybox\\nRUN exit 4\\n'))
    assert False
except docker.errors.BuildError as e:
    assert 'non-zero code: 4' in str(e), e
try:
    c.images.build(fileobj=io.BytesIO(b'FROM busybox\\nBOGUS\\n'))
    assert False
except docker.errors.APIError as e:
    assert e.status_code == 400 and 'unknown instruction: BOGUS' in str(e), e
print('ok')",
    );
    assert_eq!(out.ok(), "ok\n");
}
