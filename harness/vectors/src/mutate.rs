//! One named change to a valid parent's input.
//!
//! | written | does | on |
//! |---|---|---|
//! | any plain value, `{set: v}` | puts it there | anything |
//! | `"+1"`, `"-1"` | adds, keeping the number of bytes | decimal strings, numbers, bytes as one big-endian integer |
//! | `{flip: 0}` | flips one bit; 0 is the lowest of the last byte | bytes |
//! | `{truncate: 2}` | takes so many away from the end | bytes, lists (elements), text (characters) |
//! | `{drop: true}` | removes it | a field, a list's element, a record |
//! | `{dup: true}` | puts the same again behind it | a list's element, a record |
//! | `{swap: [0, 1]}` | exchanges two places, counted from 0 | lists (records too), bytes, text (characters) |
//! | `{add: v}` | appends; a record goes where its type belongs | lists, records |
//!
//! A path is dotted and begins with `input`. In a list of records a number is a **type**, in any
//! other list a place. A change of a record is a change of its `value`; `.type` reaches its type.
//! A path that goes on below a string reaches into the encoded bytes through the field's codec:
//! `input.stream.22` (TLV stream in hex), `input.payload.2` (an onion's payload, whose length is
//! written anew), `input.offer.records.22` (a BOLT 12 string), `input.receipt.received_msat` (a
//! record of a keysend proof).

mod layout;
mod resign;

use crate::bindings::short;
use lnconform_protocol::params::{hex, hex_bytes};
use serde_json::{Map, Value, json};

/// A change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Puts a value there.
    Set(Value),
    /// Adds a number.
    Add(i128),
    /// Flips a bit; 0 is the lowest bit of the last byte.
    Flip(usize),
    /// Takes bytes, elements or characters away from the end.
    Truncate(usize),
    /// Removes it.
    Drop,
    /// Puts the same again behind it.
    Dup,
    /// Exchanges two places.
    Swap(usize, usize),
    /// Appends an element or a record.
    Append(Value),
}

const CHANGES: [&str; 7] = ["set", "flip", "truncate", "drop", "dup", "swap", "add"];

impl Change {
    /// Reads a change as the module's table writes it.
    ///
    /// # Errors
    /// What is wrong, and what was meant.
    pub fn parse(value: &Value) -> Result<Self, (String, String)> {
        match value {
            Value::String(s) => {
                let digits = s.strip_prefix(['+', '-']);
                if digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
                    return s.parse().map(Self::Add).map_err(|_| {
                        (
                            format!("`{s}` is too large a step"),
                            "use {set: …}".to_owned(),
                        )
                    });
                }
                Ok(Self::Set(value.clone()))
            }
            Value::Object(map) => {
                let mut keys = map.iter();
                let (Some((key, arg)), None) = (keys.next(), keys.next()) else {
                    return Err((
                        "a change has one key".into(),
                        format!(
                            "known changes: {}; a mapping is set by {{set: {{…}}}}",
                            CHANGES.join(", ")
                        ),
                    ));
                };
                Self::named(key, arg)
            }
            Value::Null => Err((
                "nothing is set here".into(),
                "to remove a field write {drop: true}".into(),
            )),
            other => Ok(Self::Set(other.clone())),
        }
    }

    fn named(key: &str, arg: &Value) -> Result<Self, (String, String)> {
        let count = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let wrong = |form: &str| {
            Err((
                format!("`{key}: {}` does not parse", short(arg)),
                format!("it is written {form}"),
            ))
        };
        match key {
            "set" => Ok(Self::Set(arg.clone())),
            "add" => Ok(Self::Append(arg.clone())),
            "flip" => count(arg).map_or_else(|| wrong("{flip: BIT}"), |n| Ok(Self::Flip(n))),
            "truncate" => match count(arg) {
                Some(n) if n > 0 => Ok(Self::Truncate(n)),
                _ => wrong("{truncate: N}, N above 0"),
            },
            "drop" if arg == true => Ok(Self::Drop),
            "drop" => wrong("{drop: true}"),
            "dup" if arg == true => Ok(Self::Dup),
            "dup" => wrong("{dup: true}"),
            "swap" => match arg
                .as_array()
                .map(|a| a.iter().map(count).collect::<Vec<_>>())
                .as_deref()
            {
                Some([Some(i), Some(j)]) if i != j => Ok(Self::Swap(*i, *j)),
                _ => wrong("{swap: [I, J]}, two different places"),
            },
            _ => Err((
                format!("there is no change `{key}`"),
                match lnconform_yaml::suggest(key, CHANGES) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "known changes: {}; a mapping is set by {{set: {{…}}}}",
                        CHANGES.join(", ")
                    ),
                },
            )),
        }
    }
}

/// Decodes an encoded field, so that a mutation reaches inside, and encodes what came of it.
/// Neither direction checks reader rules: the outcome is meant to break one.
pub trait FieldCodec: Send + Sync {
    /// Name for messages, such as `tlv`.
    fn name(&self) -> &'static str;
    /// Whether this codec reads such a string.
    fn recognises(&self, text: &str) -> bool;
    /// Whether this codec leads to `head`, the next segment of the path, inside such a string.
    fn reaches(&self, text: &str, head: &str) -> bool {
        let _ = head;
        self.recognises(text)
    }
    /// The decoded form: an object; a TLV stream is `{"records": […]}`.
    ///
    /// # Errors
    /// In words.
    fn decode(&self, text: &str) -> Result<Value, String>;
    /// The encoded string again.
    ///
    /// # Errors
    /// In words.
    fn encode(&self, value: &Value) -> Result<String, String>;
}

type Resign = Box<dyn Fn(&mut Value) -> Result<(), String> + Send + Sync>;

/// The codecs and signers at hand.
#[derive(Default)]
pub struct Codecs {
    fields: Vec<Box<dyn FieldCodec>>,
    resign: Vec<(String, Resign)>,
}

impl std::fmt::Debug for Codecs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.fields.iter().map(|c| c.name()))
            .finish()
    }
}

impl Codecs {
    /// Those of this crate: [`Bolt12String`], the records of keysend proofs and of tunnelled AMP
    /// payments, [`Framed`] and [`Tlv`]; signers for the messages of BOLT 12.
    pub fn standard() -> Self {
        let mut codecs = Self::default();
        codecs.register(Bolt12String);
        codecs.register(layout::REQUEST);
        codecs.register(layout::RECEIPT);
        codecs.register(layout::AMP_RECEIPT);
        codecs.register(layout::ASSIGNMENT);
        codecs.register(layout::POOL_HEADER);
        codecs.register(Framed);
        codecs.register(Tlv);
        for operation in resign::OPERATIONS {
            codecs.register_resign(operation, move |input| resign::messages(operation, input));
        }
        codecs
    }

    /// Adds a codec; the first one that recognises a string decodes it.
    pub fn register(&mut self, codec: impl FieldCodec + 'static) {
        self.fields.push(Box::new(codec));
    }

    /// Adds a signer: it remakes the signatures inside the input of `operation` for `resign: true`.
    pub fn register_resign(
        &mut self,
        operation: impl Into<String>,
        sign: impl Fn(&mut Value) -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.resign.push((operation.into(), Box::new(sign)));
    }

    /// Remakes the signatures inside `input`.
    ///
    /// # Errors
    /// When nothing is registered for the operation, or the signer fails.
    pub fn resign(&self, operation: &str, input: &mut Value) -> Result<(), String> {
        match self.resign.iter().find(|(op, _)| op == operation) {
            Some((_, sign)) => sign(input),
            None => Err(format!("`resign` is not supported for {operation} yet")),
        }
    }

    fn reaching(&self, text: &str, head: &str) -> Option<&dyn FieldCodec> {
        self.fields
            .iter()
            .map(Box::as_ref)
            .find(|c| c.reaches(text, head))
    }
}

/// How a string is read by `+n`, `flip`, `truncate` and `swap`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Decimal,
    Bytes,
    Plain,
}

/// Fields that hold bytes whatever their digits look like.
pub(crate) fn holds_bytes(field: &str) -> bool {
    const NAMES: [&str; 22] = [
        "bytes",
        "stream",
        "onion",
        "payload",
        "preimage",
        "payment_hash",
        "signature",
        "pubkey",
        "associated_data",
        "session_key",
        "path_key",
        "encrypted_data",
        "node_id",
        "features",
        "record",
        "request",
        "receipt",
        "proof",
        "packet",
        "root",
        "share",
        "node_secret",
    ];
    NAMES.contains(&field)
        || ["_key", "_hash", "_id", "_secret", "_data", "_share"]
            .iter()
            .any(|s| field.ends_with(s))
}

/// Fields that hold 64-bit values and are decimal strings.
pub(crate) fn holds_decimal(field: &str) -> bool {
    const NAMES: [&str; 11] = [
        "type",
        "now",
        "expiry",
        "absolute_expiry",
        "quantity",
        "quantity_max",
        "timestamp",
        "known",
        "length",
        "payment_time",
        "settled_time",
    ];
    // The base fee of a channel or path has 32 bits.
    NAMES.contains(&field) || field.ends_with("_msat") && field != "fee_base_msat"
}

fn kind_of(field: &str, in_record: bool, text: &str) -> Text {
    let is_hex = hex_bytes(text).is_some();
    let is_decimal = text == "0"
        || (text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() && !text.starts_with('0'));
    if (in_record && field == "value" || holds_bytes(field)) && is_hex {
        Text::Bytes
    } else if is_decimal {
        Text::Decimal
    } else if is_hex {
        Text::Bytes
    } else {
        Text::Plain
    }
}

fn is_record(value: &Value) -> bool {
    value.get("type").is_some_and(Value::is_string)
        && value.get("value").is_some_and(Value::is_string)
}

fn is_records(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(is_record)
}

/// Changes what is at `path` (dotted segments, without the leading `input`) below `root`.
///
/// # Errors
/// In words: the path leads nowhere, or the change does not fit what is there. `root` may be
/// changed in part then.
pub fn apply(
    root: &mut Value,
    path: &[&str],
    change: &Change,
    codecs: &Codecs,
) -> Result<(), String> {
    go(root, "input", false, path, change, codecs)
}

fn go(
    slot: &mut Value,
    field: &str,
    in_record: bool,
    path: &[&str],
    change: &Change,
    codecs: &Codecs,
) -> Result<(), String> {
    let Some((&head, rest)) = path.split_first() else {
        return if is_record(slot) && !matches!(change, Change::Set(Value::Object(_))) {
            change_value(&mut slot["value"], "value", true, change, codecs)
        } else {
            change_value(slot, field, in_record, change, codecs)
        };
    };
    match slot {
        Value::Object(map) => {
            let record = map.contains_key("type") && map.contains_key("value");
            let Some(inner) = map.get_mut(head) else {
                return Err(no_key(map, head));
            };
            match (rest, change) {
                ([], Change::Drop) => {
                    map.shift_remove(head);
                    Ok(())
                }
                ([], Change::Dup) => Err(format!(
                    "`{head}` is no element of a list; only those can be doubled"
                )),
                _ => go(inner, head, record, rest, change, codecs),
            }
        }
        Value::Array(list) => {
            let at = place_in(list, head)?;
            match (rest, change) {
                ([], Change::Drop) => {
                    list.remove(at);
                }
                ([], Change::Dup) => list.insert(at + 1, list[at].clone()),
                _ => go(&mut list[at], field, false, rest, change, codecs)?,
            }
            Ok(())
        }
        Value::String(text) => {
            let codec = codecs.reaching(text, head).ok_or_else(|| {
                format!(
                    "`{head}` lies inside an encoded string that no codec reads: {}",
                    short(&json!(text))
                )
            })?;
            let mut decoded = codec
                .decode(text)
                .map_err(|e| format!("the {} codec: {e}", codec.name()))?;
            // `input.stream.22` is short for `input.stream.records.22`.
            let direct = head.bytes().all(|b| b.is_ascii_digit());
            if direct && let Some(records) = decoded.get_mut("records") {
                go(records, "records", false, path, change, codecs)?;
            } else {
                go(&mut decoded, field, false, path, change, codecs)?;
            }
            *text = codec
                .encode(&decoded)
                .map_err(|e| format!("the {} codec: {e}", codec.name()))?;
            Ok(())
        }
        other => Err(format!("there is no `{head}` in {}", short(other))),
    }
}

fn no_key(map: &Map<String, Value>, key: &str) -> String {
    match lnconform_yaml::suggest(key, map.keys().map(String::as_str)) {
        Some(near) => format!("the parent has no `{key}` here; did you mean `{near}`?"),
        None if map.is_empty() => format!("the parent has no `{key}` here"),
        None => format!(
            "the parent has no `{key}` here, only {}",
            map.keys()
                .map(|k| format!("`{k}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

fn place_in(list: &[Value], head: &str) -> Result<usize, String> {
    if is_records(list) {
        return list.iter().position(|r| r["type"] == head).ok_or_else(|| {
            let types: Vec<_> = list.iter().filter_map(|r| r["type"].as_str()).collect();
            format!(
                "the parent has no record of type {head}, only {}",
                types.join(", ")
            )
        });
    }
    match head.parse::<usize>() {
        Ok(i) if i < list.len() => Ok(i),
        Ok(i) => Err(format!(
            "the parent's list has {} elements; there is no {i} (the first is 0)",
            list.len()
        )),
        Err(_) => Err(format!("`{head}` is no place in a list")),
    }
}

fn change_value(
    slot: &mut Value,
    field: &str,
    in_record: bool,
    change: &Change,
    codecs: &Codecs,
) -> Result<(), String> {
    let unfit = |slot: &Value, what: &str| Err(format!("{what} does not work on {}", short(slot)));
    match (change, &mut *slot) {
        (Change::Set(v), _) => {
            *slot = v.clone();
            Ok(())
        }
        (Change::Drop | Change::Dup, _) => {
            Err("the whole input cannot be dropped or doubled".into())
        }
        (Change::Add(n), Value::Number(old)) => {
            let sum = old.as_u64().map(i128::from).and_then(|o| o.checked_add(*n));
            match sum.and_then(|s| u32::try_from(s).ok()) {
                Some(new) => *slot = json!(new),
                None => return Err(format!("{old} and {n:+} make no number of 32 bits")),
            }
            Ok(())
        }
        (_, Value::String(text)) => {
            let kind = kind_of(field, in_record, text);
            *text = match (change, kind) {
                (Change::Append(v), _) => {
                    let codec = codecs.reaching(text, "records").ok_or_else(|| {
                        format!(
                            "add works on lists and records, not on {}",
                            short(&json!(text))
                        )
                    })?;
                    let mut decoded = codec
                        .decode(text)
                        .map_err(|e| format!("the {} codec: {e}", codec.name()))?;
                    let Some(Value::Array(list)) = decoded.get_mut("records") else {
                        return Err(format!(
                            "the {} codec gives no records to add to",
                            codec.name()
                        ));
                    };
                    append(list, v);
                    codec
                        .encode(&decoded)
                        .map_err(|e| format!("the {} codec: {e}", codec.name()))?
                }
                (Change::Add(n), Text::Decimal) => {
                    let old: i128 = text
                        .parse()
                        .map_err(|_| format!("{text} is too long a number"))?;
                    match old.checked_add(*n).and_then(|s| u64::try_from(s).ok()) {
                        Some(new) => new.to_string(),
                        None => return Err(format!("{text} and {n:+} make no number of 64 bits")),
                    }
                }
                (Change::Add(n), Text::Bytes) => hex(add_bytes(bytes_of(text)?, *n)?),
                (Change::Flip(bit), Text::Bytes) => {
                    let mut bytes = bytes_of(text)?;
                    let len = bytes.len();
                    if bit / 8 >= len {
                        return Err(format!("there is no bit {bit} in {len} bytes"));
                    }
                    bytes[len - 1 - bit / 8] ^= 1 << (bit % 8);
                    hex(bytes)
                }
                (Change::Truncate(n), Text::Bytes) => {
                    let mut bytes = bytes_of(text)?;
                    let left = bytes.len().checked_sub(*n).ok_or_else(|| {
                        format!("there are only {} bytes to cut {n} from", bytes.len())
                    })?;
                    bytes.truncate(left);
                    hex(bytes)
                }
                (Change::Truncate(n), Text::Plain) => {
                    let mut chars: Vec<char> = text.chars().collect();
                    let left = chars.len().checked_sub(*n).ok_or_else(|| {
                        format!("there are only {} characters to cut {n} from", chars.len())
                    })?;
                    chars.truncate(left);
                    chars.into_iter().collect()
                }
                (Change::Swap(i, j), Text::Bytes) => {
                    let mut bytes = bytes_of(text)?;
                    swap(&mut bytes, *i, *j, "bytes")?;
                    hex(bytes)
                }
                (Change::Swap(i, j), Text::Plain) => {
                    let mut chars: Vec<char> = text.chars().collect();
                    swap(&mut chars, *i, *j, "characters")?;
                    chars.into_iter().collect()
                }
                (Change::Add(_), Text::Plain) => return unfit(slot, "adding"),
                (Change::Flip(_), _) => return unfit(slot, "flip (of bytes)"),
                _ => return unfit(slot, "cutting or swapping the digits of a number"),
            };
            Ok(())
        }
        (Change::Truncate(n), Value::Array(list)) => {
            let left = list
                .len()
                .checked_sub(*n)
                .ok_or_else(|| format!("there are only {} elements to cut {n} from", list.len()))?;
            list.truncate(left);
            Ok(())
        }
        (Change::Swap(i, j), Value::Array(list)) => swap(list, *i, *j, "elements"),
        (Change::Append(v), Value::Array(list)) => {
            append(list, v);
            Ok(())
        }
        (Change::Append(_), other) => unfit(other, "add"),
        (Change::Add(_), other) => unfit(other, "adding"),
        (Change::Flip(_), other) => unfit(other, "flip"),
        (Change::Truncate(_), other) => unfit(other, "truncate"),
        (Change::Swap(..), other) => unfit(other, "swap"),
    }
}

fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    hex_bytes(text).ok_or_else(|| format!("`{text}` is no hex"))
}

fn swap<T: PartialEq>(list: &mut [T], i: usize, j: usize, what: &str) -> Result<(), String> {
    if i.max(j) >= list.len() {
        return Err(format!(
            "there are {} {what}, so no {} (the first is 0)",
            list.len(),
            i.max(j)
        ));
    }
    if list[i] == list[j] {
        return Err(format!(
            "{what} {i} and {j} are the same, so swapping them changes nothing"
        ));
    }
    list.swap(i, j);
    Ok(())
}

/// A record goes before the first with a higher type; anything else to the end.
fn append(list: &mut Vec<Value>, value: &Value) {
    let kind = |v: &Value| v["type"].as_str().and_then(|s| s.parse::<u64>().ok());
    let at = match kind(value) {
        Some(new) if list.iter().all(is_record) => list
            .iter()
            .position(|r| kind(r).is_some_and(|k| k > new))
            .unwrap_or(list.len()),
        _ => list.len(),
    };
    list.insert(at, value.clone());
}

/// The bytes as one big-endian number, plus `n`, in as many bytes.
fn add_bytes(mut bytes: Vec<u8>, n: i128) -> Result<Vec<u8>, String> {
    let mut carry = n;
    for b in bytes.iter_mut().rev() {
        let sum = i128::from(*b) + carry;
        *b = u8::try_from(sum.rem_euclid(256)).unwrap_or_default();
        carry = sum.div_euclid(256);
    }
    if carry == 0 {
        Ok(bytes)
    } else {
        Err(format!("{n:+} does not fit in the same number of bytes"))
    }
}

/// A TLV stream in hex.
#[derive(Clone, Copy, Debug)]
pub struct Tlv;

impl FieldCodec for Tlv {
    fn name(&self) -> &'static str {
        "tlv"
    }

    fn recognises(&self, text: &str) -> bool {
        hex_bytes(text).is_some()
    }

    fn decode(&self, text: &str) -> Result<Value, String> {
        Ok(json!({"records": split_records(&bytes_of(text)?)?}))
    }

    fn encode(&self, value: &Value) -> Result<String, String> {
        Ok(hex(join_records(&value["records"])?))
    }
}

/// The payload of an onion's hop in hex: a TLV stream behind its length.
#[derive(Clone, Copy, Debug)]
pub struct Framed;

impl Framed {
    /// The stream, where the length in front is just its own and it holds whole records.
    fn stream(bytes: &[u8]) -> Option<&[u8]> {
        let mut rest = bytes;
        let length = bigsize(&mut rest).ok()?;
        let whole = length == rest.len() as u64 && !rest.is_empty();
        (whole && split_records(rest).is_ok()).then_some(rest)
    }
}

impl FieldCodec for Framed {
    fn name(&self) -> &'static str {
        "payload"
    }

    fn recognises(&self, text: &str) -> bool {
        hex_bytes(text).is_some_and(|bytes| Self::stream(&bytes).is_some())
    }

    fn decode(&self, text: &str) -> Result<Value, String> {
        let bytes = bytes_of(text)?;
        let stream = Self::stream(&bytes).ok_or("it does not begin with its own length")?;
        Ok(json!({"records": split_records(stream)?}))
    }

    fn encode(&self, value: &Value) -> Result<String, String> {
        let stream = join_records(&value["records"])?;
        let mut bytes = Vec::new();
        push_bigsize(&mut bytes, stream.len() as u64);
        bytes.extend(stream);
        Ok(hex(bytes))
    }
}

/// A BOLT 12 string: prefix, `1`, and a TLV stream in bech32 without checksum.
#[derive(Clone, Copy, Debug)]
pub struct Bolt12String;

const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

impl FieldCodec for Bolt12String {
    fn name(&self) -> &'static str {
        "bolt12"
    }

    fn recognises(&self, text: &str) -> bool {
        text.get(..4).is_some_and(|p| {
            ["lno1", "lnr1", "lni1", "lnp1"].contains(&p.to_ascii_lowercase().as_str())
        })
    }

    fn decode(&self, text: &str) -> Result<Value, String> {
        let whole: String = text
            .chars()
            .filter(|c| *c != '+' && !c.is_whitespace())
            .collect::<String>()
            .to_ascii_lowercase();
        let (prefix, data) = whole.split_once('1').ok_or("there is no separator")?;
        let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0u32);
        for c in data.bytes() {
            let five = CHARSET
                .iter()
                .position(|&x| x == c)
                .ok_or("a character outside the alphabet")?;
            held = (held << 5 | u32::try_from(five).unwrap_or_default()) & 0xfff;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push((held >> bits & 0xff) as u8);
            }
        }
        Ok(json!({"prefix": prefix, "records": split_records(&bytes)?}))
    }

    fn encode(&self, value: &Value) -> Result<String, String> {
        let bytes = join_records(&value["records"])?;
        let mut text = format!("{}1", value["prefix"].as_str().unwrap_or_default());
        let (mut held, mut bits) = (0u32, 0u32);
        for b in bytes {
            held = (held << 8 | u32::from(b)) & 0xffff;
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                text.push(char::from(CHARSET[(held >> bits & 31) as usize]));
            }
        }
        if bits > 0 {
            text.push(char::from(CHARSET[(held << (5 - bits) & 31) as usize]));
        }
        Ok(text)
    }
}

fn split_records(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let (mut records, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let kind = bigsize(&mut rest)?;
        let length = usize::try_from(bigsize(&mut rest)?)
            .ok()
            .filter(|n| *n <= rest.len());
        let (value, tail) = rest.split_at(length.ok_or("a record is longer than the stream")?);
        records.push(json!({"type": kind.to_string(), "value": hex(value)}));
        rest = tail;
    }
    Ok(records)
}

fn bigsize(rest: &mut &[u8]) -> Result<u64, String> {
    let (first, tail) = rest
        .split_first()
        .ok_or("the stream ends inside a record")?;
    let width = match first {
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
        small => {
            *rest = tail;
            return Ok(u64::from(*small));
        }
    };
    if tail.len() < width {
        return Err("the stream ends inside a number".into());
    }
    let (number, tail) = tail.split_at(width);
    *rest = tail;
    Ok(number.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn join_records(records: &Value) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for record in records.as_array().map(Vec::as_slice).unwrap_or_default() {
        let kind = record["type"].as_str().and_then(|s| s.parse().ok());
        let value = record["value"].as_str().and_then(hex_bytes);
        let (Some(kind), Some(value)) = (kind, value) else {
            return Err(format!("{} is no record", short(record)));
        };
        push_bigsize(&mut bytes, kind);
        push_bigsize(&mut bytes, value.len() as u64);
        bytes.extend(value);
    }
    Ok(bytes)
}

fn push_bigsize(out: &mut Vec<u8>, n: u64) {
    let wide = n.to_be_bytes();
    let width = match n {
        0..0xfd => 1,
        0xfd..0x1_0000 => {
            out.push(0xfd);
            2
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(0xfe);
            4
        }
        _ => {
            out.push(0xff);
            8
        }
    };
    out.extend_from_slice(&wide[8 - width..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mutate(input: Value, path: &str, change: Value) -> Result<Value, String> {
        let mut input = input;
        let path: Vec<&str> = path.split('.').filter(|p| !p.is_empty()).collect();
        let change = Change::parse(&change).map_err(|(m, h)| format!("{m}; {h}"))?;
        apply(&mut input, &path, &change, &Codecs::standard())?;
        Ok(input)
    }

    #[test]
    fn the_length_in_front_of_a_payload_follows() {
        for (path, change, want) in [
            ("payload.2", json!("+1"), "0602010206010a"),
            ("payload.2", json!({"drop": true}), "0306010a"),
            ("payload.2", json!({"dup": true}), "09020101020101"),
            (
                "payload",
                json!({"add": {"type": "4", "value": "0b"}}),
                "0902010104010b06010a",
            ),
        ] {
            let got = mutate(json!({"payload": "0602010106010a"}), path, change.clone());
            let want = if want.ends_with("0a") {
                want.to_owned()
            } else {
                format!("{want}06010a")
            };
            assert_eq!(got, Ok(json!({ "payload": want })), "{change}");
        }
        // Bytes whose first is not their length are a stream.
        let got = mutate(json!({"payload": "02010106010a"}), "payload.6", json!("+1"));
        assert_eq!(got, Ok(json!({"payload": "02010106010b"})));
    }

    #[test]
    fn each_change_changes_what_it_says() {
        let records = json!([{"type": "8", "value": "03e8"}, {"type": "10", "value": ""}]);
        for (input, path, change, want) in [
            (
                json!({"a_msat": "10"}),
                "a_msat",
                json!("+1"),
                json!({"a_msat": "11"}),
            ),
            (json!({"n": 10}), "n", json!("-1"), json!({"n": 9})),
            (
                json!({"preimage": "10ff"}),
                "preimage",
                json!("+1"),
                json!({"preimage": "1100"}),
            ),
            (json!({"a_id": "10"}), "a_id", json!("-17"), Value::Null),
            (
                json!({"x": "00ff"}),
                "x",
                json!({"flip": 8}),
                json!({"x": "01ff"}),
            ),
            (
                json!({"x": "00ff"}),
                "x",
                json!({"truncate": 1}),
                json!({"x": "00"}),
            ),
            (
                json!({"x": "word"}),
                "x",
                json!({"truncate": 1}),
                json!({"x": "wor"}),
            ),
            (
                json!({"x": [1, 2]}),
                "x",
                json!({"truncate": 1}),
                json!({"x": [1]}),
            ),
            (
                json!({"x": "00ff"}),
                "x",
                json!({"swap": [0, 1]}),
                json!({"x": "ff00"}),
            ),
            (
                json!({"x": [1, 2]}),
                "x.0",
                json!({"drop": true}),
                json!({"x": [2]}),
            ),
            (
                json!({"x": [1, 2]}),
                "x.0",
                json!({"dup": true}),
                json!({"x": [1, 1, 2]}),
            ),
            (
                json!({"x": 1, "y": 2}),
                "x",
                json!({"drop": true}),
                json!({"y": 2}),
            ),
            (
                json!({"x": 1}),
                "x",
                json!({"set": "+1"}),
                json!({"x": "+1"}),
            ),
            (json!({"x": 1}), "x", json!([1]), json!({"x": [1]})),
            (
                json!({"r": records}),
                "r.8",
                json!("+1"),
                json!({"r": [{"type": "8", "value": "03e9"}, {"type": "10", "value": ""}]}),
            ),
            (
                json!({"r": records}),
                "r.10.type",
                json!("+1"),
                json!({"r": [{"type": "8", "value": "03e8"}, {"type": "11", "value": ""}]}),
            ),
            (
                json!({"r": records}),
                "r",
                json!({"add": {"type": "9", "value": "00"}}),
                json!({"r": [{"type": "8", "value": "03e8"}, {"type": "9", "value": "00"}, {"type": "10", "value": ""}]}),
            ),
            (
                json!({"stream": "08020102"}),
                "stream.8",
                json!({"truncate": 1}),
                json!({"stream": "080101"}),
            ),
            (
                json!({"stream": "08010009010a"}),
                "stream.records",
                json!({"swap": [0, 1]}),
                json!({"stream": "09010a080100"}),
            ),
            (
                json!({"stream": "080100"}),
                "stream.8",
                json!({"dup": true}),
                json!({"stream": "080100080100"}),
            ),
            (
                json!({"stream": "080100"}),
                "stream.8",
                json!({"drop": true}),
                json!({"stream": ""}),
            ),
            (
                json!({"stream": ""}),
                "stream",
                json!({"add": {"type": "3", "value": ""}}),
                json!({"stream": "0300"}),
            ),
        ] {
            let got = mutate(input.clone(), path, change.clone());
            if want.is_null() {
                assert!(got.is_err(), "{input} {path} {change}: {got:?}");
            } else {
                assert_eq!(got, Ok(want), "{input} {path} {change}");
            }
        }
    }

    #[test]
    fn a_bolt12_string_is_reached_through_its_codec() {
        let offer = Bolt12String
            .encode(&json!({"prefix": "lno", "records": [{"type": "10", "value": "6869"}]}))
            .unwrap();
        let got = mutate(
            json!({"offer": offer}),
            "offer.records.10",
            json!({"drop": true}),
        )
        .unwrap();
        assert_eq!(got["offer"], "lno1");
        let got = mutate(json!({"offer": offer}), "offer.prefix", json!("lnx")).unwrap();
        assert!(got["offer"].as_str().unwrap().starts_with("lnx1"));
    }

    #[test]
    fn changes_that_do_not_fit_say_why() {
        let r = json!({"r": [{"type": "8", "value": "03"}], "text": "hallo", "n": 4_294_967_295u32, "l": [1, 1], "o": {}, "stream": "0805"});
        let errors = [
            ("r.9", json!("+1")),
            ("l.2", json!("+1")),
            ("l.x", json!("+1")),
            ("txt", json!("a")),
            ("nothing.like", json!("a")),
            ("text.a", json!("a")),
            ("n", json!("+1")),
            ("r.8", json!("+253")),
            ("r.8", json!({"flip": 8})),
            ("r.8", json!({"truncate": 2})),
            ("text", json!({"flip": 0})),
            ("text", json!("+1")),
            ("l", json!({"swap": [0, 1]})),
            ("l", json!({"swap": [0, 2]})),
            ("o", json!({"truncate": 1})),
            ("text", json!({"dup": true})),
            ("text", json!({"drup": true})),
            ("text", json!({"drop": 1})),
            ("text", json!({"truncate": 0})),
            ("text", json!({"set": 1, "drop": true})),
            ("text", json!({"zebra": 1})),
            ("text", Value::Null),
            ("stream.8", json!("+1")),
        ]
        .map(|(path, change)| {
            format!(
                "{path} {change}: {}",
                mutate(r.clone(), path, change.clone()).unwrap_err()
            )
        })
        .join("\n");
        insta::assert_snapshot!(errors);
    }

    proptest! {
        #[test]
        fn bytes_keep_their_length(bytes in prop::collection::vec(any::<u8>(), 1..40), n in any::<i64>(), bit in 0usize..320) {
            let input = json!({"bytes": hex(&bytes)});
            for change in [json!(format!("{n:+}")), json!({"flip": bit})] {
                if let Ok(v) = mutate(input.clone(), "bytes", change) {
                    prop_assert_eq!(v["bytes"].as_str().unwrap().len(), bytes.len() * 2);
                    prop_assert!(v != input || n == 0);
                }
            }
        }

        #[test]
        fn adding_is_undone_by_taking_away(bytes in prop::collection::vec(any::<u8>(), 1..40), n in 1i64..i64::MAX) {
            let input = json!({"bytes": hex(&bytes)});
            if let Ok(more) = mutate(input.clone(), "bytes", json!(format!("+{n}"))) {
                prop_assert_eq!(mutate(more, "bytes", json!(format!("-{n}"))), Ok(input));
            }
        }

        #[test]
        fn flipping_twice_changes_nothing(bytes in prop::collection::vec(any::<u8>(), 1..40), bit in 0usize..8) {
            let input = json!({"bytes": hex(&bytes)});
            let once = mutate(input.clone(), "bytes", json!({"flip": bit})).unwrap();
            prop_assert_eq!(mutate(once, "bytes", json!({"flip": bit})), Ok(input));
        }

        #[test]
        fn codecs_round_trip_and_never_panic(records in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..300)), 0..5), text in ".{0,30}") {
            let records: Vec<Value> = records.into_iter().map(|(t, v)| json!({"type": t.to_string(), "value": hex(v)})).collect();
            let tlv = json!({"records": records});
            prop_assert_eq!(Tlv.decode(&Tlv.encode(&tlv).unwrap()).unwrap(), tlv);
            let string = json!({"prefix": "lno", "records": records});
            prop_assert_eq!(Bolt12String.decode(&Bolt12String.encode(&string).unwrap()).unwrap(), string);
            let _ = Tlv.decode(&text);
            let _ = Bolt12String.decode(&format!("lno1{text}"));
        }

        #[test]
        fn no_change_panics(value in crate::bindings::tests::any_value(), change in crate::bindings::tests::any_value(), path in "[a-c0-9.]{0,5}") {
            let _ = mutate(value, &path, change);
        }
    }
}
