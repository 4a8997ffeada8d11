//! `ringmq health`: one question to a server of this machine, for containers, whose images have no
//! other client, and for scripts.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use ringmq_benchmark::control::Control;
use ringmq_remoting::codes::{request, response};

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
    #[arg(long, value_name = "SECONDS", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Ends with 0 if the server is well; else with 1 and why not.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let timeout = Duration::from_secs(options.timeout);
    if let Some(address) = &options.namesrv {
        let mut control = Control::of(address, None, timeout);
        let answer = control.call(address, request::GET_BROKER_CLUSTER_INFO, &[])?;
        let (code, remark) = (answer.code, &answer.remark);
        ensure!(code == response::SUCCESS, "{address} answers with code {code} {remark}");
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
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let mut failed = anyhow!("{address} stands for no address");
    for place in addresses {
        let mut stream = match TcpStream::connect_timeout(&place, timeout) {
            Ok(stream) => stream,
            Err(error) => {
                failed = error.into();
                continue;
            }
        };
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        return Ok(String::from_utf8_lossy(&answer).into_owned());
    }
    Err(failed)
}
