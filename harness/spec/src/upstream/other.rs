//! Files whose operations no implementation answers yet: one case an entry or step, so that the
//! report shows what waits. Expectations are as much as the operation's description fixes.

use super::{
    Draft, Named, Reading, UpstreamExpect, bytes, element_lines, field, line_of, parse, string,
};
use serde_json::json;

fn any() -> UpstreamExpect {
    UpstreamExpect::Result(json!({}))
}

pub(super) fn extended_queries(out: &mut Reading, text: &str) -> Result<(), String> {
    let parsed = parse(text)?;
    let lines = element_lines(text, None);
    for (index, json) in parsed.as_array().ok_or("it is no list")?.iter().enumerate() {
        let line = line_of(&lines, index);
        let case =
            bytes(json, "hex").and_then(|bytes| Ok((bytes, string(field(json, "msg")?, "type")?)));
        match case {
            Ok((bytes, name)) => out.push(
                &Named {
                    group: None,
                    name,
                    json,
                    line,
                },
                None,
                Draft {
                    operation: "gossip.query.decode",
                    input: json!({"bytes": bytes}),
                    expect: any(),
                    covers: Vec::new(),
                },
            ),
            Err(message) => out.fault(format_args!("line {line}"), message),
        }
    }
    Ok(())
}
