//! Two receipts for one commitment: whether they convict a recipient. Keysend proofs and AMP proofs judge
//! alike, each by its own rules and over its own fields.

use crate::rules::Rules;

/// Whether two receipts convict a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// They do.
    pub proven: bool,
    /// What is, or is not, proven.
    pub statement: &'static str,
    /// Names of the fields that differ, where it is proven.
    pub differs: Vec<&'static str>,
}

impl Contradiction {
    fn none(statement: &'static str) -> Self {
        Self {
            proven: false,
            statement,
            differs: Vec::new(),
        }
    }

    /// Judges by the rules of a draft on signatures and on what is stated: whether both are `signed` by the
    /// recipient under the commitment, and for each field whether the two statements differ in it.
    pub(crate) fn judge(
        rules: &Rules,
        [signatures, differ]: [&'static str; 2],
        signed: bool,
        fields: &[(&'static str, bool)],
    ) -> Self {
        if rules.check(signatures, signed, String::new).is_err() {
            return Self::none(
                "Not both receipts are signed by the recipient key for this commitment.",
            );
        }
        let differs = fields.iter().filter(|(_, differs)| *differs);
        let differs: Vec<_> = differs.map(|(name, _)| *name).collect();
        if rules
            .check(differ, !differs.is_empty(), String::new)
            .is_err()
        {
            return Self::none("Both receipts state the same.");
        }
        Self {
            proven: true,
            statement: "The recipient key signed two receipts for one commitment that contradict \
                        each other.",
            differs,
        }
    }
}
