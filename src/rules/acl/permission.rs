//! What an account may do with a topic or a group.

/// Nothing, whatever the other bits say.
pub const DENY: u8 = 1;
pub const PUB: u8 = 1 << 2;
pub const SUB: u8 = 1 << 3;

/// The permission that a word of the file stands for. As in Java any other word denies.
pub fn of_word(word: &str) -> u8 {
    named(word).unwrap_or(DENY)
}

/// The same; `None` for other words.
pub fn named(word: &str) -> Option<u8> {
    match word.trim() {
        "PUB" => Some(PUB),
        "SUB" => Some(SUB),
        "PUB|SUB" | "SUB|PUB" => Some(PUB | SUB),
        "DENY" => Some(DENY),
        _ => None,
    }
}

/// Whether who has `owned` may do what needs `needed`.
pub fn allows(owned: u8, needed: u8) -> bool {
    owned & DENY == 0 && owned & needed != 0
}

/// Takes `name=WORD` apart as Java does: empty parts do not count, there have to be two.
pub fn split(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('=').filter(|part| !part.is_empty());
    let (name, word) = (parts.next()?, parts.next()?);
    parts.next().is_none().then(|| (name.trim(), word.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_in_java() {
        assert_eq!(of_word(" PUB|SUB "), PUB | SUB);
        for word in ["DENY", "pub", "PUB | SUB", "PUB,SUB", "", "ANY"] {
            assert_eq!(of_word(word), DENY, "{word}");
        }
        assert!(allows(PUB | SUB, SUB) && !allows(PUB, SUB) && !allows(DENY | SUB, SUB));
        assert_eq!(split("topicA=PUB"), Some(("topicA", "PUB")));
        assert_eq!(split(" a = SUB"), Some(("a", "SUB")));
        assert_eq!(split("=a==SUB="), Some(("a", "SUB")));
        assert_eq!((split("a"), split("a=b=c"), split("")), (None, None, None));
    }
}
