//! Failures that are none: what `payment.cancel` with `misbehave` makes of the packet on its way out.

use lnconform_drafts::failure;
use lnconform_drafts::keys;

/// The operation that makes them.
pub const CANCEL: &str = "payment.cancel";

/// Failure and padding have so many bytes in what this module makes anew.
const BODY: usize = 256;

/// The packet in the place of `packet`, for whoever shares `secret`. One whose name nobody has said how
/// to do stays as it is.
pub fn garbled(name: &str, secret: &[u8; 32], mut packet: Vec<u8>) -> Vec<u8> {
    match name {
        "failure-garbled" => {
            if let Some(last) = packet.last_mut() {
                *last ^= 1;
            }
        }
        "failure-cut" => packet.truncate(40),
        "failure-empty" => packet.clear(),
        "failure-form" => {
            // The HMAC is right, and the length of the failure reaches beyond the packet.
            let mut body = vec![0; BODY];
            body[..2].copy_from_slice(&u16::MAX.to_be_bytes());
            let hmac = keys::hmac(&failure::um(secret), &[&body]);
            packet = failure::wrap(secret, &[&hmac[..], &body].concat());
        }
        _ => {}
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shot::read_failure;
    use lnconform_drafts::rules::Rules;
    use lnconform_spec::misbehaviours;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn each_is_noticed_by_the_statement_that_the_list_names() {
        let mut all = misbehaviours::all().unwrap();
        all.retain(|m| m.operations.iter().any(|o| o == CANCEL));
        assert_eq!(all.len(), 4);
        for m in all {
            let made = failure::create(&Rules::all(), &SECRET, &[0x40, 15], failure::PADDED);
            let packet = made.unwrap().packet;
            assert!(read_failure(&[SECRET], &packet).is_ok());
            let read = read_failure(&[SECRET], &garbled(&m.name, &SECRET, packet));
            assert_eq!(
                Some(read.unwrap_err().rule),
                m.reader.as_deref(),
                "{}",
                m.name
            );
        }
    }

    #[test]
    fn a_name_that_is_none_changes_nothing() {
        assert_eq!(garbled("failure", &SECRET, vec![1, 2]), [1, 2]);
    }
}
