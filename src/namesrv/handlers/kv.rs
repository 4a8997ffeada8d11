//! The KV configuration. A name that is missing is answered as one that is not known, as in Java.

use ringmq_io::Disk;
use ringmq_remoting::codes::response;

use super::NameServer;
use crate::{
    answer::{Answer, Request},
    json,
    kv::KvError,
};

impl<D: Disk> NameServer<D> {
    pub(super) async fn put_kv(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (Some(namespace), Some(key)) = (request.text("namespace"), request.text("key")) else {
            return Err(Answer::refuse(response::SYSTEM_ERROR, "namespace or key is null"));
        };
        self.kv.put(namespace, key, request.text("value")).await.map_err(refuse)?;
        Ok(Answer::success())
    }

    pub(super) async fn delete_kv(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        if let (Some(namespace), Some(key)) = (request.text("namespace"), request.text("key")) {
            self.kv.delete(namespace, key).await.map_err(refuse)?;
        }
        Ok(Answer::success())
    }

    pub(super) fn get_kv(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (namespace, key) = (request.text("namespace"), request.text("key"));
        let table = self.kv.table();
        match namespace.zip(key).and_then(|(namespace, key)| table.get(namespace, key)) {
            Some(value) => Ok(Answer::success().with_field("value", value)),
            None => Err(Answer::refuse(
                response::QUERY_NOT_FOUND,
                format!("No config item, Namespace: {} Key: {}", shown(namespace), shown(key)),
            )),
        }
    }

    pub(super) fn list_kv(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let namespace = request.text("namespace");
        let table = self.kv.table();
        match namespace.and_then(|namespace| table.namespace(namespace)) {
            Some(entries) => Ok(Answer::body(json::kv_table(entries))),
            None => Err(Answer::refuse(
                response::QUERY_NOT_FOUND,
                format!("No config item, Namespace: {}", shown(namespace)),
            )),
        }
    }
}

/// A missing name as remarks of Java show it.
fn shown(name: Option<&str>) -> &str {
    name.unwrap_or("null")
}

fn refuse(error: KvError) -> Answer {
    if matches!(error, KvError::NotStored { .. }) {
        tracing::error!("{error}");
    }
    Answer::refuse(response::SYSTEM_ERROR, error.to_string())
}
