//! The KV configuration. A name that is missing is answered as one that is not known, as in Java.

use ringmq_io::Disk;
use ringmq_remoting::codes::response;

use super::NameServer;
use crate::{
    answer::{Answer, Request},
    json,
    kv::{Change, KvError},
    work::{Work, in_pieces},
};

impl<D: Disk> NameServer<D> {
    pub(super) async fn put_kv(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let (Some(namespace), Some(key)) = (request.text("namespace"), request.text("key")) else {
            return Err(Answer::refuse(response::SYSTEM_ERROR, "namespace or key is null"));
        };
        let change = Change::put(namespace, key, request.text("value"));
        self.kv.change(&change, work).await.map_err(refuse)?;
        Ok(Answer::success())
    }

    pub(super) async fn delete_kv(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        if let (Some(namespace), Some(key)) = (request.text("namespace"), request.text("key")) {
            self.kv.change(&Change::delete(namespace, key), work).await.map_err(refuse)?;
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

    pub(super) async fn list_kv(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let namespace = request.text("namespace");
        let known = namespace.filter(|name| self.kv.table().namespace(name).is_some());
        let Some(namespace) = known else {
            return Err(Answer::refuse(
                response::QUERY_NOT_FOUND,
                format!("No config item, Namespace: {}", shown(namespace)),
            ));
        };
        let mut table = json::KvTableWriter::default();
        let body = in_pieces(work, |out| table.write(&self.kv.table(), namespace, out));
        Ok(Answer::body(body.await?))
    }
}

/// A missing name as remarks of Java show it.
fn shown(name: Option<&str>) -> &str {
    name.unwrap_or("null")
}

pub fn refuse(error: KvError) -> Answer {
    if matches!(error, KvError::NotStored { .. }) {
        tracing::error!("{error}");
    }
    Answer::refuse(response::SYSTEM_ERROR, error.to_string())
}
