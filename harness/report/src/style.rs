//! Colour and width of a terminal, or none.

use anstyle::{AnsiColor, Style as Ansi};
use std::env;
use std::io::IsTerminal;

/// How a view is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// With ANSI colours.
    pub color: bool,
    /// Characters in a line.
    pub width: usize,
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Bad,
    Good,
    Warn,
    Strong,
    Faint,
}

/// The width where nobody tells one.
const WIDTH: usize = 100;

impl Style {
    /// Without colour, 100 characters wide.
    pub fn plain() -> Self {
        Self {
            color: false,
            width: WIDTH,
        }
    }

    /// For standard output: colour only where that is a terminal, `NO_COLOR` and `CI` are not
    /// set and `TERM` is not `dumb`; as wide as `COLUMNS` says, from 60 to 160.
    pub fn of_stdout() -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|v| !v.is_empty());
        let terminal = std::io::stdout().is_terminal();
        let dumb = env::var_os("TERM").is_some_and(|t| t == "dumb");
        let columns = env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
        Self {
            color: terminal && !dumb && !set("NO_COLOR") && !set("CI"),
            width: columns.unwrap_or(WIDTH).clamp(60, 160),
        }
    }

    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let style = match paint {
            Paint::Bad => AnsiColor::Red.on_default().bold(),
            Paint::Good => AnsiColor::Green.on_default(),
            Paint::Warn => AnsiColor::Yellow.on_default(),
            Paint::Strong => Ansi::new().bold(),
            Paint::Faint => Ansi::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_only_where_asked_for() {
        let plain = Style::plain();
        assert_eq!(plain.paint(Paint::Bad, "x"), "x");
        let colour = Style {
            color: true,
            ..plain
        };
        assert_eq!(
            colour.paint(Paint::Bad, "x"),
            "\u{1b}[1m\u{1b}[31mx\u{1b}[0m"
        );
    }
}
