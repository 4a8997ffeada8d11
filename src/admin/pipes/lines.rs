//! Standard input, a message at a time.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context;

use super::delimiter::Delimiter;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// Reads that may wait for whoever sends them.
const READS_WAITING: usize = 4;
/// A message that is longer than this is taken for a wrong delimiter.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A message as it was read; numbers begin with 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub number: u64,
    pub bytes: Vec<u8>,
}

/// Reads an input to its end on a thread of its own; gives what each read has completed, so that
/// nothing waits for more. The thread ends with the process if nobody takes its lines.
pub fn lines(
    input: impl Read + Send + 'static,
    delimiter: Delimiter,
) -> Receiver<anyhow::Result<Vec<Line>>> {
    let (sender, receiver) = sync_channel(READS_WAITING);
    std::thread::spawn(move || {
        let mut splitter = Splitter { delimiter, rest: Vec::new(), searched: 0, number: 0 };
        if let Err(why) = splitter.read(input, &sender) {
            drop(sender.send(Err(why)));
        }
    });
    receiver
}

struct Splitter {
    delimiter: Delimiter,
    rest: Vec<u8>,
    /// No delimiter begins in so many bytes of the rest.
    searched: usize,
    number: u64,
}

impl Splitter {
    fn read(
        &mut self,
        mut input: impl Read,
        sender: &SyncSender<anyhow::Result<Vec<Line>>>,
    ) -> anyhow::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = match input.read(&mut buffer) {
                Ok(read) => read,
                Err(why) if why.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(why).context("standard input"),
            };
            let found = match buffer.get(..read) {
                None | Some([]) => self.last(),
                Some(bytes) => self.split(bytes),
            };
            anyhow::ensure!(
                self.rest.len() <= LINE_BYTES_MAX,
                "line {} has more than {LINE_BYTES_MAX} bytes: is -D the delimiter?",
                self.number + 1
            );
            if (!found.is_empty() && sender.send(Ok(found)).is_err()) || read == 0 {
                return Ok(());
            }
        }
    }

    fn split(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.rest.extend_from_slice(bytes);
        let mut found = Vec::new();
        let mut at = 0;
        let mut search_from = self.searched;
        let tail = self.delimiter.bytes().len() - 1;
        while let Some(rest) = self.rest.get(search_from..)
            && let Some((before, _)) = self.delimiter.split(rest)
        {
            let end = search_from + before.len();
            self.number += 1;
            let bytes = self.rest.get(at..end).unwrap_or_default().to_vec();
            found.push(Line { number: self.number, bytes });
            at = end + tail + 1;
            search_from = at;
        }
        self.rest.drain(..at);
        self.searched = self.rest.len().saturating_sub(tail);
        found
    }

    /// What has no delimiter behind it.
    fn last(&mut self) -> Vec<Line> {
        if self.rest.is_empty() {
            return Vec::new();
        }
        self.number += 1;
        vec![Line { number: self.number, bytes: std::mem::take(&mut self.rest) }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_come() {
        for (delimiter, text, expected) in [
            ("\\n", "a\n\nbc\nlast", &["a", "", "bc", "last"][..]),
            ("--", "a--b-c----d--", &["a", "b-c", "", "d"]),
            ("\\n", "", &[]),
        ] {
            for size in 1..=text.len().max(1) {
                let delimiter = Delimiter::new(delimiter).expect("sound");
                let mut splitter = Splitter { delimiter, rest: Vec::new(), searched: 0, number: 0 };
                let mut all = Vec::new();
                for part in text.as_bytes().chunks(size) {
                    all.extend(splitter.split(part));
                }
                all.extend(splitter.last());
                let texts: Vec<_> =
                    all.iter().map(|line| String::from_utf8_lossy(&line.bytes)).collect();
                assert_eq!(texts, expected, "{size} bytes at once");
                assert!(all.iter().map(|line| line.number).eq(1..=all.len() as u64));
            }
        }
    }
}
