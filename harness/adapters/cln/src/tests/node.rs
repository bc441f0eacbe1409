//! Its start, its end, and what stands in their way.

use super::*;
use crate::standin::Reply;
use lnconform_adapter_process::testing::{
    eventually, stops_and_starts, tells_of_its_end, write_program,
};
use std::path::Path;

#[test]
fn a_node_is_started_with_its_own_settings_and_stopped() {
    let stand_in = StandIn::new();
    let adapter = adapter(&stand_in);
    let started = result(&adapter, "node.start", start(&stand_in));
    assert_eq!(started["node_id"], KEY);
    assert_eq!(started["address"], "127.0.0.1:9735");
    assert_eq!(started["version"], "v25.09");
    assert_eq!(started["features"], "0880");
    let again = error(&adapter, "node.start", start(&stand_in));
    assert!(again.message.contains("node.stop"), "{again:?}");
    let settings = std::fs::read_to_string(stand_in.data_dir().join("config")).unwrap();
    for line in [
        "network=regtest",
        "bitcoin-rpcport=1",
        "bitcoin-rpcpassword=secret",
        "bind-addr=127.0.0.1:9735",
        "alias=payee",
        "disable-plugin=clnrest",
        "developer",
        "dev-bitcoind-poll=1",
    ] {
        assert!(settings.lines().any(|l| l == line), "{line}: {settings}");
    }
    use std::os::unix::fs::PermissionsExt;
    let file = std::fs::metadata(stand_in.data_dir().join("config")).unwrap();
    assert_eq!(file.permissions().mode() & 0o077, 0);
    // The stand-in writes its command line into the log.
    // Its socket may be there before the shell has written that.
    let file = stand_in.data_dir().join("lightningd.log");
    let mut log = String::new();
    eventually("a line of the log", || {
        log = std::fs::read_to_string(&file).unwrap();
        log.ends_with('\n')
    });
    assert!(
        log.contains("--conf=") && !log.contains("secret"),
        "{log:?}"
    );
    stops_and_starts(&adapter, start(&stand_in));
    assert_eq!(stand_in.asked("stop").len(), 1);
    adapter.closing();
    adapter.shutdown();
    assert_eq!(stand_in.asked("stop").len(), 2);
}

#[test]
fn a_node_that_dies_is_named_with_the_end_of_its_log() {
    let stand_in = StandIn::new();
    let adapter = started(&stand_in);
    stand_in.plays(|method, _| (method == "listfunds").then_some(Reply::Die));
    tells_of_its_end(&adapter, "lightningd");
}

#[test]
fn a_program_that_ends_at_once_is_quoted() {
    let stand_in = StandIn::new();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("lightningd");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo v25.09; exit 0; }\n\
        echo bitcoin-cli not found; exit 1\n";
    write_program(&program, script);
    let adapter = NodeAdapter::new(Cln::new(&program).unwrap());
    let mut params = start(&stand_in);
    params["data_dir"] = json!(dir.path().join("data"));
    let e = error(&adapter, "node.start", params);
    assert_eq!(e.kind, ErrorKind::Rejected);
    assert!(e.message.contains("bitcoin-cli not found"), "{e:?}");
    for program in ["/nonexistent/lightningd", "true", "false"] {
        let e = Cln::new(Path::new(program)).unwrap_err().to_string();
        assert!(
            e.contains(program) && e.contains("is it lightningd?"),
            "{e}"
        );
    }
}

#[test]
fn a_long_path_is_no_obstacle_to_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("d".repeat(120));
    std::fs::create_dir(&folder).unwrap();
    let short = dir.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&short).unwrap();
    std::fs::rename(&short, folder.join("lightning-rpc")).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 256]).unwrap();
        stream
            .write_all(br#"{"id":"lnconform-1","result":{"a":1}}"#)
            .unwrap();
    });
    let client = crate::rpc::Client::new(&folder);
    let limit = Some(Duration::from_secs(20));
    assert_eq!(
        client.call("x", &json!({}), limit).unwrap(),
        json!({"a": 1})
    );
}
