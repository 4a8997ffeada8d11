//! How many of the lines that were said have been written.

use std::{
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    said: AtomicUsize,
    written: Mutex<usize>,
    more: Condvar,
}

impl Progress {
    /// A line goes to the queue, which may leave it out.
    pub fn said(&self) {
        self.0.said.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until all that was said so far has been written, but for so many lines that were left
    /// out, and no longer than `limit`. False: it took longer.
    pub fn wait(&self, left_out: usize, limit: Duration) -> bool {
        let said = self.0.said.load(Ordering::Relaxed).saturating_sub(left_out);
        let end = Instant::now() + limit;
        let mut written = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
        while *written < said {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                return false;
            };
            let waited = self.0.more.wait_timeout(written, left);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// Writes whole lines, and counts them.
pub struct Counted<W> {
    pub out: W,
    pub progress: Progress,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.out.write_all(line);
        // What cannot be written is not waited for, either.
        let counters = &self.progress.0;
        *counters.written.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        counters.more.notify_all();
        written.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    /// Writes when somebody lets it.
    struct Gated(mpsc::Receiver<()>);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_said_is_waited_for_until_it_is_written() {
        let progress = Progress::default();
        let (open, gate) = mpsc::channel();
        for _ in 0..3 {
            progress.said();
        }
        let mut out = Counted { out: Gated(gate), progress: progress.clone() };
        let writer = thread::spawn(move || [out.write(b"one\n"), out.write(b"two\n")]);
        open.send(()).expect("it writes");
        assert!(!progress.wait(1, Duration::from_millis(10)), "the second is not written");
        let waiting = progress.clone();
        let waiter = thread::spawn(move || waiting.wait(1, Duration::from_secs(60)));
        open.send(()).expect("it writes");
        assert!(waiter.join().expect("no panic"), "two are written, and one was left out");
        assert!(writer.join().expect("no panic").iter().all(Result::is_ok));
        assert!(!progress.wait(0, Duration::ZERO), "nobody writes the third");
    }

    #[test]
    fn what_cannot_be_written_is_not_waited_for() {
        let progress = Progress::default();
        let (open, gate) = mpsc::channel();
        drop(open);
        progress.said();
        let mut out = Counted { out: Gated(gate), progress: progress.clone() };
        assert!(out.write(b"one\n").is_err());
        assert!(progress.wait(0, Duration::ZERO));
    }
}
