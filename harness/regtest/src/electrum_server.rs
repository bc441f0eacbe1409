//! An Electrum server of its own for a cluster whose nodes take their chain from one.

use crate::chain::ChainInfo;
use crate::ports::{self, Port, PortError};
use crate::process::{self, Child};
use crate::provision::{self, Lookup, ProgramError};
use crate::run::{RunDir, RunDirError};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The dialect of an adapter whose node takes its chain from an Electrum server: `node.start` then
/// has the server's URL in `chain.electrum`.
pub const DIALECT: &str = "chain/electrum";

/// What bitcoind needs beside the options that every cluster's has.
pub const BITCOIND_OPTIONS: &[&str] = &["-txospenderindex=1"];

/// Its entry in the version table.
const ENTRY: &str = "e-x";

/// The variable in which the server finds bitcoind, password included.
const BITCOIND: &str = "ELECTRUM_SERVER_BITCOIND";

/// From the start of the process to its first accepted connection. It takes 1 s on an idle machine.
const START: Duration = Duration::from_secs(40);

/// An Electrum server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its port.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] RunDirError),
    /// A file in its folder, or the program.
    #[error(
        "the Electrum server of {name} could not be launched ({error}): free space in {} or set TMPDIR to another folder; `{}` installs the program anew",
        .folder.display(), install_line()
    )]
    Launch {
        /// The cluster's name.
        name: String,
        /// Its folder.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It ended while starting.
    #[error("the Electrum server of {name} ended by itself: {said}")]
    Ended {
        /// The cluster's name.
        name: String,
        /// The end of its log.
        said: String,
    },
    /// It runs and takes no connection.
    #[error("the Electrum server of {name} took no connection within {} s; the end of its log: {log}", START.as_secs())]
    Silent {
        /// The cluster's name.
        name: String,
        /// The end of its log.
        log: String,
    },
}

/// The program to start, and the arguments in front of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its first arguments.
    pub args: Vec<OsString>,
}

/// The line that installs one.
pub fn install_line() -> String {
    provision::install_line(ENTRY)
}

/// The server that is installed; `None` where there is none.
///
/// # Errors
/// Those of [`provision::find`].
pub fn find() -> Result<Option<Program>, ProgramError> {
    Ok(match provision::find(ENTRY)? {
        Lookup::Found(found) => {
            let (path, args) = found.command();
            Some(Program { path, args })
        }
        Lookup::Missing(_) => None,
    })
}

/// A running server. Dropping it kills the process and lets go of its port.
#[derive(Debug)]
pub struct ElectrumServer {
    child: Child,
    log: PathBuf,
    port: Port,
}

impl ElectrumServer {
    /// Starts a server in a folder of the run called `chain-NAME.electrum`, on a chain whose bitcoind has
    /// [`BITCOIND_OPTIONS`], and waits until it takes connections, which it does once it has read
    /// the chain.
    ///
    /// # Errors
    /// [`ServerError`], with the end of its log where there is one.
    pub fn start(
        run: &RunDir,
        program: &Program,
        chain: &ChainInfo,
        name: &str,
    ) -> Result<Self, ServerError> {
        let folder = run.folder(&format!("chain-{name}.electrum"))?;
        let port = ports::reserve(1)?.remove(0);
        let launch = |error| ServerError::Launch {
            name: name.to_owned(),
            folder: folder.clone(),
            error,
        };
        let log = folder.join("server.log");
        let out = File::create(&log).map_err(launch)?;
        let err = out.try_clone().map_err(launch)?;
        let data = folder.join("data");
        std::fs::create_dir(&data).map_err(launch)?;
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .arg("--listen")
            .arg(format!("127.0.0.1:{}", port.number()))
            .arg("--data")
            .arg(&data)
            .env(
                BITCOIND,
                format!(
                    "http://{}:{}@{}:{}/",
                    chain.user, chain.password, chain.rpc_host, chain.rpc_port
                ),
            )
            .env(crate::RUN_ENV, run.id())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let child = process::spawn(command, &format!("Electrum server {name}")).map_err(launch)?;
        let mut server = Self { child, log, port };
        server.wait_ready(name)?;
        Ok(server)
    }

    fn wait_ready(&mut self, name: &str) -> Result<(), ServerError> {
        let begin = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], self.port.number()));
        let name = name.to_owned();
        loop {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if let Ok(Some(_)) = self.child.try_wait() {
                let said = end_of(&self.log);
                return Err(ServerError::Ended { name, said });
            }
            if begin.elapsed() >= START {
                let log = end_of(&self.log);
                return Err(ServerError::Silent { name, log });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it is reached: `tcp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port.number())
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// The last lines of a log, for a message.
fn end_of(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" | ");
    if last.is_empty() {
        "it wrote nothing".into()
    } else {
        last
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn chain() -> ChainInfo {
        ChainInfo {
            rpc_host: "127.0.0.1".into(),
            rpc_port: 1,
            user: "u".into(),
            password: "secret".into(),
            zmq_block: String::new(),
            zmq_tx: String::new(),
            p2p: SocketAddr::from(([127, 0, 0, 1], 2)),
        }
    }

    /// Starts a line of shell in place of the server; it has the server's arguments in `$@`.
    fn start(id: &str, line: &str) -> Result<ElectrumServer, ServerError> {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create_in(folder.path(), id).unwrap();
        let program = Program {
            path: "/bin/sh".into(),
            args: vec!["-c".into(), line.into(), "server".into()],
        };
        ElectrumServer::start(&run, &program, &chain(), "c0")
    }

    #[test]
    fn one_that_ends_says_what_it_wrote_and_is_told_where_bitcoind_is() {
        let error = start("e1", "echo \"$@\"; echo $ELECTRUM_SERVER_BITCOIND; exit 3").unwrap_err();
        assert!(matches!(error, ServerError::Ended { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("--listen 127.0.0.1:"), "{said}");
        assert!(said.contains("--data "), "{said}");
        // In its environment alone, where others on the machine do not see it.
        assert!(said.contains("http://u:secret@127.0.0.1:1/"), "{said}");
    }

    #[test]
    fn one_that_cannot_be_run_is_named_with_what_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create_in(folder.path(), "e2").unwrap();
        let program = Program {
            path: folder.path().join("absent"),
            args: Vec::new(),
        };
        let error = ElectrumServer::start(&run, &program, &chain(), "c0").unwrap_err();
        assert!(
            error.to_string().contains("lnconform install e-x"),
            "{error}"
        );
    }

    #[test]
    fn it_is_ready_once_it_takes_connections() {
        let listen = "import socket, sys, time; host, port = sys.argv[2].split(':'); \
                      s = socket.create_server((host, int(port))); time.sleep(60)";
        let server = start("e3", &format!("exec python3 -c \"{listen}\" \"$@\"")).unwrap();
        let address = server.url();
        assert!(address.starts_with("tcp://127.0.0.1:"), "{address}");
        let address = address.trim_start_matches("tcp://").to_owned();
        assert!(TcpStream::connect(&address).is_ok());
        drop(server);
        assert!(TcpStream::connect(&address).is_err());
    }
}
