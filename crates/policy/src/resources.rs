//! R01-R05, R09: memory, CPU, processes; the same function for create and update.
//!
//! On create, what is not given comes from the package; on update, from the container as it is. Sums are done in 128 bits:
//! the request's 64-bit numbers are hostile.

mod refused;

pub(crate) use refused::Refused;

use domain::{Error, Resources, Result};

use crate::{
    Package,
    package::size_text,
    refuse::{forbidden_because, malformed},
};

/// dockerd's own minimum.
const MEMORY_MIN_BYTES: i64 = 6 << 20;
const PERIOD_US: i64 = 100_000;
const SHARES_DEFAULT: u64 = 1024;

/// What the request says; 0 and None are "nothing".
#[derive(Debug, Default, Clone)]
pub(crate) struct Wanted {
    pub memory: i64,
    pub memory_reservation: i64,
    pub memory_swap: i64,
    pub memory_swappiness: Option<i64>,
    pub nano_cpus: i64,
    pub cpu_quota: i64,
    pub cpu_period: i64,
    pub cpu_shares: i64,
    pub pids_limit: Option<i64>,
    pub blkio_weight: u16,
}

/// Where names are prefixed with `at` (`HostConfig.` or nothing), what fills the gaps, and what may be had.
pub(crate) struct Limits<'a> {
    pub at: &'a str,
    pub package: &'a Package,
    /// None on create.
    pub current: Option<&'a Resources>,
}

impl Limits<'_> {
    pub(crate) fn resolve(&self, wanted: &Wanted, warnings: &mut Vec<String>) -> Result<Resources> {
        let memory_bytes = self.memory(wanted)?;
        self.swap(wanted, memory_bytes, warnings)?;
        let (cpu_millis, cpu_period_us, cpu_quota_us) = self.cpu(wanted)?;
        Ok(Resources {
            memory_bytes,
            memory_reservation_bytes: self.reservation(wanted, memory_bytes)?,
            cpu_millis,
            cpu_period_us,
            cpu_quota_us,
            cpu_shares: self.shares(wanted.cpu_shares, warnings)?,
            pids_limit: self.pids(wanted.pids_limit, warnings),
            blkio_weight: self.blkio(wanted.blkio_weight)?,
        })
    }

    fn field(&self, name: &str) -> String {
        format!("{}{name}", self.at)
    }

    fn memory(&self, wanted: &Wanted) -> Result<i64> {
        let field = self.field("Memory");
        // A soft limit alone asks for at least that much.
        let unset = self.current.map_or(self.package.memory_bytes.max(wanted.memory_reservation), |c| c.memory_bytes);
        match wanted.memory {
            m if m < 0 => Err(malformed(&field, m, "cannot be negative", "R01")),
            m if m != 0 && m < MEMORY_MIN_BYTES => Err(Error::invalid("Minimum memory limit allowed is 6MB")),
            m => {
                let bytes = if m == 0 { unset } else { m };
                self.within(&field, bytes, self.package.memory_max_bytes, "R01", size_text)
            }
        }
    }

    fn within(&self, field: &str, value: i64, max: i64, rule: &str, text: fn(i64) -> String) -> Result<i64> {
        if value <= max {
            return Ok(value);
        }
        let why = format!("exceeds the package {:?} ({})", self.package.name, text(max));
        Err(forbidden_because(field, value, &why, rule))
    }

    fn reservation(&self, wanted: &Wanted, memory_bytes: i64) -> Result<i64> {
        let kept = self.current.map_or(0, |c| c.memory_reservation_bytes);
        match wanted.memory_reservation {
            r if r < 0 => Err(malformed(&self.field("MemoryReservation"), r, "cannot be negative", "R01")),
            0 => Ok(kept.min(memory_bytes)),
            r if r < MEMORY_MIN_BYTES => Err(Error::invalid("Minimum memory reservation allowed is 6MB")),
            r if r > memory_bytes => {
                Err(Error::invalid("Minimum memory limit can not be less than memory reservation limit, see usage"))
            }
            r => Ok(r),
        }
    }

    /// R02: there is no swap; the sum of memory and swap is the memory.
    fn swap(&self, wanted: &Wanted, memory_bytes: i64, warnings: &mut Vec<String>) -> Result<()> {
        let swap = wanted.memory_swap;
        if swap < -1 {
            return Err(malformed(&self.field("MemorySwap"), swap, "must be -1, 0 or a size", "R02"));
        }
        if swap > 0 && wanted.memory == 0 && self.current.is_none() {
            return Err(Error::invalid(
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ));
        }
        if swap > 0 && swap < memory_bytes {
            return Err(Error::invalid("Minimum memoryswap limit should be larger than memory limit, see usage"));
        }
        if swap == -1 || swap > memory_bytes {
            warnings.push(format!(
                "{}MemorySwap={swap}: no swap is offered here, the limit is the memory's (policy R02)",
                self.at
            ));
        }
        self.swappiness(wanted.memory_swappiness, warnings)
    }

    fn swappiness(&self, given: Option<i64>, warnings: &mut Vec<String>) -> Result<()> {
        match given {
            None | Some(-1) => Ok(()),
            Some(v @ 0..=100) => {
                warnings
                    .push(format!("{}MemorySwappiness={v} is ignored: no swap is offered here (policy R02)", self.at));
                Ok(())
            }
            Some(v) => Err(Error::invalid(format!("Invalid value: {v}, valid memory swappiness range is 0-100"))),
        }
    }

    /// Thousandths of a CPU, period and quota.
    fn cpu(&self, wanted: &Wanted) -> Result<(i64, u64, i64)> {
        if wanted.nano_cpus != 0 {
            return self.cpu_from_nano(wanted);
        }
        let period = self.period(wanted.cpu_period)?;
        let quota = match wanted.cpu_quota {
            -1 | 0 => self.unset_quota(wanted, period),
            q if q < 1000 => {
                return Err(Error::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
            }
            q => q,
        };
        let millis = div_ceil(i128::from(quota) * 1000, i128::from(period));
        let millis = self.within(&self.field("CpuQuota"), millis, self.package.cpu_max_millis, "R03", cpus_text)?;
        Ok((millis, period.unsigned_abs(), quota))
    }

    fn cpu_from_nano(&self, wanted: &Wanted) -> Result<(i64, u64, i64)> {
        for (name, given) in [("CPU Quota", wanted.cpu_quota), ("CPU Period", wanted.cpu_period)] {
            if given > 0 {
                return Err(Error::invalid(format!("Conflicting options: Nano CPUs and {name} cannot both be set")));
            }
        }
        let nano = wanted.nano_cpus;
        if nano < 10_000_000 {
            return Err(malformed(&self.field("NanoCpus"), nano, "at least 0.01 CPUs", "R03"));
        }
        let millis = div_ceil(i128::from(nano), 1_000_000);
        let millis = self.within(&self.field("NanoCpus"), millis, self.package.cpu_max_millis, "R03", cpus_text)?;
        Ok((millis, PERIOD_US.unsigned_abs(), nano / (1_000_000_000 / PERIOD_US)))
    }

    fn period(&self, given: i64) -> Result<i64> {
        let kept = self.current.map_or(PERIOD_US, |c| i64::try_from(c.cpu_period_us).unwrap_or(PERIOD_US));
        match given {
            0 => Ok(kept),
            1_000..=1_000_000 => Ok(given),
            _ => Err(Error::invalid(
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            )),
        }
    }

    /// The share of a CPU stays; only what it is counted in changes.
    fn unset_quota(&self, wanted: &Wanted, period: i64) -> i64 {
        let millis = match self.current {
            Some(current) if wanted.cpu_quota == 0 => current.cpu_millis,
            _ => self.package.cpu_millis,
        };
        (millis * period / 1000).max(1000)
    }

    fn shares(&self, given: i64, warnings: &mut Vec<String>) -> Result<u64> {
        let field = self.field("CpuShares");
        match given {
            0 => Ok(self.current.map_or(SHARES_DEFAULT, |c| c.cpu_shares)),
            s if s < 0 => Err(malformed(&field, s, "cannot be negative", "R03")),
            s => {
                let kept = s.clamp(2, 262_144);
                if kept != s {
                    warnings.push(format!("{field}={s} was set to {kept} (policy R03)"));
                }
                Ok(kept.unsigned_abs())
            }
        }
    }

    fn pids(&self, given: Option<i64>, warnings: &mut Vec<String>) -> i64 {
        let max = self.package.pids_max;
        match (given, self.current) {
            (None, Some(current)) => current.pids_limit,
            (Some(asked), _) if asked > max => {
                warnings.push(format!("{}PidsLimit={asked} was lowered to {max} (policy R05)", self.at));
                max
            }
            (Some(asked), _) if asked > 0 => asked,
            _ => max,
        }
    }

    fn blkio(&self, given: u16) -> Result<u16> {
        match given {
            0 => Ok(self.current.map_or(0, |c| c.blkio_weight)),
            10..=1000 => Ok(given),
            _ => Err(Error::invalid("Range of blkio weight is from 10 to 1000")),
        }
    }
}

fn div_ceil(a: i128, b: i128) -> i64 {
    i64::try_from((a + b - 1) / b).unwrap_or(i64::MAX)
}

fn cpus_text(millis: i64) -> String {
    format!("{} CPUs", millis as f64 / 1000.0)
}

#[cfg(test)]
mod tests;
