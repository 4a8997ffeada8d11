use ringmq_base::budgets::{Basis, KERNEL_SHARE};

use super::*;

fn load(keys: &[(&str, &str)]) -> (Values, BTreeMap<&'static str, Origin>) {
    let set: Vec<_> = keys.iter().map(|(key, to)| ((*key).into(), (*to).into())).collect();
    let loaded = BrokerConfig::load(None, &set).expect("sound keys");
    (Values { config: loaded.config, sizes: Sizes::default() }, loaded.origins)
}

const ONE: Counts = Counts { shards: 1, logs: 1 };

fn fit_in(keys: &[(&str, &str)], counts: Counts, mib: u64) -> Result<(Values, Budgets), String> {
    let (mut values, origins) = load(keys);
    let budgets = fit(&mut values, &origins, counts, 0, (mib * MIB, "the machine"))?;
    Ok((values, budgets))
}

#[test]
fn with_memory_enough_all_is_as_by_default() {
    let (wanted, _) = load(&[]);
    let (values, budgets) = fit_in(&[], ONE, 64 << 10).expect("64 GiB");
    assert_eq!(values.config, wanted.config);
    assert!(budgets.0.iter().all(|budget| matches!(budget.basis, Basis::Fixed | Basis::Default)));
}

#[test]
fn the_sum_stays_under_what_the_kernel_leaves_whatever_the_memory() {
    let mut before = 0;
    for mib in [128, 160, 256, 512, 1024, 4096] {
        let (values, budgets) = fit_in(&[], ONE, mib).unwrap_or_else(|no| panic!("{mib}: {no}"));
        let room = mib * MIB / KERNEL_SHARE * (KERNEL_SHARE - 1);
        let sum = budgets.sum();
        assert!(sum <= room && sum >= before, "{mib} MiB: {sum} of {room}, before {before}");
        before = sum;
        assert!(values.config.input_bytes_max >= 5 * MIB, "a message of full size");
        let text = budgets.to_string();
        for row in ROWS {
            assert!(text.contains(row.name), "{text}");
        }
    }
}

/// Any client may use TLS where that is not off.
#[test]
fn connections_have_what_tls_takes() {
    for (mode, each) in
        [("disabled", 16 * 1024), ("permissive", 28 * 1024), ("enforcing", 28 * 1024)]
    {
        let set = [("tls.server.mode", mode), ("connectionsMax", "1000")];
        let (_, budgets) = fit_in(&set, ONE, 1024).expect("they fit");
        let row = budgets.0.iter().find(|budget| budget.name == "connectionsMax");
        assert_eq!(row.expect("a row").bytes, 1000 * each, "{mode}");
    }
}

#[test]
fn more_shards_and_logs_need_more() {
    let counts = |shards, logs| Counts { shards, logs };
    let two = fit_in(&[], counts(2, 2), 128).expect_err("two shards do not fit");
    assert!(two.contains("run fewer shards"), "{two}");
    fit_in(&[], counts(2, 2), 192).expect("192 MiB are enough for two");
    fit_in(&[], counts(4, 4), 384).expect("384 MiB are enough for four");
    fit_in(&[], counts(1, 16), 128).expect_err("a store of 16 logs");
}

/// What the operator has set is kept to the byte, or the start is refused.
#[test]
fn keys_that_were_set_are_not_cut() {
    let set = [("hotTailBytes", "33554432"), ("appendQueueBytesMax", "16777216")];
    let (values, budgets) = fit_in(&set, ONE, 256).expect("they fit");
    assert_eq!(values.config.hot_tail_bytes, 32 * MIB);
    assert_eq!(values.config.append_queue_bytes_max, 16 * MIB);
    let hot = budgets.0.iter().find(|budget| budget.name == "hotTailBytes").expect("a row");
    assert_eq!((hot.basis, hot.bytes), (Basis::Set, 32 * MIB));
    assert!(values.config.block_cache_bytes < 64 * MIB, "cut instead");
    let refused = fit_in(&[("blockCacheBytes", "1073741824"), set[0]], ONE, 256);
    let sentence = refused.expect_err("more than there is");
    assert!(sentence.contains("lower blockCacheBytes = 1073741824"), "{sentence}");
    assert!(sentence.contains("gives it 268435456"), "{sentence}");
    assert!(!sentence.contains('\n'), "{sentence}");
}
