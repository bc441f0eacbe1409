//! What a `ChannelManager` wants from its surroundings, as little of it as there may be.

use crate::node::chain::Bitcoind;
use crate::node::state::Store;
use bitcoin::Transaction;
use bitcoin::secp256k1::{self, PublicKey, Secp256k1};
use lightning03::blinded_path::payment::{BlindedPaymentPath, ReceiveTlvs};
use lightning03::chain::chaininterface::{
    BroadcasterInterface, ConfirmationTarget, FeeEstimator, TransactionType,
};
use lightning03::chain::chainmonitor::Persist;
use lightning03::chain::channelmonitor::{ChannelMonitor, ChannelMonitorUpdate};
use lightning03::chain::{self, ChannelMonitorUpdateStatus};
use lightning03::ln::channel_state::ChannelDetails;
use lightning03::routing::router::{InFlightHtlcs, Route, RouteParameters, Router};
use lightning03::sign::{InMemorySigner, ReceiveAuthKey};
use lightning03::util::logger::{Level, Logger, Record};
use lightning03::util::persist::MonitorName;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The rate of every transaction, in satoshi per 1000 weight units: the least there is.
const FEE_RATE: u32 = 253;

/// Everything but keys and messages.
pub struct Env {
    bitcoind: Arc<Bitcoind>,
    log: Mutex<File>,
    started: Instant,
    pub(crate) store: Store,
    /// What peers have warned of, in LDK's words; it has no other way to tell.
    warning: Mutex<Option<String>>,
}

impl Env {
    /// Logs to the file at `path`, and keeps the state of channels in `store`.
    ///
    /// # Errors
    /// What the system says about the file.
    pub fn new(bitcoind: Arc<Bitcoind>, path: &Path, store: Store) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            bitcoind,
            log: Mutex::new(log),
            started: Instant::now(),
            store,
            warning: Mutex::default(),
        })
    }

    /// The last warning that a peer has sent, and forgets it.
    pub fn take_warning(&self) -> Option<String> {
        lock(&self.warning).take()
    }
}

/// A lock whose holder has panicked is taken all the same.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BroadcasterInterface for Env {
    fn broadcast_transactions(&self, txs: &[(&Transaction, TransactionType)]) {
        for (tx, _) in txs {
            if let Err(e) = self.bitcoind.broadcast(tx) {
                eprintln!("adapter: {e}");
            }
        }
    }
}

impl FeeEstimator for Env {
    fn get_est_sat_per_1000_weight(&self, _target: ConfirmationTarget) -> u32 {
        FEE_RATE
    }
}

impl Logger for Env {
    fn log(&self, record: Record) {
        if record.level < Level::Debug {
            return;
        }
        let text = record.args.to_string();
        if let Some(warning) = text.strip_prefix("Got warning message") {
            *lock(&self.warning) = Some(warning.trim_start_matches([':', ' ']).to_owned());
        }
        let line = format!(
            "{:10.6} {:5} {}:{} {text}\n",
            self.started.elapsed().as_secs_f64(),
            record.level.to_string(),
            record.module_path,
            record.line,
        );
        // A full disk must not stop the node.
        let _ = lock(&self.log).write_all(line.as_bytes());
    }
}

/// A channel whose state cannot be written rests: LDK waits for the word that it was.
impl Persist<InMemorySigner> for Env {
    fn persist_new_channel(
        &self,
        name: MonitorName,
        monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        written(self.store.put_monitor(&name.to_string(), monitor))
    }

    fn update_persisted_channel(
        &self,
        name: MonitorName,
        _update: Option<&ChannelMonitorUpdate>,
        monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        written(self.store.put_monitor(&name.to_string(), monitor))
    }

    fn archive_persisted_channel(&self, name: MonitorName) {
        self.store.remove_monitor(&name.to_string());
    }
}

fn written(done: bool) -> ChannelMonitorUpdateStatus {
    if done {
        ChannelMonitorUpdateStatus::Completed
    } else {
        ChannelMonitorUpdateStatus::InProgress
    }
}

impl chain::Filter for Env {
    fn register_tx(&self, _txid: &bitcoin::Txid, _script: &bitcoin::Script) {}
    fn register_output(&self, _output: chain::WatchedOutput) {}
}

/// The probe chooses every route itself.
pub struct NoRoutes;

impl Router for NoRoutes {
    fn find_route(
        &self,
        _payer: &PublicKey,
        _params: &RouteParameters,
        _first_hops: Option<&[&ChannelDetails]>,
        _in_flight: InFlightHtlcs,
    ) -> Result<Route, &'static str> {
        Err("the probe chooses its routes itself")
    }

    fn create_blinded_payment_paths<T: secp256k1::Signing + secp256k1::Verification>(
        &self,
        _recipient: PublicKey,
        _key: ReceiveAuthKey,
        _first_hops: Vec<ChannelDetails>,
        _tlvs: ReceiveTlvs,
        _amount_msats: Option<u64>,
        _secp: &Secp256k1<T>,
    ) -> Result<Vec<BlindedPaymentPath>, ()> {
        Err(())
    }
}
