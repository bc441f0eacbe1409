//! `schema`: JSON Schemas for editors and other programs.

use crate::args::{SchemaArgs, SchemaName};
use crate::failure::{Done, Failure, print_json};

/// Prints one.
pub fn schema(args: &SchemaArgs) -> Done {
    let schema = match args.name {
        SchemaName::Vector => lnconform_vectors::schema::vector(),
        SchemaName::Scenario => lnconform_vectors::schema::scenario(),
        SchemaName::Topology => lnconform_vectors::schema::topology(),
        SchemaName::Result => lnconform_engine::record::schema(),
        SchemaName::Adapter => lnconform_protocol::schema::adapter(),
        SchemaName::Expectations => lnconform_engine::ledger::schema(),
        SchemaName::Catalogue => lnconform_spec::catalogue::schema(),
    };
    print_json(&serde_json::to_string_pretty(&schema).map_err(Failure::harness)?);
    Ok(0)
}
