//! Whether producers are told of a broker.

use ringmq_client::Client;

use crate::output::Page;

/// Has all name servers change that by a request, and says how many topics that was for, which
/// is in a field of the answer.
pub fn change(
    client: &mut Client,
    broker: &str,
    (verb, code, field): (&str, i32, &str),
) -> anyhow::Result<Page> {
    let mut all = Page::default();
    for server in client.name_servers_or_fail()? {
        let answer = client.ask(&server, code, &[("brokerName", broker)], &[]);
        all.add(answer.map(|answer| {
            let count = answer.number(field).unwrap_or(0);
            let mut page = Page::default();
            let text = format!(
                "{verb} write perm of broker[{broker}] in name server[{server}] OK, {count}"
            );
            page.done(
                text,
                [
                    ("broker", broker.into()),
                    ("nameServer", server.into()),
                    ("topics", count.into()),
                ],
            );
            page
        }));
    }
    Ok(all)
}
