//! Ctrl-C and SIGTERM, for commands that put things in order before they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether the command is to end. A second signal ends the process at once.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on signals are noted.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn watch() -> std::io::Result<Interrupt> {
        let come = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&come))?;
            flag::register(signal, Arc::clone(&come))?;
        }
        Ok(Interrupt(come))
    }

    pub fn has_come(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
