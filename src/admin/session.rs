//! What a command works with.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgMatches, Args, FromArgMatches};
use ringmq_client::{Account, Client, TlsOptions};

use crate::output::{Cell, Format, Page, Printer, Table};

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of all commands")]
pub struct Common {
    /// Name servers, host:port, several separated by ;.
    #[arg(
        short = 'n',
        long = "namesrvAddr",
        alias = "nameserverAddr",
        value_name = "ADDRESSES",
        env = "NAMESRV_ADDR"
    )]
    pub namesrv: Option<String>,
    /// How the answer is shown.
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
    /// Asks again every so many seconds, until it is interrupted.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// How many seconds a server may take to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub timeout: u64,
    /// Account to sign requests by, if brokers check accounts; else that in conf/tools.yml of
    /// ROCKETMQ_HOME.
    #[arg(long, value_name = "KEY", requires = "secret_key")]
    pub access_key: Option<String>,
    /// Its secret. Others on this machine can see it: prefer --account.
    #[arg(long, value_name = "KEY", requires = "access_key")]
    pub secret_key: Option<String>,
    /// A file like conf/tools.yml with accessKey and secretKey.
    #[arg(long, value_name = "FILE", conflicts_with = "access_key")]
    pub account: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsOptions,
}

impl Common {
    fn account(&self) -> anyhow::Result<Option<Account>> {
        if let (Some(access_key), Some(secret_key)) = (&self.access_key, &self.secret_key) {
            return Ok(Some(Account::new(access_key, secret_key)));
        }
        if let Some(file) = &self.account {
            return Account::read(file);
        }
        let home = std::env::var_os("ROCKETMQ_HOME").map(PathBuf::from);
        let file = home.map(|home| home.join("conf/tools.yml")).filter(|file| file.exists());
        file.map_or(Ok(None), |file| Account::read(&file))
    }
}

/// A client, and where answers go.
pub struct Session {
    pub client: Client,
    pub printer: Printer,
}

impl Session {
    pub fn open(common: &Common) -> anyhow::Result<Session> {
        let name_servers = common.namesrv.as_deref().unwrap_or_default();
        let timeout = Duration::from_secs(common.timeout);
        let client = Client::new(name_servers, common.tls.connector()?, timeout);
        let client = client.signing(common.account()?);
        Ok(Session { client, printer: Printer::new(common.output) })
    }

    /// Shows a line that only people read.
    pub fn say(&self, line: &str) -> anyhow::Result<()> {
        Ok(self.printer.line(line)?)
    }

    /// Shows one row of an answer that goes on.
    pub fn show(&mut self, table: &Table, text: &str, row: &[Cell]) -> anyhow::Result<()> {
        Ok(self.printer.row(table, text, row)?)
    }
}

/// A command: its options, which clap fills in.
pub trait Run: Args + FromArgMatches {
    /// What people type behind the command's name, with a remark behind `#`.
    const EXAMPLES: &'static [&'static str];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page>;
}

/// Runs a command that was parsed as `matches`.
pub fn run<O: Run>(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<Page> {
    O::from_arg_matches(matches)?.run(session)
}

/// Sleeps; nothing wakes it.
pub fn pause(time: Duration) {
    let deadline = Instant::now() + time;
    while let Some(rest) = deadline.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(rest);
    }
}
