//! `wharfinger tenants quota` and `tenants list`: what tenants may use, and what they use.

use domain::{Result, amount};
use inventory::{Limit, QuotaChange, TenantQuota};

use crate::{cli::QuotaOptions, database, layout::Layout, say, tenants::block_on};

/// Readers of the command line's values; `none` removes a limit.
pub(crate) mod limit {
    use domain::{Error, Result, amount};
    use inventory::Limit;

    pub(crate) fn memory(text: &str) -> Result<Limit> {
        read(text, amount::parse_bytes)
    }

    pub(crate) fn cpus(text: &str) -> Result<Limit> {
        read(text, amount::parse_cpus)
    }

    pub(crate) fn containers(text: &str) -> Result<Limit> {
        let count = |text: &str| {
            amount::whole(text).ok_or_else(|| Error::invalid(format!("not a number of containers: {text:?}")))
        };
        read(text, count)
    }

    fn read(text: &str, value: impl Fn(&str) -> Result<i64>) -> Result<Limit> {
        match text {
            "none" => Ok(Limit::Remove),
            text => value(text).map(Limit::Set),
        }
    }
}

pub(crate) fn run(layout: &Layout, options: &QuotaOptions) -> Result<()> {
    block_on(async {
        let (_, inventory) = database::of_running(layout).await?;
        let tenant = inventory.tenant_by_name(&options.tenant).await?;
        let wish = |limit: Option<Limit>| limit.unwrap_or_default();
        let change = QuotaChange {
            memory_bytes: wish(options.memory),
            cpu_millis: wish(options.cpus),
            containers: wish(options.containers),
        };
        let quota = match change == QuotaChange::default() {
            true => inventory.quota(tenant.id).await?,
            false => inventory.change_quota(tenant.id, change).await?,
        };
        say::line(text(&quota));
        Ok(())
    })
}

pub(crate) fn list(layout: &Layout) -> Result<()> {
    block_on(async {
        let (_, inventory) = database::of_running(layout).await?;
        say::line(row(["NAME", "ID", "MEMORY", "CPUS", "CONTAINERS"]));
        for quota in inventory.quotas().await? {
            let id = quota.tenant.id.to_string();
            let [memory, cpus, containers] = amounts(&quota).map(|(_, used, quota)| format!("{used}/{quota}"));
            say::line(row([&quota.tenant.name, &id, &memory, &cpus, &containers]));
        }
        Ok(())
    })
}

fn row([name, id, memory, cpus, containers]: [&str; 5]) -> String {
    format!("{name:<20} {id:<36} {memory:<20} {cpus:<12} {containers}")
}

/// Name, use and quota, in words.
fn amounts(quota: &TenantQuota) -> [(&'static str, String, String); 3] {
    let words = |value: Option<i64>, text: fn(i64) -> String| value.map_or("none".to_owned(), text);
    let t = &quota.tenant;
    [
        ("memory", amount::bytes(quota.memory_used_bytes), words(t.memory_quota_bytes, amount::bytes)),
        ("cpus", amount::cpus(quota.cpu_used_millis), words(t.cpu_quota_millis, amount::cpus)),
        ("containers", quota.containers_used.to_string(), words(t.container_quota, |n| n.to_string())),
    ]
}

fn text(quota: &TenantQuota) -> String {
    let mut lines = vec![format!("{:<11} {:>10} {:>10}", quota.tenant.name, "USED", "QUOTA")];
    lines.extend(amounts(quota).map(|(name, used, quota)| format!("{name:<11} {used:>10} {quota:>10}")));
    let exceeded = quota.exceeded();
    if !exceeded.is_empty() {
        lines.push(format!(
            "more is used than the quota of {} allows: nothing is evicted, and whatever needs more is refused",
            exceeded.join(", ")
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use domain::{TenantId, TenantRecord};

    use super::*;

    #[test]
    fn values_are_amounts_or_none() {
        assert_eq!(limit::memory("8g").unwrap(), Limit::Set(8 << 30));
        assert_eq!(limit::cpus("1.5").unwrap(), Limit::Set(1500));
        assert_eq!(limit::containers("100").unwrap(), Limit::Set(100));
        assert_eq!(limit::memory("none").unwrap(), Limit::Remove);
        assert!(limit::containers("-1").is_err() && limit::cpus("None").is_err() && limit::memory("").is_err());
    }

    #[test]
    fn a_quota_below_the_use_is_said() {
        let tenant = TenantRecord {
            id: TenantId::random(),
            name: "demo".into(),
            ordinal: 0,
            memory_quota_bytes: Some(1 << 30),
            cpu_quota_millis: None,
            container_quota: Some(1),
            created_at: chrono::Utc::now(),
        };
        let mut quota = TenantQuota { tenant, memory_used_bytes: 512 << 20, cpu_used_millis: 1500, containers_used: 2 };
        assert_eq!(
            text(&quota),
            "demo              USED      QUOTA\n\
             memory          512MiB       1GiB\n\
             cpus               1.5       none\n\
             containers           2          1\n\
             more is used than the quota of containers allows: nothing is evicted, and whatever needs more is refused"
        );
        quota.containers_used = 1;
        assert!(!text(&quota).contains("more is used"));
    }
}
