//! How a person gets at the node: the commands for it, in the answer of `node.start`.

use serde_json::{Value, json};
use std::path::Path;

/// `attach` of `node.start`: [{`name`, `value`}], from what lies in the node's folder. Empty if its
/// configuration cannot be read.
pub(crate) fn ways(dir: &Path) -> Value {
    let config = std::fs::read_to_string(dir.join("lnd.conf")).unwrap_or_default();
    let setting = |name: &str| {
        let lines = config.lines().filter_map(|line| line.split_once('='));
        let mut found = lines.filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| value.to_owned())
    };
    let (Some(rpc), Some(rest)) = (setting("rpclisten"), setting("restlisten")) else {
        return json!([]);
    };
    let word = |path: &str| {
        let text = dir.join(path).to_string_lossy().replace('\'', "'\\''");
        format!("'{text}'")
    };
    let certificate = word("tls.cert");
    let macaroon = word("data/chain/bitcoin/regtest/admin.macaroon");
    json!([
        {"name": "lncli", "value": format!(
            "lncli --network=regtest --rpcserver={rpc} --tlscertpath={certificate} --macaroonpath={macaroon} getinfo"
        )},
        {"name": "REST", "value": format!(
            "curl --cacert {certificate} -H \"Grpc-Metadata-macaroon: $(xxd -p -c 1000 {macaroon})\" https://{rest}/v1/getinfo"
        )},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_name_the_ports_of_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ways(dir.path()), json!([]));
        let text = "listen=127.0.0.1:1\nrpclisten=127.0.0.1:20001\nrestlisten=127.0.0.1:20002\n";
        std::fs::write(dir.path().join("lnd.conf"), text).unwrap();
        let ways = ways(dir.path());
        let value = |at: usize| ways[at]["value"].as_str().unwrap();
        assert!(value(0).contains("--rpcserver=127.0.0.1:20001 "), "{ways}");
        assert!(
            value(1).ends_with("https://127.0.0.1:20002/v1/getinfo"),
            "{ways}"
        );
        assert!(value(0).contains("admin.macaroon'"), "{ways}");
    }
}
