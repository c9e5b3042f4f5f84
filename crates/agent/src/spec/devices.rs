//! Devices: none but those that every runtime makes (`null zero full random urandom tty console ptmx`).

use oci_spec::{
    OciSpecError,
    runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder},
};

pub(super) fn none() -> Vec<LinuxDevice> {
    Vec::new()
}

/// Deny all; runc adds its own allowances behind this rule.
pub(super) fn rules() -> Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    Ok(vec![LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?])
}
