//! `list`: the checks a run would make.

use crate::args::{ListArgs, TextOrJson};
use crate::config::Config;
use crate::failure::{Done, Failure, note, print, print_json};
use crate::world::{World, frozen, merge, participants, selection};
use lnconform_adapters::Limits;
use lnconform_engine::plan::{Participant, Plan, plan};
use lnconform_engine::run::check_requirements;
use lnconform_spec::misbehaviours::{self, Misbehaviour};
use lnconform_vectors::case::Case;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Lists them.
pub fn list(args: &ListArgs) -> Done {
    if args.misbehaviours {
        return list_misbehaviours(args.format);
    }
    let select = merge(&args.select, &Config::find()?)?;
    let mut world = World::load(select.specs.as_deref(), &select.vectors)?;
    let people = participants(&select, "list", 0, &Limits::default(), false)?;
    let mut selection = selection(&select, select.seed.unwrap_or(0))?;
    selection.specs = world.named(&select.specs_named);
    selection.pins = world.pins();
    selection.only = frozen(&select, &world)?;
    let plan = plan(&world.set.cases, &people, &selection).map_err(Failure::usage)?;
    show(&world.set.cases, &people, &plan, args.format);
    Ok(0)
}

/// What the probe can do wrong, a paragraph each, or one JSON object.
fn list_misbehaviours(format: TextOrJson) -> Done {
    let all = misbehaviours::all()?;
    match format {
        TextOrJson::Text => all.iter().for_each(show_misbehaviour),
        TextOrJson::Json => {
            let list: Vec<Value> = all.iter().map(|m| json!(m)).collect();
            print_json(&json!({"misbehaviours": list}).to_string());
        }
    }
    Ok(0)
}

/// One of them.
pub fn show_misbehaviour(m: &Misbehaviour) {
    print(format!("{}  {}", m.name, m.operations.join(", ")));
    print(format!("  {}", m.does));
    let statements = [("breaks", &m.breaks), ("reader", &m.reader)];
    for (what, id) in statements {
        if let Some(id) = id {
            print(format!("  {what} {id}"));
        }
    }
    if m.needs_parts {
        print("  needs a payment of several HTLCs");
    }
}

/// Says what was selected and will not run.
pub fn left_out(plan: &Plan) {
    match plan.slow_left_out {
        0 => {}
        1 => note("1 slow vector is left out: `--slow` takes it"),
        n => note(format!(
            "{n} slow vectors are left out: `--slow` takes them"
        )),
    }
    let some = plan.nobody.iter().take(3).map(|id| format!("`{id}`"));
    let some = some.collect::<Vec<_>>().join(", ");
    match plan.nobody.len() {
        0 => {}
        1 => note(format!(
            "1 vector is left out, since nobody who takes part can take it: {some}"
        )),
        n => {
            let more = if n > 3 { ", …" } else { "" };
            note(format!(
                "{n} vectors are left out, since nobody who takes part can take them: {some}{more}"
            ));
        }
    }
}

/// A line for each check, or one JSON object.
pub fn show(cases: &[Case], people: &[Participant], plan: &Plan, format: TextOrJson) {
    let mut takers: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for unit in plan.units.iter().filter(|u| u.attempt == 1) {
        takers
            .entry(unit.case)
            .or_default()
            .push(unit.who_text(people));
    }
    let mut checks = 0;
    let mut list: Vec<Value> = Vec::new();
    for (place, who) in &takers {
        let case = &cases[*place];
        let lane = lnconform_engine::plan::lane(case);
        for (id, requirements) in check_requirements(case) {
            checks += 1;
            match format {
                TextOrJson::Text => print(format!("{id}  {}", who.join(" "))),
                TextOrJson::Json => list.push(json!({
                    "id": id, "lane": lane, "requirements": requirements, "implementations": who,
                })),
            }
        }
    }
    match format {
        TextOrJson::Json => print_json(&json!({"checks": list}).to_string()),
        TextOrJson::Text => {
            let s = if checks == 1 { "" } else { "s" };
            note(format!("{checks} check{s}"));
            left_out(plan);
        }
    }
}
