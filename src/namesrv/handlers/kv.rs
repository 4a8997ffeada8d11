//! The KV configuration.

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
        let (namespace, key) = (request.required("namespace")?, request.required("key")?);
        let value = request.field("value").unwrap_or_default();
        self.kv.put(namespace, key, value).await.map_err(refuse)?;
        Ok(Answer::success())
    }

    pub(super) async fn delete_kv(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (namespace, key) = (request.required("namespace")?, request.required("key")?);
        self.kv.delete(namespace, key).await.map_err(refuse)?;
        Ok(Answer::success())
    }

    pub(super) fn get_kv(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (namespace, key) = (request.required("namespace")?, request.required("key")?);
        match self.kv.table().get(namespace, key) {
            Some(value) => Ok(Answer::success().with_field("value", value)),
            None => Err(Answer::refuse(
                response::QUERY_NOT_FOUND,
                format!("No config item, Namespace: {namespace} Key: {key}"),
            )),
        }
    }

    pub(super) fn list_kv(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let namespace = request.required("namespace")?;
        match self.kv.table().namespace(namespace) {
            Some(entries) => Ok(Answer::body(json::kv_table(entries))),
            None => Err(Answer::refuse(
                response::QUERY_NOT_FOUND,
                format!("No config item, Namespace: {namespace}"),
            )),
        }
    }
}

fn refuse(error: KvError) -> Answer {
    if matches!(error, KvError::NotStored { .. }) {
        tracing::error!("{error}");
    }
    Answer::refuse(response::SYSTEM_ERROR, error.to_string())
}
