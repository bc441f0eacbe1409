//! The chain as the probe sees it: bitcoind asked over RPC, and a wallet of one address.
//!
//! The wallet has one key and no change of its own: a channel is funded by one transaction that
//! spends what is there and pays the rest back.

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::secp256k1::{Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Address, Amount, Block, BlockHash, CompressedPublicKey, Network, OutPoint, ScriptBuf, Sequence,
    Transaction, TxIn, TxOut, Witness, absolute, transaction,
};
use bitcoind::Client;
use bitcoind::client::Auth;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a funding transaction pays the miner, in satoshi: enough for a few inputs at 10 sat/vB.
const FEE_SAT: u64 = 5_000;
/// Below this an output is not relayed, in satoshi.
const DUST_SAT: u64 = 1_000;

/// What the probe cannot do with the chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// bitcoind refused, or is gone.
    #[error("bitcoind does not answer {method} for the probe: {message}")]
    Rpc {
        /// What was asked.
        method: &'static str,
        /// Its words.
        message: String,
    },
    /// What bitcoind answered is not what was asked.
    #[error("bitcoind's answer to {0} cannot be read")]
    Unreadable(&'static str),
    /// More is to be spent than there is.
    #[error("the probe has {have} sat on chain and needs {need}: fund its role in the topology")]
    Poor {
        /// Satoshi, confirmed or not.
        have: u64,
        /// Satoshi, with the miner's fee.
        need: u64,
    },
    /// A key that signs nothing.
    #[error("the probe's coin cannot be signed for: {0}")]
    Sign(String),
}

/// bitcoind, asked over RPC.
pub struct Bitcoind {
    client: Client,
}

impl Bitcoind {
    /// A client for the node at `host` and `port`; nothing is asked yet.
    ///
    /// # Errors
    /// [`ChainError::Rpc`] where the address is none.
    pub fn new(host: &str, port: u16, user: &str, password: &str) -> Result<Self, ChainError> {
        let auth = Auth::UserPass(user.to_owned(), password.to_owned());
        let client = Client::new_with_auth(&format!("http://{host}:{port}"), auth)
            .map_err(|e| rpc("connect", e))?;
        Ok(Self { client })
    }

    fn ask(&self, method: &'static str, params: &[Value]) -> Result<Value, ChainError> {
        self.client.call(method, params).map_err(|e| rpc(method, e))
    }

    /// Hash of the best block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn best(&self) -> Result<BlockHash, ChainError> {
        let answer = self.ask("getbestblockhash", &[])?;
        let hash = answer.as_str().and_then(|text| text.parse().ok());
        hash.ok_or(ChainError::Unreadable("getbestblockhash"))
    }

    /// Height of a block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn height(&self, hash: BlockHash) -> Result<u32, ChainError> {
        let header = self.ask("getblockheader", &[json!(hash.to_string())])?;
        let height = header["height"].as_u64();
        let height = height.and_then(|height| u32::try_from(height).ok());
        height.ok_or(ChainError::Unreadable("getblockheader"))
    }

    /// A whole block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn block(&self, hash: BlockHash) -> Result<Block, ChainError> {
        let answer = self.ask("getblock", &[json!(hash.to_string()), json!(0)])?;
        let block = answer.as_str().and_then(|hex| deserialize_hex(hex).ok());
        block.ok_or(ChainError::Unreadable("getblock"))
    }

    /// Gives a transaction to the network. One that is known already is no error.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn broadcast(&self, tx: &Transaction) -> Result<(), ChainError> {
        match self.ask("sendrawtransaction", &[json!(serialize_hex(tx))]) {
            Ok(_) => Ok(()),
            Err(ChainError::Rpc { message, .. }) if message.contains("already") => Ok(()),
            Err(e) => Err(e),
        }
    }
}

fn rpc(method: &'static str, e: impl ToString) -> ChainError {
    ChainError::Rpc {
        method,
        message: e.to_string(),
    }
}

/// Coins of one key.
pub struct Wallet {
    key: SecretKey,
    script: ScriptBuf,
    address: Address,
    pub(crate) coins: BTreeMap<OutPoint, u64>,
}

impl Wallet {
    /// An empty wallet of a key.
    pub fn new(key: SecretKey) -> Self {
        let public = CompressedPublicKey(key.public_key(&Secp256k1::new()));
        let address = Address::p2wpkh(&public, Network::Regtest);
        Self {
            key,
            script: address.script_pubkey(),
            address,
            coins: BTreeMap::new(),
        }
    }

    /// Its one address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What it holds, in satoshi; change counts before it is confirmed.
    pub fn balance(&self) -> u64 {
        self.coins.values().sum()
    }

    /// Takes what a transaction pays it, and gives up what the transaction spends.
    pub fn see(&mut self, tx: &Transaction) {
        for input in &tx.input {
            self.coins.remove(&input.previous_output);
        }
        let txid = tx.compute_txid();
        for (vout, output) in (0_u32..).zip(&tx.output) {
            if output.script_pubkey == self.script {
                let coin = OutPoint { txid, vout };
                self.coins.insert(coin, output.value.to_sat());
            }
        }
    }

    /// A signed transaction that pays `sat` to `script` and the rest back. The wallet holds the
    /// change from then on.
    ///
    /// # Errors
    /// [`ChainError::Poor`] or [`ChainError::Sign`].
    pub fn pay(&mut self, script: ScriptBuf, sat: u64) -> Result<Transaction, ChainError> {
        let need = sat.saturating_add(FEE_SAT);
        let (mut have, mut spent) = (0_u64, Vec::new());
        for (coin, value) in &self.coins {
            if have >= need {
                break;
            }
            have += value;
            spent.push((*coin, *value));
        }
        if have < need {
            return Err(ChainError::Poor { have, need });
        }
        let mut output = vec![TxOut {
            value: Amount::from_sat(sat),
            script_pubkey: script,
        }];
        if have - need >= DUST_SAT {
            output.push(TxOut {
                value: Amount::from_sat(have - need),
                script_pubkey: self.script.clone(),
            });
        }
        let input = |(coin, _): &(OutPoint, u64)| TxIn {
            previous_output: *coin,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        };
        let mut tx = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: spent.iter().map(input).collect(),
            output,
        };
        let secp = Secp256k1::new();
        for (at, (_, value)) in spent.iter().enumerate() {
            let mut cache = SighashCache::new(&mut tx);
            let hash = cache
                .p2wpkh_signature_hash(
                    at,
                    &self.script,
                    Amount::from_sat(*value),
                    EcdsaSighashType::All,
                )
                .map_err(|e| ChainError::Sign(e.to_string()))?;
            let signature = bitcoin::ecdsa::Signature {
                signature: secp.sign_ecdsa(&Message::from_digest(hash.to_byte_array()), &self.key),
                sighash_type: EcdsaSighashType::All,
            };
            let public = self.key.public_key(&secp);
            if let Some(witness) = cache.witness_mut(at) {
                *witness = Witness::p2wpkh(&signature, &public);
            }
        }
        self.see(&tx);
        Ok(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid_to(script: &ScriptBuf, sat: u64) -> Transaction {
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn::default()],
            output: vec![TxOut {
                value: Amount::from_sat(sat),
                script_pubkey: script.clone(),
            }],
        }
    }

    #[test]
    fn a_wallet_pays_and_keeps_its_change() {
        let mut wallet = Wallet::new(SecretKey::from_slice(&[7; 32]).unwrap());
        let other = Wallet::new(SecretKey::from_slice(&[8; 32]).unwrap());
        let poor = wallet.pay(other.script.clone(), 1).unwrap_err();
        assert!(matches!(
            poor,
            ChainError::Poor {
                have: 0,
                need: 5_001
            }
        ));
        wallet.see(&paid_to(&other.script, 1_000_000));
        assert_eq!(wallet.balance(), 0);
        wallet.see(&paid_to(&wallet.script.clone(), 1_000_000));
        wallet.see(&paid_to(&wallet.script.clone(), 400_000));
        assert_eq!(wallet.balance(), 1_400_000);
        let tx = wallet.pay(other.script.clone(), 1_200_000).unwrap();
        assert_eq!((tx.input.len(), tx.output.len()), (2, 2));
        assert!(tx.input.iter().all(|i| i.witness.len() == 2));
        assert_eq!(wallet.balance(), 195_000);
        // The block with it changes nothing.
        wallet.see(&tx);
        assert_eq!(wallet.balance(), 195_000);
        // What is left over is too little for an output.
        let tx = wallet.pay(other.script.clone(), 189_500).unwrap();
        assert_eq!((tx.output.len(), wallet.balance()), (1, 0));
    }
}
