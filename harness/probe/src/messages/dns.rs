//! DNSSEC proofs over onion messages (bLIP 32): a resolver of what a step gives it, and who asks it.
//!
//! - `dns.serve` {`domain_name`, `proof`}: queries for that name are answered with these records, whatever
//!   they prove; the last answer for a name counts.
//! - `dns.query` {`domain_name`, `to` (node id), `now` (seconds), `anchors` [`key_tag`, `algorithm`,
//!   `digest_type`, `digest`]} asks, and answers `query`, its handle in events. The proof is held against
//!   these anchors, at that time.
//!
//! Events of the resolver: `dns-answered` {`domain_name`}, `dns-query-refused` {`rule`, `message`}, and
//! `dns-unknown` {`domain_name`}. Events of who asks: `dns-proven` {`query`, `texts`}, `dns-refused`
//! {`query`, `rule`, `message`}.

use crate::messages::{Hears, Messages, Received, To, reply_record};
use crate::node::Node;
use crate::node::env::lock;
use crate::node::hook::Hook;
use crate::ops::misbehaviour;
use lnconform_drafts::dns::chain::Anchor;
use lnconform_drafts::dns::message::{self, PROOF_TYPE, QUERY_TYPE};
use lnconform_drafts::dns::{Name, proof};
use lnconform_drafts::rules::{Rules, Violation};
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// bLIP 32, sender of a proof: the name is that of the query.
const PROOF_NAME: &str = "blip-0032/proof/sender/domain-name";

/// A query that was sent.
#[derive(Clone, Debug)]
struct Asked {
    /// The mark in its reply path.
    mark: [u8; 32],
    domain_name: Vec<u8>,
    anchors: Vec<Anchor>,
    /// Seconds since 1970.
    now: u64,
}

/// What a name is answered with.
#[derive(Clone, Debug)]
struct Served {
    proof: Vec<u8>,
    wrong: Option<String>,
}

#[derive(Default)]
struct State {
    served: HashMap<Vec<u8>, Served>,
    asked: Vec<Asked>,
}

/// What the probe answers as a resolver, and what it has asked.
pub struct Dns {
    hook: Arc<Hook>,
    state: Mutex<State>,
}

/// The records of a message that asks for a name, honest or wrong in one named way.
fn query(name: &str, reply_path: &Record, wrong: Option<&str>) -> Result<Vec<Record>, Violation> {
    let rules = Rules::all();
    let value = &reply_path.value[..];
    match wrong {
        None => message::query(&rules, name.as_bytes(), Some(value)),
        Some(wrong) => {
            let mut records = message::query(&rules, name.as_bytes(), Some(value))?;
            match wrong {
                "dns-query-no-reply-path" => records.retain(|record| record.kind == QUERY_TYPE),
                "dns-query-no-dot" => {
                    for record in records.iter_mut().filter(|r| r.kind == QUERY_TYPE) {
                        record.value.pop();
                        record.value[0] -= 1;
                    }
                }
                _ => {}
            }
            Ok(records)
        }
    }
}

/// The name that a query asks for, by the rules for those who send one, which are all that there are.
///
/// # Errors
/// The [`Violation`] of a rule for the query, or of the form of its value.
fn read_query(value: &[u8], has_reply_path: bool) -> Result<Vec<u8>, Violation> {
    let rules = Rules::all();
    let name = message::read_query(&rules, value)?;
    message::query(&rules, &name, has_reply_path.then_some(&[]))?;
    Ok(name)
}

/// The value of an answer, honest or wrong in one named way.
fn answer(value: &[u8], served: &Served) -> Result<Option<Record>, Violation> {
    let path: Option<&[u8]> = Some(&[]);
    let mut made = message::answer(&Rules::all(), value, path, &served.proof)?;
    if let (Some(record), Some("dns-proof-other-name")) = (&mut made, served.wrong.as_deref()) {
        // The first letter of the name becomes another one.
        if let Some(letter) = record.value.get_mut(1) {
            *letter = if *letter == b'x' { b'y' } else { b'x' };
        }
    }
    Ok(made)
}

impl Asked {
    /// The texts that an answer proves.
    ///
    /// # Errors
    /// The [`Violation`] of a rule for proofs.
    fn read(&self, value: &[u8]) -> Result<Vec<String>, Violation> {
        let rules = Rules::all();
        let answer = message::read_answer(&rules, value)?;
        let same = answer.domain_name == self.domain_name;
        rules.check(PROOF_NAME, same, || {
            "it is about another name than the one that was asked for".into()
        })?;
        let name = Name::parse(&self.domain_name).unwrap_or_else(Name::root);
        let proven = proof::verify(&rules, &name, &answer.proof, &self.anchors, Some(self.now))?;
        let texts = proven.texts.iter();
        Ok(texts
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect())
    }
}

impl Hears for Dns {
    const KNOWN: &'static [u64] = &[QUERY_TYPE, PROOF_TYPE];

    fn new(hook: Arc<Hook>) -> Self {
        Self {
            hook,
            state: Mutex::default(),
        }
    }

    fn hear(&self, messages: &Messages, received: &Received, payload: &Record) -> bool {
        match payload.kind {
            QUERY_TYPE => self.queried(messages, received, &payload.value),
            PROOF_TYPE => self.answered(received, &payload.value),
            _ => return false,
        }
        true
    }
}

impl Dns {
    fn queried(&self, messages: &Messages, received: &Received, value: &[u8]) {
        let name = match read_query(value, received.reply_path.is_some()) {
            Ok(name) => name,
            Err(violation) => {
                let fields = json!({"rule": violation.rule, "message": violation.to_string()});
                return self.hook.tell("dns-query-refused", fields);
            }
        };
        let fields = json!({"domain_name": String::from_utf8_lossy(&name)});
        let served = lock(&self.state).served.get(&name).cloned();
        let Some(served) = served else {
            return self.hook.tell("dns-unknown", fields);
        };
        let sent = answer(value, &served)
            .map_err(|e| e.to_string())
            .and_then(|record| {
                let to = received.reply_path.clone().map(To::Path);
                let (Some(to), Some(record)) = (to, record) else {
                    return Ok(());
                };
                let sent = messages.send(&[], &to, vec![record]);
                sent.map_err(|e| e.to_string())
            });
        match sent {
            Ok(()) => self.hook.tell("dns-answered", fields),
            Err(e) => eprintln!("adapter: a proof is not sent: {e}"),
        }
    }

    fn answered(&self, received: &Received, value: &[u8]) {
        let mark = received.path_id.as_deref();
        let state = lock(&self.state);
        let mut all = state.asked.iter();
        let asked = all.find(|asked| mark == Some(&asked.mark[..])).cloned();
        drop(state);
        let Some(asked) = asked else {
            let fields = json!({"message": "nothing was asked for that this proof answers"});
            return self.hook.tell("dns-refused", fields);
        };
        let fields = ResultObject::new().with("query", hex(asked.mark));
        match asked.read(value) {
            Ok(texts) => self
                .hook
                .tell("dns-proven", fields.with("texts", texts).done()),
            Err(violation) => {
                let fields = fields
                    .with("rule", violation.rule)
                    .with("message", violation.to_string());
                self.hook.tell("dns-refused", fields.done());
            }
        }
    }
}

// ---- operations

/// Answers one of the operations of this file.
pub fn call(op: &str, params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    match op {
        "dns.serve" => serve(params, node),
        _ => ask(params, node),
    }
}

fn serve(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("domain_name")?.as_bytes().to_vec();
    let served = Served {
        proof: params.hex("proof")?,
        wrong: misbehaviour(params, "dns.serve")?,
    };
    lock(&node()?.dns.state).served.insert(name, served);
    Ok(json!({}))
}

fn anchor(value: &Value) -> Result<Anchor, OpError> {
    let p = Params::new(value);
    let beyond = |name: &str| OpError::invalid(format!("param anchors: {name} is too high"));
    let small = |name| u8::try_from(p.u32(name)?).map_err(|_| beyond(name));
    Ok(Anchor {
        key_tag: u16::try_from(p.u32("key_tag")?).map_err(|_| beyond("key_tag"))?,
        algorithm: small("algorithm")?,
        digest_type: small("digest_type")?,
        digest: p.hex("digest")?,
    })
}

fn ask(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let name = params.str("domain_name")?;
    let to = crate::ops::public_key(params, "to")?;
    let now = params.number("now")?;
    let anchors = params.list("anchors")?.iter().map(anchor);
    let anchors = anchors.collect::<Result<_, _>>()?;
    let wrong = misbehaviour(params, "dns.query")?;
    let node = node()?;
    let mark = node.hook.draw();
    let path = node.messages.reply_path(&[], &mark, &[PROOF_TYPE]);
    let path = path.map_err(|e| OpError::internal(format!("no reply path: {e}")))?;
    let records = query(name, &reply_record(&path), wrong.as_deref());
    let records = records.map_err(|e| OpError::rejected(e.to_string()).with_rule(e.rule))?;
    let asked = Asked {
        mark,
        domain_name: name.as_bytes().to_vec(),
        anchors,
        now,
    };
    lock(&node.dns.state).asked.push(asked);
    let sent = node.messages.send(&[], &To::Node(to), records);
    sent.map_err(|e| OpError::rejected(e.to_string()))?;
    node.peers.process_events();
    Ok(json!({"query": hex(mark)}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_spec::misbehaviours;

    const NAME: &str = "alice.example.";

    fn path() -> Record {
        Record::new(2, [1, 2])
    }

    fn query_value(records: &[Record]) -> &[u8] {
        let query = records.iter().find(|r| r.kind == QUERY_TYPE).unwrap();
        &query.value
    }

    /// What the resolver says of a query, and who asked of its answer.
    fn told(operation: &str, wrong: Option<&str>) -> Option<&'static str> {
        let of = |op: &str| wrong.filter(|_| operation == op);
        let records = query(NAME, &path(), of("dns.query")).unwrap();
        let has_path = records.iter().any(|r| r.kind == 2);
        let value = query_value(&records);
        let name = match read_query(value, has_path) {
            Ok(name) => name,
            Err(violation) => return Some(violation.rule),
        };
        assert_eq!(name, NAME.as_bytes());
        let served = Served {
            // The shortest record that there is, which proves nothing.
            proof: [&[0, 0, 16, 0, 1][..], &[0; 6]].concat(),
            wrong: of("dns.serve").map(str::to_owned),
        };
        let record = answer(value, &served).unwrap().unwrap();
        let asked = Asked {
            mark: [1; 32],
            domain_name: NAME.into(),
            anchors: Vec::new(),
            now: 1_800_000_000,
        };
        asked.read(&record.value).err().map(|v| v.rule)
    }

    #[test]
    fn each_wrong_is_noticed_by_the_statement_that_the_list_names() {
        // An unsigned record is what an honest resolver may pass on, and nobody believes.
        let unsigned = Some("blip-0032/proof/recipient/signatures");
        let mut seen = 0;
        for m in misbehaviours::all().unwrap() {
            for op in m.operations.iter().filter(|op| op.starts_with("dns.")) {
                assert_eq!(told(op, None), unsigned);
                assert_eq!(told(op, Some(&m.name)), m.reader.as_deref(), "{}", m.name);
                seen += 1;
            }
        }
        assert_eq!(seen, 3);
    }

    #[test]
    fn a_value_that_is_longer_than_it_says_is_refused() {
        let records = query(NAME, &path(), None).unwrap();
        let longer = [query_value(&records), &[0]].concat();
        let refused = read_query(&longer, true).unwrap_err();
        assert_eq!(refused.rule, "bolt01/tlv/value-length");
    }
}
