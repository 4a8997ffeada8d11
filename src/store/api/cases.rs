//! The cases of recovery, one row each: labels for logs and tests, and what is done.

/// How the end of a log was found, or why it is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Case {
    New,
    Clean,
    ZerosAtTail,
    StaleEpochAtTail,
    TornTailBehindMark,
    CutHere,
    DamageBeforeMark,
    DamageBeforeLaterRecord,
    ShortSegment,
    MissingSegment,
    ForeignSegment,
    DamagedHeader,
    MissingMark,
    DamagedMark,
    NewerFormat,
    BrokenQueue,
    DamagedSnapshot,
}

/// What a case means for the opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The log opens; what is behind its end was never acknowledged, or is nothing.
    Opens,
    /// The log does not open and nothing is changed.
    Refused,
}

pub struct CaseRow {
    pub case: Case,
    pub label: &'static str,
    pub verdict: Verdict,
    pub remedy: &'static str,
}

const RESTORE: &str = "restore the file from a copy or a replica";

const fn row(case: Case, label: &'static str, verdict: Verdict, remedy: &'static str) -> CaseRow {
    CaseRow { case, label, verdict, remedy }
}

/// In the order of [`Case`].
pub const CASES: [CaseRow; 17] = {
    use Case::*;
    use Verdict::{Opens, Refused};
    [
        row(New, "new", Opens, ""),
        row(Clean, "clean", Opens, ""),
        row(ZerosAtTail, "zeros at tail", Opens, ""),
        row(StaleEpochAtTail, "stale epoch at tail", Opens, ""),
        row(TornTailBehindMark, "torn tail behind mark", Opens, ""),
        row(CutHere, "cut here", Opens, ""),
        row(DamageBeforeMark, "damage before mark", Refused, RESTORE),
        row(DamageBeforeLaterRecord, "damage before later record", Refused, RESTORE),
        row(ShortSegment, "short segment", Refused, RESTORE),
        row(MissingSegment, "missing segment", Refused, RESTORE),
        row(ForeignSegment, "foreign segment", Refused, "move the file to where it belongs"),
        row(DamagedHeader, "damaged header", Refused, RESTORE),
        row(MissingMark, "missing mark", Refused, RESTORE),
        row(DamagedMark, "damaged mark", Refused, RESTORE),
        row(
            NewerFormat,
            "newer format",
            Refused,
            "start the version that wrote it, or a newer one",
        ),
        row(BrokenQueue, "broken queue", Refused, RESTORE),
        row(DamagedSnapshot, "damaged snapshot", Refused, RESTORE),
    ]
};

impl Case {
    fn row(self) -> &'static CaseRow {
        let row = &CASES[self as usize];
        assert!(row.case == self, "the table is in the order of the cases");
        row
    }

    pub fn label(self) -> &'static str {
        self.row().label
    }

    pub fn remedy(self) -> &'static str {
        self.row().remedy
    }

    pub fn verdict(self) -> Verdict {
        self.row().verdict
    }
}

/// What stands where the valid records end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Zeros,
    EndOfFile,
    /// An intact record of an earlier epoch than its predecessor, or, from the mark's cut on, than
    /// the mark.
    StaleEpoch,
    Garbage,
    /// The mark says that the log ends here at the latest, whatever stands here.
    Cut,
}

/// The end of the valid records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub found: Found,
    /// It lies before the durable mark.
    pub before_mark: bool,
    /// A record further on was appended when this place was on stable storage. Never if the mark
    /// makes no claims: then that may have been true of other copies only.
    pub proven: bool,
    /// It is where a clean mark says that the log ends.
    pub clean: bool,
}

/// `None` matches anything; the first row that matches decides.
struct EndingRow {
    before_mark: Option<bool>,
    proven: Option<bool>,
    clean: Option<bool>,
    found: Option<Found>,
    case: Case,
}

const fn ending(
    before_mark: Option<bool>,
    proven: Option<bool>,
    clean: Option<bool>,
    found: Option<Found>,
    case: Case,
) -> EndingRow {
    EndingRow { before_mark, proven, clean, found, case }
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);
const ANY: Option<bool> = None;

const ENDINGS: [EndingRow; 9] = [
    //     before mark, proven, clean, found
    ending(YES, ANY, ANY, Some(Found::EndOfFile), Case::ShortSegment),
    ending(YES, ANY, ANY, None, Case::DamageBeforeMark),
    ending(NO, YES, ANY, None, Case::DamageBeforeLaterRecord),
    ending(NO, NO, ANY, Some(Found::Cut), Case::CutHere),
    ending(NO, NO, YES, None, Case::Clean),
    ending(NO, NO, NO, Some(Found::Zeros), Case::ZerosAtTail),
    ending(NO, NO, NO, Some(Found::EndOfFile), Case::ZerosAtTail),
    ending(NO, NO, NO, Some(Found::StaleEpoch), Case::StaleEpochAtTail),
    ending(NO, NO, NO, Some(Found::Garbage), Case::TornTailBehindMark),
];

impl Ending {
    pub fn case(&self) -> Case {
        let matches = |row: &&EndingRow| {
            row.before_mark.is_none_or(|value| value == self.before_mark)
                && row.proven.is_none_or(|value| value == self.proven)
                && row.clean.is_none_or(|value| value == self.clean)
                && row.found.is_none_or(|value| value == self.found)
        };
        ENDINGS.iter().find(matches).expect("the table is complete").case
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_complete_and_in_order() {
        for (at, row) in CASES.iter().enumerate() {
            assert_eq!(row.case as usize, at);
            assert_eq!(row.remedy.is_empty(), row.verdict == Verdict::Opens);
        }
        let all = [Found::Zeros, Found::EndOfFile, Found::StaleEpoch, Found::Garbage, Found::Cut];
        for bits in 0..8 {
            let (before_mark, proven, clean) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            for found in all {
                let case = Ending { found, before_mark, proven, clean }.case();
                let refused = case.verdict() == Verdict::Refused;
                assert_eq!(refused, before_mark || proven);
            }
        }
    }
}
