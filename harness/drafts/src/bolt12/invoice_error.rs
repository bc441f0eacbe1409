//! Invoice errors: reader and writer.

use super::invoice;
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::Reader;

/// Field numbers.
pub mod kind {
    #![allow(missing_docs)]
    pub const ERRONEOUS_FIELD: u64 = 1;
    pub const SUGGESTED_VALUE: u64 = 3;
    pub const ERROR: u64 = 5;
}

/// An error that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvoiceError {
    /// All records, unknown odd ones included.
    pub records: Vec<Record>,
    /// The type of the field at fault.
    pub erroneous_field: Option<u64>,
    /// A value that would do.
    pub suggested_value: Option<Vec<u8>>,
    /// What is wrong.
    pub error: Option<String>,
}

fn fields(rules: &Rules, records: Vec<Record>) -> Result<InvoiceError, Violation> {
    let mut error = InvoiceError::default();
    for Record { kind, value } in &records {
        let named = |name| Reader::new(rules, name, value);
        match *kind {
            kind::ERRONEOUS_FIELD => {
                error.erroneous_field = Some(named("erroneous_field").tu64()?);
            }
            kind::SUGGESTED_VALUE => error.suggested_value = Some(value.clone()),
            kind::ERROR => error.error = Some(named("error").utf8()?),
            _ => {}
        }
    }
    Ok(InvoiceError { records, ..error })
}

/// Reads an error from its TLV stream. BOLT 12 has no requirement for its reader yet, so the rules
/// are those of BOLT 1.
///
/// # Errors
/// A [`Violation`] of a `bolt01/tlv/…` or `bolt01/types/…` rule.
pub fn read(rules: &Rules, stream: &[u8]) -> Result<InvoiceError, Violation> {
    fields(rules, tlv::decode(rules, stream, |_| false)?)
}

/// Writes an error by the rules of the writer.
///
/// # Errors
/// A [`Violation`] of a `bolt12/invoice-error/writer/…` rule, of `bolt01/tlv/sender/order`, or of
/// the form of a value.
pub fn write(rules: &Rules, records: &[Record]) -> Result<Vec<u8>, Violation> {
    let stream = tlv::encode(rules, records)?;
    let error = fields(rules, records.to_vec())?;
    rules.check(rules::INVERR_WRITER_ERROR, error.error.is_some(), || {
        "an invoice_error says in error what is wrong".into()
    })?;
    match (error.erroneous_field, &error.suggested_value) {
        (Some(field), Some(value)) => rules.check(
            rules::INVERR_WRITER_SUGGESTED_VALUE,
            invoice::is_value_of(field, value),
            || format!("suggested_value is no value of field {field}"),
        )?,
        (None, Some(_)) => rules.check(rules::INVERR_WRITER_SUGGESTED_ALONE, false, || {
            "there is a suggested_value and no erroneous_field".into()
        })?,
        (_, None) => {}
    }
    Ok(stream)
}
