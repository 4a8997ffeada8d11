//! Which lines are written, while the program runs too.

use std::sync::OnceLock;

use ringmq_base::log_level;
use tracing_subscriber::{EnvFilter, Registry, filter::LevelFilter, reload};

const DEFAULT: &str = "info";

type Handle = reload::Handle<EnvFilter, Registry>;

static HANDLE: OnceLock<Handle> = OnceLock::new();

/// The filter that `RINGMQ_LOG` asks for, and that the key `logLevel` changes.
pub fn filter() -> reload::Layer<EnvFilter, Registry> {
    let (layer, handle) = reload::Layer::new(of("").unwrap_or_else(|_| EnvFilter::new(DEFAULT)));
    if HANDLE.set(handle).is_ok() {
        log_level::set_by(check, set);
    }
    layer
}

/// Of a level; of an empty one that of the environment.
fn of(level: &str) -> Result<EnvFilter, String> {
    let level = match level.trim() {
        "" => {
            let level = std::env::var("RINGMQ_LOG").unwrap_or_else(|_| DEFAULT.to_owned());
            return EnvFilter::builder().parse(level).map_err(|error| error.to_string());
        }
        level => level.to_owned(),
    };
    // A word that is no level would be taken for a part of the program.
    let odd = level.split(',').map(str::trim).find(|part| !part.contains('=') && !is_level(part));
    let parsed = match odd {
        Some(odd) => Err(format!("there is no level {odd:?}")),
        None => EnvFilter::builder().parse(&level).map_err(|error| error.to_string()),
    };
    parsed.map_err(|why| {
        format!(
            "{level:?} is no level ({why}); write error, warn, info, debug or trace, or such as \
             info,ringmq_store=debug"
        )
    })
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

fn check(level: &str) -> Result<(), String> {
    of(level).map(drop)
}

fn set(level: &str) {
    let changed = of(level).ok().zip(HANDLE.get());
    if let Some((filter, handle)) = changed
        && handle.reload(filter).is_ok()
    {
        tracing::info!("lines are written from this level on: {level:?} (key logLevel)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_a_list() {
        for level in ["info", "debug", "info,ringmq_store=debug", "off"] {
            assert_eq!(check(level), Ok(()), "{level}");
        }
        for level in ["loud", "ringmq_store=loud", "info;debug"] {
            assert!(check(level).is_err(), "{level}");
        }
    }
}
