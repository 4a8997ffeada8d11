//! Which of the shards' CPUs have the interrupts of devices to serve.

use super::{
    condition::{Condition, Severity},
    files::Files,
};

/// With so many interrupts since the boot it is worth saying.
const COUNT_MIN: u64 = 1_000_000;

/// `shards`: CPUs that executors are pinned to.
pub fn row(files: &dyn Files, shards: &[usize]) -> Option<Condition> {
    let text = files.text("/proc/interrupts")?;
    let (per_cpu, busiest) = counts(&text)?;
    let total: u64 = per_cpu.iter().sum();
    let (at, most) = per_cpu.iter().copied().enumerate().max_by_key(|(_, count)| *count)?;
    let share = most.saturating_mul(100) / total.max(1);
    let found = match total {
        0 => "none counted".to_owned(),
        _ => format!("CPU {at} has {share} % of them, most for {busiest}"),
    };
    let alone = per_cpu.len() > 1 && share > 50 && total >= COUNT_MIN && shards.contains(&at);
    Some(Condition::new("device interrupts", "spread, or on CPUs without a shard", found).but_if(
        alone,
        Severity::Note,
        format!(
            "its shard gets less of the CPU than the others: spread them (irqbalance, \
             /proc/irq/N/smp_affinity_list), or leave CPU {at} out of `cores`"
        ),
    ))
}

/// Interrupts of devices on each CPU, and which of them the busiest CPU has the most of.
fn counts(text: &str) -> Option<(Vec<u64>, String)> {
    let mut lines = text.lines();
    let cpus = lines.next()?.split_whitespace().count();
    let mut per_cpu = vec![0_u64; cpus];
    let mut devices: Vec<(Vec<u64>, &str)> = Vec::new();
    for line in lines {
        let Some((name, rest)) = line.split_once(':') else { continue };
        if name.trim().parse::<u32>().is_err() {
            continue;
        }
        let numbers: Vec<u64> =
            rest.split_whitespace().map_while(|word| word.parse().ok()).take(cpus).collect();
        for (sum, number) in per_cpu.iter_mut().zip(&numbers) {
            *sum = sum.saturating_add(*number);
        }
        devices.push((numbers, rest.split_whitespace().last().unwrap_or_default()));
    }
    let (busiest, _) = per_cpu.iter().enumerate().max_by_key(|(_, count)| **count)?;
    let device = devices.iter().max_by_key(|(numbers, _)| numbers.get(busiest).copied());
    let name = device.map_or("", |(_, name)| name).to_owned();
    Some((per_cpu, name))
}

#[cfg(test)]
mod tests {
    use super::{
        super::files::testing::{CLOUD, DESK, Other},
        *,
    };

    #[test]
    fn one_cpu_with_most_interrupts_is_noticed() {
        let spread = row(&Other::new(CLOUD), &[0, 1, 2, 3]).expect("a row");
        assert_eq!(spread.severity, Severity::Ok, "{spread:?}");
        let alone = row(&Other::new(DESK), &[0, 1]).expect("a row");
        assert_eq!(alone.severity, Severity::Note);
        assert_eq!(alone.found, "CPU 0 has 99 % of them, most for ehci_hcd:usb1");
        let elsewhere = row(&Other::new(DESK), &[1, 2, 3]).expect("a row");
        assert_eq!(elsewhere.severity, Severity::Ok);
        assert_eq!(row(&Other::new(""), &[0]), None);
    }
}
