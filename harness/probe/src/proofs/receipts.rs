//! What both proofs remember of receipts: the recipient what is due and what is not, the payer the first
//! receipt for each payment.

use lnconform_drafts::rules::Violation;
use lnconform_protocol::OpError;
use std::collections::HashMap;

/// Payments with a request, by payment hash or set id, as their recipient has decided about them.
pub struct Receipts<D> {
    pub(super) due: HashMap<[u8; 32], D>,
    pub(super) refused: HashMap<[u8; 32], Violation>,
}

impl<D> Default for Receipts<D> {
    fn default() -> Self {
        Self {
            due: HashMap::new(),
            refused: HashMap::new(),
        }
    }
}

impl<D> Receipts<D> {
    /// Remembers what was decided about a payment.
    ///
    /// # Errors
    /// The rule by which no receipt is due.
    pub fn decided(
        &mut self,
        payment: [u8; 32],
        decided: Result<D, Violation>,
    ) -> Result<(), Violation> {
        match decided {
            Ok(due) => {
                self.due.insert(payment, due);
                Ok(())
            }
            Err(violation) => {
                self.refused.insert(payment, violation.clone());
                Err(violation)
            }
        }
    }

    /// What is due for a payment; `what` names one that nothing is known of.
    ///
    /// # Errors
    /// `rejected`, with the rule by which none is due.
    pub fn due(&self, payment: &[u8; 32], what: &str) -> Result<&D, OpError> {
        if let Some(violation) = self.refused.get(payment) {
            let why = "no receipt is due for this payment";
            return Err(OpError::rejected(why).with_rule(violation.rule));
        }
        self.due
            .get(payment)
            .ok_or_else(|| OpError::rejected(format!("no {what} was settled that has a request")))
    }
}

/// The first receipt that came for a payment.
#[derive(Default)]
pub struct First(pub(super) Option<Vec<u8>>);

impl First {
    /// Holds a receipt that has been verified against the one that came first. `contradiction` judges
    /// two receipts: what they prove against the recipient, if they do.
    ///
    /// # Errors
    /// `rule`, that on contradictory receipts; or what `contradiction` says of receipts that it cannot
    /// read.
    pub fn hold(
        &mut self,
        receipt: &[u8],
        rule: &'static str,
        contradiction: impl FnOnce([&[u8]; 2]) -> Result<Option<&'static str>, Violation>,
    ) -> Result<(), Violation> {
        let Some(first) = &self.0 else {
            self.0 = Some(receipt.to_vec());
            return Ok(());
        };
        match contradiction([first, receipt])? {
            Some(statement) => Err(Violation {
                rule,
                message: statement.to_owned(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation() -> Violation {
        Violation {
            rule: "a/rule",
            message: "why".into(),
        }
    }

    #[test]
    fn what_is_due_is_told_and_what_is_not_with_its_rule() {
        let mut receipts = Receipts::default();
        receipts.decided([1; 32], Ok(7)).unwrap();
        assert_eq!(
            receipts.decided([2; 32], Err(violation())),
            Err(violation())
        );
        assert_eq!(receipts.due(&[1; 32], "payment").unwrap(), &7);
        let refused = receipts.due(&[2; 32], "payment").unwrap_err();
        assert_eq!(refused.rule.as_deref(), Some("a/rule"));
        let unknown = receipts.due(&[3; 32], "payment").unwrap_err();
        assert!(unknown.rule.is_none() && unknown.message.contains("no payment"));
    }

    #[test]
    fn the_first_receipt_stays_and_the_second_is_held_against_it() {
        let mut first = First::default();
        let never = |_: [&[u8]; 2]| unreachable!();
        first.hold(&[1], "a/rule", never).unwrap();
        let judged = |two: [&[u8]; 2]| Ok((two[0] != two[1]).then_some("they differ"));
        first.hold(&[1], "a/rule", judged).unwrap();
        assert_eq!(
            first.hold(&[2], "a/rule", judged).unwrap_err().rule,
            "a/rule"
        );
        first.hold(&[1], "a/rule", judged).unwrap();
    }
}
