//! A find, made as small as it can be and stay the same find.

use super::Input;
use super::message::{Message, resign};
use super::panel::{Difference, Panel};
use super::stream::{Piece, Stream};
use lnconform_vectors::mutate::Codecs;
use serde_json::Value;

/// Inputs that are asked for one find at the most. A bound on their number and not on the time, so
/// that the same seed gives the same finds.
const TRIES: usize = 1500;
/// The same, where every try may end a process.
const TRIES_BROKEN: usize = 60;

/// The smallest input that still shows the `part` of the difference, and what it differs in.
pub(super) fn smallest(
    panel: &mut Panel<'_>,
    codecs: &Codecs,
    input: &Input,
    difference: &Difference,
    part: &str,
) -> (Input, Difference) {
    let did = |kind: &str| difference.groups.iter().any(|g| g.did == kind);
    let mut left = match () {
        // Each try would last until its deadline.
        () if did("hang") => 0,
        () if did("crash") || did("protocol") => TRIES_BROKEN,
        () => TRIES,
    };
    let mut best = (input.clone(), difference.clone());
    loop {
        let size = cost(&best.0.params);
        let mut tries: Vec<Input> = smaller(&best.0)
            .into_iter()
            .flat_map(|plain| {
                let mut signed = plain.clone();
                let is_signed = resign(codecs, &mut signed);
                [is_signed.then_some(signed), Some(plain)]
            })
            .flatten()
            .filter(|candidate| cost(&candidate.params) < size)
            .collect();
        tries.truncate(left);
        left -= tries.len();
        if tries.is_empty() {
            return best;
        }
        let answers = panel.ask(&tries);
        let same = tries
            .into_iter()
            .zip(&answers)
            .find_map(|(candidate, said)| {
                let found = panel.difference(&candidate.operation, said)?;
                // What it showed beside the part may go; nothing else may come.
                let same = found.parts.contains(part) && found.parts.is_subset(&difference.parts);
                same.then_some((candidate, found))
            });
        match same {
            Some(next) => best = next,
            None => return best,
        }
    }
}

/// What is to become small: params, then records, then bytes, then how far the bytes are from zero.
fn cost(params: &Value) -> (usize, usize, usize, usize) {
    let count = params.as_object().map_or(0, serde_json::Map::len);
    let text: usize = params
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value.as_str())
        .map(str::len)
        .sum();
    let Some(message) = Message::of(params) else {
        // A string that nothing can be got out of is larger than any that is whole.
        return (count, usize::MAX, text, 0);
    };
    let stream = Stream::parse(&message.bytes);
    let lit = message.bytes.iter().filter(|b| **b != 0).count();
    (count, stream.pieces.len(), text, lit)
}

/// Smaller inputs, the smallest first.
fn smaller(input: &Input) -> Vec<Input> {
    let mut list = Vec::new();
    let mut add = |params: Value| {
        list.push(Input {
            params,
            ..input.clone()
        });
    };
    let Some(map) = input.params.as_object() else {
        return list;
    };
    let message = Message::of(&input.params);
    let field = message.as_ref().map(|m| m.field);
    for key in map.keys().filter(|key| Some(key.as_str()) != field) {
        let mut params = input.params.clone();
        if let Some(map) = params.as_object_mut() {
            map.shift_remove(key);
        }
        // Without its only string there is no message left.
        if Message::of(&params).is_some() || message.is_none() {
            add(params);
        }
    }
    let Some(message) = message else {
        for text in ["offer", "proof", "string", "bytes"] {
            for shorter in shorter_text(input.params.get(text)) {
                let mut params = input.params.clone();
                params[text] = shorter.into();
                add(params);
            }
        }
        return list;
    };
    let mut put = |bytes: Vec<u8>| {
        let mut params = input.params.clone();
        message.put(&mut params, &bytes);
        add(params);
    };
    let stream = Stream::parse(&message.bytes);
    // The same in its plain form, where the string had another.
    put(message.bytes.clone());
    let with = |change: &dyn Fn(&mut Stream)| {
        let mut stream = stream.clone();
        change(&mut stream);
        stream.bytes()
    };
    let count = stream.pieces.len();
    for half in [0..count / 2, count / 2..count] {
        put(with(&|s| drop(s.pieces.drain(half.clone()))));
    }
    put(with(&|s| s.rest.clear()));
    for at in (0..count).rev() {
        put(with(&|s| drop(s.pieces.remove(at))));
    }
    for (at, piece) in stream.pieces.iter().enumerate() {
        for value in shorter(piece) {
            put(with(&|s| s.pieces[at].set(value.clone())));
        }
    }
    if stream.rest.len() > 1 {
        put(with(&|s| s.rest.truncate(s.rest.len() / 2)));
        put(with(&|s| s.rest.truncate(s.rest.len() - 1)));
    }
    list
}

/// Shorter values for a record, and one of zeros.
fn shorter(piece: &Piece) -> Vec<Vec<u8>> {
    let value = &piece.value;
    let mut list = Vec::new();
    if value.is_empty() {
        return list;
    }
    list.push(Vec::new());
    list.push(value[..value.len() / 2].to_vec());
    // Paths and payinfos begin anew at their parts.
    for part in [32, 33, 28] {
        if value.len() > part {
            list.push(value[..value.len() - part].to_vec());
            list.push(value[part..].to_vec());
        }
    }
    list.push(value[..value.len() - 1].to_vec());
    list.push(value[1..].to_vec());
    list.push(vec![0; value.len()]);
    list.dedup();
    list
}

/// Shorter strings: halves, and without one character.
fn shorter_text(value: Option<&Value>) -> Vec<String> {
    let Some(text) = value.and_then(Value::as_str) else {
        return Vec::new();
    };
    let chars: Vec<char> = text.chars().collect();
    let mut list: Vec<String> = Vec::new();
    let mut step = chars.len() / 2;
    while step > 0 {
        for start in (0..chars.len()).step_by(step) {
            let end = (start + step).min(chars.len());
            list.push(chars[..start].iter().chain(&chars[end..]).collect());
            if list.len() > 200 {
                return list;
            }
        }
        step /= 2;
    }
    list
}
