//! What the broker tells monitoring by HTTP: metrics for Prometheus, and whether it is well. On the
//! control shard, in tasks of low priority; what is long is written down beside it.

mod broker;
mod clients;
mod families;
mod health;
mod http;
mod labels;
mod lag;
mod request;
mod scrape;
mod text;

use std::{cell::Cell, rc::Rc, sync::Arc};

use ringmq_io::{Runtime, Shares, SocketBuffers, Stream, listen_when_free};
use ringmq_net::{accept::accept_all, turn::Turn};

use self::{
    http::{Gone, Out, Site, Visitors},
    request::{Asked, Page},
    text::Style,
};
use crate::control::Control;

/// The text format that Prometheus reads.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is served.
pub struct Metrics<R: Runtime> {
    control: Rc<Control<R>>,
    style: Arc<Style>,
    /// Clients are served.
    is_ready: Cell<bool>,
    /// One answer is made at a time.
    turn: Turn,
    visitors: Rc<Visitors<R>>,
}

/// Serves metrics if the configuration asks for them; the error is a sentence for the operator.
pub async fn start<R: Runtime>(control: &Rc<Control<R>>) -> Result<Option<Rc<Metrics<R>>>, String> {
    let shard = &control.shard;
    let Some(settings) = &shard.settings.metrics else {
        return Ok(None);
    };
    let address = settings.address;
    let listener = listen_when_free(&shard.runtime, address, SocketBuffers::default()).await;
    let listener = listener.map_err(|error| {
        format!(
            "metrics cannot be served on {address} (metricsPromExporterHost, which is brokerIP1 \
             unless it is set, and metricsPromExporterPort): {error}; set both to what this \
             machine has and no other program uses, or metricsExporterType=DISABLE"
        )
    })?;
    tracing::info!(%address, "metrics are served at /metrics, and /healthz and /readyz");
    let labels: Vec<_> = settings.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    let metrics = Rc::new(Metrics {
        control: control.clone(),
        style: Arc::new(Style::new(&labels, shard.settings.config.metrics_name_units)),
        is_ready: Cell::new(false),
        turn: Turn::default(),
        visitors: Visitors::new(&shard.runtime),
    });
    let site = metrics.clone();
    shard.runtime.spawn(Shares::Admin, "metrics", async move {
        let runtime = site.control.shard.runtime.clone();
        accept_all(&runtime, &listener, |accepted| {
            let goes_on = !site.control.shard.stopping.get();
            if goes_on {
                site.visitors.serve(accepted, &site);
            }
            goes_on
        })
        .await;
    });
    Ok(Some(metrics))
}

impl<R: Runtime> Metrics<R> {
    /// From now on clients are served.
    pub fn set_ready(&self) {
        self.is_ready.set(true);
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.visitors.close();
    }
}

impl<R: Runtime> Site<R> for Metrics<R> {
    async fn answer<S: Stream>(&self, asked: &Asked, out: &mut Out<'_, R, S>) -> Result<(), Gone> {
        let (control, is_ready) = (&self.control, self.is_ready.get());
        let well = match asked.page {
            Page::Metrics if is_ready => {
                let _turn = self.turn.take().await;
                out.begin(TEXT).await?;
                if !asked.head_only {
                    scrape::write(control, &self.style, out).await?;
                }
                return out.end().await;
            }
            Page::Metrics => Err("the broker starts: its logs are not open yet\n".to_owned()),
            Page::Health => health::health(control, is_ready).await,
            Page::Readiness => health::readiness(control, is_ready),
        };
        match well {
            Ok(()) => out.whole("200 OK", "text/plain", "ok\n").await,
            Err(why) => out.whole("503 Service Unavailable", "text/plain", &why).await,
        }
    }
}
