//! A message inside the params of an operation: made, changed and put back.

use super::draw::Draw;
use super::stream::{self, Stream};
use super::{Input, make};
use lnconform_drafts::bech32;
use lnconform_drafts::bolt12::invoice::Kind;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::params::{hex, hex_bytes};
use lnconform_vectors::mutate::Codecs;
use serde_json::{Value, json};

/// How valid input of an operation is made.
pub(super) struct Maker {
    /// The operation.
    pub operation: &'static str,
    /// The param that holds the message.
    field: &'static str,
    /// Prefix of its string; without one the message is in hex.
    prefix: Option<&'static str>,
    records: fn(&mut Draw) -> Vec<Record>,
    /// Other params that it needs.
    more: &'static [(&'static str, &'static str)],
}

/// One for each kind of message.
pub(super) const MAKERS: [Maker; 8] = [
    Maker {
        operation: "bolt12.offer.decode",
        field: "offer",
        prefix: Some("lno"),
        records: make::offer,
        more: &[],
    },
    Maker {
        operation: "bolt12.invoice_request.decode",
        field: "bytes",
        prefix: None,
        records: make::request,
        more: &[],
    },
    Maker {
        operation: "bolt12.refund.decode",
        field: "bytes",
        prefix: None,
        records: make::refund,
        more: &[],
    },
    Maker {
        operation: "bolt12.invoice.decode",
        field: "bytes",
        prefix: None,
        records: make::invoice,
        more: &[],
    },
    Maker {
        operation: "bolt12.static_invoice.decode",
        field: "bytes",
        prefix: None,
        records: |draw| make::static_invoice(draw, Kind::StaticLdk),
        more: &[("dialect", "async/ldk")],
    },
    Maker {
        operation: "bolt12.static_invoice.decode",
        field: "bytes",
        prefix: None,
        records: |draw| make::static_invoice(draw, Kind::StaticPr1149),
        more: &[("dialect", "async/pr-1149")],
    },
    Maker {
        operation: "bolt12.invoice_error.decode",
        field: "bytes",
        prefix: None,
        records: make::invoice_error,
        more: &[],
    },
    Maker {
        operation: "payer_proof.verify",
        field: "proof",
        prefix: Some("lnp"),
        records: make::proof,
        more: &[],
    },
];

impl Maker {
    /// Valid params.
    pub fn make(&self, draw: &mut Draw) -> Value {
        let stream = tlv::encode_unchecked(&(self.records)(draw));
        let mut params = json!({ self.field: match self.prefix {
            Some(prefix) => bech32::encode(prefix, &stream),
            None => hex(stream),
        } });
        for (name, value) in self.more {
            params[*name] = json!(value);
        }
        params
    }
}

/// Where the message stands, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The param.
    pub field: &'static str,
    /// Prefix of the string; `None` for hex.
    pub prefix: Option<String>,
    /// The stream.
    pub bytes: Vec<u8>,
}

impl Message {
    /// The message in the params, if one can be got out of them.
    pub fn of(params: &Value) -> Option<Self> {
        ["bytes", "offer", "proof", "string"]
            .into_iter()
            .find_map(|field| {
                let text = params.get(field)?.as_str()?;
                if let Some(bytes) = hex_bytes(text) {
                    return Some(Self {
                        field,
                        prefix: None,
                        bytes,
                    });
                }
                let decoded = bech32::decode(&Rules::all(), text).ok()?;
                Some(Self {
                    field,
                    prefix: Some(decoded.prefix),
                    bytes: decoded.bytes,
                })
            })
    }

    /// Puts another stream in its place.
    pub fn put(&self, params: &mut Value, bytes: &[u8]) {
        params[self.field] = match &self.prefix {
            Some(prefix) => bech32::encode(prefix, bytes).into(),
            None => hex(bytes).into(),
        };
    }
}

/// Changes an input in up to three places.
pub(super) fn change(draw: &mut Draw, codecs: &Codecs, input: &mut Input) {
    let count = [0, 1, 1, 1, 1, 1, 2, 3][draw.below(8)];
    if let Some(message) = Message::of(&input.params) {
        let mut stream = Stream::parse(&message.bytes);
        for _ in 0..count {
            let what = stream::change(draw, &mut stream, make::field);
            input.changes.push(what);
        }
        if count > 0 {
            message.put(&mut input.params, &stream.bytes());
            if draw.below(4) > 0 && resign(codecs, input) {
                input.changes.push("signed again");
            }
        }
        if message.prefix.is_some() && draw.one_in(4) {
            let text = input.params[message.field].as_str().unwrap_or_default();
            let (text, what) = text_change(draw, text);
            input.params[message.field] = text.into();
            input.changes.push(what);
        }
    }
    time(draw, input);
}

/// Remakes the signature, where the message is whole and its key is ours.
pub(super) fn resign(codecs: &Codecs, input: &mut Input) -> bool {
    let whole = Message::of(&input.params).is_some_and(|m| stream::records(&m.bytes).is_some());
    if !whole {
        return false;
    }
    let mut params = input.params.clone();
    let signed = codecs.resign(&input.operation, &mut params).is_ok();
    if signed && params != input.params {
        input.params = params;
        return true;
    }
    false
}

/// Gives the reader a clock, now and then, at an edge of what is made here.
fn time(draw: &mut Draw, input: &mut Input) {
    let timed = matches!(
        input.operation.as_str(),
        "bolt12.offer.decode"
            | "bolt12.refund.decode"
            | "bolt12.invoice.decode"
            | "bolt12.static_invoice.decode"
    );
    if timed && draw.one_in(8) {
        const AFTER: [u64; 6] = [0, 1, 7200, 7201, 1_209_600, 1_209_601];
        let now = make::CREATED_AT + draw.pick(&AFTER);
        input.params["now"] = now.to_string().into();
        input.changes.push("a clock");
    }
}

/// Changes a string as such.
fn text_change(draw: &mut Draw, text: &str) -> (String, &'static str) {
    let at = draw.below(text.len());
    let (before, after) = match text.is_char_boundary(at) {
        true => text.split_at(at),
        false => (text, ""),
    };
    match draw.below(7) {
        0 => {
            let joint = *draw.pick(&[
                "+",
                "+ ",
                "+\n",
                "+\r\n\t",
                "++",
                " ",
                "+\u{b}",
                "+\u{a0}",
                "+\u{2003}",
                " +",
            ]);
            (format!("{before}{joint}{after}"), "a joint in the string")
        }
        1 => (text.to_ascii_uppercase(), "the string in upper case"),
        2 => (
            format!("{before}{}", after.to_ascii_uppercase()),
            "the end of the string in upper case",
        ),
        3 => {
            let end = *draw.pick(&["q", "p", "l", "qq", "b", "+", " ", "\n"]);
            (format!("{text}{end}"), "characters behind the string")
        }
        4 => {
            let mut text = text.to_owned();
            text.pop();
            (text, "the string without its end")
        }
        5 => {
            let first = *draw.pick(&["+", " ", "lightning:", "LNO1", "1"]);
            (
                format!("{first}{text}"),
                "characters in front of the string",
            )
        }
        _ => {
            let letter = char::from(*draw.pick(b"qpzry9x8gf2tvdw0s3jn54khce6mua7lb1oiQ"));
            let mut chars: Vec<char> = text.chars().collect();
            if !chars.is_empty() {
                let at = draw.below(chars.len());
                chars[at] = letter;
            }
            (chars.into_iter().collect(), "another character")
        }
    }
}
