//! The disk from outside: tests read, replace and injure files without a process and without time.
//! All of it is stable at once.

use std::path::{Path, PathBuf};

use super::SimDisk;

impl SimDisk {
    /// Every file, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.state.borrow().names.keys().cloned().collect()
    }

    /// What a reader would see of the file now; `None` if there is none.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut state = self.state.borrow_mut();
        let file = *state.names.get(path.as_ref())?;
        let content = &state.file(file).current;
        let mut bytes = vec![0; usize::try_from(content.length()).expect("fits the memory")];
        content.read(0, &mut bytes);
        Some(bytes)
    }

    /// Puts a file with these bytes there, and its directories; replaces one that is there.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.state.borrow_mut().plant(path.as_ref(), bytes);
    }

    /// Takes the file away.
    pub fn remove_file(&self, path: impl AsRef<Path>) {
        self.state.borrow_mut().uproot(path.as_ref());
    }

    /// Cuts or extends with zeros.
    ///
    /// # Panics
    /// As the others below: if there is no such file.
    pub fn truncate(&self, path: impl AsRef<Path>, length: u64) {
        let path = path.as_ref();
        let mut bytes = self.read_file(path).unwrap_or_else(|| missing(path));
        bytes.resize(usize::try_from(length).expect("fits the memory"), 0);
        self.write_file(path, &bytes);
    }

    /// Inverts one bit, 0 being the lowest of the first byte.
    ///
    /// # Panics
    /// Also if the file is too short.
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit: u64) {
        self.injure(path.as_ref(), bit / 8, 1, |bytes| bytes[0] ^= 1 << (bit % 8));
    }

    /// Overwrites with zeros.
    pub fn zero_range(&self, path: impl AsRef<Path>, position: u64, bytes: usize) {
        self.injure(path.as_ref(), position, bytes, |range| range.fill(0));
    }

    /// Overwrites with other bytes.
    pub fn overwrite(&self, path: impl AsRef<Path>, position: u64, bytes: &[u8]) {
        self.injure(path.as_ref(), position, bytes.len(), |range| range.copy_from_slice(bytes));
    }

    fn injure(&self, path: &Path, position: u64, bytes: usize, change: impl FnOnce(&mut [u8])) {
        let mut state = self.state.borrow_mut();
        let file = *state.names.get(path).unwrap_or_else(|| missing(path));
        let file = state.file(file);
        let mut range = vec![0; bytes];
        let found = file.current.read(position, &mut range);
        assert_eq!(found, bytes, "{} ends before {position} + {bytes}", path.display());
        change(&mut range);
        file.injure(position, &range);
    }
}

fn missing(path: &Path) -> ! {
    panic!("there is no file {} to operate on", path.display())
}
