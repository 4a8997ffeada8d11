//! `ringmq health`: one question to a server of this machine, for containers, whose images have no
//! other client, and for scripts.

use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use ringmq_remoting::{
    codes::{request, response},
    command::Header,
    encode,
    frame::{Frame, FrameBuffer, Serialization},
};

#[derive(clap::Args)]
pub struct Options {
    /// Where the broker serves metrics (metricsExporterType = PROM), host:port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5557")]
    metrics: String,
    /// Asks whether clients are served, not only whether the process is well.
    #[arg(long)]
    ready: bool,
    /// Asks a name server instead, host:port.
    #[arg(long, value_name = "ADDRESS")]
    namesrv: Option<String>,
    /// How long the answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 7)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Ends with 0 if the server is well; else with 1 and why not.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let timeout = Duration::from_secs(options.timeout);
    if let Some(address) = &options.namesrv {
        let code = ask_name_server(address, timeout)
            .with_context(|| format!("the name server {address} does not answer"))?;
        ensure!(code == response::SUCCESS, "the name server {address} answers with code {code}");
        return Ok(ExitCode::SUCCESS);
    }
    let path = if options.ready { "/readyz" } else { "/healthz" };
    let answer = get(&options.metrics, path, timeout).with_context(|| {
        format!("http://{}{path} (metricsExporterType = PROM serves it)", options.metrics)
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
    ensure!(status == "200", "http://{}{path} answers {status}: {}", options.metrics, body.trim());
    Ok(ExitCode::SUCCESS)
}

fn get(address: &str, path: &str, timeout: Duration) -> anyhow::Result<String> {
    let mut stream = connect(address, timeout)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The code of its answer to a question that costs little.
fn ask_name_server(address: &str, timeout: Duration) -> anyhow::Result<i32> {
    let mut stream = connect(address, timeout)?;
    let mut question = Vec::new();
    let (form, code) = (Serialization::Json, request::GET_BROKER_CLUSTER_INFO);
    encode::request(&mut question, form, code, 1, false, &[], &[])?;
    stream.write_all(&question)?;
    let mut input = FrameBuffer::default();
    loop {
        if let Some(bytes) = input.first()? {
            return Ok(Header::decode(&Frame::parse(bytes)?)?.code);
        }
        let count = stream.read(input.space())?;
        ensure!(count > 0, "it has closed the connection");
        input.filled(count);
    }
}

fn connect(address: &str, timeout: Duration) -> anyhow::Result<TcpStream> {
    let mut failed = anyhow!("{address} stands for no address");
    for place in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&place, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}
