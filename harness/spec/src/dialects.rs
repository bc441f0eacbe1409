//! `specs/dialects.yaml`: drafts that are spoken in more than one dialect, and the numbers of each.

use lnconform_yaml::Diagnostic;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Where the table lies in the repository.
const FILE: &str = "specs/dialects.yaml";

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialects {
    /// One for each draft.
    pub families: Vec<Family>,
}

/// A draft that has dialects.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// What the names of its dialects begin with.
    pub name: String,
    /// For people.
    pub title: String,
    /// What has numbers, in the order of the table.
    pub items: Vec<String>,
    /// The dialects.
    pub dialects: Vec<Dialect>,
}

/// One dialect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// As `hello` lists it, such as `async/ldk`.
    pub name: String,
    /// Whose it is.
    pub title: String,
    /// Where its numbers were read.
    pub source: String,
    /// Globs of vectors that are in this dialect although they name none of the family; of two that
    /// match the longer one counts.
    #[serde(default)]
    pub checks: Vec<String>,
    /// The number of an item; an item that the dialect does not have is absent.
    pub numbers: BTreeMap<String, String>,
}

impl Dialects {
    /// The table of `dir`, which is laid out as `specs/` is, if it has one, else that of the binary.
    ///
    /// # Errors
    /// A file that cannot be read, or a dialect whose name or items are not those of its family.
    pub fn open(dir: Option<&Path>) -> Result<Self, Diagnostic> {
        let own = dir
            .map(|dir| dir.join("dialects.yaml"))
            .filter(|file| file.is_file());
        if let Some(file) = own {
            return Self::from_text(&file, &lnconform_yaml::read(&file)?);
        }
        let file = Path::new(FILE);
        let text = crate::EMBEDDED
            .get_file("dialects.yaml")
            .and_then(|f| f.contents_utf8());
        Self::from_text(
            file,
            text.ok_or_else(|| Diagnostic::new(file, "was not built in"))?,
        )
    }

    fn from_text(file: &Path, text: &str) -> Result<Self, Diagnostic> {
        let table: Self = lnconform_yaml::from_str(file, text)?;
        for family in &table.families {
            for dialect in &family.dialects {
                let name = &dialect.name;
                if !name.starts_with(&format!("{}/", family.name)) {
                    let message = format!("`{name}` is no dialect of `{}`", family.name);
                    return Err(Diagnostic::new(file, message));
                }
                if let Some(odd) = dialect.numbers.keys().find(|i| !family.items.contains(i)) {
                    let message = format!("`{name}` has a number for `{odd}`, which is no item");
                    return Err(Diagnostic::new(file, message));
                }
            }
        }
        Ok(table)
    }

    /// The table as Markdown: what stands in the documentation.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for family in &self.families {
            let cell = |text: &str| text.replace('|', "\\|");
            let names: Vec<String> = family
                .dialects
                .iter()
                .map(|d| format!("`{}`, {}", d.name, cell(&d.title)))
                .collect();
            let _ = writeln!(text, "| {} | {} |", family.title, names.join(" | "));
            let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
            for item in &family.items {
                let numbers: Vec<String> = family
                    .dialects
                    .iter()
                    .map(|d| d.numbers.get(item).map_or("–".to_owned(), |n| cell(n)))
                    .collect();
                let _ = writeln!(text, "| {} | {} |", cell(item), numbers.join(" | "));
            }
            text.push('\n');
            let sources: Vec<String> = family
                .dialects
                .iter()
                .map(|d| format!("`{}`: {}", d.name, d.source))
                .collect();
            let _ = writeln!(text, "Read in: {}.\n", sources.join("; "));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn docs() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
    }

    /// What stands between the marks on a page, and the places of its beginning and its end.
    fn generated(page: &str) -> Option<(usize, usize)> {
        let mark = "<!-- dialects: begin -->\n";
        let begin = page.find(mark)? + mark.len();
        let end = begin + page[begin..].find("<!-- dialects: end -->")?;
        Some((begin, end))
    }

    /// `LNCONFORM_UPDATE=1` writes the pages anew.
    #[test]
    fn pages_show_the_table_as_it_is() {
        let table = Dialects::open(None).unwrap().markdown();
        let want = format!("\n{table}\n");
        let mut found = 0;
        for entry in std::fs::read_dir(docs()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "md") {
                continue;
            }
            let page = std::fs::read_to_string(&path).unwrap();
            let Some((begin, end)) = generated(&page) else {
                continue;
            };
            found += 1;
            if std::env::var_os("LNCONFORM_UPDATE").is_some() {
                let new = [&page[..begin], &want, &page[end..]].concat();
                std::fs::write(&path, new).unwrap();
                continue;
            }
            assert!(
                page[begin..end] == want,
                "{} shows another table than specs/dialects.yaml; LNCONFORM_UPDATE=1 cargo test -p \
                 lnconform-spec dialects writes it anew",
                path.display()
            );
        }
        assert!(found > 0, "no page shows the table");
    }

    #[test]
    fn an_item_and_a_name_have_to_be_of_the_family() {
        let text = |name: &str, item: &str| {
            format!(
                "families:\n  - {{name: a, title: A, items: [x], dialects: [{{name: {name}, title: T, \
                 source: S, numbers: {{{item}: \"1\"}}}}]}}\n"
            )
        };
        let read = |name, item| Dialects::from_text(Path::new("t.yaml"), &text(name, item));
        let table = read("a/b", "x").unwrap();
        assert_eq!(
            table.markdown(),
            "| A | `a/b`, T |\n|---|---|\n| x | 1 |\n\nRead in: `a/b`: S.\n"
        );
        assert!(
            read("a/b", "y")
                .unwrap_err()
                .to_string()
                .contains("no item")
        );
        let other = read("b/b", "x").unwrap_err().to_string();
        assert!(other.contains("no dialect of `a`"), "{other}");
    }

    #[test]
    fn the_table_of_a_folder_wins() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Dialects::open(Some(dir.path())).unwrap().families.len() > 1);
        std::fs::write(dir.path().join("dialects.yaml"), "families: []\n").unwrap();
        assert_eq!(
            Dialects::open(Some(dir.path())).unwrap(),
            Dialects::default()
        );
    }
}
