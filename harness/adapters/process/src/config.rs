//! The params of `node.start`.

use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::params::Params;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `node.start` asks for, apart from the dialect switches.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's own folder.
    pub data_dir: PathBuf,
    /// bitcoind's RPC interface: host (loopback), port, user, password. None of them holds a
    /// control character.
    pub rpc: (String, u16, String, String),
    /// bitcoind's ZMQ addresses for raw blocks and raw transactions.
    pub zmq: Option<(String, String)>,
    /// Where the node listens; loopback.
    pub listen: Option<SocketAddr>,
    /// At most 32 bytes (BOLT 7, node_announcement), none of them a control character.
    pub alias: String,
    /// `options`, every name among those that the adapter knows.
    pub options: Value,
}

impl Config {
    /// Reads the params; what can be refused without a node is refused here. `name` is the
    /// implementation's and its default alias, `known` the options it has.
    ///
    /// # Errors
    /// `rejected` for another network than regtest and for what is not loopback; `invalid` for
    /// what is missing or ill-typed; `unsupported` for an option that is not known.
    pub fn read(params: Params<'_>, name: &str, known: &[&str]) -> Result<Self, Fail> {
        let network = params.str("network")?;
        if network != "regtest" {
            return Err(OpError::rejected(format!(
                "network {network} is refused: this adapter runs nodes on regtest only"
            ))
            .into());
        }
        let data_dir = PathBuf::from(params.str("data_dir")?);
        let chain = Params::new(params.need("chain")?);
        let bitcoind = chain.get("bitcoind").ok_or_else(|| {
            OpError::invalid("param chain has no bitcoind; this adapter needs one")
        })?;
        let bitcoind = Params::new(bitcoind);
        let plain = |params: Params<'_>, name: &str| -> Result<String, OpError> {
            let text = params.str(name)?;
            // It goes into a line of a configuration file.
            if text
                .chars()
                .any(|c| c.is_control() || c == '"' || c == '\\')
            {
                return Err(OpError::invalid(format!(
                    "param {name} holds a quote, a backslash or a control character"
                )));
            }
            Ok(text.to_owned())
        };
        let host = plain(bitcoind, "rpc_host")?;
        if !matches!(host.as_str(), "127.0.0.1" | "localhost" | "::1") {
            return Err(OpError::rejected(format!("rpc_host {host} is not loopback")).into());
        }
        let port = u16::try_from(bitcoind.u32("rpc_port")?)
            .map_err(|_| OpError::invalid("param rpc_port is no port"))?;
        let (user, password) = (plain(bitcoind, "user")?, plain(bitcoind, "password")?);
        let zmq = match (bitcoind.get("zmq_block"), bitcoind.get("zmq_tx")) {
            (Some(_), Some(_)) => Some((plain(bitcoind, "zmq_block")?, plain(bitcoind, "zmq_tx")?)),
            _ => None,
        };
        let listen = params.maybe("listen", Params::loopback)?;
        let alias = match params.get("alias") {
            Some(_) => plain(params, "alias")?,
            None => name.to_owned(),
        };
        if alias.len() > 32 {
            return Err(OpError::invalid("param alias is longer than 32 bytes").into());
        }
        let options = params.get("options").cloned().unwrap_or_default();
        let mut names = options.as_object().into_iter().flatten();
        if let Some((option, _)) = names.find(|(n, _)| !known.contains(&n.as_str())) {
            return Err(Fail::Unsupported(format!("{name} has no option {option}")));
        }
        Ok(Self {
            data_dir,
            rpc: (host, port, user, password),
            zmq,
            listen,
            alias,
            options,
        })
    }

    /// The node's own folder, absolute; it is made where it is not there.
    ///
    /// # Errors
    /// `rejected` when that cannot be done.
    pub fn folder(&self) -> Result<PathBuf, OpError> {
        let made = std::path::absolute(&self.data_dir).and_then(|dir| {
            std::fs::create_dir_all(&dir)?;
            Ok(dir)
        });
        made.map_err(|e| {
            OpError::rejected(format!(
                "data_dir {} cannot be used: {e}",
                self.data_dir.display()
            ))
        })
    }

    /// The options.
    pub fn options(&self) -> Params<'_> {
        Params::new(&self.options)
    }

    /// Option `announce`: whether the node is to announce itself.
    ///
    /// # Errors
    /// `invalid` where it is no bool, or asks a node to announce itself that does not listen.
    pub fn announce(&self) -> Result<Option<bool>, OpError> {
        let announce = self.options().maybe("announce", Params::bool)?;
        if announce == Some(true) && self.listen.is_none() {
            return Err(OpError::invalid("option announce needs param listen"));
        }
        Ok(announce)
    }

    /// Option `forwards`, of a node that always forwards.
    ///
    /// # Errors
    /// `unsupported` where it is not to; `invalid` where it is no bool.
    pub fn forwards_always(&self, name: &str) -> Result<(), Fail> {
        if self.options().maybe("forwards", Params::bool)? == Some(false) {
            return Err(Fail::Unsupported(format!(
                "{name} forwards whatever it is asked to: option forwards cannot be false"
            )));
        }
        Ok(())
    }

    /// Option `log_level`, one of `levels`.
    ///
    /// # Errors
    /// `invalid` where it is another.
    pub fn log_level<'a>(&'a self, default: &'a str, levels: &[&str]) -> Result<&'a str, OpError> {
        let level = self.options().maybe("log_level", Params::str)?;
        let level = level.unwrap_or(default);
        if !levels.contains(&level) {
            let (last, others) = levels.split_last().unwrap_or((&"", &[]));
            return Err(OpError::invalid(format!(
                "option log_level is {level}, not {} or {last}",
                others.join(", ")
            )));
        }
        Ok(level)
    }

    /// The address at which peers find it, if it listens.
    pub fn address(&self) -> Option<String> {
        self.listen.map(|a| a.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_protocol::ErrorKind;
    use serde_json::json;

    fn start(path: &[&str], value: Value) -> Result<Config, Fail> {
        let mut params = json!({
            "network": "regtest", "data_dir": "/d", "listen": "127.0.0.1:9735", "alias": "a",
            "chain": {"bitcoind": {
                "rpc_host": "127.0.0.1", "rpc_port": 1, "user": "u", "password": "p",
                "zmq_block": "tcp://127.0.0.1:2", "zmq_tx": "tcp://127.0.0.1:3"}}});
        let mut place = &mut params;
        for name in path {
            place = &mut place[*name];
        }
        *place = value;
        Config::read(Params::new(&params), "node", &["forwards"])
    }

    #[test]
    fn params_of_a_start_are_read() {
        let config = start(&["options"], json!({"forwards": true})).unwrap();
        assert_eq!(config.rpc, ("127.0.0.1".into(), 1, "u".into(), "p".into()));
        assert_eq!(
            config.zmq,
            Some(("tcp://127.0.0.1:2".into(), "tcp://127.0.0.1:3".into()))
        );
        assert_eq!(config.address().as_deref(), Some("127.0.0.1:9735"));
        let config = start(&["alias"], Value::Null).unwrap();
        assert_eq!(config.alias, "node");
    }

    #[test]
    fn what_cannot_be_is_named() {
        let bitcoind = |name| vec!["chain", "bitcoind", name];
        for (path, value, kind, named) in [
            (
                vec!["network"],
                json!("bitcoin"),
                ErrorKind::Rejected,
                "bitcoin",
            ),
            (
                vec!["network"],
                json!("testnet"),
                ErrorKind::Rejected,
                "regtest",
            ),
            (vec!["chain"], json!({}), ErrorKind::Invalid, "bitcoind"),
            (
                vec!["listen"],
                json!("nowhere"),
                ErrorKind::Invalid,
                "listen",
            ),
            (
                vec!["listen"],
                json!("8.8.8.8:9735"),
                ErrorKind::Rejected,
                "loopback",
            ),
            (vec!["alias"], json!("a\nb"), ErrorKind::Invalid, "alias"),
            (
                vec!["alias"],
                json!("a".repeat(33)),
                ErrorKind::Invalid,
                "32",
            ),
            (
                bitcoind("rpc_host"),
                json!("10.0.0.1"),
                ErrorKind::Rejected,
                "loopback",
            ),
            (
                bitcoind("rpc_port"),
                json!(65536),
                ErrorKind::Invalid,
                "rpc_port",
            ),
            (
                bitcoind("password"),
                json!("p\nx=y"),
                ErrorKind::Invalid,
                "password",
            ),
            (
                bitcoind("password"),
                json!("p\" x"),
                ErrorKind::Invalid,
                "password",
            ),
        ] {
            match start(&path, value.clone()) {
                Err(Fail::Error(e)) => {
                    assert_eq!(e.kind, kind, "{value}: {e:?}");
                    assert!(e.message.contains(named), "{value}: {e:?}");
                }
                other => panic!("{value}: {other:?}"),
            }
        }
        let unknown = start(&["options"], json!({"watch": true}));
        assert!(matches!(unknown, Err(Fail::Unsupported(why)) if why.contains("watch")));
    }

    #[test]
    fn options_that_several_nodes_have_are_read_alike() {
        let config = start(&["options"], json!({"forwards": true})).unwrap();
        config.forwards_always("node").unwrap();
        assert_eq!(config.announce().unwrap(), None);
        assert_eq!(
            config.log_level("info", &["info", "debug"]).unwrap(),
            "info"
        );
        let mut config = config;
        config.options = json!({"forwards": false, "announce": true, "log_level": "loud"});
        let why = config.forwards_always("node");
        assert!(matches!(why, Err(Fail::Unsupported(why)) if why.starts_with("node forwards")));
        assert_eq!(config.announce().unwrap(), Some(true));
        let e = config
            .log_level("info", &["info", "warn", "off"])
            .unwrap_err();
        assert_eq!(e.message, "option log_level is loud, not info, warn or off");
        config.listen = None;
        let e = config.announce().unwrap_err();
        assert!(e.message.contains("listen"), "{e:?}");
    }

    #[test]
    fn a_folder_is_made_and_one_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = start(&["data_dir"], json!(dir.path().join("a/b"))).unwrap();
        assert_eq!(config.folder().unwrap(), dir.path().join("a/b"));
        assert!(dir.path().join("a/b").is_dir());
        std::fs::write(dir.path().join("file"), "").unwrap();
        config.data_dir = dir.path().join("file/x");
        let e = config.folder().unwrap_err();
        assert_eq!(e.kind, ErrorKind::Rejected);
        assert!(e.message.contains("file/x cannot be used"), "{e:?}");
    }
}
