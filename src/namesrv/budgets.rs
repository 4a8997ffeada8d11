//! The memory of a name server: a row for each budget. What clients can take has a row here, and a
//! limit where it is held; the sum is what the process stays under.

use std::collections::BTreeMap;

pub use ringmq_base::budgets::Budgets;
use ringmq_base::{
    budgets::{Row, Table},
    config::{NamesrvConfig, Origin, TlsMode},
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Code, stacks and rings.
pub const PROCESS_BYTES: u64 = 12 * MIB;
/// The same within a process that has its own.
pub const PART_BYTES: u64 = 2 * MIB;
/// Read buffer, output and task of a connection that has nothing on its way.
const CONNECTION_BYTES: u64 = 16 * KIB;

macro_rules! row {
    ($name:literal, $field:ident: $type:ty, $least:expr, $unit:expr, $bytes:expr) => {
        Row {
            name: $name,
            get: |config| config.$field.into(),
            set: |config, value| config.$field = <$type>::try_from(value).unwrap_or(<$type>::MAX),
            bytes: |config, (), value| $bytes(config, value),
            least: |_, ()| $least,
            unit: $unit,
        }
    };
}

const ROWS: &[Row<NamesrvConfig, ()>] = &[
    row!("connectionsMax", connections_max: u32, 100, 1,
        |config, value| value * connection_bytes(config)),
    row!("inputBytesMax", input_bytes_max: u64, 2 * MIB, 4 * KIB, |_, value| value),
    row!("outputBytesMax", output_bytes_max: u64, 2 * MIB, 4 * KIB, |_, value| value),
    row!("routeBytesMax", route_bytes_max: u64, 2 * MIB, 4 * KIB, |_, value| value),
    // Beside them what is written to the file in one go.
    row!("kvBytesMax", kv_bytes_max: u64, MIB / 2, 4 * KIB, |_, value| value + MIB / 2),
];

/// Of a connection that waits for its client, which may use TLS unless that is off.
fn connection_bytes(config: &NamesrvConfig) -> u64 {
    match config.tls_server_mode {
        TlsMode::Disabled => CONNECTION_BYTES,
        _ => CONNECTION_BYTES + ringmq_tls::IDLE_BYTES as u64,
    }
}

/// Cuts what the operator did not set until all fits into `memory` bytes, and lists what came of
/// it. `process`: what the name server takes besides. `whence`: what says that there is no more.
///
/// # Errors
/// If it cannot: a sentence for the operator.
pub fn fit(
    config: &mut NamesrvConfig,
    origins: &BTreeMap<&'static str, Origin>,
    process: u64,
    (memory, whence): (u64, &str),
) -> Result<Budgets, String> {
    let table = Table {
        server: "name server",
        rows: ROWS,
        counts: (),
        defaults: NamesrvConfig::default(),
        origins,
        fixed: vec![("process", process)],
        remedy: "give it more",
    };
    table.fit(config, (memory, whence))
}

#[cfg(test)]
mod tests {
    use ringmq_base::budgets::{Basis, KERNEL_SHARE};

    use super::*;

    fn fit_in(
        keys: &[(&str, &str)],
        process: u64,
        memory: u64,
    ) -> Result<(NamesrvConfig, Budgets), String> {
        let set: Vec<_> = keys.iter().map(|(key, to)| ((*key).into(), (*to).into())).collect();
        let loaded = NamesrvConfig::load(None, &set).expect("sound keys");
        let mut config = loaded.config;
        let budgets = fit(&mut config, &loaded.origins, process, (memory, "the machine"))?;
        Ok((config, budgets))
    }

    #[test]
    fn the_sum_stays_under_what_the_kernel_leaves() {
        for mib in [32, 64, 128, 256, 512, 1024] {
            let memory = mib * MIB;
            let (_, budgets) = fit_in(&[], PROCESS_BYTES, memory).expect("fits");
            assert!(budgets.sum() <= memory - memory / KERNEL_SHARE, "{mib}: {budgets}");
            let are_cut = budgets.0.iter().any(|budget| budget.basis == Basis::Memory);
            assert_eq!(are_cut, mib < 1024, "{mib}: {budgets}");
        }
        // A part of what is enough for a broker of one shard.
        fit_in(&[], PART_BYTES, 16 * MIB).expect("an eighth of 128 MiB");
    }

    #[test]
    fn keys_that_were_set_are_not_cut() {
        let set = [("routeBytesMax", "67108864")];
        let (config, _) = fit_in(&set, PROCESS_BYTES, 128 * MIB).expect("fits");
        assert_eq!(config.route_bytes_max, 64 * MIB);
        assert!(config.input_bytes_max < 64 * MIB, "cut instead");
        let refused = fit_in(&set, PROCESS_BYTES, 64 * MIB).expect_err("more than there is");
        assert!(refused.contains("the budgets of this name server need"), "{refused}");
        assert!(refused.contains("lower routeBytesMax = 67108864"), "{refused}");
    }
}
