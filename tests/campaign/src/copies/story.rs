//! What happens to one copy of a log: it leads, follows, is cut and comes back, and its power fails
//! in all of that. At random operations of each step an image is taken, opened, checked, and
//! opened again; the story goes on with the last one.

use std::{cell::Cell, time::Duration};

use ringmq_io::sim::{Random, Sim, SimDisk, SimRuntime};
use ringmq_store::{CutError, Opening, cut_log};

use super::copy::{
    FIRST, Habits, Life, Message, SEGMENT, committed, crash, follow, follow_open, live, options,
};

/// Virtual time after which a process hangs.
const TIME_LIMIT: Duration = Duration::from_secs(3600);
/// Images of each step, and of a cut, in which few operations are dangerous.
const IMAGES: u64 = 5;
const IMAGES_OF_CUTS: u64 = 15;

/// What stories have met: one that never cuts proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub images: u64,
    pub runs: u64,
    pub operations: u64,
    pub cuts: u64,
    pub refused_cuts: u64,
    pub torn: u64,
    /// Leaders whose epoch is smaller than that of what was cut.
    pub earlier_epochs: u64,
}

/// What a copy may hold: the first of these messages, so many at least.
#[derive(Clone, Debug)]
struct Expected {
    least: usize,
    all: Vec<Message>,
}

impl Expected {
    fn exactly(all: Vec<Message>) -> Expected {
        Expected { least: all.len(), all }
    }
}

/// An earlier state of the copy that another one has, and the epoch it will lead in.
struct Fork {
    disk: SimDisk,
    all: Vec<Message>,
    epoch: u32,
}

pub struct Story<'a> {
    random: Random,
    habits: Habits,
    disk: SimDisk,
    /// One of these is true.
    expected: Vec<Expected>,
    epoch: u32,
    next_id: Cell<u64>,
    fork: Option<Fork>,
    counts: &'a mut Counts,
    /// For reports.
    told: Vec<String>,
}

type Outcome = Result<(), String>;

/// Plays the story of a seed. The error says what was wrong.
pub fn play(seed: u64, counts: &mut Counts) -> Outcome {
    let mut random = Random::new(seed ^ 0x6375_7473);
    let mut of = |choices: &[u64]| choices[random.index(choices.len())];
    let habits = Habits {
        marks_each: Duration::from_millis(of(&[5, 20, 1_000_000, 1_000_000])),
        snapshot_bytes: of(&[8 << 10, 1 << 40, 1 << 40]),
        large_one_in: of(&[3, 12]),
    };
    let steps = 4 + random.below(6);
    let mut story = Story {
        habits,
        disk: SimDisk::new(seed),
        expected: vec![Expected::exactly(Vec::new())],
        epoch: 0,
        next_id: Cell::new(1),
        fork: None,
        counts,
        told: Vec::new(),
        random,
    };
    for _ in 0..steps {
        let step = story.step();
        step.map_err(|wrong| format!("{wrong}; {}", story.told.join("; ")))?;
    }
    Ok(())
}

impl Story<'_> {
    fn step(&mut self) -> Outcome {
        match self.random.below(7) {
            0..=2 => self.lead(),
            3 => self.cut_anywhere(),
            4 => self.follow_own(),
            _ => self.rejoin(),
        }
    }

    fn next_epoch(&mut self) -> u32 {
        self.epoch += 1 + self.random.below(3) as u32;
        self.epoch
    }

    /// Runs a process on a disk, which may crash after so many operations; `None` if it did.
    fn run<T>(
        &mut self,
        disk: &SimDisk,
        crash_after: Option<u64>,
        main: impl AsyncFnOnce(SimRuntime) -> T,
    ) -> Option<T> {
        if let Some(count) = crash_after {
            disk.crash_after_operation(count);
        }
        let sim = Sim::with_disk(self.random.word(), disk);
        sim.set_time_limit(TIME_LIMIT);
        let result = sim.try_run(main);
        sim.crash();
        self.counts.runs += 1;
        self.counts.operations += disk.operations();
        result.ok()
    }

    /// Leads, or is alone, and appends.
    fn lead(&mut self) -> Outcome {
        let alone = self.epoch == 0 || self.random.chance(1, 8);
        let count = self.random.below(40);
        let closes = self.random.chance(1, 8);
        let epoch = self.next_epoch();
        let opening = if alone { Opening::Alone } else { Opening::Leads { epoch } };
        let (start, before) = (self.disk.clone(), self.expected.clone());
        let mut last = None;
        for crashes in self.moments(IMAGES, 120) {
            let disk = start.kill(self.random.word());
            let life = Life::default();
            let (habits, next_id) = (self.habits, Cell::new(self.next_id.get()));
            let result = self.run(&disk, crashes, async |runtime| {
                live(&runtime, &life, (&habits, opening), (count, closes), &next_id).await
            });
            self.next_id.set(self.next_id.get().max(next_id.get()));
            result.transpose()?;
            let expected = after_life(&life, &before)?;
            let image = crash(&disk, &mut self.random);
            self.examine(&image, &expected)?;
            last = Some((image, expected, life));
        }
        let (image, expected, life) = last.expect("there is one moment");
        self.told.push(format!(
            "{opening:?}, {} appended, {} acknowledged",
            life.appended.borrow().len(),
            life.acked.get()
        ));
        // Epochs that it has taken alone are not known here.
        self.epoch += 1;
        let found = life.found.take();
        if let Some((all, _)) = found.filter(|_| self.fork.is_none() || self.random.chance(1, 3)) {
            // The other copy has what this one found, and will lead in an epoch before the next.
            let disk = start.kill(self.random.word());
            let epoch = self.next_epoch();
            self.fork = Some(Fork { disk, all, epoch });
        }
        (self.disk, self.expected) = (image, expected);
        Ok(())
    }

    /// Moments to crash at, none at last.
    fn moments(&mut self, images: u64, within: u64) -> Vec<Option<u64>> {
        let mut moments: Vec<Option<u64>> =
            (1..images).map(|_| Some(self.random.below(within))).collect();
        moments.push(if self.random.chance(1, 2) { Some(self.random.below(within)) } else { None });
        moments
    }

    /// Opens images of the image and looks at what they hold.
    fn examine(&mut self, image: &SimDisk, expected: &[Expected]) -> Outcome {
        self.counts.images += 1;
        let leads = Opening::Leads { epoch: self.epoch + 1000 };
        let opening = if self.random.chance(1, 2) { Opening::Follows } else { leads };
        let disk = image.kill(self.random.word());
        let crashes = if self.random.chance(1, 2) { Some(self.random.below(40)) } else { None };
        let expected = &self.open(&disk, expected, (opening, crashes))?;
        let again = crash(&disk, &mut self.random);
        let leads = Opening::Leads { epoch: self.epoch + 2000 };
        let opening = if self.random.chance(1, 2) { Opening::Follows } else { leads };
        self.open(&again, expected, (opening, None)).map(|_| ())
    }

    /// What it holds afterwards: what an opening has found is on stable storage.
    fn open(
        &mut self,
        disk: &SimDisk,
        expected: &[Expected],
        (opening, crashes): (Opening, Option<u64>),
    ) -> Result<Vec<Expected>, String> {
        let life = Life::default();
        let (habits, next_id) = (self.habits, Cell::new(1));
        let result = self.run(disk, crashes, async |runtime| {
            live(&runtime, &life, (&habits, opening), (0, false), &next_id).await
        });
        result.transpose()?;
        after_life(&life, expected)
    }

    /// What the copy holds now, for certain: it is opened as one that follows.
    fn settle(&mut self) -> Result<(Vec<Message>, u64), String> {
        let life = Life::default();
        let (habits, next_id) = (self.habits, Cell::new(1));
        let disk = self.disk.clone();
        let result = self.run(&disk, None, async |runtime| {
            live(&runtime, &life, (&habits, Opening::Follows), (0, false), &next_id).await
        });
        result.expect("no crash was ordered")?;
        let expected = after_life(&life, &self.expected)?;
        self.disk = disk.kill(self.random.word());
        self.expected = expected;
        Ok(life.found.take().expect("it was opened"))
    }

    fn cut_anywhere(&mut self) -> Outcome {
        if self.expected.len() > 1 || self.expected[0].least == 0 {
            return Ok(());
        }
        let Expected { least, all } = &self.expected[0];
        let keep = self.random.below(*least as u64 + 1) as usize;
        // Where the next one begins, or where the last one ends: they may be in two segments.
        let next = all.get(keep).filter(|_| keep < *least && self.random.chance(1, 2));
        let to = next.map_or_else(|| end_of(all, keep), |next| next.start);
        let epoch = self.next_epoch();
        self.cut((keep, to), epoch).map(|_| ())
    }

    /// Cuts the log at `to`, behind the first `keep` messages, which are there for certain; whether
    /// it was.
    fn cut(&mut self, (keep, to): (usize, u64), epoch: u32) -> Result<bool, String> {
        let all = self.expected[0].all.clone();
        let forbidden = to < committed(&self.disk).0;
        let (start, before) = (self.disk.clone(), self.expected.clone());
        let new = Expected::exactly(all[..keep].to_vec());
        let mut last = None;
        for crashes in self.moments(IMAGES_OF_CUTS, 60) {
            let disk = start.kill(self.random.word());
            let options = options(&self.habits, Opening::Alone);
            let result = self
                .run(&disk, crashes, async |runtime| cut_log(&runtime, &options, to, epoch).await);
            let expected = match result {
                Some(Ok(_)) if forbidden => {
                    return Err(format!("cut at {to}, before what is committed"));
                }
                Some(Ok(_)) => vec![new.clone()],
                Some(Err(CutError::Committed { .. })) => before.clone(),
                Some(Err(error)) => return Err(format!("not cut at {to}: {error}")),
                None if forbidden => before.clone(),
                None => [before.clone(), vec![new.clone()]].concat(),
            };
            let done = matches!(expected.as_slice(), [one] if one.all == new.all);
            let image = crash(&disk, &mut self.random);
            self.examine(&image, &expected)?;
            last = Some((image, expected, done));
        }
        let (image, expected, done) = last.expect("there is one moment");
        let refused = expected.len() == 1 && !done;
        self.counts.refused_cuts += u64::from(refused);
        self.counts.cuts += u64::from(done);
        let what = if done {
            "cut"
        } else if refused {
            "not cut"
        } else {
            "perhaps cut"
        };
        self.told.push(format!("{what} at {to}, behind {keep} messages, for epoch {epoch}"));
        (self.disk, self.expected) = (image, expected);
        Ok(done)
    }

    /// Follows a copy that has the same and goes on.
    fn follow_own(&mut self) -> Outcome {
        let (all, _) = self.settle()?;
        let epoch = self.next_epoch();
        let leader = self.disk.kill(self.random.word());
        self.follow(leader, all, epoch)
    }

    /// The other copy has gone on in an epoch of its own; what this one has behind the place where
    /// they part is cut.
    fn rejoin(&mut self) -> Outcome {
        let Some(Fork { disk, all, epoch }) = self.fork.take() else {
            return self.lead();
        };
        let (own, _) = self.settle()?;
        let keep = own.iter().zip(&all).take_while(|(one, other)| one == other).count();
        let (later, cut_off) = (self.next_epoch(), own.len() - keep);
        // What is behind the last common record is of another epoch, if it only ends the segment.
        if !self.cut((keep, end_of(&own, keep)), later)? {
            return Ok(());
        }
        self.counts.earlier_epochs += u64::from(cut_off > 0);
        self.follow(disk, all, epoch)
    }

    /// Takes over what `leader`, which holds `all`, appends in that epoch.
    fn follow(&mut self, leader: SimDisk, all: Vec<Message>, epoch: u32) -> Outcome {
        let count = 5 + self.random.below(30);
        let life = Life::default();
        let (habits, next_id) = (self.habits, Cell::new(self.next_id.get()));
        let opening = Opening::Leads { epoch };
        let led = self.run(&leader, None, async |runtime| {
            live(&runtime, &life, (&habits, opening), (count, false), &next_id).await
        });
        led.expect("no crash was ordered")?;
        self.next_id.set(next_id.get());
        after_life(&life, &[Expected::exactly(all)])?;
        let (mut all, _) = life.found.take().expect("it was opened");
        all.extend(life.appended.borrow().iter());
        let (found, from) = self.settle()?;
        let (start, before) = (self.disk.clone(), found.len());
        let mut last = None;
        for crashes in self.moments(IMAGES, 30) {
            let disk = start.kill(self.random.word());
            let synced = Cell::new(before);
            let (habits, is_open) = (self.habits, self.random.chance(1, 2));
            let result = self.run(&disk, crashes, async |runtime| {
                if is_open {
                    return follow_open(&runtime, &habits, &leader, &all, &synced).await;
                }
                follow(&runtime, &leader, (&all, from), &synced).await;
                Ok(())
            });
            result.transpose()?;
            let image = crash(&disk, &mut self.random);
            let expected = vec![Expected { least: synced.get(), all: all.clone() }];
            self.examine(&image, &expected)?;
            self.counts.torn += u64::from(synced.get() < all.len());
            last = Some((image, expected));
        }
        (self.disk, self.expected) = last.expect("there is one moment");
        let segments = all.last().map_or(0, |last| last.end / SEGMENT + 1);
        self.told.push(format!("followed epoch {epoch} from {from}, {segments} segments"));
        Ok(())
    }
}

/// Where the first `count` messages end.
fn end_of(all: &[Message], count: usize) -> u64 {
    count.checked_sub(1).map_or(FIRST, |last| all[last].end)
}

/// What the copy may hold after a process that found what was expected, or did not get that far.
fn after_life(life: &Life, before: &[Expected]) -> Result<Vec<Expected>, String> {
    let found = life.found.borrow();
    let Some((found, _)) = &*found else {
        return Ok(before.to_vec());
    };
    let fits = |one: &Expected| found.len() >= one.least && one.all.starts_with(found);
    if !before.iter().any(fits) {
        let least: Vec<_> = before.iter().map(|one| (one.least, one.all.len())).collect();
        let common = |one: &Expected| one.all.iter().zip(found).take_while(|(a, b)| a == b).count();
        let same: Vec<_> = before.iter().map(common).collect();
        let found = found.len();
        return Err(format!(
            "{found} messages are served, the first {same:?} of them as they were; expected are \
             {least:?} (at least, at most)"
        ));
    }
    let mut all = found.clone();
    all.extend(life.appended.borrow().iter());
    Ok(vec![Expected { least: found.len() + life.acked.get(), all }])
}
