//! How often one place in the code, and one source, may speak.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing::{
    Event, Metadata,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Filter};

const WINDOW: Duration = Duration::from_secs(1);
/// Lines of a place in the code within a window.
const KIND_LINES_MAX: u32 = 50;
/// The same from one source, so that it leaves room for others.
const SOURCE_LINES_MAX: u32 = 5;
/// Places and sources that are known in a window; beyond, lines are left out.
const SOURCES_MAX: usize = 4096;

/// Where lines come from: the place in the code, and the IP address in a field `peer`, if any.
type Source = (Identifier, Option<Box<str>>);

struct Window {
    began: Instant,
    kinds: HashMap<Identifier, u32>,
    sources: HashMap<Source, u32>,
    left_out: HashMap<Identifier, (u32, &'static Metadata<'static>)>,
}

/// Lets the first lines of every second through. What is left out is told in front of the first
/// line of a later one, see [`Limit::told`].
#[derive(Clone)]
pub struct Limit {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    window: Window,
    told: Vec<String>,
}

impl Default for Limit {
    fn default() -> Limit {
        let shared = Shared { window: Window::new(Instant::now()), told: Vec::new() };
        Limit { shared: Arc::new(Mutex::new(shared)) }
    }
}

impl Limit {
    /// What has been left out and not been told yet, a line each.
    pub fn told(&self) -> Vec<String> {
        self.shared.lock().map(|mut shared| std::mem::take(&mut shared.told)).unwrap_or_default()
    }
}

impl<S> Filter<S> for Limit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let mut peer = Peer::default();
        event.record(&mut peer);
        let Ok(mut shared) = self.shared.lock() else {
            return true;
        };
        let Shared { window, told } = &mut *shared;
        window.take(event.metadata(), peer.address(), Instant::now(), told)
    }
}

impl Window {
    fn new(began: Instant) -> Window {
        let (kinds, sources) = (HashMap::new(), HashMap::new());
        Window { began, kinds, sources, left_out: HashMap::new() }
    }

    /// Whether the line passes. What was left out in a window that is over goes to `told`.
    fn take(
        &mut self,
        metadata: &'static Metadata<'static>,
        source: Option<Box<str>>,
        now: Instant,
        told: &mut Vec<String>,
    ) -> bool {
        if now.saturating_duration_since(self.began) >= WINDOW {
            let over = std::mem::replace(self, Window::new(now));
            told.extend(over.left_out.into_values().map(|(count, kind)| line(count, kind)));
        }
        let kind = metadata.callsite();
        let of_kind = self.kinds.entry(kind.clone()).or_default();
        let passes = *of_kind < KIND_LINES_MAX
            && (source.is_none() || passes_source(&mut self.sources, (kind.clone(), source)));
        if passes {
            *of_kind += 1;
        } else {
            self.left_out.entry(kind).or_insert((0, metadata)).0 += 1;
        }
        passes
    }
}

fn passes_source(sources: &mut HashMap<Source, u32>, source: Source) -> bool {
    let many = sources.len() >= SOURCES_MAX;
    if many && !sources.contains_key(&source) {
        return false;
    }
    let count = sources.entry(source).or_default();
    *count += 1;
    *count <= SOURCE_LINES_MAX
}

fn line(count: u32, kind: &Metadata<'_>) -> String {
    let (file, line) = (kind.file().unwrap_or_default(), kind.line().unwrap_or_default());
    let level = kind.level();
    format!(
        "{level:>5} {count} lines as the last from {file}:{line} were left out, at most \
         {KIND_LINES_MAX} a second are written and {SOURCE_LINES_MAX} from one address\n"
    )
}

/// The field `peer` of an event.
#[derive(Default)]
struct Peer {
    text: Option<String>,
}

impl Peer {
    /// Without its port: connections are cheap.
    fn address(self) -> Option<Box<str>> {
        let text = self.text?;
        Some(text.rsplit_once(':').map_or(text.as_str(), |(address, _)| address).into())
    }
}

impl Visit for Peer {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "peer" {
            let mut text = String::new();
            let _ = write!(text, "{value:?}");
            self.text = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata of two places in the code.
    fn kinds() -> [&'static Metadata<'static>; 2] {
        use tracing::Callsite as _;
        let one =
            tracing::callsite!(name: "one", kind: tracing::metadata::Kind::EVENT, fields: peer);
        let two =
            tracing::callsite!(name: "two", kind: tracing::metadata::Kind::EVENT, fields: peer);
        [one.metadata(), two.metadata()]
    }

    #[test]
    fn a_source_and_a_kind_have_so_many_lines_a_second_and_the_others_are_counted() {
        let [one, two] = kinds();
        let began = Instant::now();
        let (mut window, mut told) = (Window::new(began), Vec::new());
        let mut passes = |kind, source: Option<&str>, count: u32, at| {
            let mut take = || window.take(kind, source.map(Box::from), began + at, &mut told);
            (0..count).filter(|_| take()).count() as u32
        };
        let at = Duration::ZERO;
        assert_eq!(passes(one, Some("10.0.0.1"), 30_000, at), SOURCE_LINES_MAX);
        assert_eq!(passes(one, Some("10.0.0.2"), 3, at), 3, "another source");
        assert_eq!(passes(one, None, 1000, at), KIND_LINES_MAX - SOURCE_LINES_MAX - 3);
        assert_eq!(passes(two, Some("10.0.0.1"), 1, at), 1, "another kind");
        assert_eq!(passes(one, Some("10.0.0.1"), 1, WINDOW), 1, "another second");
        let left_out = 30_000 - SOURCE_LINES_MAX + 1000 - (KIND_LINES_MAX - SOURCE_LINES_MAX - 3);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains(&format!(" {left_out} lines as the last")), "{told:?}");
    }

    #[test]
    fn sources_are_bounded() {
        let [one, _] = kinds();
        let (mut window, mut told) = (Window::new(Instant::now()), Vec::new());
        for number in 0..100_000 {
            let source = Some(format!("10.0.0.{number}").into());
            window.take(one, source, window.began, &mut told);
        }
        assert!(window.sources.len() <= SOURCES_MAX);
    }
}
