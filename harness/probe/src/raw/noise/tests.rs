//! BOLT 8 with the keys of its test vectors, and acts and messages that are none.

use super::*;
use proptest::prelude::*;

pub fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

/// Both ends of a session between keys 1 and 3.
fn sessions() -> (Session, Session) {
    let remote = keys::public(&secret(3));
    let (initiator, one) = Initiator::start(secret(1), secret(2), &remote);
    let one = one.try_into().unwrap();
    let (responder, two) = Responder::answer(&secret(3), secret(4), &one).unwrap();
    let (three, a) = initiator.finish(&two.try_into().unwrap()).unwrap();
    let (who, b) = responder.finish(&three.try_into().unwrap()).unwrap();
    assert_eq!(who, keys::public(&secret(1)));
    (a, b)
}

fn opened(opener: &mut Opener, sent: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let length = opener.length(sent[..HEADER].try_into().unwrap())?;
    assert_eq!(sent.len(), HEADER + length + TAG);
    opener.message(&sent[HEADER..])
}

#[test]
fn both_ends_understand_another_beyond_the_rotation() {
    let (mut a, mut b) = sessions();
    let mut firsts = std::collections::HashSet::new();
    // Two uses a message: the keys are replaced three times.
    for number in 0..1700_u32 {
        let message = number.to_be_bytes();
        let sent = a.sealer.seal(&message).unwrap();
        assert!(firsts.insert(sent.clone()), "a key stream is used twice");
        assert_eq!(opened(&mut b.opener, &sent).unwrap(), message);
    }
    let sent = b.sealer.seal(b"and back").unwrap();
    assert_eq!(opened(&mut a.opener, &sent).unwrap(), b"and back");
}

#[test]
fn each_act_is_refused_for_its_version_its_key_and_its_tag() {
    let remote = keys::public(&secret(3));
    let (_, good) = Initiator::start(secret(1), secret(2), &remote);
    let answer = |change: fn(&mut [u8])| {
        let mut act: [u8; ACT_ONE] = good.clone().try_into().unwrap();
        change(&mut act);
        Responder::answer(&secret(3), secret(4), &act)
            .map(drop)
            .err()
    };
    assert_eq!(answer(|_| {}), None);
    assert_eq!(answer(|act| act[0] = 1), Some(NoiseError::Version(1)));
    assert_eq!(answer(|act| act[1] = 4), Some(NoiseError::Key));
    assert_eq!(answer(|act| act[49] ^= 1), Some(NoiseError::Tag));

    let (_, two) =
        Responder::answer(&secret(3), secret(4), &good.clone().try_into().unwrap()).unwrap();
    let finish = |change: fn(&mut [u8])| {
        let (initiator, _) = Initiator::start(secret(1), secret(2), &remote);
        let mut act: [u8; ACT_TWO] = two.clone().try_into().unwrap();
        change(&mut act);
        initiator.finish(&act).map(drop).err()
    };
    assert_eq!(finish(|_| {}), None);
    assert_eq!(finish(|act| act[0] = 1), Some(NoiseError::Version(1)));
    assert_eq!(finish(|act| act[1] = 4), Some(NoiseError::Key));
    assert_eq!(finish(|act| act[49] ^= 1), Some(NoiseError::Tag));

    let third = |change: fn(&mut [u8])| {
        let (initiator, one) = Initiator::start(secret(1), secret(2), &remote);
        let (responder, two) =
            Responder::answer(&secret(3), secret(4), &one.try_into().unwrap()).unwrap();
        let (three, _) = initiator.finish(&two.try_into().unwrap()).unwrap();
        let mut act: [u8; ACT_THREE] = three.try_into().unwrap();
        change(&mut act);
        responder.finish(&act).map(drop).err()
    };
    assert_eq!(third(|_| {}), None);
    assert_eq!(third(|act| act[0] = 1), Some(NoiseError::Version(1)));
    assert_eq!(third(|act| act[1] ^= 1), Some(NoiseError::Tag));
    assert_eq!(third(|act| act[65] ^= 1), Some(NoiseError::Tag));
}

#[test]
fn another_key_is_not_answered() {
    let (_, one) = Initiator::start(secret(1), secret(2), &keys::public(&secret(3)));
    let one = one.try_into().unwrap();
    let answered = Responder::answer(&secret(5), secret(4), &one);
    assert_eq!(answered.map(drop).err(), Some(NoiseError::Tag));
}

#[test]
fn the_longest_message_fits_and_no_longer_one() {
    let (mut a, mut b) = sessions();
    let sent = a.sealer.seal(&[7; 65_535]).unwrap();
    assert_eq!(opened(&mut b.opener, &sent).unwrap(), [7; 65_535]);
    assert_eq!(a.sealer.seal(&[7; 65_536]), Err(NoiseError::Length));
}

proptest! {
    #[test]
    fn a_changed_byte_is_noticed(message in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let (mut a, mut b) = sessions();
        let mut sent = a.sealer.seal(&message).unwrap();
        let at = at.index(sent.len());
        sent[at] ^= 1;
        let header = sent[..HEADER].try_into().unwrap();
        let read = b.opener.length(header).and_then(|_| b.opener.message(&sent[HEADER..]));
        prop_assert_eq!(read, Err(NoiseError::Tag));
    }
}
