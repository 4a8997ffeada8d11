//! The language that a client says it is written in (`LanguageCode`).

macro_rules! languages {
    ($($name:ident = $code:literal $text:literal,)*) => {
        /// The language of a client.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Language {
            $($name,)*
        }

        impl Language {
            /// The number in binary headers.
            pub const fn code(self) -> u8 {
                match self {
                    $(Language::$name => $code,)*
                }
            }

            pub const fn from_code(code: u8) -> Option<Language> {
                match code {
                    $($code => Some(Language::$name),)*
                    _ => None,
                }
            }

            /// The name in JSON headers and bodies.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Language::$name => $text,)*
                }
            }

            pub fn from_name(name: &str) -> Option<Language> {
                match name {
                    $($text => Some(Language::$name),)*
                    _ => None,
                }
            }
        }
    };
}

languages! {
    Java = 0 "JAVA",
    Cpp = 1 "CPP",
    DotNet = 2 "DOTNET",
    Python = 3 "PYTHON",
    Delphi = 4 "DELPHI",
    Erlang = 5 "ERLANG",
    Ruby = 6 "RUBY",
    Other = 7 "OTHER",
    Http = 8 "HTTP",
    Go = 9 "GO",
    Php = 10 "PHP",
    Oms = 11 "OMS",
    Rust = 12 "RUST",
    NodeJs = 13 "NODE_JS",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_round_trip() {
        for code in 0..=13 {
            let language = Language::from_code(code).expect("known");
            assert_eq!(language.code(), code);
            assert_eq!(Language::from_name(language.name()), Some(language));
        }
        assert_eq!(Language::from_code(14), None);
        assert_eq!(Language::from_name("COBOL"), None);
    }
}
