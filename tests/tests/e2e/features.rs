//! `docs/features.md`: no row is missing, none is claimed without a command, and every command of the
//! table is one that the command line takes.

use lnconform_tests::{Place, binary, repository};
use std::collections::BTreeMap;
use std::process::Command;

/// A row: number, need, feature, state, what there is, what was seen.
type Row = [String; 6];

/// The rows of the table, of those lines that begin with a number.
fn rows(page: &str) -> Vec<Row> {
    let numbered =
        |line: &&str| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit());
    page.lines()
        .filter(numbered)
        .map(|line| {
            let cells = line
                .trim_matches('|')
                .split(" | ")
                .map(|c| c.trim().to_owned());
            let cells: Vec<String> = cells.collect();
            let found = cells.len();
            cells
                .try_into()
                .unwrap_or_else(|_| panic!("{found} cells in `{line}`"))
        })
        .collect()
}

/// The commands among the code of a cell.
fn commands(cell: &str) -> Vec<&str> {
    let code = cell.split('`').skip(1).step_by(2);
    code.filter(|c| c.starts_with("lnconform ")).collect()
}

/// The words of a command, as a shell takes them; single quotes are the only ones that are used.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (quoted, part) in command
        .split('\'')
        .enumerate()
        .map(|(n, p)| (n % 2 == 1, p))
    {
        if quoted {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        for (n, word) in part.split(' ').enumerate() {
            if n > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(word);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What the command line says of a command that asks for help at its end; it reads all before that.
pub(crate) fn refused(command: &str) -> Option<String> {
    let output = Command::new(binary())
        .args(words(command).iter().skip(1))
        .arg("--help")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

#[test]
fn every_feature_has_a_row_and_every_row_a_command_or_a_reason() {
    let page = std::fs::read_to_string(repository("docs/features.md")).unwrap();
    let rows = rows(&page);
    let numbers: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
    let all: Vec<String> = (1..=76).map(|n| n.to_string()).collect();
    assert_eq!(numbers, all);
    let mut needs: BTreeMap<&str, usize> = BTreeMap::new();
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        let [number, need, _, state, what, seen] = row;
        *needs.entry(need).or_default() += 1;
        *states.entry(state).or_default() += 1;
        assert!(what.len() > 20, "{number} says nothing");
        let claimed = match state.as_str() {
            "done" | "partly" => true,
            "no" => false,
            other => panic!("{number}: `{other}`"),
        };
        assert!(
            !claimed || seen.contains('`'),
            "{number} is claimed without a command"
        );
        assert!(
            state == "done" || what.contains("Not: "),
            "{number} lacks the reason"
        );
    }
    assert_eq!(needs, [("P0", 56), ("P1", 15), ("P2", 5)].into());
    // The page counts for itself.
    let counted: Vec<String> = states
        .iter()
        .map(|(state, n)| format!("{n} {state}"))
        .collect();
    assert!(page.contains(&counted.join(", ")), "{counted:?}");
}

#[test]
fn every_command_of_the_table_is_one() {
    let page = std::fs::read_to_string(repository("docs/features.md")).unwrap();
    let rows = rows(&page);
    let commands: Vec<&str> = rows.iter().flat_map(|row| commands(&row[5])).collect();
    assert!(commands.len() > 55, "{}", commands.len());
    for command in commands {
        let wrong = refused(command);
        assert!(wrong.is_none(), "{command}: {}", wrong.unwrap_or_default());
    }
}

/// The exit code that a cell tells of its first command; 0 where it tells none.
fn told(seen: &str) -> i32 {
    let after = seen.split(" code ").nth(1).unwrap_or("0");
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// The rows whose commands need nothing but what lies in `docs/examples/features`, run as they
/// stand.
#[test]
fn the_rows_of_the_ledger_come_out_as_they_tell() {
    let page = std::fs::read_to_string(repository("docs/features.md")).unwrap();
    let rows = rows(&page);
    let place = Place::new();
    let files = ["read", "refused"].map(|name| format!("v/mine/{name}.yaml"));
    let ledgers = [
        "known",
        "no-reason",
        "expired",
        "other-signature",
        "passes",
        "flaky",
    ];
    let ledgers = ledgers.map(|name| format!("{name}.yaml"));
    for file in files.iter().chain(&ledgers) {
        let from = repository("docs/examples/features").join(file);
        place.write(file, &std::fs::read_to_string(from).unwrap());
    }
    let adapter = std::fs::read_to_string(repository("tests/adapters/bigsize.py")).unwrap();
    place.write("tests/adapters/bigsize.py", &adapter);
    let mut codes = Vec::new();
    for number in ["29", "30", "31", "32", "33", "35", "48"] {
        let row = rows.iter().find(|row| row[0] == number).unwrap();
        let command = words(commands(&row[5])[0]);
        let command: Vec<&str> = command.iter().skip(1).map(String::as_str).collect();
        codes.push(told(&row[5]));
        let _ = place.run(&command).code(told(&row[5]));
    }
    assert_eq!(codes, [1, 2, 3, 1, 1, 0, 1]);
}

#[test]
fn a_command_that_is_none_is_found() {
    for wrong in [
        "lnconform rum",
        "lnconform run --spek x",
        "lnconform run --shard",
        "lnconform report x --format pdf",
    ] {
        assert!(refused(wrong).is_some(), "{wrong}");
    }
    assert_eq!(
        words("lnconform run 'a b/*' --x"),
        ["lnconform", "run", "a b/*", "--x"]
    );
    assert_eq!(
        commands("`lnconform a`: b, `c`, `lnconform d`"),
        ["lnconform a", "lnconform d"]
    );
    assert_eq!(rows("| # | x |\n| 1 | P0 | f | done | w | s |\n").len(), 1);
}
