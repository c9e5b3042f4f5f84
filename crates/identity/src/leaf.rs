//! The parameters of the certificates that we sign.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use domain::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, date_time_ymd,
};

/// Clocks of clients and hosts may be behind ours by this much.
const SLACK: Duration = Duration::from_secs(5 * 60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a leaf is good for. Never both for tenants: a tenant's certificate must not pass for the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Client,
    Server,
    Both,
}

/// Subject alternative names of a leaf.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) uri: Option<String>,
    pub(crate) dns: Vec<String>,
    pub(crate) ips: Vec<IpAddr>,
}

/// A leaf's parameters, and when it expires.
pub(crate) fn leaf(
    common_name: &str,
    names: Names,
    usage: Use,
    days: u32,
) -> Result<(CertificateParams, DateTime<Utc>)> {
    let mut params = base(common_name);
    let expires = SystemTime::now() + DAY * days;
    set_validity(&mut params, SystemTime::now() - SLACK, expires);
    params.subject_alt_names = alternative_names(names)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match usage {
        Use::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Use::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Use::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    Ok((params, truncated(expires)))
}

/// A certificate authority's parameters; `below` = how many further authorities may hang below it.
pub(crate) fn authority(common_name: &str, below: u8, years: u32) -> CertificateParams {
    let mut params = base(common_name);
    // A day back, so that every leaf's time lies within, whatever its slack.
    set_validity(&mut params, SystemTime::now() - DAY, SystemTime::now() + DAY * (365 * years));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn base(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Wharfinger");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn alternative_names(names: Names) -> Result<Vec<SanType>> {
    let text = |s: String| s.clone().try_into().map_err(|_| Error::invalid(format!("not a certificate name: {s:?}")));
    let mut list = Vec::new();
    if let Some(uri) = names.uri {
        list.push(SanType::URI(text(uri)?));
    }
    for dns in names.dns {
        list.push(SanType::DnsName(text(dns)?));
    }
    list.extend(names.ips.into_iter().map(SanType::IpAddress));
    Ok(list)
}

fn set_validity(params: &mut CertificateParams, from: SystemTime, to: SystemTime) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(unix_s(from));
    params.not_after = epoch + Duration::from_secs(unix_s(to));
}

/// X.509 has whole seconds; so has the row that mirrors the certificate.
fn truncated(time: SystemTime) -> DateTime<Utc> {
    DateTime::from_timestamp(unix_s(time) as i64, 0).unwrap_or_default()
}

fn unix_s(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
