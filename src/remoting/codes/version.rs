//! Versions of clients as their headers have them: ordinals of `MQVersion.Version`. From each on
//! clients are served differently.

/// maxReconsumeTimes of a client counts.
pub const V3_4_9: i32 = 121;
/// Clients know boundary types of times, and tell in their trace only of messages that name their
/// region (`AsyncTraceDispatcher`).
pub const V5_0_0: i32 = 413;
