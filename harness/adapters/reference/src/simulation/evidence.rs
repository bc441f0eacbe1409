//! What a payment leaves with its payer, and whom that convinces.

use crate::Outcome;
use lnconform_drafts::evidence::{Form, play};
use lnconform_drafts::rules::Rules;
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject};
use serde_json::Value;

/// `simulation.evidence`: one payment in one form, and who convinces a verifier that took no part and
/// knows the recipient's key.
///
/// Params: `form` (`bolt11`, `keysend`, `keysend-proof`, `amp`, `amp-receipt`, `bolt12`,
/// `static-invoice`), `amount_msat`, `seed` (32 bytes).
///
/// Result: `evidence` [what is shown], `unpaid_payer_shows` (before anything is settled),
/// `payer_shows` (after an honest settlement), `unanswered_payer_shows` (after a settlement by a
/// recipient that sends nothing more), `other_amount_shows` (the same, for twice the amount),
/// `copy_shows` (somebody to whom the payer showed it), `hop_shows` (a node that passed the payment
/// on and knows the invoice), and of payer, copy and hop `payer_claims`, `copy_claims`, `hop_claims`
/// (the verifier asks for an answer to its challenge under the key that the evidence names); `proves`
/// (the payer could not show it without the settlement), `atomic` (the settlement alone gives it).
pub(crate) fn evidence(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let name = p.str("form")?;
    let form = Form::named(name).ok_or_else(|| {
        let known = Form::ALL.map(Form::name).join(", ");
        OpError::invalid(format!("param form is {name}, not one of {known}"))
    })?;
    let played = play(rules, form, p.u64("amount_msat")?, p.array("seed")?)
        .ok_or_else(|| OpError::invalid("param seed gives no keys; give another"))?;
    Ok(ResultObject::new()
        .with("evidence", form.evidence())
        .with("unpaid_payer_shows", played.unpaid_payer_shows)
        .with("payer_shows", played.payer_shows)
        .with("unanswered_payer_shows", played.unanswered_payer_shows)
        .with("other_amount_shows", played.other_amount_shows)
        .with("copy_shows", played.copy_shows)
        .with("hop_shows", played.hop_shows)
        .with("payer_claims", played.payer_claims)
        .with("copy_claims", played.copy_claims)
        .with("hop_claims", played.hop_claims)
        .with("proves", played.proves())
        .with("atomic", played.atomic())
        .done())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_payment_is_played_and_an_unknown_form_named() {
        let ask = |form: &str| {
            let params = json!({"form": form, "amount_msat": "1000", "seed": "07".repeat(32)});
            evidence(&Rules::all(), &params)
        };
        let result = ask("bolt12").unwrap();
        assert_eq!(result["evidence"], json!(["payer proof"]));
        assert_eq!(
            (&result["proves"], &result["atomic"]),
            (&json!(true), &json!(true))
        );
        let error = ask("lnurl").unwrap_err();
        assert!(
            error.message.contains("lnurl, not one of bolt11"),
            "{error:?}"
        );
    }
}
