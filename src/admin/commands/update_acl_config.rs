//! `updateAclConfig`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::changes::change;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The account.
    #[arg(short = 'a', long = "accessKey", value_name = "KEY", id = "acl_access_key")]
    access_key: String,
    /// Its secret, which a new account needs.
    #[arg(short = 's', long = "secretKey", value_name = "KEY", id = "acl_secret_key")]
    secret_key: Option<String>,
    /// Addresses from which it needs no signature.
    #[arg(short = 'w', long = "whiteRemoteAddress", value_name = "ADDRESSES")]
    white: Option<String>,
    /// What it may do with topics that are not named: DENY, PUB, SUB or PUB|SUB.
    #[arg(short = 'i', long = "defaultTopicPerm", value_name = "PERM")]
    default_topic: Option<String>,
    /// What it may do with groups that are not named: DENY or SUB.
    #[arg(short = 'u', long = "defaultGroupPerm", value_name = "PERM")]
    default_group: Option<String>,
    /// What it may do with topics: topicA=DENY,topicD=SUB.
    #[arg(short = 't', long = "topicPerms", value_name = "PERMS")]
    topics: Option<String>,
    /// What it may do with groups: groupA=DENY,groupD=SUB.
    #[arg(short = 'g', long = "groupPerms", value_name = "PERMS")]
    groups: Option<String>,
    /// Whether it may administer.
    #[arg(short = 'm', long = "admin", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    admin: bool,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -c DefaultCluster -a NAME -s SECRET -i DENY -t TopicTest=PUB|SUB",
        "-b 127.0.0.1:10911 -a NAME -g GROUP=SUB",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let admin = self.admin.to_string();
        let mut fields = vec![("accessKey", self.access_key.as_str()), ("admin", admin.as_str())];
        let given = [
            ("secretKey", &self.secret_key),
            ("whiteRemoteAddress", &self.white),
            ("defaultTopicPerm", &self.default_topic),
            ("defaultGroupPerm", &self.default_group),
            ("topicPerms", &self.topics),
            ("groupPerms", &self.groups),
        ];
        for (name, value) in given {
            fields.extend(value.as_deref().map(|value| (name, value)));
        }
        let masters = self.target.masters(client)?;
        let request = (request::UPDATE_AND_CREATE_ACL_CONFIG, (&fields[..], &[][..]));
        Ok(change(client, masters, request, |page, address| {
            let text = format!("create or update plain access config to {address} success.");
            page.done(
                text,
                [("broker", address.into()), ("accessKey", self.access_key.as_str().into())],
            );
        }))
    }
}
