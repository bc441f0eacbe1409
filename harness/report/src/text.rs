//! Text from outside made safe, and cut to what fits.
//!
//! Names, messages, logs and answers come from adapters and nodes, which may be broken or hostile.
//! Nothing of theirs reaches a terminal, a workflow command or a page as it is.

use std::borrow::Cow;
use std::fmt::Write;

/// Makes one line of text safe for a terminal and a log: control characters (ANSI sequences begin
/// with one), line ends and the invisible characters that reorder text become `\u{…}`, so that they
/// are seen and do nothing. A tab becomes a space. What GitHub would take for a workflow command,
/// `::` at the beginning of a line or `##[` anywhere, gets a space in between.
pub fn clean(text: &str) -> Cow<'_, str> {
    let command = text.trim_start().starts_with("::");
    if !command && !text.contains(|c| c == '\t' || hidden(c)) && !text.contains("##[") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            ':' if command && out.ends_with(':') && out.trim_start() == ":" => out.push_str(" :"),
            '\t' => out.push(' '),
            // An older form of workflow commands counts anywhere in a line.
            '[' if out.ends_with("##") => out.push_str(" ["),
            c if hidden(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Makes JSON text safe in the same way and leaves its meaning as it is: such characters stand
/// only inside strings, where `\u` and four digits say the same.
pub fn clean_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            '[' if out.ends_with("##") => out.push_str("\\u005b"),
            c if hidden(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The lines of a text, each safe.
pub fn clean_lines(text: &str) -> impl DoubleEndedIterator<Item = Cow<'_, str>> {
    text.lines().map(clean)
}

/// Cuts a line to `width` characters, of which the last is `…` where something is missing.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.len() <= width || text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    Cow::Owned(short)
}

/// Breaks a line at spaces into at most `most` lines of `width` characters; the last ends in `…`
/// where something is missing. A word that is longer than a line is cut.
pub fn wrap(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let last = lines.last().map_or(0, |l| l.chars().count());
        let fits = last == 0 || last + 1 + word.chars().count() <= width;
        if !fits {
            if lines.len() == most {
                let line = lines.pop().unwrap_or_default();
                lines.push(cut(&format!("{line} …"), width).into_owned());
                return lines;
            }
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&cut(word, width));
        }
    }
    lines
}

/// Cuts two lines that differ to `width` characters so that both show the place where the
/// difference begins: what is long is often one hex string with one wrong byte.
pub fn cut_pair(a: &str, b: &str, width: usize) -> (String, String) {
    let common = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let fits = |s: &str| s.chars().count() <= width;
    if (fits(a) && fits(b)) || common + width / 4 < width {
        return (cut(a, width).into_owned(), cut(b, width).into_owned());
    }
    let skip = common - width / 4;
    let tail = |s: &str| {
        let rest: String = s.chars().skip(skip).collect();
        cut(&format!("…{rest}"), width).into_owned()
    };
    (tail(a), tail(b))
}

/// Milliseconds for people: `412 ms`, `1.4 s`, `2 m 05 s`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} m {:02} s", ms / 60_000, ms / 1_000 % 60),
    }
}

/// `1 check`, `2 checks`.
pub fn count(n: u64, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_something_is_shown_instead() {
        assert_eq!(clean("plain é 字"), "plain é 字");
        assert_eq!(
            clean("\u{1b}[31mred\r\nx\ty"),
            "\\u{1b}[31mred\\u{d}\\u{a}x y"
        );
        assert_eq!(clean("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\u{9b}c");
        assert_eq!(clean("x ##[error]y"), "x ## [error]y");
        assert_eq!(clean(" ::error::x"), " : :error::x");
        assert_eq!(clean("a::b"), "a::b");
    }

    #[test]
    fn cuts_show_what_matters() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("äbcdefg", 6), "äbcde…");
        let (a, b) = (
            format!("{}1{}", "0".repeat(100), "2".repeat(50)),
            format!("{}3", "0".repeat(100)),
        );
        let (a, b) = cut_pair(&a, &b, 40);
        assert_eq!(a, format!("…{}1{}…", "0".repeat(10), "2".repeat(27)));
        assert_eq!(b, "…00000000003");
        assert_eq!(cut_pair("ab", "ac", 40), ("ab".into(), "ac".into()));
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(
            wrap("one two three four", 9, 3),
            ["one two", "three", "four"]
        );
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "three …"]);
        assert_eq!(wrap("", 9, 2), [""]);
        assert_eq!(wrap("abcdefghijk l", 9, 2), ["abcdefgh…", "l"]);
    }

    #[test]
    fn times_and_counts() {
        let times = [0, 999, 1_000, 1_450, 59_999, 60_000, 3_725_000].map(duration);
        assert_eq!(
            times,
            [
                "0 ms",
                "999 ms",
                "1.0 s",
                "1.4 s",
                "59.9 s",
                "1 m 00 s",
                "62 m 05 s"
            ]
        );
        assert_eq!(
            (count(1, "check"), count(0, "check")),
            ("1 check".into(), "0 checks".into())
        );
    }

    proptest! {
        #[test]
        fn json_means_the_same(text in prop_oneof![any::<String>(), "[#\\[\u{202e}\u{e0001}\u{9b}]{0,9}"]) {
            let value = serde_json::json!({"text": text, "list": [["##"]]});
            let safe = clean_json(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert!(!safe.contains(|c| c != '\n' && hidden(c)) && !safe.contains("##["));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        }

        #[test]
        fn nothing_hidden_is_left(text in prop_oneof![any::<String>(), "[ \t:#\\[a]{0,8}"]) {
            let safe = clean(&text);
            prop_assert!(!safe.contains(hidden) && !safe.contains("##["));
            prop_assert!(!safe.trim_start().starts_with("::"));
            prop_assert_eq!(clean(&safe), safe.clone());
        }

        #[test]
        fn nothing_is_wider_than_asked(a in "\\PC{0,80}", b in "\\PC{0,80}", width in 8usize..60) {
            prop_assert!(cut(&a, width).chars().count() <= width);
            let (x, y) = cut_pair(&a, &b, width);
            prop_assert!(x.chars().count() <= width && y.chars().count() <= width);
            let wrapped = wrap(&a, width, 3);
            prop_assert!(wrapped.len() <= 3 && wrapped.iter().all(|l| l.chars().count() <= width));
            prop_assert!(a == b || a.chars().count().min(b.chars().count()) == 0 || x != y || x.ends_with('…'));
        }
    }
}
