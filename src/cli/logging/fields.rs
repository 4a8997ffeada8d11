//! Fields and messages of a log line, `message field=value ...`. An ESC in them comes from a client
//! and would reach the operator's terminal: those of the formatter's own colours are told apart
//! from it only here.

use std::fmt::{self, Write};

use tracing_subscriber::{
    field::MakeExt as _,
    fmt::{FormatFields, format::debug_fn},
};

pub fn format() -> impl for<'w> FormatFields<'w> {
    let one = debug_fn(|writer, field, value| {
        let mut escaped = Escaped(writer);
        match field.name() {
            "message" => write!(escaped, "{value:?}"),
            name => write!(escaped, "{name}={value:?}"),
        }
    });
    one.delimited(" ")
}

struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut parts = text.split('\x1b');
        self.0.write_str(parts.next().unwrap_or_default())?;
        for part in parts {
            self.0.write_str("\\u{1b}")?;
            self.0.write_str(part)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_of_a_client_is_escaped() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("\x1b[31m", "\\u{1b}[31m"),
            ("a\x1b\x1bb\x1b", "a\\u{1b}\\u{1b}b\\u{1b}"),
        ] {
            let mut escaped = Escaped(String::new());
            escaped.write_str(text).expect("a string takes all");
            assert_eq!(escaped.0, wanted);
        }
    }
}
