//! Texts of others inside pages: nothing in them is markup.

use std::fmt::Write;

/// For a table of Markdown: punctuation that means something becomes a number, a line end a space.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c if "\\`*_{}[]()#+!|~@:".contains(c) => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(
            markdown("<b> a|b [x](y) @z\n&"),
            "&lt;b&gt; a&#124;b &#91;x&#93;&#40;y&#41; &#64;z &amp;"
        );
    }

    proptest! {
        #[test]
        fn no_tag_is_left(text in any::<String>()) {
            let safe = markdown(&text);
            prop_assert!(!safe.contains(|c: char| "<>".contains(c) || c.is_control()), "{safe:?}");
            prop_assert!(!safe.contains(['|', '`', '*', '[', ']', '@']));
        }
    }
}
