//! Multi-part payments of BOLT 4: what a payer sends for one invoice, and what the recipient does
//! with the parts that are there.

use crate::failure::code;
use crate::rules::{self, Rules, Violation};

/// Seconds that a recipient waits for the rest of a set, at least.
pub const TIMEOUT: u64 = 60;

/// One HTLC of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its hash.
    pub payment_hash: [u8; 32],
    /// `payment_secret` of its payload.
    pub payment_secret: Option<[u8; 32]>,
    /// `amt_to_forward` of its payload, in msat.
    pub amt_to_forward: u64,
    /// `total_msat` of its payload; absent means `amt_to_forward`.
    pub total_msat: Option<u64>,
    /// When it arrived, in seconds.
    pub arrived: u64,
}

impl Part {
    fn total(&self) -> u64 {
        self.total_msat.unwrap_or(self.amt_to_forward)
    }
}

/// What the payer was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Invoice {
    /// The feature `basic_mpp`.
    pub basic_mpp: bool,
    /// In msat; absent: any.
    pub amount_msat: Option<u64>,
    /// What the payer wants to pay where the invoice leaves it open, in msat.
    pub wish_msat: Option<u64>,
}

/// BOLT 4, multi-part payments, writer: checks the parts in the order in which they are sent.
/// Answers how many of them reach the total.
///
/// # Errors
/// A [`Violation`] of a `bolt04/mpp/writer/…` rule.
pub fn send(rules: &Rules, invoice: &Invoice, parts: &[Part]) -> Result<usize, Violation> {
    let Some(first) = parts.first() else {
        rules.at_least(rules::MPP_WRITER_TOTAL_REACHED, 0, 1, || {
            "there is no part".into()
        })?;
        return Ok(0);
    };
    let total = first.total();
    if !invoice.basic_mpp {
        rules.check(
            rules::MPP_WRITER_SINGLE,
            parts.iter().all(|part| part.total() == part.amt_to_forward),
            || "the invoice does not offer basic_mpp, and total_msat is not the amount".into(),
        )?;
        return Ok(1);
    }
    for part in parts {
        rules.check(
            rules::MPP_WRITER_SAME_HASH,
            part.payment_hash == first.payment_hash,
            || "a part has another payment hash".into(),
        )?;
        rules.check(
            rules::MPP_WRITER_PAYMENT_SECRET,
            part.payment_secret.is_some(),
            || "a part has no payment secret".into(),
        )?;
    }
    match (invoice.amount_msat, invoice.wish_msat) {
        (Some(amount), _) => {
            let message = || format!("the invoice asks {amount} msat, and total_msat is {total}");
            rules.at_least(rules::MPP_WRITER_TOTAL_AMOUNT, total, amount, message)?;
            let most = amount.saturating_mul(2);
            rules.at_most(rules::MPP_WRITER_TOTAL_AMOUNT, total, most, message)?;
        }
        (None, Some(wish)) => rules.check(rules::MPP_WRITER_TOTAL_WISH, total == wish, || {
            format!("the payer wants to pay {wish} msat, and total_msat is {total}")
        })?,
        (None, None) => {}
    }
    let mut sum = 0_u64;
    let mut reached = None;
    for (at, part) in parts.iter().enumerate() {
        // What was sent before must lack at least one msat.
        rules.at_most(
            rules::MPP_WRITER_NO_MORE,
            sum,
            total.saturating_sub(1),
            || format!("{sum} msat of {total} were sent before part {at}"),
        )?;
        sum = sum.saturating_add(part.amt_to_forward);
        if sum >= total {
            reached.get_or_insert(at + 1);
        }
    }
    rules.at_least(rules::MPP_WRITER_TOTAL_REACHED, sum, total, || {
        format!("the parts are {sum} msat, and total_msat is {total}")
    })?;
    Ok(reached.unwrap_or(parts.len()))
}

/// What the recipient knows of the payment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// It supports `basic_mpp`.
    pub basic_mpp: bool,
    /// In msat; absent: any.
    pub amount_msat: Option<u64>,
    /// What its invoice gave.
    pub payment_secret: Option<[u8; 32]>,
    /// The time, in seconds.
    pub now: u64,
}

/// What the recipient does with a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// All HTLCs are settled.
    Fulfil,
    /// They are held for the rest.
    Wait,
    /// All HTLCs are failed with this code.
    Fail(u16),
}

/// BOLT 4, multi-part payments, final node: what becomes of the HTLCs of one payment hash.
///
/// # Errors
/// A [`Violation`] of `bolt04/mpp/…` where the set is failed for one.
pub fn receive(rules: &Rules, expected: &Expected, parts: &[Part]) -> Result<Action, Violation> {
    let Some(first) = parts.first() else {
        return Ok(Action::Wait);
    };
    let total = first.total();
    if !expected.basic_mpp {
        rules.check(
            rules::MPP_UNSUPPORTED,
            parts.iter().all(|part| part.total() == part.amt_to_forward),
            || "total_msat is not the amount, and basic_mpp is not supported".into(),
        )?;
    }
    for part in parts {
        let right = match expected.payment_secret {
            Some(secret) => part.payment_secret == Some(secret),
            None => part.payment_secret.is_some() || parts.len() == 1,
        };
        rules.check(rules::MPP_PAYMENT_SECRET, right, || {
            "a part has not the payment secret".into()
        })?;
        rules.check(rules::MPP_TOTAL_SAME, part.total() == total, || {
            format!(
                "total_msat is {total} in one part, and {} in another",
                part.total()
            )
        })?;
    }
    if let Some(amount) = expected.amount_msat {
        // BOLT 4, multi-part payments: it is total_msat that counts as the amount paid.
        rules.at_least(rules::MPP_DICTATED, total, amount, || {
            format!("total_msat is {total} msat, and {amount} msat are expected")
        })?;
    }
    let sum = parts
        .iter()
        .fold(0_u64, |sum, part| sum.saturating_add(part.amt_to_forward));
    if sum >= total {
        return Ok(Action::Fulfil);
    }
    let since = parts.iter().map(|part| part.arrived).min().unwrap_or(0);
    if expected.now.saturating_sub(since) > TIMEOUT {
        return Ok(Action::Fail(code::MPP_TIMEOUT));
    }
    Ok(Action::Wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(amount: u64, total: u64) -> Part {
        Part {
            payment_hash: [1; 32],
            payment_secret: Some([2; 32]),
            amt_to_forward: amount,
            total_msat: Some(total),
            arrived: 100,
        }
    }

    const INVOICE: Invoice = Invoice {
        basic_mpp: true,
        amount_msat: Some(100),
        wish_msat: None,
    };

    fn refused(invoice: Invoice, parts: &[Part]) -> Option<&'static str> {
        send(&Rules::all(), &invoice, parts).err().map(|v| v.rule)
    }

    #[test]
    fn each_rule_of_the_payer_is_named() {
        let good = [part(60, 100), part(40, 100)];
        assert_eq!(send(&Rules::all(), &INVOICE, &good), Ok(2));
        let other_hash = Part {
            payment_hash: [3; 32],
            ..good[1]
        };
        let no_secret = Part {
            payment_secret: None,
            ..good[1]
        };
        for (parts, id) in [
            (vec![good[0], other_hash], rules::MPP_WRITER_SAME_HASH),
            (vec![good[0], no_secret], rules::MPP_WRITER_PAYMENT_SECRET),
            (vec![part(99, 99)], rules::MPP_WRITER_TOTAL_AMOUNT),
            (vec![part(201, 201)], rules::MPP_WRITER_TOTAL_AMOUNT),
            (
                vec![part(60, 100), part(39, 100)],
                rules::MPP_WRITER_TOTAL_REACHED,
            ),
            (
                vec![part(100, 100), part(1, 100)],
                rules::MPP_WRITER_NO_MORE,
            ),
            (vec![], rules::MPP_WRITER_TOTAL_REACHED),
        ] {
            assert_eq!(refused(INVOICE, &parts), Some(id));
        }
        let single = Invoice {
            basic_mpp: false,
            ..INVOICE
        };
        assert_eq!(
            refused(single, &[part(60, 100)]),
            Some(rules::MPP_WRITER_SINGLE)
        );
        let open = Invoice {
            amount_msat: None,
            wish_msat: Some(100),
            ..INVOICE
        };
        assert_eq!(refused(open, &good), None);
        assert_eq!(
            refused(open, &[part(99, 99)]),
            Some(rules::MPP_WRITER_TOTAL_WISH)
        );
    }

    const EXPECTED: Expected = Expected {
        basic_mpp: true,
        amount_msat: Some(100),
        payment_secret: Some([2; 32]),
        now: 130,
    };

    #[test]
    fn the_recipient_waits_settles_or_fails() {
        let all = Rules::all();
        let half = [part(60, 100)];
        assert_eq!(receive(&all, &EXPECTED, &half), Ok(Action::Wait));
        let at = |now| Expected { now, ..EXPECTED };
        assert_eq!(receive(&all, &at(160), &half), Ok(Action::Wait));
        assert_eq!(receive(&all, &at(161), &half), Ok(Action::Fail(23)));
        let whole = [part(60, 100), part(40, 100)];
        assert_eq!(receive(&all, &at(161), &whole), Ok(Action::Fulfil));
        assert_eq!(receive(&all, &EXPECTED, &[]), Ok(Action::Wait));
    }

    #[test]
    fn each_rule_of_the_recipient_is_named_and_can_be_off() {
        let without_feature = Expected {
            basic_mpp: false,
            ..EXPECTED
        };
        let other_secret = Part {
            payment_secret: Some([9; 32]),
            ..part(40, 100)
        };
        for (expected, parts, id) in [
            (without_feature, vec![part(60, 100)], rules::MPP_UNSUPPORTED),
            (
                EXPECTED,
                vec![part(60, 100), part(40, 101)],
                rules::MPP_TOTAL_SAME,
            ),
            (
                EXPECTED,
                vec![part(60, 100), other_secret],
                rules::MPP_PAYMENT_SECRET,
            ),
            (EXPECTED, vec![part(99, 99)], rules::MPP_DICTATED),
        ] {
            let refused = receive(&Rules::all(), &expected, &parts).unwrap_err();
            assert_eq!(refused.rule, id);
            let off = Rules::all().without(id).unwrap();
            assert!(receive(&off, &expected, &parts).is_ok(), "{id}");
        }
    }
}
