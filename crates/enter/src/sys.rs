//! System calls that the standard library does not have: files by directory descriptor, mounts, namespaces.
//!
//! Nothing here follows a symbolic link in the last component unless its name says so, and nothing opens a device: an
//! image may hold device nodes, and this process is not in the container's device cgroup.

#![allow(unsafe_code)] // each block is one system call on descriptors, terminated strings and plain values

use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::OnceLock,
};

/// Where the kernel is told to start at the root or the working directory; absolute names ignore it.
pub(crate) fn here() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is no descriptor that could be closed.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}

pub(crate) fn terminated(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(result) {
        // SAFETY: the kernel has just given us this descriptor.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `openat2` with `resolve` (`RESOLVE_*`); O_CLOEXEC is added.
pub(crate) fn open(
    dir: BorrowedFd<'_>,
    name: &CStr,
    flags: libc::c_int,
    mode: u32,
    resolve: u64,
) -> io::Result<OwnedFd> {
    // SAFETY: a structure of integers, for which zero is a value.
    let mut how: libc::open_how = unsafe { MaybeUninit::zeroed().assume_init() };
    how.flags = u64::from((flags | libc::O_CLOEXEC).unsigned_abs());
    how.mode = u64::from(mode);
    how.resolve = resolve;
    let size = size_of::<libc::open_how>();
    // EAGAIN: a rename ran beside the look-up of `..`.
    for _ in 0..100 {
        // SAFETY: string and structure outlive the call, and `size` is the structure's.
        let result = unsafe { libc::syscall(libc::SYS_openat2, dir.as_raw_fd(), name.as_ptr(), &raw const how, size) };
        match owned(result) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => continue,
            outcome => return outcome,
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// One component below `dir`, without following it.
pub(crate) fn open_child(dir: BorrowedFd<'_>, name: &CStr, flags: libc::c_int, mode: u32) -> io::Result<OwnedFd> {
    open(dir, name, flags | libc::O_NOFOLLOW, mode, libc::RESOLVE_NO_MAGICLINKS)
}

pub(crate) fn stat(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    stat_flags(fd, c"", libc::AT_EMPTY_PATH)
}

pub(crate) fn stat_child(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<libc::stat> {
    stat_flags(dir, name, 0)
}

fn stat_flags(dir: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> io::Result<libc::stat> {
    let mut data = MaybeUninit::<libc::stat>::uninit();
    let flags = flags | libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: string and structure outlive the call.
    done(unsafe { libc::fstatat(dir.as_raw_fd(), name.as_ptr(), data.as_mut_ptr(), flags) })?;
    // SAFETY: the call has filled it.
    Ok(unsafe { data.assume_init() })
}

pub(crate) fn kind(data: &libc::stat) -> u32 {
    data.st_mode & libc::S_IFMT
}

pub(crate) fn is_dir(data: &libc::stat) -> bool {
    kind(data) == libc::S_IFDIR
}

/// Magic number of the file system.
pub(crate) fn file_system(fd: BorrowedFd<'_>) -> io::Result<i64> {
    let mut data = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the structure outlives the call.
    done(unsafe { libc::fstatfs(fd.as_raw_fd(), data.as_mut_ptr()) })?;
    // SAFETY: the call has filled it.
    Ok(unsafe { data.assume_init() }.f_type)
}

/// Whether the mount that `fd` is on takes no writes.
pub(crate) fn is_readonly(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut data = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the structure outlives the call.
    done(unsafe { libc::fstatvfs(fd.as_raw_fd(), data.as_mut_ptr()) })?;
    // SAFETY: the call has filled it.
    Ok(unsafe { data.assume_init() }.f_flag & libc::ST_RDONLY != 0)
}

/// Target of the link `name` below `dir`; of the link `dir` itself for `""`.
pub(crate) fn read_link(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = vec![0u8; crate::limits::PATH_MAX_BYTES];
    // SAFETY: the buffer has that length and outlives the call.
    let n = unsafe { libc::readlinkat(dir.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
    target.truncate(n);
    Ok(target)
}

pub(crate) fn make_dir(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: a terminated string.
    done(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) })
}

pub(crate) fn make_link(target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: terminated strings.
    done(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()) })
}

pub(crate) fn make_fifo(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: a terminated string.
    done(unsafe { libc::mkfifoat(dir.as_raw_fd(), name.as_ptr(), mode) })
}

/// A further name for what `old` names; a symbolic link is not followed.
pub(crate) fn link(old_dir: BorrowedFd<'_>, old: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: terminated strings.
    done(unsafe { libc::linkat(old_dir.as_raw_fd(), old.as_ptr(), dir.as_raw_fd(), name.as_ptr(), 0) })
}

/// A directory where `is_dir`, else anything but a directory.
pub(crate) fn unlink(dir: BorrowedFd<'_>, name: &CStr, is_dir: bool) -> io::Result<()> {
    let flags = if is_dir { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: a terminated string.
    done(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) })
}

/// Of `name` below `dir`, not followed.
pub(crate) fn own(dir: BorrowedFd<'_>, name: &CStr, uid: u32, gid: u32) -> io::Result<()> {
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: a terminated string.
    done(unsafe { libc::fchownat(dir.as_raw_fd(), name.as_ptr(), uid, gid, flags) })
}

/// Of an open file or directory (not of an O_PATH one).
pub(crate) fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: plain values.
    done(unsafe { libc::fchmod(fd.as_raw_fd(), mode) })
}

/// Access and modification time of `name` below `dir`, not followed; of `dir` itself for `""`.
pub(crate) fn set_time(dir: BorrowedFd<'_>, name: &CStr, seconds: i64, nanoseconds: i64) -> io::Result<()> {
    let time = libc::timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = [time, time];
    let flags = libc::AT_SYMLINK_NOFOLLOW | if name.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    // SAFETY: string and array outlive the call.
    done(unsafe { libc::utimensat(dir.as_raw_fd(), name.as_ptr(), times.as_ptr(), flags) })
}

/// Of an open file or directory. None: it has no such attribute, or its file system has none at all.
pub(crate) fn attribute(fd: BorrowedFd<'_>, name: &CStr) -> Option<Vec<u8>> {
    let mut value = vec![0u8; 256];
    // SAFETY: the buffer has that length and outlives the call.
    let n = unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(usize::try_from(n).ok()?);
    Some(value)
}

pub(crate) fn set_attribute(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: string and buffer outlive the call.
    done(unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) })
}

/// Names in an open directory, without `.` and `..`, sorted.
pub(crate) fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    // `fdopendir` takes the descriptor over: a further one, with its own position.
    let own = open(dir.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0, 0)?;
    // SAFETY: a descriptor of a directory that is ours and goes to the stream.
    let stream = unsafe { libc::fdopendir(std::os::fd::IntoRawFd::into_raw_fd(own)) };
    if stream.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut names = Vec::new();
    let outcome = loop {
        // SAFETY: errno is this thread's own.
        unsafe { *libc::__errno_location() = 0 };
        // SAFETY: the stream is open; the entry is read before the next call.
        let entry = unsafe { libc::readdir(stream) };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            break if error.raw_os_error() == Some(0) { Ok(()) } else { Err(error) };
        }
        // SAFETY: the kernel terminates the name.
        let name = unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) };
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    };
    // SAFETY: opened above, closed once.
    unsafe { libc::closedir(stream) };
    names.sort_unstable();
    outcome.map(|()| names)
}

/// Our own `/proc/self/fd`, opened before the container's `/proc` takes its place.
static OWN_FILES: OnceLock<OwnedFd> = OnceLock::new();

/// Must run before a place is entered.
pub(crate) fn remember_own_files() -> io::Result<()> {
    let dir = open(here(), c"/proc/self/fd", libc::O_PATH | libc::O_DIRECTORY, 0, 0)?;
    let _ = OWN_FILES.set(dir);
    Ok(())
}

/// A regular file for reading, from its O_PATH descriptor. Looked at before it is opened, and opened without a second
/// look-up of its name: it cannot be exchanged for a device in between.
pub(crate) fn reopen_regular(path: &OwnedFd) -> io::Result<Option<File>> {
    if kind(&stat(path.as_fd())?) != libc::S_IFREG {
        return Ok(None);
    }
    let own = OWN_FILES.get().ok_or_else(|| io::Error::other("/proc/self/fd was not remembered"))?;
    let number = terminated(path.as_raw_fd().to_string().as_bytes())?;
    open(own.as_fd(), &number, libc::O_RDONLY | libc::O_NOCTTY, 0, 0).map(|fd| Some(File::from(fd)))
}

/// Copies at most `bytes` from `file` to `out` inside the kernel. Ok(0): the end of the file.
pub(crate) fn send(out: BorrowedFd<'_>, file: &File, bytes: u64) -> io::Result<u64> {
    let count = usize::try_from(bytes.min(1 << 20)).unwrap_or(1 << 20);
    loop {
        // SAFETY: plain values.
        let n = unsafe { libc::sendfile(out.as_raw_fd(), file.as_raw_fd(), ptr::null_mut(), count) };
        match u64::try_from(n) {
            Ok(n) => return Ok(n),
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => continue,
                e => return Err(e),
            },
        }
    }
}

/// Standard output without a buffer of its own.
#[derive(Debug)]
pub(crate) struct Stdout;

pub(crate) fn stdout() -> Stdout {
    Stdout
}

impl Write for Stdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // SAFETY: the buffer has that length and outlives the call.
        let n = unsafe { libc::write(1, buf.as_ptr().cast(), buf.len()) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stdout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as the process.
        unsafe { BorrowedFd::borrow_raw(1) }
    }
}

/// A mount on its own, without those below it, attached nowhere.
pub(crate) fn clone_mount(dir: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH.unsigned_abs();
    // SAFETY: a terminated string.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })
}

/// Puts a cloned mount on `target`.
pub(crate) fn attach_mount(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    let (empty, tree, target) = (c"".as_ptr(), tree.as_raw_fd(), target.as_raw_fd());
    // SAFETY: terminated strings.
    let result = unsafe { libc::syscall(libc::SYS_move_mount, tree, empty, target, empty, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// No devices are opened through it, and nothing is written where it is `readonly`.
pub(crate) fn restrict(tree: BorrowedFd<'_>, readonly: bool) -> io::Result<()> {
    // SAFETY: a structure of integers, for which zero is a value.
    let mut attributes: libc::mount_attr = unsafe { MaybeUninit::zeroed().assume_init() };
    attributes.attr_set = libc::MOUNT_ATTR_NODEV | if readonly { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let size = size_of::<libc::mount_attr>();
    let (tree, empty) = (tree.as_raw_fd(), c"".as_ptr());
    // SAFETY: string and structure outlive the call, and `size` is the structure's.
    let result = unsafe {
        libc::syscall(libc::SYS_mount_setattr, tree, empty, libc::AT_EMPTY_PATH, &raw const attributes, size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) -> io::Result<()> {
    let data = data.as_ptr().cast();
    // SAFETY: terminated strings.
    done(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data) })
}

pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: plain values.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"")
}

pub(crate) fn join(namespace: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: an open descriptor; the kernel checks its kind.
    done(unsafe { libc::setns(namespace.as_raw_fd(), kind) })
}

/// No group of ours comes along.
pub(crate) fn leave_groups() -> io::Result<()> {
    // SAFETY: an empty list is not read.
    done(unsafe { libc::setgroups(0, ptr::null()) })
}

/// The namespace's root.
pub(crate) fn become_root() -> io::Result<()> {
    // SAFETY: plain values.
    done(unsafe { libc::setgid(0) })?;
    // SAFETY: plain values.
    done(unsafe { libc::setuid(0) })
}

/// `/` becomes `dir`.
pub(crate) fn change_root(dir: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor.
    done(unsafe { libc::fchdir(dir.as_raw_fd()) })?;
    std::os::unix::fs::chroot(".")?;
    std::env::set_current_dir("/")
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilitySet {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Only the capabilities of this set are left, and no program that is run could have more.
pub(crate) fn keep_capabilities(set: u64) -> io::Result<()> {
    // SAFETY: plain values.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    const VERSION_3: u32 = 0x2008_0522;
    let header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let half = |bits: u64| CapabilitySet { effective: bits as u32, permitted: bits as u32, inheritable: 0 };
    let data = [half(set & 0xffff_ffff), half(set >> 32)];
    // SAFETY: both structures have the form of version 3 and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Both limits; a hard one that is lower already stays.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives the call.
    done(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    let most = most.min(limit.rlim_max);
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the structure outlives the call.
    done(unsafe { libc::setrlimit(resource, &raw const limit) })
}

/// A modest pipe makes as many context switches as it has pages. Best effort.
pub(crate) fn widen_pipe(fd: RawFd) {
    // SAFETY: plain values; on anything but a pipe it fails.
    unsafe { libc::fcntl(fd, libc::F_SETPIPE_SZ, 1 << 20) };
}

/// Modes are as they are given. Ends with this process's parent, if that dies.
pub(crate) fn settle() {
    // SAFETY: plain values.
    unsafe {
        libc::umask(0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}
