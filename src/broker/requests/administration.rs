//! Administration in the log: who asked for what, and what came of it.

use std::net::SocketAddr;

use ringmq_remoting::command::Header;
use ringmq_rules::Refusal;

use super::table::{Access, Row};

/// Bytes of a body that are logged where no field names what the request is about.
const BODY_BYTES_MAX: usize = 256;
/// Fields that say what a request is about.
const SUBJECTS: &[&str] = &["topic", "groupName", "group", "accessKey"];

/// Notes a request that changes state and was handled, or refused; others are none of the log's.
pub fn note(
    row: &Row,
    peer: SocketAddr,
    header: &Header<'_>,
    body: &[u8],
    refusal: Option<&Refusal>,
) {
    if !matches!(row.access, Access::Admin | Access::Manage) {
        return;
    }
    let named = SUBJECTS.iter().find_map(|name| header.fields.get(name));
    let start = body.get(..BODY_BYTES_MAX).unwrap_or(body);
    let subject = named.map_or_else(|| String::from_utf8_lossy(start), Into::into);
    match refusal {
        None => tracing::info!(%peer, request = row.name, %subject, "administration done"),
        Some(refusal) => tracing::info!(
            %peer, request = row.name, %subject, code = refusal.code, why = %refusal.remark,
            "administration refused"
        ),
    }
}
