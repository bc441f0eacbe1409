//! A bitcoind of its own for each cluster: regtest, loopback, fresh credentials.
//!
//! The `bitcoind` crate launches it. It does not say which process it started, passes on our
//! output and environment, lets the system choose its RPC port, and looks only every 200 ms
//! whether the node is up. So what it launches is a line of shell that notes the process id,
//! labels the process and sends its output to a file; and the node listens on a second RPC port
//! that [`crate::ports`] holds for this run, on which everybody else talks to it.

use crate::ports::{self, Port, PortError};
use crate::provision;
use crate::reaper;
use crate::run::{RunDir, RunDirError};
use crate::sys::{self, Identity, Signal, State};
use bitcoin::address::NetworkUnchecked;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bitcoin::{
    Address, Amount, CompressedPublicKey, Network, NetworkKind, OutPoint, PrivateKey, ScriptBuf,
    Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute, transaction,
};
use bitcoind::client::Auth;
use bitcoind::{BitcoinD, Client, Conf, P2P};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a bitcoind may take to answer. It takes 0.1 s on an idle machine.
const START: Duration = Duration::from_secs(30);

/// How often a start is tried when a port was taken just then.
const ATTEMPTS: u32 = 3;

/// Why nothing starts any more.
const STOPPING: &str = "the run is being stopped";

/// Blocks that exist when a chain has started. The coins of a block can be spent 100 blocks later
/// (consensus, coinbase maturity), so those of the first two can be.
pub const START_HEIGHT: u64 = 101;

/// Miner fee rate of [`Chain::fund`], in satoshi per virtual byte.
const FEE_RATE: u64 = 10;

/// What can go wrong with a cluster's bitcoind.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The program is not a bitcoind that this harness works with.
    #[error(transparent)]
    Program(#[from] provision::ProgramError),
    /// Its ports.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] RunDirError),
    /// A file in its folder.
    #[error(
        "{} for bitcoind cannot be written ({error}): free space there or set TMPDIR to another folder",
        .path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system does not run it.
    #[error("bitcoind {name} could not be launched ({error}): if {} lies where programs may not run, set TMPDIR to another folder", .folder.display())]
    Launch {
        /// The chain's name.
        name: String,
        /// Its folder.
        folder: PathBuf,
        /// What the launcher said.
        error: String,
    },
    /// It ended while starting, or later.
    #[error("bitcoind {name} ended by itself: {said}")]
    Ended {
        /// The chain's name.
        name: String,
        /// The end of its output and log.
        said: String,
    },
    /// It runs and does not answer.
    #[error("bitcoind {name} runs but did not answer within {} s ({last}); the end of its log: {log}", .waited.as_secs())]
    Silent {
        /// The chain's name.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// The last error of a call.
        last: String,
        /// The end of its log.
        log: String,
    },
    /// It follows another chain.
    #[error("bitcoind {name} follows the chain `{chain}`: only regtest is ever used here")]
    NotRegtest {
        /// The chain's name.
        name: String,
        /// What bitcoind answered.
        chain: String,
    },
    /// It refused a call, or the call did not come through.
    #[error("bitcoind {name} refused {method}: {message}")]
    Rpc {
        /// The chain's name.
        name: String,
        /// The call.
        method: String,
        /// The answer.
        message: String,
    },
    /// An address that cannot be paid on regtest.
    #[error(
        "the address {address:?} cannot be paid on regtest ({reason}): the node that gave it is at fault"
    )]
    Address {
        /// The address.
        address: String,
        /// Why not.
        reason: String,
    },
    /// More was asked for than there is.
    #[error("{wanted} sat were asked for and {available} sat can be spent: mine more blocks first")]
    Funds {
        /// The sum and the fee, in satoshi.
        wanted: u64,
        /// What can be spent, in satoshi.
        available: u64,
    },
    /// Transactions that did not arrive.
    #[error(
        "bitcoind {name}: after {} ms the mempool lacks {missing:?} and holds {present:?}",
        .waited.as_millis()
    )]
    Mempool {
        /// The chain's name.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// What is missing.
        missing: Vec<String>,
        /// What is there.
        present: Vec<String>,
    },
}

/// How others reach a chain's bitcoind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainInfo {
    /// Always 127.0.0.1.
    pub rpc_host: String,
    /// The RPC port.
    pub rpc_port: u16,
    /// The user of this cluster.
    pub user: String,
    /// Its password, drawn for this chain.
    pub password: String,
    /// Where raw blocks are published, as `tcp://127.0.0.1:PORT`.
    pub zmq_block: String,
    /// Where raw transactions are published, as `tcp://127.0.0.1:PORT`.
    pub zmq_tx: String,
    /// Where Bitcoin peers connect.
    pub p2p: SocketAddr,
}

/// A running bitcoind. Dropping it kills the process and lets go of its ports.
#[derive(Debug)]
pub struct Chain {
    name: String,
    info: ChainInfo,
    client: Client,
    process: Identity,
    folder: PathBuf,
    key: PrivateKey,
    address: Address,
    coins: Mutex<Coins>,
    // Keeps the launcher's thread, which owns the process handle, waiting.
    quit: Option<Sender<()>>,
    launched: Receiver<Result<(), String>>,
    _ports: Vec<Port>,
}

/// What our key can spend.
#[derive(Debug, Default)]
struct Coins {
    /// Blocks whose coinbase pays us: height and hash.
    mined: Vec<(u64, String)>,
    /// Coins that may be spent at any time (change).
    loose: Vec<(OutPoint, u64)>,
    height: u64,
}

impl Chain {
    /// Starts `exe` in a folder of the run called `chain-NAME` and mines [`START_HEIGHT`] blocks
    /// to a key of ours. Returns when it answers, about 0.2 s later.
    ///
    /// # Errors
    /// A program that is not a bitcoind of a supported version (says what to type), one that ends
    /// or stays silent (with the end of its log), a disk or ports that cannot be used.
    pub fn start(run: &RunDir, exe: &Path, name: &str) -> Result<Self, ChainError> {
        Self::start_with(run, exe, name, &[])
    }

    /// Like [`Chain::start`], with more of bitcoind's own options (`-txospenderindex=1`).
    ///
    /// # Errors
    /// Those of [`Chain::start`].
    pub fn start_with(
        run: &RunDir,
        exe: &Path,
        name: &str,
        options: &[&str],
    ) -> Result<Self, ChainError> {
        provision::check_program("bitcoind", exe)?;
        let mut attempt = 1;
        loop {
            match Self::launch(run, exe, name, options, attempt) {
                Ok(chain) => {
                    chain.mine(START_HEIGHT)?;
                    return Ok(chain);
                }
                Err((_, true)) if attempt < ATTEMPTS => attempt += 1,
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// One try. The flag of an error says whether another one may go better.
    fn launch(
        run: &RunDir,
        exe: &Path,
        name: &str,
        options: &[&str],
        attempt: u32,
    ) -> Result<Self, (ChainError, bool)> {
        let fatal = |e: ChainError| (e, false);
        if reaper::stopping() {
            let name = name.to_owned();
            return Err(fatal(ChainError::Ended {
                name,
                said: STOPPING.into(),
            }));
        }
        let label = if attempt == 1 {
            format!("chain-{name}")
        } else {
            format!("chain-{name}.{attempt}")
        };
        let folder = run.folder(&label).map_err(|e| fatal(e.into()))?;
        let ports = ports::reserve(4).map_err(|e| fatal(e.into()))?;
        let [rpc, p2p, zmq_block, zmq_tx] = [0, 1, 2, 3].map(|i| ports[i].number());
        let (user, password) = (format!("lnconform-{name}"), random_hex());
        let info = ChainInfo {
            rpc_host: "127.0.0.1".into(),
            rpc_port: rpc,
            user: user.clone(),
            password: password.clone(),
            zmq_block: format!("tcp://127.0.0.1:{zmq_block}"),
            zmq_tx: format!("tcp://127.0.0.1:{zmq_tx}"),
            p2p: SocketAddr::from(([127, 0, 0, 1], p2p)),
        };
        let script = write_script(&folder, exe, run.id()).map_err(fatal)?;
        let mut args = flags(&info, &user, &password);
        args.extend(options.iter().map(ToString::to_string));

        let (quit, stop) = channel::<()>();
        let (report, launched) = channel();
        let data = folder.join("data");
        thread::Builder::new()
            .name(format!("bitcoind-{name}"))
            .spawn(move || own(&script, &args, data, report, &stop))
            .map_err(|error| {
                fatal(ChainError::File {
                    path: folder.clone(),
                    error,
                })
            })?;

        let client = client(&info).map_err(|e| fatal(rpc_error(name, "connect", e)))?;
        let secret = SecretKey::from_slice(&Sha256::digest(b"lnconform regtest miner"))
            .map_err(|e| fatal(rpc_error(name, "key", e)))?;
        let key = PrivateKey::new(secret, NetworkKind::Test);
        let public = CompressedPublicKey(secret.public_key(&Secp256k1::new()));
        let mut chain = Self {
            name: name.to_owned(),
            info,
            client,
            process: Identity { pid: 0, started: 0 },
            folder,
            key,
            address: Address::p2wpkh(&public, Network::Regtest),
            coins: Mutex::default(),
            quit: Some(quit),
            launched,
            _ports: ports,
        };
        chain.wait_ready()?;
        Ok(chain)
    }

    /// Waits until the node answers on our port, and knows that it will on the launcher's too.
    fn wait_ready(&mut self) -> Result<(), (ChainError, bool)> {
        let begin = Instant::now();
        let mut last = String::from("not asked yet");
        loop {
            if let Ok(Err(error)) = self.launched.try_recv() {
                // A script that another thread's child still holds open for writing, in the
                // moment between its fork and exec, cannot be run: that passes.
                let again = error.contains("Text file busy");
                let (name, folder) = (self.name.clone(), self.folder.clone());
                return Err((
                    ChainError::Launch {
                        name,
                        folder,
                        error,
                    },
                    again,
                ));
            }
            if self.process.pid == 0
                && let Some(process) = read_pid(&self.folder)
            {
                self.process = process;
                if !reaper::register(process, &format!("bitcoind {}", self.name)) {
                    return Err((self.ended(STOPPING), false));
                }
            }
            // A stop removes the folder, after which nothing can start in it; its launcher looks for
            // 15 s for what it has started there.
            if self.process.pid == 0 && reaper::stopping() && !self.folder.exists() {
                return Err((self.ended(STOPPING), false));
            }
            if self.process.pid != 0 {
                if !matches!(self.process.state(), State::Running) {
                    let said = self.said();
                    // Somebody took a port between the launcher's look and bitcoind's bind.
                    let again = said.contains("Unable to bind") || said.contains("already in use");
                    return Err((self.ended(&said), again));
                }
                match self.client.call::<Value>("getblockchaininfo", &[]) {
                    Ok(info) => {
                        let chain = info["chain"].as_str().unwrap_or("?");
                        if chain != "regtest" {
                            let (name, chain) = (self.name.clone(), chain.to_owned());
                            return Err((ChainError::NotRegtest { name, chain }, false));
                        }
                        return self.launcher_will_see_it();
                    }
                    Err(error) => last = error.to_string(),
                }
            }
            if begin.elapsed() >= START {
                let (name, log) = (self.name.clone(), self.said());
                return Err((
                    ChainError::Silent {
                        name,
                        waited: START,
                        last,
                        log,
                    },
                    false,
                ));
            }
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// The launcher asks on the port that the system gave it, and kills the node if it hears
    /// nothing there. Our credentials work there only if it is the same node.
    fn launcher_will_see_it(&self) -> Result<(), (ChainError, bool)> {
        let said = "the port that the launcher chose is in use by another program";
        let port = std::fs::read_to_string(self.folder.join("args"))
            .ok()
            .and_then(|text| {
                text.lines()
                    .find_map(|l| l.strip_prefix("-rpcport=")?.parse().ok())
            });
        let seen = port.is_some_and(|rpc_port| {
            client(&ChainInfo {
                rpc_port,
                ..self.info.clone()
            })
            .is_ok_and(|c| c.call::<Value>("getblockcount", &[]).is_ok())
        });
        if seen {
            Ok(())
        } else {
            Err((self.ended(said), true))
        }
    }

    /// What the chain is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to reach it.
    pub fn info(&self) -> &ChainInfo {
        &self.info
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("data").join("regtest").join("debug.log")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Calls bitcoind.
    ///
    /// # Errors
    /// [`ChainError::Ended`] when it has died, else [`ChainError::Rpc`] with its answer.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &[Value],
    ) -> Result<T, ChainError> {
        self.client.call(method, params).map_err(|error| {
            if self.process.state() == State::Running {
                rpc_error(&self.name, method, error)
            } else {
                self.ended(&self.said())
            }
        })
    }

    /// The height of the best block.
    ///
    /// # Errors
    /// Those of [`Chain::call`].
    pub fn height(&self) -> Result<u64, ChainError> {
        self.call("getblockcount", &[])
    }

    /// Mines `blocks` blocks to our key and returns the height then reached. Transactions of the
    /// mempool are in the first of them.
    ///
    /// # Errors
    /// Those of [`Chain::call`].
    pub fn mine(&self, blocks: u64) -> Result<u64, ChainError> {
        let mut coins = self.coins.lock().unwrap_or_else(PoisonError::into_inner);
        let hashes: Vec<String> = self.call(
            "generatetoaddress",
            &[json!(blocks), json!(self.address.to_string())],
        )?;
        coins.height = self.height()?;
        let first = (coins.height + 1).saturating_sub(blocks);
        coins.mined.extend((first..).zip(hashes));
        Ok(coins.height)
    }

    /// Pays the addresses, in satoshi, with one transaction of our key. It is in the mempool when
    /// this returns; mine a block to confirm it.
    ///
    /// # Errors
    /// An address that is not a regtest one, more than there is, or bitcoind's refusal (an amount
    /// below the dust limit).
    pub fn fund(&self, payments: &[(&str, u64)]) -> Result<Txid, ChainError> {
        let mut output = payments
            .iter()
            .map(|(address, sat)| {
                let script_pubkey = regtest_address(address)?.script_pubkey();
                Ok(TxOut {
                    value: Amount::from_sat(*sat),
                    script_pubkey,
                })
            })
            .collect::<Result<Vec<_>, ChainError>>()?;
        let mut coins = self.coins.lock().unwrap_or_else(PoisonError::into_inner);
        let sum: u64 = payments.iter().map(|(_, sat)| sat).sum();
        // Generous sizes in virtual bytes: 50 for the frame, 45 an output, 70 an input.
        let fee = |inputs: usize| {
            let size = 50 + 45 * (payments.len() + 1) + 70 * inputs;
            FEE_RATE * u64::try_from(size).unwrap_or(u64::MAX / FEE_RATE)
        };
        let mut spent: Vec<(OutPoint, u64)> = Vec::new();
        let mut total = 0;
        while total < sum + fee(spent.len()) {
            let Some(coin) = self.next_coin(&mut coins)? else {
                coins.loose.append(&mut spent);
                return Err(ChainError::Funds {
                    wanted: sum + fee(1),
                    available: total,
                });
            };
            total += coin.1;
            spent.push(coin);
        }
        let change = total - sum - fee(spent.len());
        output.push(TxOut {
            value: Amount::from_sat(change),
            script_pubkey: self.address.script_pubkey(),
        });
        let unsigned = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: spent
                .iter()
                .map(|(previous_output, _)| TxIn {
                    previous_output: *previous_output,
                    script_sig: ScriptBuf::new(),
                    sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                    witness: Witness::new(),
                })
                .collect(),
            output,
        };
        match self.sign_and_send(&unsigned) {
            Ok(txid) => {
                let vout = u32::try_from(payments.len()).unwrap_or(u32::MAX);
                coins.loose.push((OutPoint { txid, vout }, change));
                Ok(txid)
            }
            Err(error) => {
                coins.loose.append(&mut spent);
                Err(error)
            }
        }
    }

    fn sign_and_send(&self, unsigned: &Transaction) -> Result<Txid, ChainError> {
        let raw = bitcoin::consensus::encode::serialize_hex(unsigned);
        let signed: Value = self.call(
            "signrawtransactionwithkey",
            &[json!(raw), json!([self.key.to_wif()])],
        )?;
        if signed["complete"] != json!(true) {
            let method = "signrawtransactionwithkey";
            return Err(rpc_error(&self.name, method, &signed["errors"]));
        }
        self.call("sendrawtransaction", &[signed["hex"].clone()])
    }

    /// A coin of ours that may be spent in the next block, and its satoshi.
    fn next_coin(&self, coins: &mut Coins) -> Result<Option<(OutPoint, u64)>, ChainError> {
        if let Some(coin) = coins.loose.pop() {
            return Ok(Some(coin));
        }
        // Spent by a block of height h + 1 at the least, a coinbase of height c needs h + 1 - c >= 100.
        let Some((height, hash)) = coins.mined.first().cloned() else {
            return Ok(None);
        };
        if coins.height + 1 < height + 100 {
            return Ok(None);
        }
        let block: Value = self.call("getblock", &[json!(hash), json!(2)])?;
        coins.mined.remove(0);
        let coinbase = &block["tx"][0];
        let malformed = || rpc_error(&self.name, "getblock", "its answer has no coinbase");
        let txid = coinbase["txid"]
            .as_str()
            .and_then(|t| t.parse().ok())
            .ok_or_else(malformed)?;
        let sat = coinbase["vout"][0]["value"]
            .as_f64()
            .and_then(|btc| Amount::from_btc(btc).ok())
            .ok_or_else(malformed)?
            .to_sat();
        Ok(Some((OutPoint { txid, vout: 0 }, sat)))
    }

    /// Waits until all the transactions are in the mempool.
    ///
    /// # Errors
    /// [`ChainError::Mempool`] when `limit` is over, with what is missing and what is there.
    pub fn mempool_contains(&self, txids: &[Txid], limit: Duration) -> Result<(), ChainError> {
        let begin = Instant::now();
        loop {
            let present: Vec<String> = self.call("getrawmempool", &[])?;
            let missing: Vec<String> = txids
                .iter()
                .map(ToString::to_string)
                .filter(|t| !present.contains(t))
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            let waited = begin.elapsed();
            if waited >= limit {
                return Err(ChainError::Mempool {
                    name: self.name.clone(),
                    waited,
                    missing,
                    present,
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops bitcoind at once. Its folder and log stay until the run's folder goes.
    pub fn stop(self) {}

    fn ended(&self, said: &str) -> ChainError {
        ChainError::Ended {
            name: self.name.clone(),
            said: said.to_owned(),
        }
    }

    /// The end of its output, or of its log where it printed nothing.
    fn said(&self) -> String {
        let output = tail(&self.folder.join("output.log"), 6);
        let said = if output.is_empty() {
            tail(&self.log(), 6)
        } else {
            output
        };
        if said.is_empty() {
            "it said nothing".into()
        } else {
            said
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if self.process.pid == 0 {
            // It may have been started just now.
            self.process = read_pid(&self.folder).unwrap_or(self.process);
        }
        // A launcher that has not looked yet (every 200 ms) has to see the node up once: it would
        // take one that is killed before for slow, and leave it unreaped for 15 s. A harness that
        // stops leaves that to init.
        let up = !reaper::stopping()
            && self.process.state() == State::Running
            && matches!(
                self.launched.recv_timeout(Duration::from_secs(1)),
                Ok(Ok(())) | Err(RecvTimeoutError::Disconnected)
            );
        // Nothing of a regtest chain is worth an orderly end, which takes it 0.1 s. The launcher's
        // thread then reaps it.
        sys::signal_tree(self.process, Signal::Kill);
        drop(self.quit.take());
        let deadline = Instant::now() + Duration::from_secs(2);
        let over = |state| state == State::Gone || !up && state != State::Running;
        while !over(self.process.state()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        reaper::forget(self.process);
    }
}

/// The thread that owns the launcher's handle: starts, reports, waits for the end.
fn own(
    script: &Path,
    args: &[String],
    data: PathBuf,
    report: Sender<Result<(), String>>,
    stop: &Receiver<()>,
) {
    let mut conf = Conf::default();
    conf.args = args.iter().map(String::as_str).collect();
    conf.p2p = P2P::No;
    conf.wallet = None;
    // With a port taken it would otherwise wait for a cookie five times.
    conf.attempts = 1;
    conf.staticdir = Some(data);
    match BitcoinD::with_conf(script, &conf) {
        Ok(node) => {
            // The other end may have given up already; then `recv` returns at once too.
            let _ = report.send(Ok(()));
            drop(report);
            let _ = stop.recv();
            drop(node);
        }
        Err(error) => {
            let _ = report.send(Err(format!("{error:#}")));
        }
    }
}

/// bitcoind's options but for those that its launcher sets (`-datadir`, `-rpcport`, `-listen=0`,
/// which the later `-listen=1` overrides).
fn flags(info: &ChainInfo, user: &str, password: &str) -> Vec<String> {
    [
        "-regtest".to_owned(),
        "-server".into(),
        format!("-rpcauth={}", rpcauth(user, password, &random_hex())),
        // Its launcher's port, and the one that is reserved.
        "-rpcbind=127.0.0.1".into(),
        format!("-rpcbind=127.0.0.1:{}", info.rpc_port),
        "-rpcallowip=127.0.0.1".into(),
        "-rpcworkqueue=256".into(),
        "-listen=1".into(),
        format!("-bind={}", info.p2p),
        // Loopback only: no seeds, no port mapping, no onion service.
        "-dnsseed=0".into(),
        "-fixedseeds=0".into(),
        "-natpmp=0".into(),
        "-listenonion=0".into(),
        "-discover=0".into(),
        "-txindex=1".into(),
        "-fallbackfee=0.0001".into(),
        format!("-zmqpubrawblock={}", info.zmq_block),
        format!("-zmqpubrawtx={}", info.zmq_tx),
        // Eclair listens to the hashes of blocks, at the address of the blocks.
        format!("-zmqpubhashblock={}", info.zmq_block),
    ]
    .to_vec()
}

/// The value of bitcoind's `-rpcauth`: the user, a salt, and the HMAC-SHA256 of the password with
/// the salt's hexadecimal text as the key.
fn rpcauth(user: &str, password: &str, salt: &str) -> String {
    format!(
        "{user}:{salt}${}",
        hex::encode(hmac_sha256(salt.as_bytes(), password.as_bytes()))
    )
}

/// RFC 2104 with SHA-256, for keys of at most one block (64 bytes).
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    debug_assert!(key.len() <= 64);
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        for (b, k) in block.iter_mut().zip(key) {
            *b ^= k;
        }
        block
    };
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

/// 128 random bits from the system. A password on loopback of a worthless chain; were the system's
/// source ever closed, the standard library's hasher keys are random as well.
fn random_hex() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        use std::hash::{BuildHasher, RandomState};
        for half in bytes.chunks_exact_mut(8) {
            half.copy_from_slice(&RandomState::new().hash_one(0).to_le_bytes());
        }
    }
    hex::encode(bytes)
}

/// The line of shell that is launched in bitcoind's place and becomes it.
fn write_script(folder: &Path, exe: &Path, run_id: &str) -> Result<PathBuf, ChainError> {
    let path = folder.join("bitcoind.sh");
    let quote = |p: &Path| {
        let text = p
            .to_str()
            .ok_or_else(|| io::Error::other("its path is not UTF-8"))?;
        Ok::<_, io::Error>(
            shlex::try_quote(text)
                .map_err(io::Error::other)?
                .into_owned(),
        )
    };
    let write = || {
        let (exe, folder) = (quote(&std::path::absolute(exe)?)?, quote(folder)?);
        // A session of its own where `setsid` exists, so that Ctrl-C does not reach it before us;
        // it does not fork here, since the shell leads no group, so that the id stays.
        let text = format!(
            "#!/bin/sh\n\
             cd {folder} || exit\n\
             printf '%s\\n' \"$@\" > args || exit\n\
             {{ echo $$ > pid.part && mv pid.part pid; }} || exit\n\
             export {}={run_id}\n\
             exec </dev/null >>output.log 2>&1\n\
             command -v setsid >/dev/null && exec setsid {exe} \"$@\"\n\
             exec {exe} \"$@\"\n",
            crate::RUN_ENV
        );
        std::fs::write(&path, text)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    };
    match write() {
        Ok(()) => Ok(path),
        Err(error) => Err(ChainError::File { path, error }),
    }
}

fn read_pid(folder: &Path) -> Option<Identity> {
    let text = std::fs::read_to_string(folder.join("pid")).ok()?;
    Some(Identity::of(text.trim().parse().ok()?))
}

fn client(info: &ChainInfo) -> Result<Client, bitcoind::client::Error> {
    let auth = Auth::UserPass(info.user.clone(), info.password.clone());
    Client::new_with_auth(&format!("http://{}:{}", info.rpc_host, info.rpc_port), auth)
}

fn regtest_address(address: &str) -> Result<Address, ChainError> {
    let wrong = |reason: String| ChainError::Address {
        address: address.to_owned(),
        reason,
    };
    address
        .parse::<Address<NetworkUnchecked>>()
        .map_err(|e| wrong(e.to_string()))?
        .require_network(Network::Regtest)
        .map_err(|_| wrong("it belongs to another network".into()))
}

fn rpc_error(name: &str, method: &str, message: impl ToString) -> ChainError {
    let (name, method) = (name.to_owned(), method.to_owned());
    ChainError::Rpc {
        name,
        method,
        message: message.to_string(),
    }
}

/// The last lines of a file, joined for a message; empty if there are none.
fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned());
    let text = text.unwrap_or_default();
    let all: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join(" | ")
}
