//! TLS in the kernel.

use ringmq_base::config::{TlsKernel, TlsMode};
use ringmq_io::kernel_tls::{self, Lacking, Offer};

use super::condition::{Condition, Severity};

/// The row of a server that uses TLS in this mode, or to name servers, if it does at all.
pub fn row(mode: TlsMode, to_name_servers: bool, wanted: TlsKernel) -> Option<Condition> {
    let is_used = mode != TlsMode::Disabled || to_name_servers;
    is_used.then(|| judge(wanted, kernel_tls::probe))
}

fn judge(wanted: TlsKernel, probe: impl FnOnce() -> Result<Offer, Lacking>) -> Condition {
    let row = |found: String| Condition::new("TLS in the kernel", "it, or in user space", found);
    if wanted == TlsKernel::Off {
        return row("not used, tls.kernel = off".to_owned());
    }
    match probe() {
        Ok(offer) => row(offer.to_string()).but_if(
            !offer.changes_keys,
            Severity::Note,
            "clients that change their keys (Java's after 128 GiB) are closed and connect again: \
             Linux 6.14 or newer, or tls.kernel = off",
        ),
        Err(lacking) => row("none, TLS works in user space".to_owned()).but(
            Severity::Note,
            format!("{lacking}; `echo tls > /etc/modules-load.d/tls.conf` has it loaded to last"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_it_is_a_note_with_the_remedy() {
        let none = judge(TlsKernel::Auto, || Err(Lacking::NotInKernel));
        assert_eq!(none.severity, Severity::Note);
        assert!(none.remedy.contains("(CONFIG_TLS)") && none.remedy.contains("modprobe tls"));
        let all = judge(TlsKernel::Auto, || Ok(Offer::ALL));
        assert_eq!((all.severity, &*all.found), (Severity::Ok, "6 of 6 suites, changes of keys"));
        let old = judge(TlsKernel::Auto, || Ok(Offer::ALL.taking_keys_once()));
        assert_eq!(old.severity, Severity::Note);
        assert!(old.remedy.contains("6.14"), "{old:?}");
        let off = judge(TlsKernel::Off, || panic!("nothing is tried"));
        assert_eq!(off.severity, Severity::Ok);
        assert_eq!(row(TlsMode::Disabled, false, TlsKernel::Auto), None);
    }
}
