//! Lines on their way to the thread that writes them.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::fmt::MakeWriter;

use super::{json, limit::Limit, written::Progress};

/// Longest line in bytes: names and expressions of clients may be as long as a frame.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Takes one line at a time, and says how many were left out when there is room again.
#[derive(Clone)]
pub struct Lines {
    queue: NonBlocking,
    progress: Progress,
    limit: Limit,
    /// Lines left out that have been told.
    told: Arc<AtomicUsize>,
    is_json: bool,
}

impl Lines {
    pub fn new(queue: NonBlocking, progress: Progress, limit: Limit, is_json: bool) -> Lines {
        Lines { queue, progress, limit, told: Arc::default(), is_json }
    }

    /// Without room it is counted, and told with the next.
    fn put(&mut self, line: &[u8]) {
        self.progress.said();
        let _ = self.queue.write(line);
    }

    /// What logging says itself.
    fn tell(&mut self, text: &str) {
        let text = match self.is_json {
            true => Cow::Owned(json::line("WARN", text.trim())),
            false => Cow::Borrowed(text),
        };
        self.put(text.as_bytes());
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Write for Lines {
    /// A whole line with its end.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let left_out = self.queue.error_counter().dropped_lines();
        let told = self.told.swap(left_out, Ordering::Relaxed);
        if left_out > told {
            let count = left_out - told;
            let text = format!("{count} log lines were left out: standard error was not read\n");
            self.tell(&text);
        }
        for text in self.limit.told() {
            self.tell(&text);
        }
        // JSON escapes for itself, and cuts values.
        match self.is_json {
            true => self.put(line),
            false => self.put(escaped(line).as_bytes()),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line without control characters but the colours of the formatter, and not too long. What
/// clients write into it stays within it.
fn escaped(line: &[u8]) -> Cow<'_, str> {
    let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
    // The ESC of fields and messages is escaped where they are formatted.
    let odd = |letter: char| letter.is_control() && letter != '\x1b';
    let mut text = String::with_capacity(line.len() + 1);
    for letter in line.chars() {
        if text.len() > LINE_BYTES_MAX {
            let _ = write!(text, "... ({} bytes)", line.len());
            break;
        }
        if odd(letter) {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text.push('\n');
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, mpsc},
        time::Duration,
    };

    use tracing_appender::non_blocking::NonBlockingBuilder;

    use super::{super::written::Counted, *};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Takes nothing before nobody halts it any more.
    struct Reader {
        halted: mpsc::Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.halted.recv();
            self.taken.lock().expect("no test panics in between").extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn how_many_lines_found_no_room_is_told_when_there_is_some() {
        let (halts, halted) = mpsc::channel();
        let (taken, progress) = (Arc::new(Mutex::new(Vec::new())), Progress::default());
        let out =
            Counted { out: Reader { halted, taken: taken.clone() }, progress: progress.clone() };
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(4);
        let (queue, _guard) = builder.finish(out);
        let left_out = queue.error_counter();
        let mut lines = Lines::new(queue, progress.clone(), Limit::default(), false);
        for _ in 0..20 {
            lines.write_all(b"said\n").expect("it waits for nobody");
        }
        drop(halts);
        assert!(progress.wait(left_out.dropped_lines(), PATIENCE), "all the others are written");
        lines.write_all(b"said again\n").expect("it waits for nobody");
        assert!(progress.wait(left_out.dropped_lines(), PATIENCE), "these as well");
        let taken = taken.lock().expect("no test panics in between");
        let text = String::from_utf8_lossy(&taken);
        let end = "log lines were left out: standard error was not read\nsaid again\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(escaped(b"plain\n"), "plain\n");
        assert_eq!(escaped(b"a\nb\r\tc\x07\xc2\x85\n"), "a\\nb\\r\\tc\\u{7}\\u{85}\n");
        assert_eq!(escaped(b"\xff\n"), "\u{fffd}\n");
    }

    #[test]
    fn a_long_line_is_cut() {
        let line = escaped(&[b'x'; 3 << 20]).into_owned();
        assert!(line.len() < LINE_BYTES_MAX + 100 && line.ends_with("... (3145728 bytes)\n"));
    }
}
