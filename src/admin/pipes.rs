//! Many messages at once: read from all queues of a topic, or sent with many under way.

mod delimiter;
mod filter;
mod format;
mod interrupt;
mod json;
mod lines;
mod progress;
mod reader;
mod sender;
mod when;

pub use self::{
    delimiter::Delimiter,
    filter::Filter,
    format::Format,
    interrupt::Interrupt,
    json::{line_of, parcel_of},
    lines::{Line, lines},
    progress::{Progress, Rate},
    reader::{Plan, Reader, Start},
    sender::{Parcel, Sender, own_properties, pairs_text},
    when::when,
};
