//! The signals that end a server.

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// Waits for SIGTERM or SIGINT. A second one while the server stops ends it at once.
pub struct Stop(Signals);

impl Stop {
    /// Before any other thread is started.
    pub fn register() -> anyhow::Result<Stop> {
        Ok(Stop(Signals::new([SIGTERM, SIGINT])?))
    }

    pub fn wait(mut self) {
        self.0.forever().next();
        std::thread::spawn(move || {
            if self.0.forever().next().is_some() {
                tracing::warn!("told to stop twice: ending now");
                std::process::exit(130);
            }
        });
    }
}
