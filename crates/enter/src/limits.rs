//! Bounds of one call (policy E08), and of the process that serves it.

/// Entries of an archive that is unpacked.
pub(crate) const ENTRIES_MAX: u64 = 1_000_000;
/// Bytes of an archive's files together.
pub(crate) const CONTENT_MAX_BYTES: u64 = 64 << 30;
/// Of a PAX header or a GNU long name, as Go's reader.
pub(crate) const EXTRA_HEADER_MAX_BYTES: u64 = 1 << 20;
/// What the kernel takes.
pub(crate) const PATH_MAX_BYTES: usize = 4096;
/// Levels of directories that are open at once; a path has no more than that.
pub(crate) const DEPTH_MAX: usize = PATH_MAX_BYTES / 2;
/// Files with several names that are remembered, so that their content is sent once; those beyond are sent again.
pub(crate) const LINKS_MAX: usize = 200_000;
/// Bytes of one copy.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;
/// Address space of this process: a tree made to exhaust memory ends here.
pub(crate) const MEMORY_MAX_BYTES: u64 = 512 << 20;
pub(crate) const FILES_MAX: u64 = DEPTH_MAX as u64 + 64;
