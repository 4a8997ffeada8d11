//! The images of a disk that a crash leaves.

use super::{
    disk_state::DiskState,
    file_state::FileState,
    random::Random,
    request::{Reply, Request},
};

/// What a power cut may do beyond losing sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerCut {
    /// Sectors may keep new bytes at the front and old ones behind. Devices promise not to.
    pub torn_sectors: bool,
}

impl DiskState {
    /// The process is dead: its operations will not complete, images decide them.
    pub(super) fn abandon(&mut self) {
        for operation in self.under_way.values_mut() {
            operation.abandoned = true;
        }
    }

    /// Decides the abandoned operations: writes keep any sectors, others happen or not.
    pub(super) fn settle(&mut self) {
        let all = std::mem::take(&mut self.under_way);
        for (number, operation) in all {
            if !operation.abandoned {
                self.under_way.insert(number, operation);
                continue;
            }
            self.sequence += 1;
            match operation.request {
                Request::Write { file, position, data, .. } => {
                    self.write_any(file, position, &data);
                }
                request if request.kind().changes_disk() && self.random.chance(1, 2) => {
                    let gone = request.file().is_some_and(|file| !self.files.contains_key(&file));
                    // An error has nobody to go to, and neither has the handle of a creation.
                    if !gone && let Ok(Reply::File(file)) = self.apply(request, &operation.path) {
                        self.drop_handle(file);
                    }
                }
                _ => {}
            }
        }
    }

    /// The next process cannot know what failed before it.
    pub(super) fn forget_failures(&mut self) {
        self.files.values_mut().for_each(FileState::forget_failures);
        for change in &mut self.name_changes {
            change.lost = false;
        }
    }

    /// The disk as the next process finds it after this one was killed now.
    pub(super) fn image_after_kill(&self, seed: u64) -> DiskState {
        let mut image = self.clone();
        image.random = Random::new(seed ^ 0x6b69_6c6c);
        image.abandon();
        image.settle();
        for file in image.files.values_mut() {
            file.handles = 0;
        }
        image.forget_failures();
        image.collect_nameless();
        image.forget_orders();
        image
    }

    /// The disk as it may come up after the power failed now.
    pub(super) fn image_after_power_cut(&self, seed: u64, cut: &PowerCut) -> DiskState {
        let mut image = self.image_after_kill(seed);
        image.power_cuts += 1;
        let mut random = Random::new(seed ^ 0x706f_7765_7200);
        for change in std::mem::take(&mut image.name_changes) {
            if random.chance(1, 2) {
                change.apply(&mut image.stable_names);
            }
        }
        image.names = image.stable_names.clone();
        image.collect_nameless();
        for file in image.files.values_mut() {
            *file = file.after_power_cut(&mut random, cut);
        }
        image
    }

    fn forget_orders(&mut self) {
        self.issued = 0;
        self.log.clear();
        self.rules.clear();
        self.crash_after = None;
        self.crashed = false;
    }
}
