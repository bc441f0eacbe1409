//! The rules that have a process of their own, and the ordinary conversation before them.

use super::{Context, Finding, Rule};
use crate::fault::{Fault, shorten};
use crate::host::{Params, hello_params, read_hello};
use crate::operations::{CODEC, NODE, is_node};
use lnconform_protocol::{Answer, ErrorKind, Hello, MAX_ID};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// An operation that no adapter has.
const MADE_UP: &str = "lnconform.no-such-operation";

const EMPTY: Params<'static> = Params::Raw("{}");

/// Requests in the pipelining rule.
const PIPELINED: usize = 1000;

const GO_ON: &str = "pass over a line that is no request, write nothing on standard output for \
                     it, and go on";

/// The rules, in the order in which they are shown.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "adapter/hello/not-first",
        advice: "answer requests that arrive before `hello`, in any order",
        run: before_hello,
    },
    Rule {
        id: "adapter/operations/made-up",
        advice: "answer `unsupported` to an operation that you do not have",
        run: made_up,
    },
    Rule {
        id: "adapter/operations/listed",
        advice: "answer each operation that `hello` lists; missing params are an error of kind `invalid`",
        run: listed,
    },
    Rule {
        id: "adapter/operations/unlisted",
        advice: "list the operation in `hello`, or answer `unsupported`",
        run: unlisted,
    },
    Rule {
        id: "adapter/ids/echo",
        advice: "give the id back as the integer that it is; ids are below 2^53",
        run: ids,
    },
    Rule {
        id: "adapter/lines/invalid-json",
        advice: GO_ON,
        run: invalid_json,
    },
    Rule {
        id: "adapter/lines/array",
        advice: GO_ON,
        run: array,
    },
    Rule {
        id: "adapter/lines/no-request",
        advice: GO_ON,
        run: no_request,
    },
    Rule {
        id: "adapter/lines/invalid-utf8",
        advice: GO_ON,
        run: invalid_utf8,
    },
    Rule {
        id: "adapter/lines/empty",
        advice: GO_ON,
        run: empty_lines,
    },
    Rule {
        id: "adapter/lines/long",
        advice: "read lines of up to 4 MiB whole; a `readline` with a smaller limit cuts them",
        run: long_line,
    },
    Rule {
        id: "adapter/lines/nesting",
        advice: "read JSON that is nested 64 deep, or pass over the line and go on",
        run: nesting,
    },
    Rule {
        id: "adapter/pipelining/thousand",
        advice: "read requests as they come and answer each once; do not wait for the next one",
        run: pipelining,
    },
    Rule {
        id: "adapter/params/unknown",
        advice: "ignore params that you do not know",
        run: unknown_params,
    },
    Rule {
        id: "adapter/values/numbers",
        advice: "write 64-bit numbers as decimal strings, whatever their value",
        run: numbers,
    },
    Rule {
        id: "adapter/values/nulls",
        advice: "leave out what is absent; write no null",
        run: nulls,
    },
    Rule {
        id: "adapter/shutdown/order",
        advice: "answer every earlier request, then `shutdown` with {}, then exit",
        run: shutdown_order,
    },
    Rule {
        id: "adapter/shutdown/exit",
        advice: "exit with code 0 within 5 s of `shutdown`, also while standard input stays open",
        run: shutdown_exit,
    },
    Rule {
        id: "adapter/shutdown/end-of-input",
        advice: "take the end of standard input for a `shutdown`: answer what was asked, exit with code 0",
        run: end_of_input,
    },
    Rule {
        id: "adapter/node/network",
        advice: "refuse every network but `regtest` in `node.start`, before anything else is done",
        run: network,
    },
];

/// What an answer was, for a message.
fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Result(value) => format!("result {}", shorten(value.to_string().as_bytes())),
        Answer::Error(e) => format!(
            "error {}: {}",
            e.kind.as_str(),
            shorten(e.message.as_bytes())
        ),
        Answer::Unsupported(u) => format!("unsupported: {}", shorten(u.reason.as_bytes())),
    }
}

/// The first three of a list.
fn some<T: AsRef<str>>(items: &[T]) -> String {
    let first: Vec<_> = items.iter().take(3).map(AsRef::as_ref).collect();
    let rest = items.len() - first.len();
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    format!("{}{more}", first.join(", "))
}

fn ms(clock: Instant) -> u128 {
    clock.elapsed().as_millis()
}

impl Context<'_> {
    fn time(&self, op: &str) -> Duration {
        if is_node(op) {
            self.options.node_answer.max(self.answer())
        } else {
            self.answer()
        }
    }
}

/// Asks every listed operation without params, pipelined.
fn ask_listed(
    context: &Context<'_>,
    adapter: &crate::Adapter,
) -> Result<Vec<(String, Answer)>, Fault> {
    let waiting: Vec<_> = context
        .hello
        .operations
        .iter()
        .filter(|op| !["hello", "shutdown"].contains(&op.as_str()))
        .map(|op| (op.clone(), adapter.begin(op, EMPTY, context.time(op))))
        .collect();
    waiting
        .into_iter()
        .map(|(op, answer)| Ok((op, answer.wait()?)))
        .collect()
}

/// An ordinary conversation: a few requests, a moment of silence, no shutdown. Its fault is the
/// adapter's most general one.
pub(super) fn ordinary(context: &Context<'_>) -> Result<(), Fault> {
    let adapter = context.greeted()?;
    for _ in 0..3 {
        adapter.call(MADE_UP, EMPTY, context.answer())?;
    }
    quiet(context, &adapter)
}

/// The same with every operation that it lists.
pub(super) fn ordinary_listed(context: &Context<'_>) -> Result<(), Fault> {
    let adapter = context.greeted()?;
    ask_listed(context, &adapter)?;
    quiet(context, &adapter)
}

fn quiet(context: &Context<'_>, adapter: &crate::Adapter) -> Result<(), Fault> {
    adapter.settle()?;
    match adapter.wait_fault(context.options.quiet) {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// Offers a version that no adapter speaks yet.
pub(super) fn hello_version(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.open()?;
    let answer = adapter.call("hello", &hello_params(1000), context.options.limits.hello)?;
    let saw = match &answer {
        Answer::Result(result) => match result.get("protocol").and_then(Value::as_u64) {
            Some(version @ 1..=1000) => {
                return Ok(Finding::Passed(format!(
                    "speaks 1 when 1 is offered, {version} when 1000 is"
                )));
            }
            _ => format!("offered protocol 1000, it answered {}", shown(&answer)),
        },
        _ => format!("offered protocol 1000, it refused: {}", shown(&answer)),
    };
    Ok(Finding::Failed {
        saw,
        advice: super::HELLO[1].1,
    })
}

/// What the types do not say about a `hello`.
pub(super) fn hello_shape(hello: &Hello) -> Result<String, String> {
    let who = &hello.implementation;
    if who.name.trim().is_empty() || who.version.trim().is_empty() {
        return Err("`implementation.name` or `implementation.version` is empty".into());
    }
    let mut seen = std::collections::HashSet::new();
    for op in &hello.operations {
        if op.trim().is_empty() {
            return Err("`operations` has an empty name".into());
        }
        if op == "hello" || op == "shutdown" {
            return Err(format!(
                "`operations` lists `{op}`, which every adapter has"
            ));
        }
        if !seen.insert(op) {
            return Err(format!("`operations` lists `{op}` twice"));
        }
    }
    Ok(format!(
        "{} operations, {} dialects",
        hello.operations.len(),
        hello.dialects.len()
    ))
}

fn before_hello(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.open()?;
    let limit = context.options.limits.hello;
    let early = adapter.begin(MADE_UP, EMPTY, limit);
    let hello = adapter.begin("hello", &hello_params(1), limit);
    let late = adapter.begin(MADE_UP, EMPTY, limit);
    let (early, hello, late) = (early.wait()?, hello.wait()?, late.wait()?);
    if let Err((_, what)) = read_hello(&hello) {
        let saw = format!("after a request before it, the adapter {what}");
        return Ok(Finding::Failed {
            saw,
            advice: "answer `hello` also when it is not the first",
        });
    }
    if early != late {
        let saw = format!(
            "before `hello` it answered {}, after it {}",
            shown(&early),
            shown(&late)
        );
        return Ok(Finding::Failed {
            saw,
            advice: "answer requests before `hello` as after it",
        });
    }
    Ok(Finding::Passed(
        "a request before `hello` was answered".into(),
    ))
}

fn made_up(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    // The second one catches an adapter that looks at the beginning of a name only.
    let near = context
        .hello
        .operations
        .first()
        .map(|op| format!("{op}_lnconform"));
    for op in [Some(MADE_UP.to_owned()), near].into_iter().flatten() {
        let answer = adapter.call(&op, EMPTY, context.answer())?;
        if !matches!(answer, Answer::Unsupported(_)) {
            return Ok(Finding::Failed {
                saw: format!(
                    "the made-up operation `{op}` was answered {}",
                    shown(&answer)
                ),
                advice: "answer `unsupported` with a reason",
            });
        }
    }
    Ok(Finding::Passed(
        "a made-up operation is `unsupported`".into(),
    ))
}

fn listed(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    let answers = ask_listed(context, &adapter)?;
    let lies: Vec<_> = answers
        .iter()
        .filter(|(_, answer)| matches!(answer, Answer::Unsupported(_)))
        .map(|(op, _)| op.as_str())
        .collect();
    if !lies.is_empty() {
        return Ok(Finding::Failed {
            saw: format!("`hello` lists {}, answered `unsupported`", some(&lies)),
            advice: "list only operations that the adapter has",
        });
    }
    // Every codec operation of the protocol needs at least one param.
    let odd: Vec<_> = answers
        .iter()
        .filter(|(op, answer)| {
            CODEC.contains(&op.as_str())
                && !matches!(answer, Answer::Error(e) if e.kind == ErrorKind::Invalid)
        })
        .map(|(op, answer)| format!("`{op}` answered {}", shown(answer)))
        .collect();
    if !odd.is_empty() {
        return Ok(Finding::Warning {
            saw: format!("without params, {}", some(&odd)),
            advice: "answer an error of kind `invalid` that names the missing param",
        });
    }
    Ok(Finding::Passed(format!(
        "all {} listed operations answer",
        answers.len()
    )))
}

fn unlisted(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    let waiting: Vec<_> = CODEC
        .iter()
        .chain(NODE)
        .filter(|op| !context.lists(op))
        .map(|op| (op, adapter.begin(op, EMPTY, context.time(op))))
        .collect();
    let asked = waiting.len();
    let mut silent = Vec::new();
    for (op, answer) in waiting {
        let answer = answer.wait()?;
        if !matches!(answer, Answer::Unsupported(_)) {
            silent.push(format!("`{op}` answered {}", shown(&answer)));
        }
    }
    if silent.is_empty() {
        return Ok(Finding::Passed(format!(
            "{asked} operations that are not listed are `unsupported`"
        )));
    }
    Ok(Finding::Failed {
        saw: format!("not listed, but {}", some(&silent)),
        advice: "list the operation in `hello`, or answer `unsupported`",
    })
}

fn ids(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    let asked: Vec<_> = [0, 1, u64::from(u32::MAX) + 1, MAX_ID - 2, MAX_ID - 1]
        .into_iter()
        .map(|id| adapter.begin_as(id, MADE_UP, EMPTY, context.answer()))
        .collect();
    for answer in asked {
        answer.wait()?;
    }
    Ok(Finding::Passed("ids from 0 to 2^53 - 1 came back".into()))
}

/// Sends lines that are no requests, each followed by a good request that must be answered.
fn broken(context: &Context<'_>, lines: &[&[u8]]) -> Result<(), Fault> {
    let adapter = context.greeted()?;
    for line in lines {
        adapter.send_raw(line);
        adapter.send_raw(b"\n");
        adapter.call(MADE_UP, EMPTY, context.answer())?;
    }
    adapter.settle()
}

fn passed_over(what: &str) -> Result<Finding, Fault> {
    Ok(Finding::Passed(format!(
        "{what}; the next request was answered"
    )))
}

fn invalid_json(context: &Context<'_>) -> Result<Finding, Fault> {
    broken(
        context,
        &[
            b"this is not json",
            b"{\"id\": 1, \"op\": \"hello\"",
            b"{\"id\": 1, \"op\": \"hello\"}}",
            b"\x00\x01\x02",
        ],
    )?;
    passed_over("4 lines of invalid JSON")
}

fn array(context: &Context<'_>) -> Result<Finding, Fault> {
    broken(
        context,
        &[
            b"[]",
            b"[{\"id\":1,\"op\":\"hello\"}]",
            b"7",
            b"\"hello\"",
            b"null",
            b"true",
        ],
    )?;
    passed_over("6 lines of JSON that is no object")
}

fn no_request(context: &Context<'_>) -> Result<Finding, Fault> {
    broken(
        context,
        &[
            b"{}",
            b"{\"id\":1}",
            b"{\"op\":\"hello\"}",
            b"{\"id\":\"1\",\"op\":\"hello\"}",
            b"{\"id\":1.5,\"op\":\"hello\"}",
            b"{\"id\":null,\"op\":\"hello\"}",
            b"{\"id\":true,\"op\":\"hello\"}",
            b"{\"id\":1,\"op\":7}",
        ],
    )?;
    passed_over("8 objects without an integer `id` and a string `op`")
}

fn invalid_utf8(context: &Context<'_>) -> Result<Finding, Fault> {
    broken(
        context,
        &[
            b"\xff\xfe",
            b"{\"id\":1,\"op\":\"\xc3\x28\"}",
            b"{\"id\":1,\"op\":\"hello\",\"params\":{\"harness\":\"\x80\"}}",
        ],
    )?;
    passed_over("3 lines that are not UTF-8")
}

fn empty_lines(context: &Context<'_>) -> Result<Finding, Fault> {
    broken(context, &[b"", b"   ", b"\r"])?;
    passed_over("3 empty lines")
}

/// A JSON object with one string of `size` bytes.
fn padded(size: usize) -> String {
    format!("{{\"lnconform_padding\":\"{}\"}}", "x".repeat(size))
}

fn long_line(context: &Context<'_>) -> Result<Finding, Fault> {
    const SIZE: usize = 1024 * 1024;
    broken(context, &[padded(SIZE).as_bytes()])?;
    let adapter = context.greeted()?;
    adapter.call(MADE_UP, Params::Raw(&padded(SIZE)), context.answer())?;
    adapter.call(MADE_UP, EMPTY, context.answer())?;
    Ok(Finding::Passed(
        "a line of 1 MiB was passed over, a request of 1 MiB answered".into(),
    ))
}

fn nesting(context: &Context<'_>) -> Result<Finding, Fault> {
    const DEPTH: usize = 64;
    let params = format!(
        "{{\"lnconform_nested\":{}{}}}",
        "[".repeat(DEPTH),
        "]".repeat(DEPTH)
    );
    broken(context, &[params.as_bytes()])?;
    let adapter = context.greeted()?;
    adapter.call(MADE_UP, Params::Raw(&params), context.answer())?;
    adapter.call(MADE_UP, EMPTY, context.answer())?;
    passed_over("JSON nested 64 deep, without and with a request around it")
}

fn pipelining(context: &Context<'_>) -> Result<Finding, Fault> {
    let mut adapter = context.greeted()?;
    let params = if context.lists("bigsize.decode") {
        json!({"bytes": "fd00fd"})
    } else {
        json!({})
    };
    let op = if context.lists("bigsize.decode") {
        "bigsize.decode"
    } else {
        MADE_UP
    };
    let clock = Instant::now();
    let requests = (0..PIPELINED).map(|i| (if i % 2 == 0 { op } else { MADE_UP }, &params));
    let mut answered = 0;
    adapter.batch(requests, PIPELINED, context.answer(), |_, answer, _| {
        answered += usize::from(answer.is_ok());
    })?;
    Ok(Finding::Passed(format!(
        "{answered} requests at once were answered in {} ms",
        ms(clock)
    )))
}

fn unknown_params(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    let mut asked = vec![("hello", hello_params(1))];
    if context.lists("bigsize.decode") {
        asked.push(("bigsize.decode", json!({"bytes": "fd00fd"})));
    }
    for (op, plain) in &asked {
        let mut more = plain.clone();
        more["lnconform_unknown"] = json!({"a": [1]});
        let (plain, more) = (
            adapter.call(op, plain, context.answer())?,
            adapter.call(op, &more, context.answer())?,
        );
        if plain != more {
            let saw = format!("with an unknown param, `{op}` answered {}", shown(&more));
            return Ok(Finding::Warning {
                saw,
                advice: "ignore params that you do not know",
            });
        }
    }
    let ops: Vec<_> = asked.iter().map(|(op, _)| format!("`{op}`")).collect();
    Ok(Finding::Passed(format!(
        "{} answered the same with an unknown param",
        ops.join(" and ")
    )))
}

fn numbers(context: &Context<'_>) -> Result<Finding, Fault> {
    let asks = [
        ("bigsize.decode", json!({"bytes": "0a"}), "/value"),
        (
            "bigsize.decode",
            json!({"bytes": "ff0000000100000000"}),
            "/value",
        ),
        (
            "tlv.decode",
            json!({"stream": "0a0100", "known": ["10"]}),
            "/records/0/type",
        ),
    ];
    if !asks.iter().any(|(op, ..)| context.lists(op)) {
        return Ok(Finding::NotApplicable(
            "neither `bigsize.decode` nor `tlv.decode` is listed".into(),
        ));
    }
    let adapter = context.greeted()?;
    let mut seen = Vec::new();
    for (op, params, field) in asks.iter().filter(|(op, ..)| context.lists(op)) {
        let answer = adapter.call(op, params, context.answer())?;
        let value = match &answer {
            Answer::Result(result) => result.pointer(field),
            _ => None,
        };
        match value.and_then(Value::as_str) {
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                seen.push(format!("\"{text}\""));
            }
            _ => {
                return Ok(Finding::Failed {
                    saw: format!("`{op}` of {params} answered {}", shown(&answer)),
                    advice: "write 64-bit numbers as decimal strings, whatever their value",
                });
            }
        }
    }
    Ok(Finding::Passed(format!(
        "64-bit numbers are strings: {}",
        seen.join(", ")
    )))
}

/// Where a null is, as a JSON pointer.
fn null_at(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(i, v)| null_at(v, &format!("{path}/{i}"))),
        Value::Object(map) => map
            .iter()
            .find_map(|(k, v)| null_at(v, &format!("{path}/{k}"))),
        _ => None,
    }
}

fn nulls(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    adapter.call(MADE_UP, EMPTY, context.answer())?;
    ask_listed(context, &adapter)?;
    if context.lists("bigsize.decode") {
        adapter.call("bigsize.decode", &json!({"bytes": "0a"}), context.answer())?;
        adapter.call(
            "bigsize.decode",
            &json!({"bytes": "fd0001"}),
            context.answer(),
        )?;
    }
    adapter.settle()?;
    let lines = adapter.lines();
    for line in &lines {
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        if let Some(path) = null_at(&value, "") {
            return Ok(Finding::Failed {
                saw: format!("there is a null at {path} in {}", shorten(line)),
                advice: "leave out what is absent",
            });
        }
    }
    Ok(Finding::Passed(format!(
        "no null in {} answers",
        lines.len()
    )))
}

/// Requests before a shutdown.
const EARLIER: usize = 20;

fn shutdown_order(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    adapter.expect_end();
    let earlier: Vec<_> = (0..EARLIER)
        .map(|_| adapter.begin(MADE_UP, EMPTY, context.answer()))
        .collect();
    let shutdown = adapter.begin("shutdown", EMPTY, context.options.limits.shutdown);
    for answer in earlier {
        answer.wait()?;
    }
    let answer = shutdown.wait()?;
    if !matches!(&answer, Answer::Result(Value::Object(_))) {
        return Ok(Finding::Failed {
            saw: format!("`shutdown` was answered {}", shown(&answer)),
            advice: "answer `shutdown` with the result {}",
        });
    }
    // The tap has the lines in order, and only the last one is a result here.
    let lines = adapter.lines();
    let at = lines
        .iter()
        .rposition(|l| serde_json::from_slice::<Value>(l).is_ok_and(|v| v.get("result").is_some()));
    if at.is_none_or(|at| at < EARLIER + 1) {
        return Ok(Finding::Failed {
            saw: "`shutdown` was answered before earlier requests".into(),
            advice: "answer every earlier request first",
        });
    }
    Ok(Finding::Passed(format!(
        "{EARLIER} earlier requests were answered, then `shutdown`"
    )))
}

fn exit_code(
    context: &Context<'_>,
    adapter: &crate::Adapter,
    after: &str,
) -> Result<Finding, Fault> {
    let clock = Instant::now();
    let status = adapter.wait_exit(context.options.limits.shutdown)?;
    if status.success() {
        return Ok(Finding::Passed(format!(
            "exited with code 0, {} ms after {after}",
            ms(clock)
        )));
    }
    Ok(Finding::Failed {
        saw: format!("after {after}, it ended with {status}"),
        advice: "exit with code 0",
    })
}

fn shutdown_exit(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    adapter.expect_end();
    adapter.call("shutdown", EMPTY, context.options.limits.shutdown)?;
    exit_code(context, &adapter, "`shutdown`")
}

fn end_of_input(context: &Context<'_>) -> Result<Finding, Fault> {
    let adapter = context.greeted()?;
    let earlier: Vec<_> = (0..EARLIER)
        .map(|_| adapter.begin(MADE_UP, EMPTY, context.answer()))
        .collect();
    adapter.close_input();
    for answer in earlier {
        answer.wait()?;
    }
    exit_code(context, &adapter, "the end of its input")
}

fn network(context: &Context<'_>) -> Result<Finding, Fault> {
    if !context.lists("node.start") {
        return Ok(Finding::NotApplicable("`node.start` is not listed".into()));
    }
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let data_dir = std::env::temp_dir().join(format!(
        "lnconform-check-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    let finding = refuse_networks(context, &data_dir.to_string_lossy());
    // Nothing should be there; an adapter that started a node may have written to it.
    let _ = std::fs::remove_dir_all(&data_dir);
    finding
}

fn refuse_networks(context: &Context<'_>, data_dir: &str) -> Result<Finding, Fault> {
    let names = [
        Some("mainnet"),
        Some("bitcoin"),
        Some("testnet"),
        Some("signet"),
        Some(""),
        None,
    ];
    let limit = context.time("node.start");
    for name in names {
        // A process each: an adapter that does start a node shall not be asked again.
        let adapter = context.greeted()?;
        let mut params = json!({
            "seed": "11".repeat(32),
            "data_dir": data_dir,
            // Nobody listens there.
            "chain": {"bitcoind": {"rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "p"}},
            "listen": "127.0.0.1:0",
            "alias": "check",
        });
        if let Some(name) = name {
            params["network"] = json!(name);
        }
        let shown_name = name.map_or_else(|| "no network".into(), |n| format!("network \"{n}\""));
        match adapter.call("node.start", &params, limit)? {
            Answer::Error(e) if matches!(e.kind, ErrorKind::Invalid | ErrorKind::Rejected) => {}
            answer => {
                return Ok(Finding::Failed {
                    saw: format!("`node.start` with {shown_name} answered {}", shown(&answer)),
                    advice: "refuse every network but `regtest` with an error of kind `invalid` or `rejected`",
                });
            }
        }
    }
    Ok(Finding::Passed(
        "`node.start` refuses mainnet, testnet, signet and no network".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_protocol::Implementation;

    fn hello(operations: &[&str]) -> Hello {
        Hello {
            implementation: Implementation {
                name: "x".into(),
                version: "1".into(),
                language: String::new(),
                source: String::new(),
            },
            protocol: 1,
            operations: operations.iter().map(|&o| o.to_owned()).collect(),
            dialects: vec![],
        }
    }

    #[test]
    fn what_the_types_do_not_say_about_hello() {
        assert!(hello_shape(&hello(&["a", "b"])).is_ok());
        assert!(
            hello_shape(&hello(&["a", "a"]))
                .unwrap_err()
                .contains("twice")
        );
        assert!(
            hello_shape(&hello(&["hello"]))
                .unwrap_err()
                .contains("every adapter")
        );
        assert!(hello_shape(&hello(&[""])).unwrap_err().contains("empty"));
        let mut nameless = hello(&[]);
        nameless.implementation.version = " ".into();
        assert!(hello_shape(&nameless).is_err());
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(some(&["a", "b", "c"]), "a, b, c");
        assert_eq!(some(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }

    #[test]
    fn a_null_is_found_at_any_depth() {
        assert_eq!(
            null_at(&json!({"a": [{"b": null}]}), ""),
            Some("/a/0/b".into())
        );
        assert_eq!(null_at(&json!({"a": [0, "null"]}), ""), None);
    }
}
