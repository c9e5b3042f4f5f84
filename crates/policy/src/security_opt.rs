//! P05: security options. Only `no-new-privileges`; profiles are the endpoint's.

use domain::Result;

use crate::refuse::forbidden;

/// Whether `no_new_privs` was asked for.
pub(crate) fn no_new_privileges(options: &[String]) -> Result<bool> {
    for option in options {
        // dockerd takes `=` and, from old clients, `:`.
        let known = ["no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"];
        if !known.contains(&option.as_str()) {
            return Err(forbidden("HostConfig.SecurityOpt", option, "P05"));
        }
    }
    Ok(!options.is_empty())
}
