//! [`Disk`] and [`File`] over the simulated device.

use std::{
    cell::RefCell,
    fmt,
    future::{pending, poll_fn},
    io,
    path::{Path, PathBuf},
    rc::Rc,
    task::Poll,
};

use ringmq_base::limits::BLOCK_BYTES;

use super::{
    core::{Alarm, Core},
    disk_state::DiskState,
    faults::{FaultRule, Moment, Operation},
    images::PowerCut,
    nodes::Place,
    request::{Reply, Request, Slot},
};
use crate::{
    BlockBuffer, Disk, DiskError, File, OpenMode,
    disk::{ReadBytes, Result},
};

/// A simulated device with one file system. Clones are handles to the same device, which outlives
/// the [`Sim`](super::Sim)s that use it.
///
/// Operations need a simulation; the handle of a test that never ran one is for orders, images and
/// surgery.
#[derive(Clone)]
pub struct SimDisk {
    pub(super) state: Rc<RefCell<DiskState>>,
    watcher: Rc<RefCell<Option<Watcher>>>,
    /// The simulation and the process that use it through this handle.
    user: Option<(Rc<Core>, Place)>,
}

type Watcher = Rc<dyn Fn(&Operation, Moment)>;

impl fmt::Debug for SimDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        let names: Vec<_> = state.names.keys().collect();
        formatter.debug_struct("SimDisk").field("files", &names).finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk of 1 TiB. The seed decides latencies and what failed operations leave.
    pub fn new(seed: u64) -> Self {
        SimDisk::from_state(DiskState::new(seed))
    }

    fn from_state(state: DiskState) -> Self {
        SimDisk { state: Rc::new(RefCell::new(state)), watcher: Rc::default(), user: None }
    }

    pub(super) fn attach(&self, core: &Rc<Core>, place: Place) -> Self {
        assert!(
            !self.is_crashed(),
            "this disk has passed its crash point: start from kill() or power_cut() of it"
        );
        self.settle_abandoned();
        self.state.borrow_mut().forget_failures();
        let (state, watcher) = (self.state.clone(), self.watcher.clone());
        SimDisk { state, watcher, user: Some((core.clone(), place)) }
    }

    /// The disk as a new process finds it if this one is killed now: everything resolved is there;
    /// of what was under way, anything. The same seed gives the same image. This disk stays as it
    /// is, and so many images can be taken of one moment.
    pub fn kill(&self, seed: u64) -> SimDisk {
        SimDisk::from_state(self.state.borrow().image_after_kill(seed))
    }

    /// The disk as it may come up if the power fails now: what was stable is there, of all else
    /// anything. Torn sectors are left out.
    pub fn power_cut(&self, seed: u64) -> SimDisk {
        self.power_cut_with(seed, PowerCut::default())
    }

    pub fn power_cut_with(&self, seed: u64, cut: PowerCut) -> SimDisk {
        SimDisk::from_state(self.state.borrow().image_after_power_cut(seed, &cut))
    }

    /// Lets the first `count` operations of the device (counted by [`SimDisk::operations`] from the
    /// start or the last [`SimDisk::reset_operations`]) run and crashes when the next one is
    /// issued: that one and those under way never resolve, and the run of the
    /// [`Sim`](super::Sim) ends with [`DiskCrashed`](super::Stopped::DiskCrashed).
    pub fn crash_after_operation(&self, count: u64) {
        self.state.borrow_mut().crash_after = Some(count);
    }

    /// Whether the crash point has been reached.
    pub fn is_crashed(&self) -> bool {
        self.state.borrow().crashed
    }

    /// Operations issued so far.
    pub fn operations(&self) -> u64 {
        self.state.borrow().issued
    }

    /// The operations issued so far, in order.
    pub fn log(&self) -> Vec<Operation> {
        self.state.borrow().log.clone()
    }

    /// Counts from zero again and empties the log.
    pub fn reset_operations(&self) {
        let mut state = self.state.borrow_mut();
        // Numbers of operations under way are taken: only a quiet disk may start anew.
        assert!(state.is_quiet(), "operations are under way");
        state.issued = 0;
        state.log.clear();
    }

    /// Calls `watcher` twice for every operation from now on: when it is issued and when the device
    /// is done with it. It may take images ([`SimDisk::kill`], [`SimDisk::power_cut`]) and run
    /// other simulations on them, so that one run of a workload is crashed at every moment; it must
    /// not give orders to this disk. Images have no watcher. Replaces an earlier one.
    pub fn watch(&self, watcher: impl Fn(&Operation, Moment) + 'static) {
        self.watcher.replace(Some(Rc::new(watcher)));
    }

    /// Ends [`SimDisk::watch`].
    pub fn unwatch(&self) {
        self.watcher.take();
    }

    fn tell_watcher(&self, operation: &Operation, moment: Moment) {
        let watcher = self.watcher.borrow().clone();
        if let Some(watcher) = watcher {
            watcher(operation, moment);
        }
    }

    /// Adds a rule. Of the rules that match an operation the first one added decides.
    pub fn add_fault(&self, rule: FaultRule) {
        self.state.borrow_mut().rules.push(rule);
    }

    pub fn clear_faults(&self) {
        self.state.borrow_mut().rules.clear();
    }

    /// What the file system holds in bytes; more is ENOSPC. May be less than what is used.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.borrow_mut().capacity = bytes;
    }

    /// A handle that timers of the executor may hold without keeping it alive.
    pub(super) fn without_core(&self) -> SimDisk {
        SimDisk { state: self.state.clone(), watcher: self.watcher.clone(), user: None }
    }

    pub(super) fn abandon_operations(&self) {
        let mut state = self.state.borrow_mut();
        state.abandon();
        state.forget_failures();
    }

    pub(super) fn settle_abandoned(&self) {
        self.state.borrow_mut().settle();
    }

    async fn operate(
        &self,
        verb: impl FnOnce() -> String,
        path: &Rc<Path>,
        request: Request,
    ) -> Result<Reply> {
        let user = self.user.as_ref().expect("a disk works for a task of a simulation");
        let (core, place) = (&user.0, user.1);
        let kind = request.kind();
        let (position, bytes) = request.range();
        let begun = self.state.borrow_mut().begin(request, path, core.running());
        core.trace(kind as u64 ^ position.rotate_left(8) ^ bytes.rotate_left(32));
        let Some((number, takes)) = begun else {
            return pending().await;
        };
        let operation = Operation { number, kind, path: path.clone(), position, bytes };
        self.tell_watcher(&operation, Moment::Issued);
        let slot = Rc::new(Slot::default());
        let act = {
            let (disk, slot, core) = (self.without_core(), slot.clone(), Rc::downgrade(core));
            move || {
                let core = core.upgrade();
                if core.as_ref().is_some_and(|core| !core.nodes.is_alive(place)) {
                    return;
                }
                let reply = disk.state.borrow_mut().complete(number);
                disk.tell_watcher(&operation, Moment::Completed { well: reply.is_ok() });
                if let Some(core) = core {
                    core.trace(number << 1 | u64::from(reply.is_ok()));
                }
                *slot.reply.borrow_mut() = Some(reply);
                let waker = slot.waker.take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        };
        core.set_alarm(core.now() + takes, Alarm::Act(Box::new(act)));
        let reply = poll_fn(|context| {
            if let Some(reply) = slot.reply.take() {
                return Poll::Ready(reply);
            }
            *slot.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        reply.map_err(|source| DiskError { operation: verb(), path: path.to_path_buf(), source })
    }

    async fn operate_on(
        &self,
        verb: &'static str,
        path: &Path,
        request: Request,
    ) -> Result<(Reply, Rc<Path>)> {
        let path: Rc<Path> = path.into();
        let reply = self.operate(|| verb.to_owned(), &path, request).await?;
        Ok((reply, path))
    }

    fn handle(&self, reply: Reply, path: Rc<Path>, mode: OpenMode) -> SimFile {
        let Reply::File(file) = reply else { unreachable!("an open replies with a file") };
        SimFile { disk: self.clone(), file, path, mode }
    }
}

/// Memory of a simulated disk.
pub struct SimBuffer {
    bytes: Vec<u8>,
}

impl BlockBuffer for SimBuffer {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Disk for SimDisk {
    type Buffer = SimBuffer;
    type File = SimFile;

    fn buffer(&self, bytes: usize) -> SimBuffer {
        assert_blocks("a buffer", 0, bytes as u64);
        SimBuffer { bytes: vec![0; bytes] }
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<SimFile> {
        let (reply, path) = self.operate_on("open", path, Request::Open).await?;
        Ok(self.handle(reply, path, mode))
    }

    async fn create(&self, path: &Path, mode: OpenMode) -> Result<SimFile> {
        let (reply, path) = self.operate_on("create", path, Request::Create).await?;
        Ok(self.handle(reply, path, mode))
    }

    async fn create_directory(&self, path: &Path) -> Result<()> {
        self.operate_on("create directory", path, Request::CreateDirectory).await?;
        Ok(())
    }

    async fn list(&self, directory: &Path) -> Result<Vec<(String, u64)>> {
        match self.operate_on("list", directory, Request::List).await?.0 {
            Reply::Names(names) => Ok(names),
            _ => unreachable!("a list replies with names"),
        }
    }

    async fn sync_directory(&self, path: &Path) -> Result<()> {
        let request = Request::SyncDirectory { mark: self.state.borrow().mark() };
        self.operate_on("sync directory", path, request).await?;
        Ok(())
    }

    async fn rename_durably(&self, from: &Path, to: &Path) -> Result<()> {
        let to: Rc<Path> = to.into();
        let request = Request::Rename { from: PathBuf::from(from) };
        self.operate(|| format!("rename {} to", from.display()), &to, request).await?;
        Ok(())
    }

    async fn remove(&self, path: &Path) -> Result<()> {
        self.operate_on("remove", path, Request::Remove).await?;
        Ok(())
    }

    async fn space(&self, path: &Path) -> Result<(u64, u64)> {
        match self.operate_on("find the free space of", path, Request::Space).await?.0 {
            Reply::Space(free, all) => Ok((free, all)),
            _ => unreachable!("space replies with space"),
        }
    }

    async fn boot_id(&self) -> Result<u128> {
        Ok(u128::from(self.state.borrow().power_cuts) + 1)
    }
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    disk: SimDisk,
    file: u64,
    path: Rc<Path>,
    mode: OpenMode,
}

impl SimFile {
    fn check_writable(&self, verb: &str) -> Result<()> {
        if self.mode != OpenMode::Read {
            return Ok(());
        }
        let source = io::Error::from_raw_os_error(libc::EBADF);
        Err(DiskError { operation: verb.to_owned(), path: self.path.to_path_buf(), source })
    }
}

impl File for SimFile {
    type Buffer = SimBuffer;

    async fn length(&self) -> Result<u64> {
        let request = Request::Length { file: self.file };
        match self.disk.operate(|| "find the length of".into(), &self.path, request).await? {
            Reply::Number(length) => Ok(length),
            _ => unreachable!("a length replies with a number"),
        }
    }

    async fn read(&self, position: u64, bytes: usize) -> Result<ReadBytes<SimBuffer>> {
        assert_blocks("a read", position, bytes as u64);
        let request = Request::Read { file: self.file, position, bytes };
        let verb = || format!("read {bytes} bytes at {position} of");
        match self.disk.operate(verb, &self.path, request).await? {
            Reply::Bytes(bytes, length) => Ok(ReadBytes::new(SimBuffer { bytes }, length)),
            _ => unreachable!("a read replies with bytes"),
        }
    }

    async fn write(&self, buffer: &SimBuffer, position: u64) -> Result<()> {
        let bytes = buffer.bytes.len();
        assert_blocks("a write", position, bytes as u64);
        self.check_writable("write")?;
        let request = Request::Write {
            file: self.file,
            position,
            data: buffer.bytes.as_slice().into(),
            durable: self.mode == OpenMode::WriteDurable,
        };
        let verb = || format!("write {bytes} bytes at {position} of");
        self.disk.operate(verb, &self.path, request).await?;
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        let request = Request::Sync { file: self.file, mark: self.disk.state.borrow().mark() };
        self.disk.operate(|| "sync".into(), &self.path, request).await?;
        Ok(())
    }

    async fn allocate(&self, position: u64, bytes: u64) -> Result<()> {
        self.check_writable("allocate room in")?;
        let request = Request::Allocate { file: self.file, position, bytes };
        let verb = || format!("allocate {bytes} bytes at {position} of");
        self.disk.operate(verb, &self.path, request).await?;
        Ok(())
    }

    async fn set_length(&self, bytes: u64) -> Result<()> {
        self.check_writable("set the length of")?;
        let request = Request::SetLength { file: self.file, bytes };
        let verb = || format!("set the length to {bytes} bytes of");
        self.disk.operate(verb, &self.path, request).await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        self.disk.operate(|| "close".into(), &self.path, Request::Close).await?;
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state.borrow_mut().drop_handle(self.file);
    }
}

fn assert_blocks(what: &str, position: u64, bytes: u64) {
    let block = BLOCK_BYTES as u64;
    assert!(
        bytes > 0 && bytes.is_multiple_of(block) && position.is_multiple_of(block),
        "{what} of {bytes} bytes at {position} is not in whole blocks of {block} bytes"
    );
}
