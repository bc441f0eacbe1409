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
use lnconform_spec::sets::{Broken, FrozenSet};
use lnconform_spec::upstream::{self, UpstreamProblem};
use lnconform_spec::{Catalogue, Sources};
use lnconform_vectors::case::{Case, Origin};
use lnconform_vectors::digest::digest;
use lnconform_vectors::export;
use lnconform_vectors::load::{Options, Root, Set, Vectors};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
    /// Revisions that `--spec NAME@REV` puts in the place of the pinned ones.
    under: BTreeMap<String, String>,
}

/// Digits of a revision in the name of a snapshot.
const REVISION_DIGITS: usize = 12;

/// A revision as it stands in the name of a snapshot.
fn short(revision: &str) -> String {
    revision.chars().take(REVISION_DIGITS).collect()
}

/// Whether two names of revisions mean the same: seven digits of a commit are enough.
fn same_revision(a: &str, b: &str) -> bool {
    a == b || (a.len().min(b.len()) >= 7 && (a.starts_with(b) || b.starts_with(a)))
}

impl World {
    /// Loads all of it.
    ///
    /// # Errors
    /// Every mistake in the user's files.
    pub fn load(specs: Option<&Path>, vectors: &[PathBuf]) -> Result<Self, Failure> {
        let catalogue = catalogue()?;
        let sources = sources()?;
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
        let mut exported = Vec::new();
        for dir in vectors {
            if dir.is_file() && export::is_export(dir) {
                exported.extend(export::read(dir, &lnconform_yaml::read(dir)?)?);
                continue;
            }
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
        let mut set = Vectors::load(&roots, &cases, &options)?;
        set.add(exported)?;
        let upstream = cases.iter().filter_map(|c| file_prefix(&c.id)).collect();
        Ok(Self {
            catalogue,
            sources,
            set,
            problems,
            upstream,
            under: BTreeMap::new(),
        })
    }

    /// Each catalogue's revision in this run, by name.
    pub fn specs(&self) -> BTreeMap<String, String> {
        let mut specs = self.catalogue.specs();
        specs.extend(self.under.clone());
        specs
    }

    /// Each specification's revision in this run, by name; of a pull request also by its number.
    pub fn pins(&self) -> BTreeMap<String, String> {
        let mut pins = self.specs();
        for source in self.sources.iter() {
            if let Some((pull, _)) = source.document.split_once('/')
                && pull.starts_with("pr-")
            {
                pins.entry(pull.to_owned())
                    .or_insert_with(|| source.revision.clone());
            }
        }
        pins
    }

    /// The revisions whose snapshots are kept, whichever this run is of.
    pub fn held(&self) -> impl Iterator<Item = String> {
        let some = self.catalogue.headers().filter(|h| !h.held.is_empty());
        some.flat_map(|h| h.held.iter().chain([&h.revision]))
            .map(|revision| short(revision))
    }

    /// The names that `--spec` means: of a pull request (`pr-836`), every specification that is written
    /// from its texts. A revision that a catalogue holds takes the place of the pinned one, in the
    /// vectors too, so that observations are compared with the snapshots of that revision.
    pub fn named(&mut self, given: &[String]) -> Vec<String> {
        let base = |spec: &str| spec.split('@').next().unwrap_or_default().to_owned();
        let of_cases = self.set.cases.iter().filter_map(|c| c.spec.as_deref());
        let known: BTreeSet<String> = of_cases.map(base).collect();
        let mut names = Vec::new();
        for wanted in given {
            let (name, revision) = match wanted.split_once('@') {
                Some((name, revision)) => (name, Some(revision)),
                None => (wanted.as_str(), None),
            };
            let of_pull = self.catalogue.headers().filter(|h| {
                let inner = h.document.strip_prefix(name);
                name.starts_with("pr-") && inner.is_some_and(|rest| rest.starts_with('/'))
            });
            let mut all: Vec<String> = of_pull.map(|h| h.spec.clone()).collect();
            all.push(name.to_owned());
            all.retain(|spec| known.contains(spec));
            if all.is_empty() {
                // The plan says that there is no such specification.
                all.push(name.to_owned());
            }
            for spec in all {
                if let Some(revision) = revision {
                    self.put_under(&spec, revision);
                }
                names.push(match revision {
                    Some(revision) => format!("{spec}@{revision}"),
                    None => spec,
                });
            }
        }
        names
    }

    /// Runs the vectors of a specification as those of a held revision.
    fn put_under(&mut self, spec: &str, revision: &str) {
        let header = self.catalogue.headers().find(|h| h.spec == spec);
        let Some(header) = header else { return };
        let held = header
            .held
            .iter()
            .find(|held| same_revision(held, revision));
        let Some(held) = held.cloned() else { return };
        let pinned = header.revision.clone();
        for case in &mut self.set.cases {
            let Some(named) = &case.spec else { continue };
            let (name, at) = named.split_once('@').unwrap_or((named, &pinned));
            if name == spec && same_revision(at, &pinned) {
                case.spec = Some(format!("{spec}@{}", short(&held)));
            }
        }
        self.under.insert(spec.to_owned(), held);
    }
}

/// The catalogues: those of `specs/` in the working directory take the place of those in the binary.
/// Where the vectors are those of the binary, the catalogues that these need stay beside them, so that
/// somebody may write one in a folder of their own.
///
/// # Errors
/// Every mistake in the user's catalogues.
pub fn catalogue() -> Result<Catalogue, Failure> {
    let own = Path::new("specs");
    if !own.join("catalogue").is_dir() {
        return Ok(Catalogue::embedded()?);
    }
    match Root::built_in(Path::new("")) {
        Root::Embedded => Ok(Catalogue::beside(own)?),
        Root::BuiltIn(_) | Root::Added(_) => Ok(Catalogue::load(own)?),
    }
}

/// Pins of the texts; a list in `specs/` of the working directory wins.
///
/// # Errors
/// Mistakes in the user's list.
pub fn sources() -> Result<Sources, Failure> {
    let own = Path::new("specs");
    Ok(Sources::open(
        own.join("catalogue").is_dir().then_some(own),
    )?)
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
    // The sets of the configuration are filters, and go before frozen ones of the same name.
    if let Some(set) = select.set.clone()
        && (config.sets.contains_key(&set) || !lnconform_spec::sets::is_set_name(&set))
    {
        select
            .filters
            .extend_from_slice(config.set(&set).map_err(Failure::usage)?);
        select.set = None;
    } else if select.set.is_some() {
        // See `frozen`.
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
        && select.set.is_none()
        && select.shard.is_none()
}

/// The ids of the frozen set that [`merge`] has left in the selection.
///
/// # Errors
/// A set that is not known, and one whose vectors are not what they were.
pub fn frozen(select: &Select, world: &World) -> Result<Option<HashSet<String>>, Failure> {
    let Some(name) = &select.set else {
        return Ok(None);
    };
    let sets = FrozenSet::all(Path::new("specs"))?;
    let Some(set) = sets.iter().find(|s| s.set == *name) else {
        let known: Vec<&str> = sets.iter().map(|s| s.set.as_str()).collect();
        let known = match known.as_slice() {
            [] => "there is none yet".to_owned(),
            some => format!("there is {}", some.join(", ")),
        };
        return Err(Failure::usage(format!(
            "there is no frozen set `{name}`; {known}"
        )));
    };
    let broken = broken(set, world);
    if let Some((id, how)) = broken.first() {
        let how = match how {
            Broken::Gone => "is gone",
            Broken::Changed => "was changed",
        };
        let more = match broken.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        return Err(Failure::usage(format!(
            "the set {name} is frozen, and its vector `{id}` {how}{more}; run the version of lnconform \
             that has it, or outside of a folder with vectors of its own"
        )));
    }
    Ok(Some(set.vectors.keys().cloned().collect()))
}

/// The vectors of a set that are not as it promises.
pub fn broken(set: &FrozenSet, world: &World) -> Vec<(String, Broken)> {
    let built_in = world
        .set
        .cases
        .iter()
        .filter(|c| c.origin == Origin::BuiltIn);
    let by_id: HashMap<&str, &Case> = built_in.map(|c| (c.id.as_str(), c)).collect();
    set.broken(|id| by_id.get(id).map(|case| digest(case)))
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
        only: None,
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
