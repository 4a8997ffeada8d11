//! Versions of clients as their headers have them: ordinals of `MQVersion.Version`. From each on
//! clients are served differently.

/// maxReconsumeTimes of a client counts.
pub const V3_4_9: i32 = 121;
/// Clients know boundary types of times, and tell in their trace only of messages that name their
/// region (`AsyncTraceDispatcher`).
pub const V5_0_0: i32 = 413;

/// Ordinals of 4.0.0-SNAPSHOT, and of what is behind the last that RocketMQ has a name for.
const V4_0_0_SNAPSHOT: i32 = 212;
const HIGHER: i32 = 612;

/// RocketMQ's name of a version, `V4_9_8`; those before 4.0, which are in no order, have one name,
/// and so have those that are to come.
pub fn name(version: i32) -> String {
    match version {
        ..V4_0_0_SNAPSHOT => "V3".to_owned(),
        HIGHER.. => "HIGHER_VERSION".to_owned(),
        version => {
            let number = version - V4_0_0_SNAPSHOT;
            let (release, is_snapshot) = (number / 2, number % 2 == 0);
            let (major, minor, patch) = (4 + release / 100, release / 10 % 10, release % 10);
            let snapshot = if is_snapshot { "_SNAPSHOT" } else { "" };
            format!("V{major}_{minor}_{patch}{snapshot}")
        }
    }
}

/// The same for all versions of one name.
pub fn known(version: i32) -> i32 {
    version.clamp(V4_0_0_SNAPSHOT - 1, HIGHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_names_of_their_ordinals() {
        for (version, expected) in [
            (V3_4_9, "V3"),
            (212, "V4_0_0_SNAPSHOT"),
            (409, "V4_9_8"),
            (V5_0_0, "V5_0_0"),
            (479, "V5_3_3"),
            (611, "V5_9_9"),
            (612, "HIGHER_VERSION"),
            (i32::MAX, "HIGHER_VERSION"),
            (i32::MIN, "V3"),
        ] {
            assert_eq!(name(version), expected, "{version}");
            assert_eq!(name(known(version)), expected, "{version}");
        }
    }
}
