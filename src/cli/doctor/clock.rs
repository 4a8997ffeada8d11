//! The source of the clock.

use super::{
    condition::{Condition, Severity},
    files::Files,
};

const DIRECTORY: &str = "/sys/devices/system/clocksource/clocksource0";
/// Those that are read without a system call.
const FAST: [&str; 6] = [
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
    "riscv_clocksource",
    "timebase",
];

pub fn source(files: &dyn Files) -> Option<Condition> {
    let found = files.word(&format!("{DIRECTORY}/current_clocksource"))?;
    let available = files.word(&format!("{DIRECTORY}/available_clocksource")).unwrap_or_default();
    let better = available.split_whitespace().find(|name| FAST.contains(name));
    let what = match better {
        Some(name) => format!("`echo {name} > {DIRECTORY}/current_clocksource`"),
        None => "the kernel offers no better one here (see `dmesg | grep -i tsc`)".to_owned(),
    };
    let is_slow = !FAST.contains(&&*found);
    Some(Condition::new("clock source", "one that is read without a system call", found).but_if(
        is_slow,
        Severity::Warning,
        format!("each look at the clock costs a system call or more: {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::{
        super::files::testing::{CLOUD, CONTAINER, DESK, Other},
        *,
    };

    #[test]
    fn clocks_of_other_machines_are_judged() {
        let of = |files: Other| source(&files).expect("a row");
        assert_eq!(of(Other::new(CLOUD)).severity, Severity::Ok);
        assert_eq!(of(Other::new(CONTAINER)).severity, Severity::Ok);
        let slow = of(Other::new(DESK));
        assert_eq!((slow.severity, &*slow.found), (Severity::Warning, "hpet"));
        assert!(slow.remedy.contains("offers no better one"), "{slow:?}");
        let xen = format!("== {DIRECTORY}/current_clocksource\nxen\n");
        let xen = of(Other::new(CLOUD).with(&xen));
        assert!(xen.remedy.contains("echo tsc > "), "{xen:?}");
    }
}
