//! A transcript as a sequence diagram: SVG of our own, and the same as a list.
//!
//! A lifeline for each party, an arrow for each message, with its name and the fields that matter;
//! what was inside (a peeled onion, a decrypted failure) is a note below the arrow. The picture has a
//! fixed scale, so that its text stays readable, and scrolls inside its box. Colours are the page's.

use crate::markup::html;
use crate::matrix::rank;
use crate::text::{count, cut, wrap};
use lnconform_engine::record::{Check, Node, Transcript};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Diagrams on a page.
const DIAGRAMS: usize = 200;
/// Messages in a diagram: the last.
const MESSAGES: usize = 200;
/// Parties in a diagram; the peers beyond them share the last lifeline.
const PARTIES: usize = 8;
/// Pixels between two lifelines.
const GAP: usize = 350;
/// Pixels for the times.
const LEFT: usize = 84;
/// Half the width of a party's box, in pixels.
const HALF: usize = 90;
/// Height of a line of text, in pixels.
const LINE: usize = 15;
/// Characters between two lifelines: one takes up to 7.3 pixels.
const COLUMNS: usize = 44;
/// Lines of fields under the name of a message.
const FIELDS: usize = 2;
/// Lines of a note.
const NOTE: usize = 12;
/// Characters of a value in the picture, and in the list.
const VALUE: usize = 18;
const LISTED: usize = 160;

/// Who the nodes of a run were, by cluster and node id.
#[derive(Debug, Default)]
pub(super) struct Nodes(HashMap<(Option<String>, String), (String, String)>);

impl Nodes {
    pub(super) fn add(&mut self, node: Node) {
        let who = (node.role, node.implementation);
        self.0.insert((node.cluster, node.node_id), who);
    }

    /// Role and implementation of a node id.
    fn of(&self, cluster: Option<&String>, id: &str) -> Option<&(String, String)> {
        self.0.get(&(cluster.cloned(), id.to_owned()))
    }
}

/// The diagrams of a page, each drawn once: the checks of a scenario share theirs.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// Markup that is safe as it is.
    pub drawn: Vec<String>,
    places: HashMap<String, i64>,
}

impl Sequences {
    /// Draws what the checks carry; unexpected ones first, where there is not room for all.
    pub(super) fn of(checks: &[Check], nodes: &Nodes) -> Self {
        let mut all = Self::default();
        let unexpected = checks.iter().filter(|c| !c.expected);
        let others = checks.iter().filter(|c| c.expected);
        for check in unexpected.chain(others) {
            for transcript in &check.transcripts {
                let (drawn, places) = (&mut all.drawn, &mut all.places);
                places.entry(key(check, transcript)).or_insert_with(|| {
                    if drawn.len() == DIAGRAMS {
                        return -1;
                    }
                    let here = check.roles.as_ref();
                    let own = here.and_then(|roles| roles.get(&transcript.role));
                    let own = own.map_or("", String::as_str);
                    let who = |id: &str| nodes.of(check.cluster.as_ref(), id).cloned();
                    drawn.push(draw(transcript, own, &who));
                    i64::try_from(drawn.len() - 1).unwrap_or(-1)
                });
            }
        }
        all
    }

    /// Places of a check's diagrams, -1 for one that is not drawn; none where it has no transcript.
    pub(super) fn places(&self, check: &Check) -> Option<Vec<i64>> {
        let place = |t: &Transcript| self.places.get(&key(check, t)).copied().unwrap_or(-1);
        let places: Vec<i64> = check.transcripts.iter().map(place).collect();
        (!places.is_empty()).then_some(places)
    }
}

fn key(check: &Check, transcript: &Transcript) -> String {
    let cluster = check.cluster.as_deref().unwrap_or_default();
    let text = serde_json::to_string(transcript).unwrap_or_default();
    format!("{cluster}\n{}\n{text}", check.who())
}

/// A lifeline.
struct Party {
    /// Its node id; empty for the node that kept the transcript.
    id: String,
    /// Its role, or the beginning of its node id.
    name: String,
    implementation: String,
}

/// A message, ready to be drawn.
struct Message {
    at: Option<u64>,
    out: bool,
    /// Node id of the other end; empty where none is named.
    peer: String,
    name: String,
    fields: Vec<(String, String)>,
    notes: Vec<Note>,
}

/// What was inside a message.
struct Note {
    title: String,
    failure: bool,
    lines: Vec<(String, String)>,
}

/// A value in a line.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "(empty)".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Message {
    fn of(line: &Map<String, Value>) -> Self {
        let text = |key: &str| match line.get(key) {
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        let mut message = Self {
            at: line.get("at_ms").and_then(Value::as_u64),
            out: line.get("direction").and_then(Value::as_str) == Some("out"),
            peer: text("peer"),
            name: text("message"),
            fields: Vec::new(),
            notes: Vec::new(),
        };
        if message.name.is_empty() {
            message.name = "(a message without a name)".into();
        }
        for (key, value) in line {
            match value {
                // The channel is the same throughout, and the bytes say nothing to the eye.
                _ if matches!(
                    key.as_str(),
                    "at_ms" | "direction" | "peer" | "message" | "channel_id" | "bytes"
                ) => {}
                Value::Null => {}
                Value::Array(_) | Value::Object(_) => message.notes.push(Note::of(key, value)),
                value => message.fields.push((key.clone(), scalar(value))),
            }
        }
        message
    }
}

impl Note {
    fn of(key: &str, value: &Value) -> Self {
        let mut note = Self {
            title: match key {
                "payload" => "in the onion".into(),
                other => other.replace('_', " "),
            },
            failure: key == "failure",
            lines: Vec::new(),
        };
        match value {
            Value::Object(fields) => {
                if let (true, Some(Value::String(name))) = (note.failure, fields.get("name")) {
                    note.title = format!("failure: {name}");
                }
                for (field, value) in fields {
                    match (field.as_str(), value.as_u64()) {
                        ("name", _) if note.failure => {}
                        ("code", Some(code)) if note.failure => {
                            note.lines.push(("code".into(), format!("0x{code:04x}")));
                        }
                        _ => note.lines.push((field.clone(), scalar(value))),
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    // Records of a TLV stream.
                    let record = item.get("type").zip(item.get("value"));
                    note.lines.push(match record {
                        Some((kind, value)) => (format!("record {}", scalar(kind)), scalar(value)),
                        None => (String::new(), scalar(item)),
                    });
                }
            }
            other => note.lines.push((String::new(), scalar(other))),
        }
        note
    }
}

/// `name value`, each cut.
fn pair((name, value): &(String, String), most: usize) -> String {
    let value = cut(value, most);
    let name = cut(name, most);
    format!("{name} {value}").trim_start().to_owned()
}

/// The diagram and the list of a transcript. `own` is the implementation that kept it, `who` tells
/// role and implementation of a node id.
fn draw(
    transcript: &Transcript,
    own: &str,
    who: &dyn Fn(&str) -> Option<(String, String)>,
) -> String {
    let skipped = transcript.lines.len().saturating_sub(MESSAGES);
    let messages: Vec<Message> = transcript.lines[skipped..]
        .iter()
        .map(Message::of)
        .collect();
    let left_out = transcript.left_out.saturating_add(skipped as u64);
    let parties = parties(&transcript.role, own, &messages, who);

    let role = html(&cut(&transcript.role, 40));
    let mut out = format!("<section class=\"sequence\"><h3>Transcript of the {role}</h3>");
    let _ = write!(
        out,
        "<p class=\"faint\">{} between the {role}{} and its peers, decrypted; times are from its start.{}</p>",
        count(messages.len() as u64, "message"),
        match own {
            "" => String::new(),
            own => format!(" ({})", html(&cut(own, 40))),
        },
        match left_out {
            0 => String::new(),
            1 => " 1 message before them is left out; the file among the evidence has it.".into(),
            n => format!(
                " {n} messages before them are left out; the file among the evidence has them."
            ),
        }
    );
    let _ = write!(
        out,
        "<div class=\"scroll\" role=\"region\" aria-label=\"Transcript of the {role}, a diagram\" tabindex=\"0\">{}</div>",
        picture(&parties, &messages, &role)
    );
    out.push_str("<details><summary>The same as a list</summary><ol>");
    for message in &messages {
        let _ = write!(out, "<li>{}</li>", html(&told(message, &parties)));
    }
    out.push_str("</ol></details></section>");
    out
}

/// The node that kept the transcript and its peers, in the order in which money goes.
fn parties(
    role: &str,
    own: &str,
    messages: &[Message],
    who: &dyn Fn(&str) -> Option<(String, String)>,
) -> Vec<Party> {
    let mut parties = vec![Party {
        id: String::new(),
        name: role.to_owned(),
        implementation: own.to_owned(),
    }];
    for message in messages {
        if parties.iter().any(|p| p.id == message.peer) || parties.len() == PARTIES {
            continue;
        }
        let (name, implementation) = who(&message.peer).unwrap_or_else(|| {
            let start: String = message.peer.chars().take(12).collect();
            (format!("node {start}…"), String::new())
        });
        parties.push(Party {
            id: message.peer.clone(),
            name,
            implementation,
        });
    }
    // The sort is stable: forwarders keep the order in which they were met.
    parties.sort_by_key(|p| rank(&p.name));
    parties
}

/// Places of the node that kept the transcript and of a message's other end; the same where it has
/// none.
fn ends(message: &Message, parties: &[Party]) -> (usize, usize) {
    let place = |id: &str| parties.iter().position(|p| p.id == id);
    let own = place("").unwrap_or(0);
    let last = parties.len().saturating_sub(1);
    match message.peer.as_str() {
        "" => (own, own),
        peer => (own, place(peer).unwrap_or(last)),
    }
}

/// A message in words.
fn told(message: &Message, parties: &[Party]) -> String {
    let mut text = String::new();
    if let Some(at) = message.at {
        let _ = write!(text, "{at} ms: ");
    }
    let (own, other) = ends(message, parties);
    let name = |place: usize| parties.get(place).map_or("", |p| p.name.as_str());
    if own != other {
        let (from, to) = match message.out {
            true => (own, other),
            false => (other, own),
        };
        let _ = write!(text, "{} to {}: ", name(from), name(to));
    }
    text.push_str(&cut(&message.name, LISTED));
    for field in &message.fields {
        let _ = write!(text, ", {}", pair(field, LISTED));
    }
    for note in &message.notes {
        let _ = write!(text, "; {}", cut(&note.title, LISTED));
        for (n, line) in note.lines.iter().enumerate() {
            let joint = if n == 0 { ":" } else { "," };
            let _ = write!(text, "{joint} {}", pair(line, LISTED));
        }
    }
    text
}

/// The middle of a lifeline, in pixels.
fn x(place: usize) -> usize {
    LEFT + HALF + place * GAP
}

fn text(out: &mut String, class: &str, x: usize, y: usize, words: &str) {
    let _ = write!(
        out,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>",
        html(words)
    );
}

fn line(out: &mut String, class: &str, [x1, y1, x2, y2]: [usize; 4]) {
    let _ = write!(
        out,
        "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
    );
}

fn rectangle(out: &mut String, class: &str, [x, y, width, height]: [usize; 4]) {
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"3\"/>"
    );
}

fn heads(out: &mut String, parties: &[Party], y: usize) {
    for (place, party) in parties.iter().enumerate() {
        rectangle(out, "head", [x(place) - HALF, y, 2 * HALF, 3 * LINE]);
        text(out, "name", x(place), y + LINE + 4, &cut(&party.name, 23));
        text(
            out,
            "kind",
            x(place),
            y + 2 * LINE + 4,
            &cut(&party.implementation, 23),
        );
    }
}

/// A message at the height `y`: its name and fields, its arrow, and notes of what was inside. Answers
/// where it ends.
fn row(out: &mut String, message: &Message, parties: &[Party], mut y: usize) -> usize {
    let (own, other) = ends(message, parties);
    let near = match other.cmp(&own) {
        std::cmp::Ordering::Greater => own + 1,
        // Where nobody is at the other end, on whichever side there is room.
        _ => own.checked_sub(1).unwrap_or(own + 1),
    };
    // What is written stands between the lifeline and its neighbour.
    let from = x(own.min(near));
    let middle = from + GAP / 2;
    if let Some(at) = message.at {
        text(out, "time", LEFT - 12, y, &format!("{at} ms"));
    }
    text(out, "name", middle, y, &cut(&message.name, COLUMNS));
    let fields: Vec<String> = message.fields.iter().map(|f| pair(f, VALUE)).collect();
    if !fields.is_empty() {
        for words in wrap(&fields.join(", "), COLUMNS, FIELDS) {
            y += LINE;
            text(out, "field", middle, y, &words);
        }
    }
    y += LINE / 2;
    if own != other {
        let (start, end) = match message.out {
            true => (x(own), x(other)),
            false => (x(other), x(own)),
        };
        line(out, "arrow", [start, y, end, y]);
        let back = if start < end { end - 9 } else { end + 9 };
        let _ = write!(
            out,
            "<polygon class=\"tip\" points=\"{end},{y} {back},{} {back},{}\"/>",
            y - 5,
            y + 5
        );
    }
    for note in &message.notes {
        y = box_of(out, note, from, y + 6);
    }
    y
}

/// A note right of the lifeline at `from`, below `y`. Answers where it ends.
fn box_of(out: &mut String, note: &Note, from: usize, y: usize) -> usize {
    let more = note.lines.len().saturating_sub(NOTE);
    let mut lines: Vec<String> = note.lines.iter().take(NOTE).map(|l| pair(l, 30)).collect();
    if more > 0 {
        lines.push(format!("… {more} more"));
    }
    let height = (lines.len() + 1) * LINE + 6;
    let class = if note.failure { "note failure" } else { "note" };
    rectangle(out, class, [from + 14, y, GAP - 28, height]);
    let sign = if note.failure { "✗ " } else { "" };
    let title = format!("{sign}{}", note.title);
    let title = cut(&title, COLUMNS - 3);
    text(out, "title", from + 22, y + LINE, &title);
    for (n, words) in lines.iter().enumerate() {
        let at = y + (n + 2) * LINE;
        text(out, "inside", from + 22, at, &cut(words, COLUMNS - 3));
    }
    y + height
}

fn picture(parties: &[Party], messages: &[Message], role: &str) -> String {
    let top = 3 * LINE;
    let mut body = String::new();
    let mut y = top + LINE;
    for message in messages {
        y = row(&mut body, message, parties, y) + 2 * LINE;
    }
    let width = x(parties.len().max(2) - 1) + HALF + 8;
    let height = y + 3 * LINE + 2;
    let mut out = format!(
        "<svg role=\"img\" aria-label=\"Sequence diagram of the transcript of the {role}; the list below says the same\" width=\"{width}\" height=\"{height}\">"
    );
    for place in 0..parties.len() {
        line(&mut out, "life", [x(place), top, x(place), y]);
    }
    out.push_str(&body);
    heads(&mut out, parties, 1);
    heads(&mut out, parties, y);
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_engine::record::Outcome;
    use proptest::prelude::*;
    use quick_xml::events::Event;
    use serde_json::json;

    fn transcript(lines: Vec<Value>) -> Transcript {
        serde_json::from_value(json!({"role": "payer", "lines": lines})).unwrap()
    }

    fn payment() -> Vec<Value> {
        vec![
            json!({"at_ms": 5, "direction": "in", "peer": "02aa", "message": "init", "features": "80".repeat(99)}),
            json!({"at_ms": 90, "direction": "out", "peer": "02aa", "message": "update_add_htlc",
                "channel_id": "ff".repeat(32), "htlc_id": 0, "amount_msat": "100000",
                "payload": [{"type": "2", "value": "0186a0"}, {"type": "5482373484", "value": "6c".repeat(32)}]}),
            json!({"at_ms": 99, "direction": "in", "peer": "02aa", "message": "update_fail_htlc",
                "htlc_id": 0, "failure": {"code": 16406, "name": "invalid_onion_payload", "data": "", "hop": 0}}),
        ]
    }

    fn peer(id: &str) -> Option<(String, String)> {
        (id == "02aa").then(|| ("payee".into(), "lnd".into()))
    }

    /// Elements and texts, in order; every fault of the markup is a panic.
    fn parsed(markup: &str) -> (Vec<String>, Vec<String>) {
        let mut reader = quick_xml::Reader::from_str(markup);
        let (mut elements, mut texts, mut depth) = (Vec::new(), Vec::new(), 0);
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => break,
                Event::Start(e) | Event::Empty(e) if e.attributes().any(|a| a.is_err()) => {
                    panic!("an attribute of {e:?}")
                }
                Event::Start(e) => {
                    depth += 1;
                    elements.push(String::from_utf8(e.name().as_ref().to_vec()).unwrap());
                }
                Event::Empty(e) => {
                    elements.push(String::from_utf8(e.name().as_ref().to_vec()).unwrap());
                }
                Event::End(_) => depth -= 1,
                Event::Text(text) => texts.push(text.decode().unwrap().into_owned()),
                Event::GeneralRef(_) => {}
                other => panic!("{other:?} is none of ours"),
            }
        }
        assert_eq!(depth, 0);
        (elements, texts)
    }

    #[test]
    fn a_payment_that_failed() {
        let drawn = draw(&transcript(payment()), "probe", &peer);
        let (elements, _) = parsed(&drawn);
        let count = |name: &str| elements.iter().filter(|e| *e == name).count();
        // Three arrows, two lifelines; two notes, and two heads above and below.
        assert_eq!((count("polygon"), count("line"), count("rect")), (3, 5, 6));
        for part in [
            ">update_add_htlc<",
            ">htlc_id 0, amount_msat 100000<",
            ">in the onion<",
            ">record 2 0186a0<",
            ">✗ failure: invalid_onion_payload<",
            ">code 0x4016<",
            ">99 ms<",
            ">lnd<",
            "<li>90 ms: payer to payee: update_add_htlc, htlc_id 0, amount_msat 100000; in the onion: record 2 0186a0, record 5482373484 6c6c",
            "<li>99 ms: payee to payer: update_fail_htlc, htlc_id 0; failure: invalid_onion_payload: code 0x4016, data (empty), hop 0</li>",
        ] {
            assert!(drawn.contains(part), "{part} is missing in {drawn}");
        }
        assert!(
            !drawn.contains("ffff"),
            "the channel is the same throughout"
        );
        // The payee is on the right, whoever kept the transcript.
        let turned = Transcript {
            role: "payee".into(),
            ..transcript(payment())
        };
        let turned = draw(&turned, "probe", &|_| Some(("payer".into(), "lnd".into())));
        let at = |name: &str| turned.find(&format!(">{name}</text>")).unwrap();
        assert!(at("payer") < at("payee"));
        assert!(
            turned.contains("payer to payee: update_fail_htlc"),
            "{turned}"
        );
    }

    #[test]
    fn many_messages_are_cut_with_a_word() {
        let line = |n: usize| json!({"at_ms": n, "direction": "in", "peer": format!("03{n}"), "message": "ping"});
        let drawn = draw(&transcript((0..2000).map(line).collect()), "", &|_| None);
        let (elements, _) = parsed(&drawn);
        assert_eq!(
            elements.iter().filter(|e| *e == "polygon").count(),
            MESSAGES
        );
        assert!(drawn.contains("200 messages between the payer and its peers"));
        assert!(drawn.contains("1800 messages before them are left out"));
        assert!(drawn.contains(">1999 ms<") && !drawn.contains(">1799 ms<"));
        // Peers beyond those that have a lifeline share one.
        assert_eq!(drawn.matches("class=\"life\"").count(), PARTIES);
        let note = json!({"message": "x", "list": vec![json!({"type": 1, "value": "00"}); 40]});
        let drawn = draw(&transcript(vec![note]), "probe", &|_| None);
        assert!(drawn.contains("… 28 more"));
        assert_eq!(
            drawn.matches("<polygon").count(),
            0,
            "nobody is at the other end"
        );
    }

    #[test]
    fn checks_of_a_scenario_share_a_diagram() {
        let of = |id: &str, expected: bool, role: &str| Check {
            expected,
            roles: Some([("payer".into(), "probe".into())].into()),
            transcripts: vec![Transcript {
                role: role.into(),
                ..transcript(payment())
            }],
            ..crate::tests::check(id, "", Outcome::Failed)
        };
        let none = Check {
            transcripts: vec![],
            ..of("n", true, "payer")
        };
        let mut checks = vec![of("a", true, "payer"), of("b", true, "payer"), none];
        let all = Sequences::of(&checks, &Nodes::default());
        assert_eq!(all.drawn.len(), 1);
        let places: Vec<_> = checks.iter().map(|c| all.places(c)).collect();
        assert_eq!(places, [Some(vec![0]), Some(vec![0]), None]);
        // Where there is not room for all, what nobody expected has it.
        checks.extend((0..DIAGRAMS).map(|n| of(&n.to_string(), true, &n.to_string())));
        checks.push(of("z", false, "payee"));
        let all = Sequences::of(&checks, &Nodes::default());
        assert_eq!(all.drawn.len(), DIAGRAMS);
        let last = checks.len() - 1;
        assert_eq!(all.places(&checks[last]), Some(vec![0]));
        assert_eq!(all.places(&checks[last - 1]), Some(vec![-1]));
    }

    #[test]
    fn nodes_are_named_by_their_roles() {
        let mut nodes = Nodes::default();
        nodes.add(Node {
            role: "payee".into(),
            implementation: "lnd".into(),
            version: String::new(),
            node_id: "02aa".into(),
            started_ms: 0,
            log: String::new(),
            cluster: Some("c1".into()),
        });
        let check = Check {
            cluster: Some("c1".into()),
            transcripts: vec![transcript(payment())],
            ..crate::tests::check("a", "", Outcome::Failed)
        };
        let there = Sequences::of(std::slice::from_ref(&check), &nodes);
        assert!(there.drawn[0].contains(">payee</text>"));
        let other = Check {
            cluster: Some("c2".into()),
            ..check
        };
        let elsewhere = Sequences::of(std::slice::from_ref(&other), &nodes);
        assert!(elsewhere.drawn[0].contains(">node 02aa…</text>"));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::String),
            any::<u64>().prop_map(|n| json!(n)),
            "[<>&\"'\u{fffe}\u{ffff}\u{0}\\]-]{0,9}".prop_map(Value::String),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn any_line() -> impl Strategy<Value = Value> {
        let keys = prop_oneof![
            any::<String>(),
            Just("message".to_owned()),
            Just("peer".into()),
            Just("direction".into()),
            Just("failure".into()),
            Just("payload".into()),
            Just("at_ms".into()),
        ];
        prop::collection::btree_map(keys, any_value(), 0..7)
            .prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn the_markup_is_ours_whatever_was_said(
            lines in prop::collection::vec(any_line(), 0..6), role in any::<String>(), own in any::<String>(),
        ) {
            let transcript = Transcript { role, ..transcript(lines) };
            let drawn = draw(&transcript, &own, &|id| id.is_empty().then(|| (id.into(), id.into())));
            let (elements, texts) = parsed(&drawn);
            let ours = ["section", "h3", "p", "div", "svg", "line", "rect", "text", "polygon", "details", "summary", "ol", "li"];
            for element in elements {
                prop_assert!(ours.contains(&element.as_str()), "{}", element);
            }
            let legal = |c: char| matches!(c, ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
            for text in texts {
                prop_assert!(text.chars().all(legal), "{:?}", text);
            }
        }
    }
}
