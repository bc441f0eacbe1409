//! `adapter check` by hand, without the program: `cargo run -p lnconform-adapters --example check -- 'COMMAND'`.

use lnconform_adapters::check::{self, Options};
use lnconform_adapters::registry;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let command = std::env::args().nth(1).ok_or("give a command")?;
    let resolved = registry::resolve_check(&command)?;
    for (_, launch) in resolved.launches(
        &std::env::current_exe()?,
        &lnconform_regtest::provision::Provisioner::from_env(),
        "check",
        1,
    ) {
        let verdicts = check::check(&launch, &Options::default(), |v| {
            println!("{}", check::line(v))
        })?;
        print!("{}", check::summary(&verdicts));
    }
    Ok(())
}
