//! What every command that knows about checks begins with: the vectors, upstream's cases, the
//! catalogue, and who could take part.

use crate::args::{LaneArg, Select};
use crate::config::Config;
use crate::failure::Failure;
use lnconform_adapters::Limits;
use lnconform_adapters::operations::is_node;
use lnconform_adapters::registry::{self, BUILTINS, Kind, PROBE, Resolved};
use lnconform_engine::filter::Filters;
use lnconform_engine::judge::Requirements;
use lnconform_engine::plan::{Own, Participant, Selection};
use lnconform_engine::record::{Keyword, Lane};
use lnconform_engine::results;
use lnconform_engine::run::introduce;
use lnconform_regtest::provision::{self, Lookup, Provisioner};
use lnconform_spec::upstream::{self, UpstreamProblem};
use lnconform_spec::{Catalogue, Sources};
use lnconform_vectors::load::{Options, Root, Set, Vectors};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Vectors, catalogue and texts.
pub struct World {
    /// Requirements.
    pub catalogue: Catalogue,
    /// Pins of the texts.
    pub sources: Sources,
    /// All cases, upstream's last.
    pub set: Set,
    /// Upstream files that could not be read as what their name says.
    pub problems: Vec<UpstreamProblem>,
    /// Id prefixes of upstream's files that are at hand.
    pub upstream: BTreeSet<String>,
}

impl World {
    /// Loads all of it.
    ///
    /// # Errors
    /// Every mistake in the user's files.
    pub fn load(specs: Option<&Path>, vectors: &[PathBuf]) -> Result<Self, Failure> {
        let own = Path::new("specs");
        let own = own.join("catalogue").is_dir().then_some(own);
        let catalogue = Catalogue::open(own)?;
        let sources = Sources::open(own)?;
        let (cases, problems) = match specs {
            Some(dir) if !dir.is_dir() => {
                return Err(Failure::usage(format!(
                    "{} is no folder; `--specs` (or LNCONFORM_SPECS) names a checkout of the specifications",
                    dir.display()
                )));
            }
            Some(dir) => upstream::cases(dir)?,
            None => (Vec::new(), Vec::new()),
        };
        let mut roots = vec![Root::built_in(Path::new(""))];
        for dir in vectors {
            if !dir.is_dir() {
                return Err(Failure::usage(format!(
                    "{} is no folder; `--vectors` names a folder of vector files",
                    dir.display()
                )));
            }
            roots.push(Root::Added(dir.clone()));
        }
        let options = Options {
            requirements: Some(&catalogue),
            ..Options::default()
        };
        let set = Vectors::load(&roots, &cases, &options)?;
        let upstream = cases.iter().filter_map(|c| file_prefix(&c.id)).collect();
        Ok(Self {
            catalogue,
            sources,
            set,
            problems,
            upstream,
        })
    }
}

/// `upstream/bolt12/offers-test` of `upstream/bolt12/offers-test/SLUG~HASH/step`.
fn file_prefix(id: &str) -> Option<String> {
    let slug = id.find('~')?;
    let end = id[..slug].rfind('/')?;
    Some(id[..end].to_owned())
}

/// The catalogue as the judge sees it.
pub struct Keywords<'a>(pub &'a Catalogue);

impl Requirements for Keywords<'_> {
    fn keyword(&self, id: &str) -> Option<Keyword> {
        self.0.keyword_class(id).map(|class| match class {
            lnconform_spec::catalogue::Class::Must => Keyword::Must,
            lnconform_spec::catalogue::Class::Should => Keyword::Should,
            lnconform_spec::catalogue::Class::May => Keyword::May,
        })
    }
}

/// What was asked for, with the configuration file's answers where the command line is silent.
pub fn merge(select: &Select, config: &Config) -> Result<Select, Failure> {
    let mut select = select.clone();
    if let Some(set) = &select.set {
        select
            .filters
            .extend_from_slice(config.set(set).map_err(Failure::usage)?);
    } else if select.filters.is_empty()
        && let Some(default) = config.sets.get("default")
        // `**` is everything: leaving it out keeps the run unfiltered.
        && default != &["**"]
    {
        select.filters.clone_from(default);
    }
    if select.adapters.is_empty() {
        select.adapters.clone_from(&config.adapters);
    }
    if select.specs.is_none() {
        select.specs.clone_from(&config.specs);
    }
    // An empty LNCONFORM_SPECS means none.
    select.specs.take_if(|dir| dir.as_os_str().is_empty());
    select.vectors.extend(config.vectors.iter().cloned());
    Ok(select)
}

/// Whether nothing narrows the run.
pub fn unfiltered(select: &Select) -> bool {
    select.filters.is_empty()
        && matches!(select.lane, None | Some(LaneArg::All))
        && select.adapters.is_empty()
        && select.roles.is_empty()
        && select.specs_named.is_empty()
        && select.requirement.is_empty()
        && select.tags.is_empty()
        && select.failed.is_none()
        && select.shard.is_none()
}

/// The selection for the planner.
///
/// # Errors
/// Mistakes in filters, shards, roles, or the file of `--failed`.
pub fn selection(select: &Select, seed: u64) -> Result<Selection, Failure> {
    let mut roles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for given in &select.roles {
        let (role, name) = given.split_once('=').ok_or_else(|| {
            Failure::usage(format!(
                "`--role {given}`: write ROLE=NAME, such as payer=ldk-node"
            ))
        })?;
        roles
            .entry(role.to_owned())
            .or_default()
            .push(name.to_owned());
    }
    let failed = select
        .failed
        .as_deref()
        .map(|file| {
            let mut failed = std::collections::HashSet::new();
            results::visit(file, |record| {
                if let lnconform_engine::record::Record::Check(check) = record
                    && !check.expected
                {
                    failed.insert((check.id.clone(), check.who()));
                }
            })?;
            Ok::<_, Failure>(failed)
        })
        .transpose()?;
    Ok(Selection {
        lane: match select.lane {
            Some(LaneArg::Codec) => Some(Lane::Codec),
            Some(LaneArg::Cluster) => Some(Lane::Cluster),
            Some(LaneArg::All) | None => None,
        },
        filters: Filters::parse(&select.filters).map_err(Failure::usage)?,
        specs: select.specs_named.clone(),
        pins: BTreeMap::new(),
        requirements: select.requirement.clone(),
        tags: select.tags.clone(),
        slow: select.slow,
        failed,
        roles,
        shard: select.shard.as_deref().map(shard).transpose()?,
        repeat: select.repeat.max(1),
        shuffle: select.shuffle,
        seed,
    })
}

fn shard(text: &str) -> Result<(u32, u32), Failure> {
    text.split_once('/')
        .and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)))
        .filter(|(k, n)| (1..=*n).contains(k))
        .ok_or_else(|| {
            Failure::usage(format!(
                "`--shard {text}`: write K/N with K from 1 to N, such as 1/4"
            ))
        })
}

/// Everybody who takes part: those of `--adapter`, else the built-in ones, and whoever `--require`
/// and `--role` name. Foreign adapters are asked who they are, since only their `hello` says
/// whether they drive a node; with `ask_all`, everybody is.
///
/// # Errors
/// A name that is not built in and has no command.
pub fn participants(
    select: &Select,
    run: &str,
    seed: u64,
    limits: &Limits,
    ask_all: bool,
) -> Result<Vec<Participant>, Failure> {
    let this = std::env::current_exe().map_err(|e| {
        Failure::environment(format!("the path of this program is not known here: {e}"))
    })?;
    let mut people: Vec<Participant> = Vec::new();
    let mut take = |resolved: Resolved, named: bool| {
        let row = resolved.row();
        match people.iter_mut().find(|p| p.name == row) {
            Some(known) => known.named |= named,
            None => people.push(participant(&resolved, named, &this, run, seed)),
        }
    };
    let mut given_so_far: Vec<Resolved> = Vec::new();
    for given in &select.adapters {
        let resolved = resolve(given)?;
        let other = |r: &Resolved| r.row() == resolved.row() && *r != resolved;
        if given_so_far.iter().any(other) {
            return Err(Failure::usage(format!(
                "`--adapter` gives two commands to `{}`; give each a name of its own",
                resolved.row()
            )));
        }
        take(resolved.clone(), true);
        given_so_far.push(resolved);
    }
    if select.adapters.is_empty() {
        for builtin in BUILTINS.iter().filter(|b| b.default) {
            take(resolve(builtin.name)?, false);
        }
    }
    for given in &select.require {
        take(resolve(given)?, true);
    }
    for (_, name) in select.roles.iter().filter_map(|r| r.split_once('=')) {
        // A foreign one stands in `--adapter` with its command; here its name is enough.
        if !select
            .adapters
            .iter()
            .any(|a| a.split('=').next() == Some(name))
        {
            take(resolve(name)?, true);
        }
    }
    // Whoever the run is about, the harness's own peer is there to play against.
    if select.lane != Some(LaneArg::Codec) {
        take(resolve(PROBE)?, false);
    }
    let narrowed = !select.adapters.is_empty();
    for probe in people.iter_mut().filter(|p| p.name == PROBE && p.builtin) {
        let others = narrowed && !probe.named;
        probe.own = Some(if others {
            Own::WithOthers
        } else {
            Own::Everywhere
        });
    }
    let (mut ask, mut known): (Vec<_>, Vec<_>) = people
        .into_iter()
        .enumerate()
        .partition(|(_, p)| ask_all || !p.builtin);
    let mut asked: Vec<Participant> = ask.iter().map(|(_, p)| p.clone()).collect();
    introduce(&mut asked, limits);
    for ((_, slot), mut answered) in ask.iter_mut().zip(asked) {
        if !answered.builtin {
            if !answered.operations.contains("node.start") {
                // One that could not be asked is shown in the codec lane.
                answered.node = None;
            } else if answered.operations.iter().all(|o| is_node(o)) {
                answered.codec = None;
            }
        }
        *slot = answered;
    }
    known.append(&mut ask);
    known.sort_by_key(|(place, _)| *place);
    Ok(known.into_iter().map(|(_, p)| p).collect())
}

/// Reads `NAME[@VERSION][=COMMAND]`. What is built in has one version, which may be named.
fn resolve(given: &str) -> Result<Resolved, Failure> {
    let mut resolved = registry::resolve(given).map_err(Failure::usage)?;
    if let Some(wanted) = &resolved.version
        && resolved.builtin().is_some_and(|b| b.needs.is_empty())
    {
        let there = crate::commands::adapter::version(&resolved.name).unwrap_or_default();
        if wanted.strip_prefix('v').unwrap_or(wanted) != there {
            return Err(Failure::usage(format!(
                "`{given}`: {} is built into this binary, in version {there} alone; leave `@{wanted}` away, \
                 or give the command of an adapter for it: `{given}=COMMAND`",
                resolved.name
            )));
        }
        resolved.version = None;
    }
    Ok(resolved)
}

/// Who answers the steps of scenarios on `codec`, and whose rules the mutants lack. It need not
/// take part in the run.
///
/// # Errors
/// As [`participants`].
pub fn oracle(run: &str, seed: u64) -> Result<Participant, Failure> {
    let this = std::env::current_exe().map_err(|e| {
        Failure::environment(format!("the path of this program is not known here: {e}"))
    })?;
    let resolved = resolve(lnconform_adapter_reference::Reference::NAME)?;
    Ok(participant(&resolved, false, &this, run, seed))
}

fn participant(resolved: &Resolved, named: bool, this: &Path, run: &str, seed: u64) -> Participant {
    let host = Provisioner::from_env();
    Participant {
        name: resolved.row(),
        codec: resolved.launch(Kind::Codec, this, &host, run, seed),
        node: resolved.launch(Kind::Node, this, &host, run, seed),
        named,
        builtin: resolved.builtin().is_some(),
        version: String::new(),
        operations: BTreeSet::new(),
        dialects: BTreeSet::new(),
        unavailable: resolved.installed(&host).err().map(|e| e.to_string()),
        no_cluster: incompatible(resolved, &host),
        own: None,
    }
}

/// Why what it needs does not go with the bitcoind that is here, or else would be installed.
fn incompatible(resolved: &Resolved, host: &Provisioner) -> Option<String> {
    let chain = match host.find("bitcoind") {
        Ok(Lookup::Found(found)) => found.version,
        // What is wrong with that one is told when it is asked for.
        Ok(Lookup::Missing(_)) | Err(_) => {
            provision::table().ok()?.get("bitcoind")?.version.clone()
        }
    };
    resolved.needs().iter().find_map(|spec| {
        let Ok(Lookup::Found(found)) = host.find(spec) else {
            return None;
        };
        let fits = host.compatible(&found.name, &found.version, "bitcoind", &chain);
        fits.err().map(|e| e.to_string())
    })
}

/// The entries of the version table that `--install` has to bring before the implementations that
/// take part can be asked who they are, quick ones first, each as `NAME` or `NAME@VERSION`.
/// bitcoind, which only scenarios need, is not among them.
pub fn needs(select: &Select) -> Vec<String> {
    let given = select.adapters.iter().chain(&select.require);
    let roles = select.roles.iter().filter_map(|r| r.split_once('='));
    let mut names: Vec<&str> = given
        .map(String::as_str)
        .chain(roles.map(|(_, name)| name))
        .collect();
    if select.adapters.is_empty() {
        names.extend(BUILTINS.iter().filter(|b| b.default).map(|b| b.name));
    }
    // A name without a command that is known by its command elsewhere needs nothing.
    let needed: BTreeSet<String> = names
        .iter()
        .filter_map(|name| registry::resolve(name).ok())
        .flat_map(|resolved| resolved.needs())
        .collect();
    let entry = |spec: &String| spec.split('@').next().unwrap_or_default().to_owned();
    provision::defaults()
        .into_iter()
        .flat_map(|name| needed.iter().filter(move |spec| entry(spec) == name))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_read_strictly() {
        assert_eq!(shard("2/3").unwrap(), (2, 3));
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_versions_need_is_installed_each_once_and_quick_ones_first() {
        let select = Select {
            adapters: ["lnd@0.21.1-beta", "lnd", "mine=./x", "reference"]
                .map(String::from)
                .into(),
            require: vec!["draft-py".into(), "lnd@v0.21.1-beta".into()],
            roles: vec!["payee=mine".into(), "payer=lnd".into()],
            ..Select::default()
        };
        assert_eq!(
            needs(&select),
            [
                "draft-py",
                "lnd-codec",
                "lnd-codec@v0.21.1-beta",
                "lnd",
                "lnd@v0.21.1-beta"
            ]
        );
        assert_eq!(
            needs(&Select::default()),
            ["draft-py", "e-x", "electrum", "kmp", "lnd-codec", "lnd"]
        );
    }

    #[test]
    fn a_version_is_taken_where_it_is_there_and_else_named() {
        let row = |given: &str| {
            resolve(given)
                .map(|r| r.row())
                .map_err(|e| e.lines.join(" "))
        };
        // What is built in has one version, so it needs no row of its own.
        assert_eq!(row("ldk-0.2@0.2.7").unwrap(), "ldk-0.2");
        assert_eq!(row("ldk-0.2@v0.2.7").unwrap(), "ldk-0.2");
        let error = row("ldk-0.2@0.2.1").unwrap_err();
        assert!(error.contains("in version 0.2.7 alone"), "{error}");
        assert_eq!(row("lnd@0.21.1-beta").unwrap(), "lnd@v0.21.1-beta");
        let error = row("lnd@v0.1.0").unwrap_err();
        assert!(
            error.contains("which has v0.21.2-beta, v0.21.1-beta"),
            "{error}"
        );
        assert_eq!(row("lnd@v0.1.0=./x").unwrap(), "lnd@v0.1.0");
        for builtin in BUILTINS.iter().filter(|b| b.needs.is_empty()) {
            let version = crate::commands::adapter::version(builtin.name).unwrap();
            assert_eq!(
                row(&format!("{}@{version}", builtin.name)).unwrap(),
                builtin.name
            );
        }
    }

    #[test]
    fn upstream_files_have_prefixes() {
        assert_eq!(
            file_prefix("upstream/bolt12/offers-test/minimal~01234567").as_deref(),
            Some("upstream/bolt12/offers-test")
        );
        assert_eq!(file_prefix("bolt01/x"), None);
    }
}
