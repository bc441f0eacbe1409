//! Texts of others inside pages: nothing in them is markup, and their lines have a width.

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

/// For a table of Markdown, a text of ours: it may hold Markdown, but ends no cell and begins no tag.
pub(crate) fn cell(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
}

/// Lines of at most `width` characters; a word is never cut.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().map_or(0, |l| l.chars().count());
        if last > 0 && last + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
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

    #[test]
    fn a_cell_of_ours_keeps_its_markdown() {
        assert_eq!(cell("`a` | <b> \\"), "`a` \\| &lt;b> \\\\");
    }

    #[test]
    fn lines_break_at_spaces_alone() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one", 2), ["one"]);
        assert_eq!(wrapped("", 2), [""]);
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
