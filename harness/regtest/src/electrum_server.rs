//! An Electrum server of its own for a cluster whose nodes take their chain from one.

use crate::chain::ChainInfo;
use crate::ports::{self, Port, PortError};
use crate::process::{self, Child};
use crate::provision::{self, Lookup};
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

/// What bitcoind needs beside the options that every cluster's has. (electrs does without.)
pub const BITCOIND_OPTIONS: &[&str] = &["-txospenderindex=1"];

/// The servers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// e-x, the maintained ElectrumX, behind a launcher of this repository.
    Ex,
    /// electrs.
    Electrs,
}

impl Kind {
    /// Its entry in the version table.
    pub fn entry(self) -> &'static str {
        match self {
            Self::Ex => "e-x",
            Self::Electrs => "electrs",
        }
    }

    /// That it is not there, and what to type.
    pub fn missing(self) -> String {
        let line = provision::install_line(self.entry());
        format!("{} is not installed: `{line}` installs it", self.entry())
    }
}

/// The servers at hand, each found or with what is in its way.
#[derive(Clone, Debug)]
pub struct Servers {
    ex: Result<Program, String>,
    electrs: Result<Program, String>,
}

impl Servers {
    /// Looks for all of them, as [`provision::find`] does.
    pub fn find() -> Self {
        let find = |kind: Kind| match provision::find(kind.entry()) {
            Ok(Lookup::Found(found)) => {
                let (path, args) = found.command();
                Ok(Program { kind, path, args })
            }
            Ok(Lookup::Missing(missing)) => Err(missing.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Self {
            ex: find(Kind::Ex),
            electrs: find(Kind::Electrs),
        }
    }

    /// One of them.
    ///
    /// # Errors
    /// Why it cannot be used, and what to type.
    pub fn get(&self, kind: Kind) -> Result<&Program, &str> {
        let found = match kind {
            Kind::Ex => &self.ex,
            Kind::Electrs => &self.electrs,
        };
        found.as_ref().map_err(String::as_str)
    }
}

/// The variable in which the server finds bitcoind, password included.
const BITCOIND: &str = "ELECTRUM_SERVER_BITCOIND";

/// How long one look at a server may take.
const LOOK: Duration = Duration::from_millis(500);

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
        .folder.display(), provision::install_line(.kind.entry())
    )]
    Launch {
        /// Which.
        kind: Kind,
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
    /// Which it is.
    pub kind: Kind,
    /// The executable.
    pub path: PathBuf,
    /// Its first arguments.
    pub args: Vec<OsString>,
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
    /// [`BITCOIND_OPTIONS`], and waits until it has read the chain, which e-x does before it takes
    /// connections.
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
            kind: program.kind,
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
        command.args(&program.args);
        match program.kind {
            Kind::Ex => ex(&mut command, chain, &port, &data),
            Kind::Electrs => electrs(&mut command, chain, &port, &data).map_err(launch)?,
        }
        command
            .env(crate::RUN_ENV, run.id())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let child = process::spawn(command, &format!("Electrum server {name}")).map_err(launch)?;
        let mut server = Self { child, log, port };
        server.wait_ready(program.kind, name)?;
        Ok(server)
    }

    fn wait_ready(&mut self, kind: Kind, name: &str) -> Result<(), ServerError> {
        let begin = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], self.port.number()));
        let name = name.to_owned();
        loop {
            if let Ok(stream) = TcpStream::connect_timeout(&address, LOOK)
                && (kind == Kind::Ex || answers(stream))
            {
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

/// Whether a server answers a question about the chain. electrs takes connections before it has
/// read the chain, and answers `unavailable index` until it has.
fn answers(stream: TcpStream) -> bool {
    const QUESTION: &[u8] =
        b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"blockchain.estimatefee\",\"params\":[6]}\n";
    let ask = || -> io::Result<String> {
        stream.set_read_timeout(Some(LOOK))?;
        io::Write::write_all(&mut &stream, QUESTION)?;
        let mut line = String::new();
        let mut reader = io::BufReader::new(io::Read::take(&stream, 4096));
        io::BufRead::read_line(&mut reader, &mut line)?;
        Ok(line)
    };
    ask().is_ok_and(|line| line.contains("\"result\""))
}

/// What e-x's launcher is told; the password in its environment, where others on the machine do not
/// see it.
fn ex(command: &mut Command, chain: &ChainInfo, port: &Port, data: &Path) {
    let (user, password) = (&chain.user, &chain.password);
    let rpc = format!("{}:{}", chain.rpc_host, chain.rpc_port);
    command
        .arg("--listen")
        .arg(format!("127.0.0.1:{}", port.number()))
        .arg("--data")
        .arg(data)
        .env(BITCOIND, format!("http://{user}:{password}@{rpc}/"));
}

/// What electrs is told; the password in a file of its own, which is the one place where electrs
/// takes it.
///
/// The crate `electrsd` launches it too, but in a process group, a folder and on ports of its own,
/// which no reaper knows and `clean` does not find; and it wants a bitcoind that it has launched.
fn electrs(command: &mut Command, chain: &ChainInfo, port: &Port, data: &Path) -> io::Result<()> {
    let config = data.join("electrs.toml");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let auth = format!("auth = \"{}:{}\"\n", chain.user, chain.password);
    io::Write::write_all(&mut options.open(&config)?, auth.as_bytes())?;
    command
        // Every option can stand in the environment too.
        .env_clear()
        .arg("--skip-default-conf-files")
        .arg("--conf")
        .arg(&config)
        .args(["--network", "regtest"])
        .arg("--electrum-rpc-addr")
        .arg(format!("127.0.0.1:{}", port.number()))
        .arg("--daemon-rpc-addr")
        .arg(format!("{}:{}", chain.rpc_host, chain.rpc_port))
        .arg("--daemon-p2p-addr")
        .arg(chain.p2p.to_string())
        .arg("--daemon-dir")
        .arg(data)
        .arg("--db-dir")
        .arg(data.join("db"))
        // How often it looks into the mempool; of a block, bitcoind tells it.
        .args(["--wait-duration-secs", "1"]);
    Ok(())
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
        start_kind(Kind::Ex, id, line)
    }

    fn start_kind(kind: Kind, id: &str, line: &str) -> Result<ElectrumServer, ServerError> {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create_in(folder.path(), id).unwrap();
        let program = Program {
            kind,
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
        for kind in [Kind::Ex, Kind::Electrs] {
            let program = Program {
                kind,
                path: folder.path().join("absent"),
                args: Vec::new(),
            };
            let name = kind.entry();
            let error = ElectrumServer::start(&run, &program, &chain(), name).unwrap_err();
            let line = format!("lnconform install {name}");
            assert!(error.to_string().contains(&line), "{error}");
            assert!(kind.missing().contains(&line));
        }
    }

    #[test]
    fn electrs_has_nothing_from_our_environment() {
        let line = "echo \"home is $HOME.\"; exit 3";
        let error = start_kind(Kind::Electrs, "e4", line).unwrap_err();
        let ServerError::Ended { said, .. } = &error else {
            panic!("{error}");
        };
        assert!(said.contains("home is ."), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn what_electrs_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let port = ports::reserve(1).unwrap().remove(0);
        let mut command = Command::new("electrs");
        electrs(&mut command, &chain(), &port, folder.path()).unwrap();
        let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        let after = |name: &str| {
            let at = args.iter().position(|a| a == name);
            at.and_then(|at| args.get(at + 1)).map(ToString::to_string)
        };
        assert_eq!(after("--network").as_deref(), Some("regtest"));
        assert_eq!(after("--daemon-rpc-addr").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(after("--daemon-p2p-addr").as_deref(), Some("127.0.0.1:2"));
        let listen = format!("127.0.0.1:{}", port.number());
        assert_eq!(after("--electrum-rpc-addr"), Some(listen));
        assert!(args.iter().all(|a| !a.contains("secret")), "{args:?}");
        let config = PathBuf::from(after("--conf").unwrap());
        let text = std::fs::read_to_string(&config).unwrap();
        assert_eq!(text, "auth = \"u:secret\"\n");
        let mode = std::fs::metadata(&config).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
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

    #[test]
    fn electrs_is_ready_once_it_answers() {
        let listen = |result: &str| {
            format!(
                "exec python3 -c \"
import socket, sys
host, port = sys.argv[sys.argv.index('--electrum-rpc-addr') + 1].split(':')
s = socket.create_server((host, int(port)))
for answer in ['error', '{result}']:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(b'{{\\\"%s\\\": 1}}\\n' % answer.encode())
sys.exit(5)
\" \"$@\""
            )
        };
        let server = start_kind(Kind::Electrs, "e5", &listen("result"));
        assert!(server.is_ok(), "{server:?}");
        let error = start_kind(Kind::Electrs, "e6", &listen("error")).unwrap_err();
        assert!(matches!(error, ServerError::Ended { .. }), "{error}");
    }
}
