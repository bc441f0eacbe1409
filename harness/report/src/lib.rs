//! Result files and events as something to look at.
//!
//! Everything here is a function of the records of a run, whether they come as they happen (each
//! view is a [`Sink`](lnconform_engine::results::Sink)) or from a file. What comes from outside is
//! made safe first, see [`text`].

pub mod badge;
pub mod diff;
mod difference;
mod digest;
pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod markup;
mod matrix;
mod numbers;
mod progress;
mod sections;
mod style;
pub mod terminal;
pub mod text;

pub use progress::Progress;
pub use style::Style;
pub use terminal::{ReportError, Requirement, Requirements, View};

#[cfg(test)]
#[path = "tests/pages.rs"]
mod pages;
#[cfg(test)]
mod tests;
