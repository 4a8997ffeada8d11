//! Requests as they come over HTTP/1: what is asked for, and what is answered to those that are
//! broken. Pure.

/// Longest request without a body, in bytes; Prometheus sends some 300.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Metrics,
    /// Whether the process is well.
    Health,
    /// Whether clients are served.
    Readiness,
}

/// A request that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub page: Page,
    /// Only the head of the answer is wanted.
    pub head_only: bool,
    /// The connection is used again.
    pub keeps: bool,
    /// HTTP/1.1: a body may come in chunks.
    pub is_new: bool,
    /// Of the request.
    pub bytes: usize,
}

/// Why a request is not answered; the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    pub status: &'static str,
    pub why: &'static str,
}

const BAD: &str = "400 Bad Request";

/// Reads the first request of what has come; `None` if that is a part of it only.
///
/// # Errors
/// If it is none, or one that nobody here answers.
pub fn parse(bytes: &[u8]) -> Result<Option<Asked>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            let status = "431 Request Header Fields Too Large";
            return Err(Broken { status, why: "a request has at most 8 KiB and 64 headers\n" });
        }
        Err(httparse::Error::Version) => {
            let status = "505 HTTP Version Not Supported";
            return Err(Broken { status, why: "ask by HTTP/1.1\n" });
        }
        Err(_) => return Err(Broken { status: BAD, why: "this is no HTTP request\n" }),
    };
    let is_new = request.version == Some(1);
    let mut keeps = is_new;
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let has_body = is("content-length") && header.value != b"0";
        if has_body || is("transfer-encoding") {
            return Err(Broken { status: BAD, why: "a request has no body here\n" });
        }
        if is("connection") {
            let value = header.value.to_ascii_lowercase();
            keeps = match value.as_slice() {
                b"close" => false,
                b"keep-alive" => true,
                _ => keeps,
            };
        }
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => {
            let status = "405 Method Not Allowed";
            return Err(Broken { status, why: "GET and HEAD are answered\n" });
        }
    };
    let path = request.path.unwrap_or_default();
    let page = match path.split(['?', '#']).next().unwrap_or_default() {
        "/metrics" => Page::Metrics,
        "/healthz" => Page::Health,
        "/readyz" => Page::Readiness,
        _ => {
            let why = "there are /metrics, /healthz and /readyz\n";
            return Err(Broken { status: "404 Not Found", why });
        }
    };
    Ok(Some(Asked { page, head_only, keeps, is_new, bytes: length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> &'static str {
        parse(request.as_bytes()).expect_err("broken").status
    }

    #[test]
    fn a_request_is_read_when_all_of_it_is_there() {
        let request = b"GET /metrics?name=x HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz";
        let end = request.len() - "GET /healthz".len();
        for length in 0..end {
            assert_eq!(parse(&request[..length]), Ok(None), "{length}");
        }
        let asked = parse(request).expect("sound").expect("complete");
        let wanted =
            Asked { page: Page::Metrics, head_only: false, keeps: true, is_new: true, bytes: end };
        assert_eq!(asked, wanted);
        let old = parse(b"HEAD /readyz HTTP/1.0\r\n\r\n").expect("sound").expect("complete");
        assert!(old.head_only && !old.keeps && !old.is_new && old.page == Page::Readiness);
        let close = b"GET /healthz HTTP/1.1\r\nConnection: Close\r\n\r\n";
        assert!(!parse(close).expect("sound").expect("complete").keeps);
    }

    #[test]
    fn broken_requests_are_named() {
        assert_eq!(status("\x16\x03\x01\x02 hello"), BAD);
        assert_eq!(status("GET /metrics\r\n\r\n"), BAD);
        assert_eq!(status("GET /metrics HTTP/2.0\r\n\r\n"), "505 HTTP Version Not Supported");
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(status("GET /metrics/../x HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        let body = "GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(status(body), BAD);
        let chunked = "GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status(chunked), BAD);
        let large = "431 Request Header Fields Too Large";
        assert_eq!(status(&format!("GET /{} ", "a".repeat(REQUEST_BYTES_MAX))), large);
        let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
        assert_eq!(status(&format!("GET /metrics HTTP/1.1\r\n{many}\r\n")), large);
    }
}
