//! BOLT 8: the handshake in three acts, and the framing of messages after it.

use bitcoin::secp256k1::{PublicKey, SecretKey};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use lnconform_drafts::keys;

/// Bytes of the first act.
pub const ACT_ONE: usize = 50;
/// Bytes of the second act.
pub const ACT_TWO: usize = 50;
/// Bytes of the third act.
pub const ACT_THREE: usize = 66;
/// Bytes of an encrypted length.
pub const HEADER: usize = 2 + TAG;
/// Bytes of an authenticator.
pub const TAG: usize = 16;

/// Uses of a key after which it is replaced.
const ROTATION: u64 = 1000;

/// Why a handshake or a message is not one of this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// The act has another version.
    #[error("the peer's act has handshake version {0}, and only 0 is known")]
    Version(u8),
    /// Its key is none.
    #[error("the peer's act has a key that is no point of the curve")]
    Key,
    /// It was made with other keys, or changed on its way.
    #[error("what the peer has sent does not decrypt: it uses other keys, or was changed")]
    Tag,
    /// It is longer than its length can say.
    #[error("a message has 65535 bytes at most")]
    Length,
}

fn nonce(number: u64) -> Nonce {
    // 32 bits of zeros, then the number, little-endian.
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::from(bytes)
}

fn encrypt(key: &[u8; 32], number: u64, associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let payload = Payload {
        msg: plain,
        aad: associated,
    };
    // It fails for 256 GiB and more only.
    ChaCha20Poly1305::new(&(*key).into())
        .encrypt(&nonce(number), payload)
        .unwrap_or_default()
}

fn decrypt(
    key: &[u8; 32],
    number: u64,
    associated: &[u8],
    cipher: &[u8],
) -> Result<Vec<u8>, NoiseError> {
    let payload = Payload {
        msg: cipher,
        aad: associated,
    };
    ChaCha20Poly1305::new(&(*key).into())
        .decrypt(&nonce(number), payload)
        .map_err(|_| NoiseError::Tag)
}

/// HKDF with two outputs of 32 bytes.
fn hkdf(salt: &[u8; 32], material: &[u8]) -> ([u8; 32], [u8; 32]) {
    let extracted = keys::hmac(salt, &[material]);
    let first = keys::hmac(&extracted, &[&[1]]);
    let second = keys::hmac(&extracted, &[&first, &[2]]);
    (first, second)
}

/// What both ends know of the handshake so far.
struct Symmetric {
    hash: [u8; 32],
    chaining: [u8; 32],
}

impl Symmetric {
    fn new(responder: &PublicKey) -> Self {
        let name = keys::sha256(&[b"Noise_XK_secp256k1_ChaChaPoly_SHA256"]);
        let hash = keys::sha256(&[&name, b"lightning"]);
        Self {
            hash: keys::sha256(&[&hash, &responder.serialize()]),
            chaining: name,
        }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = keys::sha256(&[&self.hash, data]);
    }

    /// The key that follows from one more shared secret.
    fn mix_key(&mut self, point: &PublicKey, secret: &SecretKey) -> [u8; 32] {
        let (chaining, key) = hkdf(&self.chaining, &keys::ecdh(point, secret));
        self.chaining = chaining;
        key
    }

    fn seal(&mut self, key: &[u8; 32], number: u64, plain: &[u8]) -> Vec<u8> {
        let cipher = encrypt(key, number, &self.hash, plain);
        self.mix_hash(&cipher);
        cipher
    }

    fn open(&mut self, key: &[u8; 32], number: u64, cipher: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let plain = decrypt(key, number, &self.hash, cipher)?;
        self.mix_hash(cipher);
        Ok(plain)
    }

    /// The keys of the session: the initiator's for sending first.
    fn split(&self) -> (Key, Key) {
        let (first, second) = hkdf(&self.chaining, &[]);
        let key = |key| Key {
            key,
            chaining: self.chaining,
            used: 0,
        };
        (key(first), key(second))
    }
}

fn version(act: &[u8]) -> Result<(), NoiseError> {
    match act.first() {
        Some(0) => Ok(()),
        other => Err(NoiseError::Version(other.copied().unwrap_or_default())),
    }
}

fn point(bytes: &[u8]) -> Result<PublicKey, NoiseError> {
    PublicKey::from_slice(bytes).map_err(|_| NoiseError::Key)
}

/// Version, key and tag: the first act, and the second.
fn act(key: &PublicKey, tag: &[u8]) -> Vec<u8> {
    [&[0][..], &key.serialize(), tag].concat()
}

/// The keys of a session: one for sending, one for what comes.
pub struct Session {
    /// For what is sent.
    pub sealer: Sealer,
    /// For what comes.
    pub opener: Opener,
}

/// Who begins a handshake, after the first act.
pub struct Initiator {
    local: SecretKey,
    ephemeral: SecretKey,
    state: Symmetric,
}

impl Initiator {
    /// The first act.
    pub fn start(local: SecretKey, ephemeral: SecretKey, remote: &PublicKey) -> (Self, Vec<u8>) {
        let mut state = Symmetric::new(remote);
        let mine = keys::public(&ephemeral);
        state.mix_hash(&mine.serialize());
        let key = state.mix_key(remote, &ephemeral);
        let tag = state.seal(&key, 0, &[]);
        let begun = Self {
            local,
            ephemeral,
            state,
        };
        (begun, act(&mine, &tag))
    }

    /// The third act, as answer to the second.
    ///
    /// # Errors
    /// [`NoiseError`]: it is no answer of that peer.
    pub fn finish(mut self, act_two: &[u8; ACT_TWO]) -> Result<(Vec<u8>, Session), NoiseError> {
        version(act_two)?;
        let theirs = point(&act_two[1..34])?;
        self.state.mix_hash(&act_two[1..34]);
        let key = self.state.mix_key(&theirs, &self.ephemeral);
        self.state.open(&key, 0, &act_two[34..])?;
        let me = keys::public(&self.local).serialize();
        let sealed = self.state.seal(&key, 1, &me);
        let key = self.state.mix_key(&theirs, &self.local);
        let tag = self.state.seal(&key, 0, &[]);
        let (send, receive) = self.state.split();
        let session = Session {
            sealer: Sealer(send),
            opener: Opener(receive),
        };
        Ok(([&[0][..], &sealed, &tag].concat(), session))
    }
}

/// Who answers a handshake, after the second act.
pub struct Responder {
    ephemeral: SecretKey,
    key: [u8; 32],
    state: Symmetric,
}

impl Responder {
    /// The second act, as answer to the first.
    ///
    /// # Errors
    /// [`NoiseError`]: it is not for `local`.
    pub fn answer(
        local: &SecretKey,
        ephemeral: SecretKey,
        act_one: &[u8; ACT_ONE],
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        version(act_one)?;
        let theirs = point(&act_one[1..34])?;
        let mut state = Symmetric::new(&keys::public(local));
        state.mix_hash(&act_one[1..34]);
        let key = state.mix_key(&theirs, local);
        state.open(&key, 0, &act_one[34..])?;
        let mine = keys::public(&ephemeral);
        state.mix_hash(&mine.serialize());
        let key = state.mix_key(&theirs, &ephemeral);
        let tag = state.seal(&key, 0, &[]);
        let answered = Self {
            ephemeral,
            key,
            state,
        };
        Ok((answered, act(&mine, &tag)))
    }

    /// Who the third act is from, and the keys of the session.
    ///
    /// # Errors
    /// [`NoiseError`]: it does not go with the first.
    pub fn finish(
        mut self,
        act_three: &[u8; ACT_THREE],
    ) -> Result<(PublicKey, Session), NoiseError> {
        version(act_three)?;
        let theirs = point(&self.state.open(&self.key, 1, &act_three[1..50])?)?;
        let key = self.state.mix_key(&theirs, &self.ephemeral);
        self.state.open(&key, 0, &act_three[50..])?;
        let (receive, send) = self.state.split();
        let session = Session {
            sealer: Sealer(send),
            opener: Opener(receive),
        };
        Ok((theirs, session))
    }
}

/// A key with the number of its uses.
#[derive(Clone)]
struct Key {
    key: [u8; 32],
    chaining: [u8; 32],
    used: u64,
}

impl Key {
    /// The key and the number for the next use.
    fn next(&mut self) -> ([u8; 32], u64) {
        if self.used == ROTATION {
            (self.chaining, self.key) = hkdf(&self.chaining, &self.key);
            self.used = 0;
        }
        self.used += 1;
        (self.key, self.used - 1)
    }
}

/// Encrypts what is sent.
pub struct Sealer(Key);

impl Sealer {
    /// Decrypts what this one encrypts from here on.
    pub fn opener(&self) -> Opener {
        Opener(self.0.clone())
    }

    /// A message as it goes out.
    ///
    /// # Errors
    /// [`NoiseError::Length`].
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let length = u16::try_from(message.len()).map_err(|_| NoiseError::Length)?;
        let (key, number) = self.0.next();
        let mut out = encrypt(&key, number, &[], &length.to_be_bytes());
        let (key, number) = self.0.next();
        out.extend(encrypt(&key, number, &[], message));
        Ok(out)
    }
}

/// Decrypts what comes.
pub struct Opener(Key);

impl Opener {
    /// Bytes of the message behind this header, its tag not counted.
    ///
    /// # Errors
    /// [`NoiseError::Tag`].
    pub fn length(&mut self, header: &[u8; HEADER]) -> Result<usize, NoiseError> {
        let (key, number) = self.0.next();
        let plain = decrypt(&key, number, &[], header)?;
        let bytes = plain.try_into().map_err(|_| NoiseError::Tag)?;
        Ok(usize::from(u16::from_be_bytes(bytes)))
    }

    /// The message.
    ///
    /// # Errors
    /// [`NoiseError::Tag`].
    pub fn message(&mut self, cipher: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let (key, number) = self.0.next();
        decrypt(&key, number, &[], cipher)
    }
}

#[cfg(test)]
pub(super) mod tests;
