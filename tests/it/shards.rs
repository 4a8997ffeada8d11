//! Behaviour must not depend on the number of shards.

/// Makes three tests of each function that takes a number of shards: `NAME::shards_1`, `shards_2`
/// and `shards_4`. A `#[test]` beside them says why it needs no shards: `// Single: why`.
macro_rules! for_shards {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn shards_1() {
                super::$name(1);
            }

            #[test]
            fn shards_2() {
                super::$name(2);
            }

            #[test]
            fn shards_4() {
                super::$name(4);
            }
        }
    )+};
}

pub(crate) use for_shards;
