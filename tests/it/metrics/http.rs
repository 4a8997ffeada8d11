//! As little HTTP as the tests need.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::page::Page;

const PATIENCE: Duration = Duration::from_secs(30);

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("metrics are served");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// Everything that is answered to these bytes until the connection ends.
pub fn exchange(port: u16, request: &[u8]) -> String {
    let mut stream = connect(port);
    stream.write_all(request).expect("sent");
    let mut answer = Vec::new();
    // A connection that is closed with something unread is reset.
    let mut piece = [0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(answer).expect("text")
}

/// Status and body of a page.
pub fn get(port: u16, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n");
    let answer = exchange(port, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = if head.contains("chunked") { joined(body) } else { body.to_owned() };
    (status.expect("a status"), body)
}

fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n").expect("a length");
        let length = usize::from_str_radix(length, 16).expect("hexadecimal");
        if length == 0 {
            return body;
        }
        body.push_str(&rest[..length]);
        chunks = rest[length..].strip_prefix("\r\n").expect("the end of a chunk");
    }
}

pub fn scrape(port: u16) -> Page {
    let (status, text) = get(port, "/metrics");
    assert_eq!(status, 200, "{text}");
    Page::parse(&text)
}
