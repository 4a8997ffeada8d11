//! From a command line to an exit code.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, FromArgMatches};
use ringmq_client::CallError;

use crate::output::Page;
use crate::session::{Common, Session, pause};
use crate::table::{COMMANDS, Command, find};

/// Exit codes beside 0, which says that it worked.
const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const UNREACHABLE: u8 = 4;
const PARTLY: u8 = 5;

const ABOUT: &str = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not found, \
    4 no answer, 5 done on some servers only";

/// A command of `ringmq admin` as it was typed.
#[derive(Clone, Debug)]
pub struct Admin {
    name: Option<String>,
    matches: ArgMatches,
}

impl clap::Args for Admin {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
            .subcommands(COMMANDS.iter().map(Command::clap))
            .subcommand_value_name("COMMAND")
            .after_help(ABOUT)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Admin::augment_args(command)
    }
}

impl FromArgMatches for Admin {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Admin, clap::Error> {
        let (name, matches) = match matches.subcommand() {
            Some((name, matches)) => (Some(name.to_owned()), matches.clone()),
            None => (None, matches.clone()),
        };
        Ok(Admin { name, matches })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Admin::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Admin {
    /// Runs the command and tells by its exit code what happened.
    ///
    /// # Errors
    /// If standard output takes nothing.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let Some(row) = self.name.as_deref().and_then(find) else {
            let mut help = clap::Command::new("ringmq admin").subcommand_value_name("COMMAND");
            help = <Admin as clap::Args>::augment_args(help);
            help.print_help()?;
            return Ok(ExitCode::SUCCESS);
        };
        match self.execute(row) {
            Ok(code) => Ok(ExitCode::from(code)),
            Err(error) if is_end_of_reader(&error) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                say(row, &error);
                Ok(ExitCode::from(code_of(&error)))
            }
        }
    }

    fn execute(&self, row: &Command) -> anyhow::Result<u8> {
        let common = Common::from_arg_matches(&self.matches)?;
        ensure!(
            common.watch.is_none() || row.can_be_watched(),
            "--watch is for commands that only ask: {} changes something or goes on by itself",
            row.name
        );
        let mut session = Session::open(&common)?;
        let seconds = common.watch.or_else(|| interval(&self.matches));
        let Some(seconds) = seconds.filter(|_| row.can_be_watched()) else {
            let page = (row.run)(&self.matches, &mut session)?;
            return Ok(show(row, &session, &page)?);
        };
        loop {
            let page = (row.run)(&self.matches, &mut session);
            session.printer.clear()?;
            match page {
                Ok(page) => drop(show(row, &session, &page)?),
                // it may be back the next time
                Err(error) => say(row, &error),
            }
            pause(Duration::from_secs(seconds));
        }
    }
}

/// What some of RocketMQ's commands call `--watch`.
fn interval(matches: &ArgMatches) -> Option<u64> {
    matches.try_get_one::<u64>("interval").ok().flatten().copied()
}

fn show(row: &Command, session: &Session, page: &Page) -> std::io::Result<u8> {
    if !page.is_empty() || !(session.printer.is_for_people() || row.streams()) {
        session.printer.page(page)?;
    }
    for problem in &page.problems {
        say(row, problem);
    }
    Ok(match page.problems.first() {
        None => 0,
        Some(_) if !page.is_empty() => PARTLY,
        Some(problem) => code_of(problem),
    })
}

fn say(row: &Command, error: &anyhow::Error) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "ringmq admin {}: {error:#}", row.name);
}

fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<CallError>() {
        Some(CallError::Unreachable { .. }) => UNREACHABLE,
        Some(other) if other.is_not_found() => NOT_FOUND,
        Some(_) => REFUSED,
        None if error.is::<clap::Error>() => USAGE,
        None => REFUSED,
    }
}

/// `ringmq admin printMsg ... | head` ends well.
fn is_end_of_reader(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The command line with the name of an administration command as the table has it: mqadmin takes
/// it in any case.
pub fn canonical(mut line: Vec<OsString>) -> Vec<OsString> {
    if line.get(1).is_none_or(|word| word != "admin") {
        return line;
    }
    let mut words = line.iter_mut().skip(2);
    for word in words.by_ref().take(2) {
        if let Some(row) = word.to_str().and_then(find) {
            *word = row.name.into();
            if LETTERS.iter().any(|(name, ..)| *name == row.name) {
                words.for_each(lengthen);
            }
            break;
        }
        if word != "help" {
            break;
        }
    }
    line
}

/// What mqadmin writes with one dash although it is more than a letter.
const LETTERS: &[(&str, &str, &str)] = &[
    ("updateStaticTopic", "-qn", "--totalQueueNum"),
    ("updateStaticTopic", "-mf", "--mapFile"),
    ("updateStaticTopic", "-fr", "--forceReplace"),
    ("remappingStaticTopic", "-mf", "--mapFile"),
    ("remappingStaticTopic", "-fr", "--forceReplace"),
    ("checkRocksdbCqWriteProgress", "-cf", "--checkFrom"),
];

fn lengthen(word: &mut OsString) {
    if let Some((_, _, long)) = LETTERS.iter().find(|(_, letters, _)| word == letters) {
        *word = long.into();
    }
}

/// What clap says of a wrong command line, in one sentence.
pub fn sentence(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let mut sentence = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("there is no command {name}")
        }
        ErrorKind::UnknownArgument => format!("there is no option {argument}"),
        ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
        ErrorKind::InvalidValue
            if text(ContextKind::InvalidValue).is_some_and(|v| !v.is_empty()) =>
        {
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            let valid = text(ContextKind::ValidValue).unwrap_or_default();
            format!("{argument} is {valid}, not {value}")
        }
        _ => {
            let all = error.to_string();
            let first = all.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    };
    let guess =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    // the last one is the most similar
    let last = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        _ => None,
    };
    if let Some(guess) = guess.into_iter().find_map(last) {
        sentence += &format!("; did you mean {guess}?");
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<ArgMatches, String> {
        let command = clap::Command::new("ringmq")
            .subcommand(<Admin as clap::Args>::augment_args(clap::Command::new("admin")));
        let line = canonical(line.split_whitespace().map(OsString::from).collect());
        command.try_get_matches_from(line).map_err(|error| sentence(&error))
    }

    #[test]
    fn a_wrong_line_gets_one_sentence() {
        for (line, expected) in [
            ("ringmq admin topicLst", "there is no command topicLst; did you mean topicList"),
            (
                "ringmq admin topicStatus --topc T",
                "there is no option --topc; did you mean --topic?",
            ),
            ("ringmq admin topicStatus", "--topic <TOPIC> is missing"),
            ("ringmq admin topicList -o xml", "is table, wide, json, yaml, csv, not xml"),
        ] {
            let found = parsed(line).expect_err(line);
            assert!(found.contains(expected) && !found.contains('\n'), "{line}: {found}");
        }
    }

    #[test]
    fn names_count_in_any_case_and_long_options_when_begun() {
        assert!(parsed("ringmq admin TOPICSTATUS --top T").is_ok());
        assert!(parsed("ringmq admin updatetopic -t T -b a:1 -o true --output json").is_ok());
    }

    #[test]
    fn the_exit_code_says_what_happened() {
        let refused = |code| CallError::Refused { address: "a".into(), code, remark: "r".into() };
        assert_eq!(code_of(&refused(17).into()), NOT_FOUND);
        assert_eq!(code_of(&refused(1).into()), REFUSED);
        let gone = CallError::Unreachable { address: "a".into(), what: "w".into() };
        assert_eq!(code_of(&anyhow::Error::from(gone).context("why")), UNREACHABLE);
        assert_eq!(code_of(&anyhow::anyhow!("other")), REFUSED);
    }
}
