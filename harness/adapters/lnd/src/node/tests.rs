use super::*;
use lnconform_adapter_process::NodeAdapter;
use lnconform_adapter_process::testing::{error, refuses_empty_requests, unsupported};
use serde_json::json;

/// An adapter without a program behind it.
fn adapter() -> NodeAdapter<LndNode> {
    NodeAdapter::new(backend())
}

fn backend() -> LndNode {
    LndNode {
        program: PathBuf::from("/nonexistent/lnd"),
        hello: Hello {
            implementation: Implementation {
                name: "lnd".into(),
                version: String::new(),
                language: String::new(),
                source: String::new(),
            },
            protocol: PROTOCOL,
            operations: OPERATIONS.map(String::from).into(),
            dialects: Vec::new(),
        },
        codec: None,
        shared: Arc::default(),
    }
}

fn ask(op: &str, params: Value) -> OpError {
    error(&adapter(), op, params)
}

#[test]
fn every_operation_refuses_an_empty_request_before_there_is_a_node() {
    refuses_empty_requests(&adapter());
}

#[test]
fn ill_typed_params_of_events_are_named() {
    let e = ask("event.next", json!({"kinds": [1]}));
    assert_eq!(e.kind, ErrorKind::Invalid);
    assert!(e.message.contains("kinds"), "{e:?}");
    let right = json!({"kinds": ["payment-received"], "after": 3});
    assert!(ask("event.next", right).message.contains("node.start"));
}

#[test]
fn another_network_is_refused_before_anything_is_touched() {
    for network in ["bitcoin", "mainnet", "testnet", "signet", "Regtest"] {
        let e = ask(
            "node.start",
            json!({"network": network, "data_dir": "/dev/null/x"}),
        );
        assert_eq!(e.kind, ErrorKind::Rejected);
        assert!(e.message.contains("regtest"), "{e:?}");
    }
}

fn start(more: &Value) -> Value {
    let mut params = json!({
        "network": "regtest", "data_dir": "/dev/null/x",
        "chain": {"bitcoind": {
            "rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "p"}}});
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    params
}

#[test]
fn ill_typed_params_of_a_start_are_named() {
    let bitcoind = |more: Value| {
        let mut access =
            json!({"rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "p"});
        for (name, value) in more.as_object().unwrap() {
            access[name] = value.clone();
        }
        json!({"chain": {"bitcoind": access}})
    };
    for (more, named) in [
        (json!({"chain": {}}), "bitcoind"),
        (json!({"listen": "nowhere"}), "listen"),
        (json!({"listen": "8.8.8.8:9735"}), "loopback"),
        (bitcoind(json!({"rpc_host": "10.0.0.1"})), "loopback"),
        (bitcoind(json!({"rpc_port": 65536})), "rpc_port"),
        // Nothing gets into the configuration file that is not a value.
        (bitcoind(json!({"password": "p\nalias=x"})), "password"),
        (json!({"alias": "a\nb"}), "alias"),
        (json!({"alias": "a".repeat(33)}), "alias"),
        (json!({"options": {"announce": true}}), "listen"),
        (json!({"options": {"log_level": "loud"}}), "log_level"),
        (json!({"options": {"keysend_hold": "8"}}), "keysend_hold"),
    ] {
        let e = ask("node.start", start(&more));
        assert!(e.message.contains(named), "{more}: {e:?}");
        assert!(
            matches!(e.kind, ErrorKind::Invalid | ErrorKind::Rejected),
            "{e:?}"
        );
    }
}

#[test]
fn an_option_that_lnd_lacks_is_unsupported_and_named() {
    let params = start(&json!({"options": {"role": "server"}}));
    let why = unsupported(&adapter(), "node.start", params);
    assert_eq!(why, "lnd has no option role");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let e = ask("node.start", start(&json!({"data_dir": dir.path()})));
    assert_eq!(e.kind, ErrorKind::Rejected);
    assert!(e.message.contains("/nonexistent/lnd"), "{e:?}");
    // The password of bitcoind is in a file that only its owner reads.
    let conf = dir.path().join("lnd.conf");
    assert!(
        std::fs::read_to_string(&conf)
            .unwrap()
            .contains("bitcoind.rpcpass=p\n")
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&conf).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    let e = LndNode::new(Path::new("/nonexistent/lnd"), None).unwrap_err();
    assert!(e.to_string().contains("/nonexistent/lnd"));
}

#[test]
fn a_program_that_ends_by_itself_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = NodeAdapter::new(LndNode {
        program: PathBuf::from("false"),
        ..backend()
    });
    let params = start(&json!({"data_dir": dir.path()}));
    let e = error(&adapter, "node.start", params);
    assert!(e.message.contains("ended before it answered"), "{e:?}");
}

#[test]
fn a_program_that_is_not_lnd_is_no_adapter() {
    let e = LndNode::new(Path::new("true"), None).unwrap_err();
    assert!(e.to_string().contains("is it lnd?"), "{e}");
}

#[test]
fn stopping_needs_a_node_and_a_known_way() {
    assert_eq!(
        ask("node.stop", json!({"how": "gently"})).kind,
        ErrorKind::Invalid
    );
    assert_eq!(
        ask("node.stop", json!({"how": "kill"})).kind,
        ErrorKind::Rejected
    );
}

#[test]
fn the_version_is_the_first_word_with_a_v() {
    for said in [
        "0.21.2-beta commit=v0.21.2-beta",
        "v0.21.2-beta",
        "0.21.2-beta\n",
    ] {
        assert_eq!(version_of(said), "v0.21.2-beta");
    }
}
