//! The checked-in JSON Schema is the one that the types give.

mod common;

#[test]
fn the_schema_is_up_to_date() {
    let path = common::repository("docs/schema/adapter.json");
    let schema = lnconform_protocol::schema::adapter();
    let want = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &want).unwrap();
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        have == want,
        "docs/schema/adapter.json is not what the types say; run \
         `UPDATE_SCHEMA=1 cargo test -p lnconform-adapters --test schema` and look at the difference"
    );
}
