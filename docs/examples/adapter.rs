//! An adapter for BigSize numbers: a complete example of the adapter protocol. It needs the crate
//! `serde_json`.

use serde_json::{Value, json};
use std::io::{BufRead, Write, stdin, stdout};

fn hello() -> Value {
    json!({
        "implementation": {"name": "bigsize-rs", "version": "1.0", "language": "Rust", "source": ""},
        "protocol": 1,
        "operations": ["bigsize.decode", "bigsize.encode"],
        "dialects": [],
    })
}

fn bigsize(n: u64) -> Vec<u8> {
    let (prefix, length) = match n {
        0..0xfd => return vec![n as u8],
        0xfd..0x1_0000 => (0xfd, 2),
        0x1_0000..0x1_0000_0000 => (0xfe, 4),
        _ => (0xff, 8),
    };
    [&[prefix], &n.to_be_bytes()[8 - length..]].concat()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: &u8| char::from(*c).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(&pair[0])? << 4 | digit(pair.get(1)?)?) as u8);
    text.as_bytes().chunks(2).map(pair).collect()
}

fn encode(params: &Value) -> Result<Value, &'static str> {
    let text = params["value"].as_str().unwrap_or_default();
    let digits = text.bytes().all(|b| b.is_ascii_digit()); // the library would take a sign
    let n: Option<u64> = text.parse().ok().filter(|_| digits);
    let n = n.ok_or("value is not a decimal string below 2^64")?;
    Ok(json!({"bytes": to_hex(&bigsize(n))}))
}

fn decode(params: &Value) -> Result<Value, &'static str> {
    let data = params["bytes"]
        .as_str()
        .and_then(from_hex)
        .ok_or("bytes is not hex")?;
    let length = match data.first().ok_or("there are no bytes")? {
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
        _ => 0,
    };
    let used = data.get(..1 + length).ok_or("cut short")?;
    let number = if length == 0 { used } else { &used[1..] };
    let n = number.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    if bigsize(n) != used {
        return Err("not the shortest encoding");
    }
    Ok(json!({"value": n.to_string(), "rest": to_hex(&data[1 + length..])}))
}

type Operation = fn(&Value) -> Result<Value, &'static str>;

/// Runs one operation. A fault in one request is not the end of the process.
fn answer_to(run: Operation, params: &Value) -> Value {
    match std::panic::catch_unwind(|| run(params)) {
        Ok(Ok(result)) => json!({"result": result}),
        Ok(Err(why)) => json!({"error": {"kind": "invalid", "message": why}}),
        Err(_) => json!({"error": {"kind": "internal", "message": "the adapter has panicked"}}),
    }
}

fn main() -> std::io::Result<()> {
    let mut out = stdout();
    for line in stdin().lock().split(b'\n') {
        let request: Value = serde_json::from_slice(&line?).unwrap_or_default();
        let (Some(id), Some(op)) = (request["id"].as_i64(), request["op"].as_str()) else {
            eprintln!("not a request"); // passed over, never answered
            continue;
        };
        let run: Option<Operation> = match op {
            "hello" => Some(|_| Ok(hello())),
            "shutdown" => Some(|_| Ok(json!({}))),
            "bigsize.encode" => Some(encode),
            "bigsize.decode" => Some(decode),
            _ => None,
        };
        let mut answer = match run {
            Some(run) => answer_to(run, &request["params"]),
            None => json!({"unsupported": {"reason": format!("there is no operation {op}")}}),
        };
        answer["id"] = id.into();
        writeln!(out, "{answer}")?;
        if op == "shutdown" {
            break;
        }
    }
    Ok(())
}
