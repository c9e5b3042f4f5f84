//! A role says that it serves by a file that holds its process id; whoever supervises it waits for the file.

use std::path::Path;

/// Written to a temporary name and renamed, so that a reader never sees half a number.
pub fn announce(path: Option<&Path>) -> std::io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let draft = path.with_extension("draft");
    std::fs::write(&draft, format!("{}\n", std::process::id()))?;
    std::fs::rename(draft, path)
}

/// At the end of a role; a file that is gone already is fine.
pub fn withdraw(path: Option<&Path>) {
    if let Some(path) = path {
        let _ = std::fs::remove_file(path);
    }
}
