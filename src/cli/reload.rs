//! SIGHUP: the configuration is read again as at the start, and what may change while the server
//! runs does. What else has changed is named, since it takes a restart.

use ringmq_base::config::{
    ConfigError, Loaded, Table,
    reload::{Difference, differences},
};

/// A configuration as it counts, and how it is read.
pub struct Reloader<C> {
    loaded: Loaded<C>,
    read: Box<dyn Fn() -> Result<Loaded<C>, ConfigError>>,
}

/// Keys with their values, as they are written.
pub type Keys = Vec<(String, String)>;

impl<C: Table> Reloader<C> {
    /// `loaded` is what `read` gave at the start.
    pub fn new(
        loaded: Loaded<C>,
        read: impl Fn() -> Result<Loaded<C>, ConfigError> + 'static,
    ) -> Reloader<C> {
        Reloader { loaded, read: Box::new(read) }
    }

    /// Reads the configuration and has `take` make live what may be, which is all or nothing; says
    /// what came of it.
    pub fn reload(&mut self, take: impl FnOnce(Keys) -> Result<(), String>) {
        let now = match (self.read)() {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!("SIGHUP: {error}; the configuration of before stays in force");
                return;
            }
        };
        let known = &self.loaded.warnings;
        now.warnings.iter().filter(|warning| !known.contains(warning)).for_each(|warning| {
            tracing::warn!("{warning}");
        });
        let (live, fixed): (Vec<_>, Vec<_>) =
            differences(&self.loaded, &now).into_iter().partition(|found| found.key.reloads);
        if live.is_empty() {
            tracing::info!("SIGHUP: no key that may change while the server runs was changed");
        } else {
            let keys = live.iter().map(|found| (found.key.name.to_owned(), found.after.clone()));
            match take(keys.collect()) {
                Ok(()) => {
                    tracing::info!("SIGHUP: changed: {}", sentences(&live));
                    self.took(&live);
                }
                Err(why) => tracing::warn!("SIGHUP: not changed: {}: {why}", sentences(&live)),
            }
        }
        if !fixed.is_empty() {
            tracing::warn!("SIGHUP: takes effect with the next start: {}", sentences(&fixed));
        }
        self.loaded.warnings = now.warnings;
    }

    /// What is compared with from now on.
    fn took(&mut self, live: &[Difference]) {
        for Difference { key, after, origin, .. } in live {
            // It was taken from a file a moment ago.
            let _ = self.loaded.config.set(key.name, after);
            self.loaded.origins.insert(key.name, origin.clone());
        }
    }
}

fn sentences(found: &[Difference]) -> String {
    found.iter().map(Difference::sentence).collect::<Vec<_>>().join(", ")
}
