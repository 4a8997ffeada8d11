//! Accounts (`aclEnable`): UPDATE_AND_CREATE_ACL_CONFIG (50), DELETE_ACL_CONFIG (51),
//! GET_BROKER_CLUSTER_ACL_INFO (52), UPDATE_GLOBAL_WHITE_ADDRS_CONFIG (53). Handled by the control
//! shard; the files are read and written by a thread of their own.

use std::{collections::BTreeMap, rc::Rc};

use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::response,
    fastjson,
    headers::admin::{
        CreateAccessConfigRequestHeader, DeleteAccessConfigRequestHeader,
        UpdateGlobalWhiteAddrsConfigRequestHeader,
    },
};
use ringmq_rules::{acl::accounts::PlainAccessConfig, refusal::Refusal};

use super::body::version;
use crate::{
    control::Control,
    messages::AccessChange,
    requests::{Field, Handled, Request, Response},
};

/// Answered when the file is on stable storage and all shards check by it.
pub async fn update<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = CreateAccessConfigRequestHeader::decode(&request.header.fields)?;
    let key = header.access_key.clone();
    let config = PlainAccessConfig {
        access_key: header.access_key,
        secret_key: header.secret_key.unwrap_or_default(),
        white_remote_address: header.white_remote_address,
        admin: header.admin,
        default_topic_perm: header.default_topic_perm,
        default_group_perm: header.default_group_perm,
        topic_perms: header.topic_perms.as_deref().map(list),
        group_perms: header.group_perms.as_deref().map(list),
    };
    let changed = control.change_access(AccessChange::Account(Box::new(config))).await;
    let failed =
        format!("The accesskey[{key}] corresponding to accessConfig has been updated failed.");
    answer(changed, response::UPDATE_AND_CREATE_ACL_CONFIG_FAILED, failed)
}

pub async fn delete<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = DeleteAccessConfigRequestHeader::decode(&request.header.fields)?;
    let key = header.access_key.clone();
    let change = AccessChange::Removal { access_key: header.access_key };
    let changed = control.change_access(change).await;
    let failed =
        format!("The accesskey[{key}] corresponding to accessConfig has been deleted failed.");
    answer(changed, response::DELETE_ACL_CONFIG_FAILED, failed)
}

pub async fn update_white_addresses<R: Runtime>(
    control: &Rc<Control<R>>,
    request: &Request<'_>,
) -> Handled {
    let header = UpdateGlobalWhiteAddrsConfigRequestHeader::decode(&request.header.fields)?;
    let addresses = list(&header.global_white_addrs);
    let file = header.acl_file_full_path.filter(|path| !path.is_empty());
    let changed = control.change_access(AccessChange::WhiteAddresses { addresses, file }).await;
    let failed =
        format!("The globalWhiteAddresses[{}] has been updated failed.", header.global_white_addrs);
    answer(changed, response::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG_FAILED, failed)
}

/// The versions of the files, by which tools see whether brokers have the same.
pub async fn versions<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let view = shard.view.borrow();
    let rules = view.access.as_ref().ok_or_else(|| Refusal::system_error(NO_ACL))?;
    let all: BTreeMap<&str, _> =
        rules.versions.iter().map(|(path, own)| (&**path, version(*own))).collect();
    let own = shard.settings.config.acl_file.display().to_string();
    let first = rules.versions.iter().find(|(path, _)| **path == *own);
    let first = version(first.map(|(_, own)| *own).unwrap_or_default());
    let text = |json: Vec<u8>| Field::Text(String::from_utf8(json).unwrap_or_default());
    let config = &shard.settings.config;
    Ok(Response {
        fields: vec![
            ("version", text(fastjson::to_vec(&first))),
            ("allAclFileVersion", text(fastjson::to_vec(&all))),
            ("brokerName", Field::Text(config.broker_name.clone())),
            ("brokerAddr", Field::Text(shard.settings.advertised.clone())),
            ("clusterName", Field::Text(config.broker_cluster_name.clone())),
        ],
        ..Response::default()
    })
}

const NO_ACL: &str = "there are no accounts: set aclEnable=true in the broker's configuration";

/// `failed`: what Java says if there is nothing to change.
fn answer(changed: Option<Result<bool, String>>, code: i32, failed: String) -> Handled {
    match changed {
        Some(Ok(true)) => Ok(Response::ok()),
        Some(Ok(false)) => Err(Refusal::new(code, failed)),
        Some(Err(why)) => Err(Refusal::new(code, why)),
        None => Err(Refusal::new(code, NO_ACL)),
    }
}

/// As Java splits a list.
fn list(text: &str) -> Vec<String> {
    let mut items: Vec<String> = text.split(',').map(str::to_owned).collect();
    while items.len() > 1 && items.last().is_some_and(String::is_empty) {
        items.pop();
    }
    items
}
