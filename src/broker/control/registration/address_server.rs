//! The address server: tells by HTTP which name servers there are, as RocketMQ's brokers and
//! clients ask one. Source: `TopAddressing`, `MixAll.getWSAddr`.

use std::{fmt, time::Duration};

use futures_lite::future::or;
use ringmq_base::config::{AddressList, Value as _};
use ringmq_io::{Net, Runtime, Stream as _};

use super::name_servers::NAME_SERVERS_MAX;

/// How long look-up, question and answer may take. Source: `fetchNSAddr`.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// Longest answer, head and all, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 64;
/// The port unless the domain has one.
const PORT: u16 = 8080;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressServer {
    /// As it stands in the URL.
    domain: String,
    path: String,
}

impl fmt::Display for AddressServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl AddressServer {
    pub fn new(domain: &str, group: &str) -> AddressServer {
        AddressServer { domain: domain.to_owned(), path: format!("/rocketmq/{group}") }
    }

    fn authority(&self) -> String {
        match self.domain.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => self.domain.clone(),
            _ => format!("{}:{PORT}", self.domain),
        }
    }

    /// The name servers that it tells, `host:port` each, at least one.
    ///
    /// # Errors
    /// Why there are none: part of a sentence.
    pub async fn ask<R: Runtime>(&self, runtime: &R) -> Result<Vec<String>, String> {
        let late = async {
            runtime.sleep(ANSWER_TIME).await;
            Err(format!("it did not answer within {ANSWER_TIME:?}"))
        };
        let body = or(self.get(runtime), late).await?;
        names(&String::from_utf8_lossy(&body))
    }

    async fn get<R: Runtime>(&self, runtime: &R) -> Result<Vec<u8>, String> {
        let net = runtime.net();
        let (authority, text) = (self.authority(), |error: std::io::Error| error.to_string());
        let mut failed = "it has no address".to_owned();
        let mut connected = None;
        for address in net.look_up(&authority).await.map_err(text)? {
            match net.connect(address).await {
                Ok(stream) => {
                    connected = Some(stream);
                    break;
                }
                Err(error) => failed = format!("{address}: {error}"),
            }
        }
        let stream = connected.ok_or(failed)?;
        let request =
            format!("GET {} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n", self.path);
        let mut rest = request.as_bytes();
        while !rest.is_empty() {
            let count = stream.write(rest).await.map_err(text)?;
            rest = rest.get(count..).unwrap_or_default();
        }
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut piece).await.map_err(text)?;
            answer.extend_from_slice(piece.get(..count).unwrap_or_default());
            if let Some(body) = body_of(&answer, count == 0)? {
                return Ok(body);
            }
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
            }
        }
    }
}

/// The name servers of a body: those of its first line.
fn names(body: &str) -> Result<Vec<String>, String> {
    let line = body.trim().lines().next().unwrap_or_default();
    let list = AddressList::parse(line).map_err(|problem| format!("its answer {problem}"))?;
    match list.0.len() {
        0 => Err("its answer is empty".to_owned()),
        1..=NAME_SERVERS_MAX => Ok(list.0),
        count => Err(format!("it names {count}; at most {NAME_SERVERS_MAX} are taken")),
    }
}

/// The body of an answer, `None` if more of it is to come; `ended`: nothing does.
fn body_of(answer: &[u8], ended: bool) -> Result<Option<Vec<u8>>, String> {
    let part = || if ended { Err("it ended the connection".to_owned()) } else { Ok(None) };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer).map_err(|error| format!("it speaks no HTTP: {error}"))?;
    let httparse::Status::Complete(length) = parsed else {
        return part();
    };
    let code = response.code.unwrap_or_default();
    if code != 200 {
        return Err(format!("it answers {code} {}", response.reason.unwrap_or_default()));
    }
    let body = answer.get(length..).unwrap_or_default();
    let value = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if value("transfer-encoding").is_some_and(|kind| kind.eq_ignore_ascii_case("chunked")) {
        return joined(body)?.map_or_else(part, |body| Ok(Some(body)));
    }
    match value("content-length") {
        Some(length) => {
            let length: usize =
                length.trim().parse().map_err(|_| format!("its length is {length:?}"))?;
            body.get(..length).map_or_else(part, |body| Ok(Some(body.to_vec())))
        }
        None => Ok(ended.then(|| body.to_vec())),
    }
}

/// What chunks have in them, `None` without the last one.
fn joined(mut chunks: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let parsed = httparse::parse_chunk_size(chunks);
        let parsed = parsed.map_err(|_| "its answer has a chunk without a length".to_owned())?;
        let httparse::Status::Complete((begin, length)) = parsed else {
            return Ok(None);
        };
        if length == 0 {
            return Ok(Some(body));
        }
        let end = usize::try_from(length).ok().and_then(|length| begin.checked_add(length));
        let Some(chunk) = end.and_then(|end| chunks.get(begin..end)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        let rest = end.and_then(|end| chunks.get(end..)).unwrap_or_default();
        match rest.strip_prefix(b"\r\n") {
            Some(rest) => chunks = rest,
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_rocketmq() {
        let shown = |domain: &str| AddressServer::new(domain, "nsaddr").to_string();
        assert_eq!(shown("jmenv.tbsite.net"), "http://jmenv.tbsite.net:8080/rocketmq/nsaddr");
        assert_eq!(shown("10.0.0.1:80"), "http://10.0.0.1:80/rocketmq/nsaddr");
        assert_eq!(shown("[::1]"), "http://[::1]:8080/rocketmq/nsaddr");
        assert_eq!(shown("[::1]:80"), "http://[::1]:80/rocketmq/nsaddr");
    }

    #[test]
    fn answers_may_come_in_any_pieces_and_in_all_forms() {
        let chunks = "3\r\na:1\r\n1\r\n\n\r\n0\r\n\r\n";
        let chunked = format!("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let forms = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na:1\n", true),
            (&*chunked, true),
            ("HTTP/1.0 200 OK\r\n\r\na:1\n", false),
        ];
        for (form, has_end) in forms {
            let bytes = form.as_bytes();
            for length in 0..bytes.len() {
                let found = body_of(&bytes[..length], false).expect("sound so far");
                // The empty line after the last chunk need not be waited for.
                assert!(found.is_none() || form[length..].trim().is_empty(), "{form:?} {length}");
            }
            assert_eq!(body_of(bytes, false).expect("sound").is_some(), has_end);
            assert_eq!(body_of(bytes, true).expect("sound").expect("whole"), b"a:1\n");
        }
    }

    #[test]
    fn what_is_no_list_of_name_servers_says_why() {
        let refused = |answer: &str| body_of(answer.as_bytes(), true).expect_err("refused");
        assert_eq!(refused("HTTP/1.1 404 Not Found\r\n\r\n"), "it answers 404 Not Found");
        assert_eq!(refused("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), "it answers 302 Found");
        assert!(refused("SSH-2.0-x\r\n").starts_with("it speaks no HTTP"));
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na:1";
        assert_eq!(refused(short), "it ended the connection");
        assert!(refused("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").contains("length"));
        let odd = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n";
        assert!(refused(odd).contains("chunk"));
        assert_eq!(names(" a:1;b:2\r\nmore").expect("two"), ["a:1", "b:2"]);
        assert_eq!(names("\r\n").expect_err("none"), "its answer is empty");
        let html = names("<html></html>").expect_err("no list");
        assert!(html.contains("<html>") && html.contains("write host:port"), "{html}");
        let many = names(&"a:1;".repeat(33)).expect_err("too many");
        assert_eq!(many, "it names 33; at most 32 are taken");
    }
}
