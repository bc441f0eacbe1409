//! Words of commands that people copy from the screen.

use std::borrow::Cow;

/// A word for a shell: as it is where it may stay so, else in quotes.
pub fn word(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        text.into()
    } else {
        quoted(text).into()
    }
}

/// A word in single quotes, for a shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Whether a shell takes a word as it is.
fn is_plain(word: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-=,:@%+".contains(c);
    !word.is_empty() && word.chars().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_act_on_is_quoted() {
        assert_eq!(word("a/b-c=1"), "a/b-c=1");
        assert_eq!(word(""), "''");
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word("bolt01/*"), "'bolt01/*'");
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
    }
}
