//! The simulated machine as the store sees it, with a disk that may lie: the planted bugs that need
//! no change of the store.

use std::{future::Future, path::Path, time::Duration};

use ringmq_io::{
    Clock, Disk, File, OpenMode, Runtime, Shares, Spawn,
    disk::{ReadBytes, Result},
    sim::{SimBuffer, SimDisk, SimFile, SimNet, SimRuntime},
};

/// What the disk does instead of what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskLie {
    #[default]
    None,
    /// Durable writes are as volatile as others: who relies on them acknowledges before the sync.
    VolatileWrites,
    /// Failed writes and syncs are reported as done.
    ErrorsSwallowed,
}

/// A handle to an executor of the simulation.
#[derive(Clone)]
pub struct Machine {
    runtime: SimRuntime,
    disk: MachineDisk,
}

impl Machine {
    pub fn new(runtime: SimRuntime, lie: DiskLie) -> Machine {
        let disk = MachineDisk { inner: runtime.disk().clone(), lie };
        Machine { runtime, disk }
    }
}

impl Clock for Machine {
    fn now_ms(&self) -> i64 {
        self.runtime.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.runtime.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.runtime.sleep(duration).await;
    }
}

impl Spawn for Machine {
    fn spawn(&self, shares: Shares, name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.runtime.spawn(shares, name, task);
    }

    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.runtime.aside(work).await
    }

    async fn yield_if_needed(&self) {
        self.runtime.yield_if_needed().await;
    }
}

impl Runtime for Machine {
    type Disk = MachineDisk;
    type Net = SimNet;

    fn disk(&self) -> &MachineDisk {
        &self.disk
    }

    fn net(&self) -> &SimNet {
        self.runtime.net()
    }
}

#[derive(Clone)]
pub struct MachineDisk {
    inner: SimDisk,
    lie: DiskLie,
}

impl MachineDisk {
    fn mode(&self, mode: OpenMode) -> OpenMode {
        match mode {
            OpenMode::WriteDurable if self.lie == DiskLie::VolatileWrites => OpenMode::Write,
            other => other,
        }
    }

    fn file(&self, file: SimFile) -> MachineFile {
        MachineFile { inner: file, lie: self.lie }
    }
}

impl Disk for MachineDisk {
    type Buffer = SimBuffer;
    type File = MachineFile;

    fn buffer(&self, bytes: usize) -> SimBuffer {
        self.inner.buffer(bytes)
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<MachineFile> {
        Ok(self.file(self.inner.open(path, self.mode(mode)).await?))
    }

    async fn create(&self, path: &Path, mode: OpenMode) -> Result<MachineFile> {
        Ok(self.file(self.inner.create(path, self.mode(mode)).await?))
    }

    async fn create_directory(&self, path: &Path) -> Result<()> {
        self.inner.create_directory(path).await
    }

    async fn list(&self, directory: &Path) -> Result<Vec<(String, u64)>> {
        self.inner.list(directory).await
    }

    async fn sync_directory(&self, path: &Path) -> Result<()> {
        self.inner.sync_directory(path).await
    }

    async fn rename_durably(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename_durably(from, to).await
    }

    async fn remove(&self, path: &Path) -> Result<()> {
        self.inner.remove(path).await
    }

    async fn space(&self, path: &Path) -> Result<(u64, u64)> {
        self.inner.space(path).await
    }

    async fn boot_id(&self) -> Result<u128> {
        self.inner.boot_id().await
    }
}

pub struct MachineFile {
    inner: SimFile,
    lie: DiskLie,
}

impl MachineFile {
    fn report(&self, result: Result<()>) -> Result<()> {
        if self.lie == DiskLie::ErrorsSwallowed { Ok(()) } else { result }
    }
}

impl File for MachineFile {
    type Buffer = SimBuffer;

    async fn length(&self) -> Result<u64> {
        self.inner.length().await
    }

    async fn read(&self, position: u64, bytes: usize) -> Result<ReadBytes<SimBuffer>> {
        self.inner.read(position, bytes).await
    }

    async fn write(&self, buffer: &SimBuffer, position: u64) -> Result<()> {
        self.report(self.inner.write(buffer, position).await)
    }

    async fn sync(&self) -> Result<()> {
        self.report(self.inner.sync().await)
    }

    async fn allocate(&self, position: u64, bytes: u64) -> Result<()> {
        self.inner.allocate(position, bytes).await
    }

    async fn set_length(&self, bytes: u64) -> Result<()> {
        self.inner.set_length(bytes).await
    }

    async fn close(self) -> Result<()> {
        self.inner.close().await
    }
}
