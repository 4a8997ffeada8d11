//! What a sweep through old messages asks of a disk that is written meanwhile, and of one that is
//! not.

use std::cell::Cell;

use ringmq_io::{
    Shares, Spawn as _,
    sim::{Moment, OperationKind, Sim},
};

use super::{
    cold::{filled, sweep, with_log},
    *,
};
use crate::cache::pacing::ReadBudget;

/// Sweeps, beside a writer or alone; the largest read of a segment, and the most bytes at a time.
fn sweep_of(seed: u64, beside_writer: bool) -> (u64, u64) {
    let sim = Sim::with_disk(seed, &filled(seed));
    let (largest, most) = (Rc::<Cell<u64>>::default(), Rc::<Cell<u64>>::default());
    let under_way = Cell::new(0);
    let (seen_largest, seen_most) = (largest.clone(), most.clone());
    with_log(&sim, 8 << 20, async |runtime, log| {
        let stop = Rc::new(Cell::new(!beside_writer));
        let (writer, clock, told) = (log.clone(), runtime.clone(), stop.clone());
        runtime.spawn(Shares::Foreground, "writer", async move {
            let queue = writer.queue(TOPICS[1], 1);
            while !told.get() {
                // Nobody waits for this one, and nothing checks it.
                let _ = writer.append(queue, &record(TOPICS[1], 1, b"new"), 7, |_| None);
                clock.sleep(Duration::from_millis(1)).await;
            }
        });
        runtime.sleep(Duration::from_millis(300)).await;
        sim.disk().watch(move |operation, moment| {
            let of_segment = operation.path.extension().is_some_and(|name| name == "seg");
            if operation.kind != OperationKind::Read || !of_segment {
                return;
            }
            match moment {
                Moment::Issued => {
                    under_way.set(under_way.get() + operation.bytes);
                    seen_largest.set(seen_largest.get().max(operation.bytes));
                    seen_most.set(seen_most.get().max(under_way.get()));
                }
                Moment::Completed { .. } => under_way.set(under_way.get() - operation.bytes),
            }
        });
        sweep(&log, 0).await;
        stop.set(true);
        runtime.sleep(Duration::from_millis(10)).await;
        sim.disk().unwatch();
    });
    (largest.get(), most.get())
}

#[test]
fn beside_writes_a_sweep_reads_little_at_a_time() {
    for seed in 0..8 {
        let (largest, most) = sweep_of(seed, true);
        assert!(largest <= ReadBudget::BESIDE_WRITES.read_bytes, "seed {seed}: {largest} bytes");
        assert!(most <= ReadBudget::BESIDE_WRITES.in_flight_bytes, "seed {seed}: {most} bytes");
        let (largest, _) = sweep_of(seed, false);
        assert!(largest > ReadBudget::BESIDE_WRITES.read_bytes, "seed {seed}: {largest} bytes");
    }
}
