//! From folders of YAML to cases.

mod body;
mod matrix;
#[cfg(test)]
mod tests;
mod topology;

use crate::case::{Body, Case, Codec, Expect, Origin, Provenance, RoleChoice, Topology};
use crate::expect::{self, Fault};
use crate::file::{CODEC_KEYS, SCENARIO_KEYS, Sharing, StepFile, VectorFile};
use crate::mutate::{Change, Codecs, apply};
use include_dir::{Dir, include_dir};
use lnconform_spec::upstream::{UpstreamCase, UpstreamExpect};
use lnconform_yaml::{Diagnostic, suggest};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../vectors");

/// Parents of parents at most; a longer chain is nobody's intention.
const MAX_PARENTS: usize = 16;

/// Where vectors come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The copy inside the binary.
    Embedded,
    /// This repository's own, on disk.
    BuiltIn(PathBuf),
    /// A folder that the user adds.
    Added(PathBuf),
}

impl Root {
    /// The built-in set: `vectors/` in the working directory if there is one, else the copy inside
    /// the binary.
    pub fn built_in(working_directory: &Path) -> Self {
        let folder = working_directory.join("vectors");
        if folder.is_dir() {
            Self::BuiltIn(folder)
        } else {
            Self::Embedded
        }
    }
}

/// The requirement catalogue, as far as the loader needs it.
pub trait Requirements {
    /// Whether there is such a requirement.
    fn knows(&self, id: &str) -> bool;
    /// The known id that is closest to `id`.
    fn nearest(&self, id: &str) -> Option<String>;
}

impl Requirements for lnconform_spec::Catalogue {
    fn knows(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    fn nearest(&self, id: &str) -> Option<String> {
        lnconform_spec::Catalogue::nearest(self, id).map(|near| near.to_string())
    }
}

/// How to load.
#[derive(Default)]
pub struct Options<'a> {
    /// The catalogue that `covers` is held against; `None` takes every id.
    pub requirements: Option<&'a dyn Requirements>,
    /// Codecs for `mutate`; `None` is [`Codecs::standard`].
    pub codecs: Option<&'a Codecs>,
    /// Takes `$fill`, which else is a mistake; for `fill` itself.
    pub unfilled: bool,
}

/// All cases of a run.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Sorted by file and place, upstream's last; ids are unique.
    pub cases: Vec<Case>,
    /// `sha256:…` over names and contents of all files; upstream's files are not part of it.
    pub hash: String,
}

impl Set {
    /// The case with this id.
    pub fn get(&self, id: &str) -> Option<&Case> {
        self.cases.iter().find(|c| c.id == id)
    }

    /// Adds cases that stand in no folder, such as those of [`crate::export::read`]. They come before
    /// upstream's, and into the hash.
    ///
    /// # Errors
    /// A case whose id is taken.
    pub fn add(&mut self, cases: Vec<Case>) -> Result<(), Diagnostic> {
        if cases.is_empty() {
            return Ok(());
        }
        let mut hash = Sha256::new();
        hash.update(&self.hash);
        for case in &cases {
            if let Some(other) = self.get(&case.id) {
                let message = format!("`{}` is taken", case.id);
                return Err(Diagnostic::new(&case.file, message)
                    .help(format!("the other one is {}", other.file.display())));
            }
            // Where the file lies does not matter.
            hash.update(format!(
                "{:?}",
                (&case.id, &case.covers, &case.needs, &case.body)
            ));
        }
        self.hash = format!("sha256:{}", hex::encode(hash.finalize()));
        let upstream = |c: &Case| c.origin == Origin::Upstream;
        let place = self.cases.iter().position(upstream);
        let place = place.unwrap_or(self.cases.len());
        self.cases.splice(place..place, cases);
        Ok(())
    }
}

/// The loader.
#[derive(Clone, Copy, Debug)]
pub struct Vectors;

impl Vectors {
    /// Reads all vectors below `roots` and puts upstream's cases beside them.
    ///
    /// # Errors
    /// Every mistake in every file, sorted by file.
    pub fn load(
        roots: &[Root],
        upstream: &[UpstreamCase],
        options: &Options<'_>,
    ) -> Result<Set, Vec<Diagnostic>> {
        let standard;
        let codecs = match options.codecs {
            Some(codecs) => codecs,
            None => {
                standard = Codecs::standard();
                &standard
            }
        };
        let mut loader = Loader {
            options,
            codecs,
            problems: Vec::new(),
            topologies: Vec::new(),
        };
        let mut sources = Vec::new();
        let mut hash = Sha256::new();
        for (number, root) in roots.iter().enumerate() {
            let files = loader.files(root);
            for (path, _, text) in &files {
                for part in [path.as_bytes(), text.as_bytes()] {
                    hash.update((part.len() as u64).to_be_bytes());
                    hash.update(part);
                }
            }
            loader.sort_in(number, root, files, &mut sources);
        }
        let mut cases = loader.cases(&sources);
        cases.extend(upstream.iter().map(of_upstream));
        loader.unique(&cases);
        if loader.problems.is_empty() {
            Ok(Set {
                cases,
                hash: format!("sha256:{}", hex::encode(hash.finalize())),
            })
        } else {
            loader.problems.sort_by(|a, b| {
                let place = |d: &Diagnostic| d.place.map_or((0, 0), |p| (p.line, p.column));
                (&a.file, place(a)).cmp(&(&b.file, place(b)))
            });
            Err(loader.problems)
        }
    }
}

/// A vector file that was read.
struct Source {
    id: String,
    file: PathBuf,
    text: Cow<'static, str>,
    root: usize,
    origin: Origin,
    parsed: Option<VectorFile>,
}

impl Source {
    fn fault(&self, fault: Fault) -> Diagnostic {
        let path: Vec<&str> = fault.path.iter().map(String::as_str).collect();
        let d = Diagnostic::new(&self.file, fault.message).at(&self.text, &path);
        match fault.help {
            Some(help) => d.help(help),
            None => d,
        }
    }

    fn key_fault(&self, fault: Fault) -> Diagnostic {
        let path: Vec<&str> = fault.path.iter().map(String::as_str).collect();
        let place = lnconform_yaml::locate_key(&self.text, &path);
        Diagnostic {
            place,
            ..self.fault(fault)
        }
    }
}

/// A file with its parents' keys in it, before the matrix.
#[derive(Clone, Debug, Default)]
struct Whole {
    spec: Option<String>,
    tags: Vec<String>,
    needs: Vec<String>,
    provenance: Option<Provenance>,
    operation: Option<String>,
    input: Map<String, Value>,
    expect: Option<Value>,
    topology: Option<Topology>,
    roles: BTreeMap<String, RoleChoice>,
    steps: Vec<StepFile>,
    options: BTreeMap<String, Map<String, Value>>,
    cluster: Option<Sharing>,
}

type Text = Cow<'static, str>;
type Files = Vec<(String, PathBuf, Text)>;

struct Loader<'a> {
    options: &'a Options<'a>,
    codecs: &'a Codecs,
    problems: Vec<Diagnostic>,
    topologies: Vec<(usize, Topology)>,
}

impl Loader<'_> {
    /// Every `.yaml` file of a root: path below it with `/`, name for people, text.
    fn files(&mut self, root: &Root) -> Files {
        let mut files = Vec::new();
        match root {
            Root::Embedded => self.embedded(&EMBEDDED, &mut files),
            Root::BuiltIn(dir) | Root::Added(dir) => self.folder(dir, "", 0, &mut files),
        }
        files.sort();
        files
    }

    fn embedded(&mut self, dir: &Dir<'static>, files: &mut Files) {
        for file in dir.files() {
            // Paths inside the binary are those of the machine that built it.
            let path = file.path().to_string_lossy().replace('\\', "/");
            let name = Path::new("vectors").join(&path);
            if !is_vector_path(&path) {
                continue;
            }
            match file.contents_utf8() {
                Some(text) => files.push((path, name, Cow::Borrowed(text))),
                None => self.problems.push(Diagnostic::new(name, "is not UTF-8")),
            }
        }
        dir.dirs().for_each(|d| self.embedded(d, files));
    }

    fn folder(&mut self, dir: &Path, below: &str, depth: usize, files: &mut Files) {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => {
                self.problems
                    .push(Diagnostic::new(dir, format!("cannot be read: {e}")));
                return;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    self.problems
                        .push(Diagnostic::new(dir, format!("cannot be read: {e}")));
                    continue;
                }
            };
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                if path.extension().is_some_and(|e| e == "yaml") {
                    self.problems
                        .push(Diagnostic::new(path, "has a name that is not UTF-8"));
                }
                continue;
            };
            let id = if below.is_empty() {
                name.to_owned()
            } else {
                format!("{below}/{name}")
            };
            if name.starts_with('.') {
                continue;
            }
            // Follows links; a loop of them ends at the depth.
            if path.is_dir() {
                if depth < 32 && id != "schema" {
                    self.folder(&path, &id, depth + 1, files);
                }
            } else if is_vector_path(&id) {
                match lnconform_yaml::read(&path) {
                    Ok(text) => files.push((id, path, Cow::Owned(text))),
                    Err(d) => self.problems.push(d),
                }
            } else if name.ends_with(".yml") {
                self.problems
                    .push(Diagnostic::new(path, "is not read").help("name it `.yaml`"));
            }
        }
    }

    /// Parses files into vectors and topologies.
    fn sort_in(&mut self, number: usize, root: &Root, files: Files, sources: &mut Vec<Source>) {
        let origin = if matches!(root, Root::Added(_)) {
            Origin::Added
        } else {
            Origin::BuiltIn
        };
        // A test has looked for doubled keys in what the binary carries.
        let read: fn(&Path, &str) -> Result<VectorFile, Diagnostic> = match root {
            Root::Embedded => lnconform_yaml::from_tested,
            Root::BuiltIn(_) | Root::Added(_) => lnconform_yaml::from_str,
        };
        for (path, file, text) in files {
            let id = path.trim_end_matches(".yaml").to_owned();
            if let Some(name) = id.strip_prefix("topologies/") {
                match lnconform_yaml::from_str::<Topology>(&file, &text) {
                    Ok(mut topology) => {
                        topology.name = name.to_owned();
                        match topology::check(&topology) {
                            Ok(()) => self.topologies.push((number, topology)),
                            Err(fault) => {
                                let source = Source {
                                    id,
                                    file,
                                    text,
                                    root: number,
                                    origin,
                                    parsed: None,
                                };
                                self.problems.push(source.fault(fault));
                            }
                        }
                    }
                    Err(d) => self.problems.push(d),
                }
                continue;
            }
            if let Some(c) = id
                .chars()
                .find(|c| !(c.is_ascii_alphanumeric() || "/-_.+".contains(*c)))
            {
                self.problems.push(
                    Diagnostic::new(
                        &file,
                        format!("the path has a {c:?}, which an id cannot hold"),
                    )
                    .help("use letters, digits, `-`, `_`, `.` and `+`"),
                );
                continue;
            }
            if id.starts_with("upstream/") {
                self.problems.push(
                    Diagnostic::new(
                        &file,
                        "ids that begin with `upstream/` belong to the cases of --specs",
                    )
                    .help("rename the folder"),
                );
                continue;
            }
            let parsed = match read(&file, &text) {
                Ok(mut parsed) => {
                    place_steps(&mut parsed, &text);
                    Some(parsed)
                }
                Err(d) => {
                    self.problems.push(d);
                    None
                }
            };
            sources.push(Source {
                id,
                file,
                text,
                root: number,
                origin,
                parsed,
            });
        }
    }

    /// Works out `extends`, `mutate` and `matrix`.
    fn cases(&mut self, sources: &[Source]) -> Vec<Case> {
        let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(sources.len());
        for (i, source) in sources.iter().enumerate() {
            if let Some(earlier) = by_id.insert(&source.id, i) {
                self.problems.push(
                    Diagnostic::new(
                        &source.file,
                        format!(
                            "the id `{}` is that of {} too",
                            source.id,
                            sources[earlier].file.display()
                        ),
                    )
                    .help("rename one of the two files"),
                );
            }
        }
        let mut wholes: Vec<Option<Option<Whole>>> = vec![None; sources.len()];
        let mut cases = Vec::with_capacity(sources.len());
        for i in 0..sources.len() {
            let whole = self.whole(i, sources, &by_id, &mut wholes, &mut Vec::new());
            if let (Some(whole), Some(parsed)) = (whole, &sources[i].parsed) {
                self.expand(&sources[i], parsed, whole, &mut cases);
            }
        }
        cases
    }

    /// The file with its parents' keys; `None` where it or a parent has a mistake, which is noted.
    fn whole(
        &mut self,
        i: usize,
        sources: &[Source],
        by_id: &HashMap<&str, usize>,
        wholes: &mut Vec<Option<Option<Whole>>>,
        children: &mut Vec<usize>,
    ) -> Option<Whole> {
        if let Some(done) = &wholes[i] {
            return done.clone();
        }
        let source = &sources[i];
        let parsed = source.parsed.as_ref()?;
        let parent = match &parsed.extends {
            None => Some(None),
            Some(id) => match by_id.get(id.as_str()) {
                None => {
                    let near = suggest(id, by_id.keys().copied());
                    let fault = Fault::new(&["extends"], format!("there is no vector `{id}`"));
                    self.problems.push(source.fault(match near {
                        Some(near) => fault.help(format!("did you mean `{near}`?")),
                        None => fault.help("name a vector by its path without `.yaml`"),
                    }));
                    None
                }
                Some(&p) if p == i || children.contains(&p) => {
                    let mut ring: Vec<&str> =
                        children.iter().map(|&c| sources[c].id.as_str()).collect();
                    ring.push(&source.id);
                    ring.push(id);
                    let fault = Fault::new(
                        &["extends"],
                        format!("`extends` goes round in a circle: {}", ring.join(" → ")),
                    );
                    self.problems
                        .push(source.fault(fault.help("a parent must stand on its own")));
                    None
                }
                Some(_) if children.len() >= MAX_PARENTS => {
                    let fault = Fault::new(
                        &["extends"],
                        format!("`extends` goes through more than {MAX_PARENTS} parents"),
                    );
                    self.problems
                        .push(source.fault(fault.help("copy the input instead")));
                    None
                }
                Some(&p) => {
                    children.push(i);
                    let whole = self.whole(p, sources, by_id, wholes, children);
                    children.pop();
                    whole.map(Some)
                }
            },
        };
        let whole = parent.and_then(|parent| match self.merge(source, parsed, parent) {
            Ok(whole) => Some(whole),
            Err(d) => {
                self.problems.push(d);
                None
            }
        });
        wholes[i] = Some(whole.clone());
        whole
    }

    /// Puts a file's own keys over its parent's and mutates.
    fn merge(
        &self,
        source: &Source,
        own: &VectorFile,
        parent: Option<Whole>,
    ) -> Result<Whole, Diagnostic> {
        let has_parent = parent.is_some();
        let mut whole = parent.unwrap_or_default();
        let scenario = whole.topology.is_some() || own.steps.is_some() || own.topology.is_some();
        let codec = whole.operation.is_some() || own.operation.is_some();
        self.form(source, own, scenario, codec)?;

        if own.spec.is_some() {
            whole.spec.clone_from(&own.spec);
        }
        if let Some(tags) = &own.tags {
            whole.tags.clone_from(tags);
        }
        if let Some(needs) = &own.needs {
            whole.needs.clone_from(needs);
        }
        if own.expect.is_some() || own.mutate.is_some() || own.steps.is_some() {
            whole.provenance = None;
        }
        if let Some(value) = &own.provenance {
            whole.provenance = Some(serde_json::from_value(value.clone()).map_err(|e| {
                source.fault(Fault::new(&["provenance"], format!("cannot be read: {e}")).help(
                    "it is {text: SECTION}, {derived: {generator, version}}, {upstream: {file, case}} or {draft-by-implementation: WHY}",
                ))
            })?);
        }
        if own.mutate.is_some() && !has_parent {
            let fault = Fault::new(&["mutate"], "there is nothing to mutate")
                .help("name the parent with `extends`");
            return Err(source.key_fault(fault));
        }
        if own.resign && own.mutate.is_none() {
            let fault =
                Fault::new(&["resign"], "`resign` stands beside `mutate` only").help("remove it");
            return Err(source.key_fault(fault));
        }
        if scenario {
            self.merge_scenario(source, own, &mut whole)?;
        } else {
            merge_codec(source, own, &mut whole)?;
        }
        if let Some(changes) = &own.mutate {
            self.mutate(source, changes, &mut whole)?;
            if own.resign {
                let operation = whole.operation.clone().unwrap_or_default();
                let mut input = Value::Object(std::mem::take(&mut whole.input));
                self.codecs.resign(&operation, &mut input).map_err(|e| {
                    source.key_fault(
                        Fault::new(&["resign"], e).help("leave the signature as it is, or set it"),
                    )
                })?;
                if let Value::Object(map) = input {
                    whole.input = map;
                }
            }
        }
        Ok(whole)
    }

    /// Refuses keys of the other form and of no form.
    fn form(
        &self,
        source: &Source,
        own: &VectorFile,
        scenario: bool,
        codec: bool,
    ) -> Result<(), Diagnostic> {
        let has = |key: &str| match key {
            "operation" => own.operation.is_some(),
            "input" => own.input.is_some(),
            "expect" => own.expect.is_some(),
            "resign" => own.resign,
            "topology" => own.topology.is_some(),
            "roles" => own.roles.is_some(),
            "steps" => own.steps.is_some(),
            "options" => own.options.is_some(),
            "cluster" => own.cluster.is_some(),
            _ => false,
        };
        if own.format.is_some_and(|f| f != 1) {
            let fault = Fault::new(&["format"], "this format is not known")
                .help("this version reads format 1");
            return Err(source.fault(fault));
        }
        if own.description.trim().is_empty() {
            return Err(source.fault(
                Fault::new(&["description"], "the description is empty")
                    .help("say in one sentence what the case shows"),
            ));
        }
        let (form, foreign, other): (_, &[&str], _) = if scenario {
            ("a scenario", &CODEC_KEYS, "codec vectors")
        } else {
            ("a codec vector", &SCENARIO_KEYS, "scenarios")
        };
        if !scenario && !codec {
            return Err(Diagnostic::new(&source.file, "neither a codec vector nor a scenario")
                .at(&source.text, &[])
                .help("a codec vector has `operation`, a scenario has `steps`; or name a parent with `extends`"));
        }
        if let Some(key) = foreign.iter().find(|k| has(k)) {
            let mut fault = Fault::new(
                &[key],
                format!("`{key}` is a key of {other}, and this is {form}"),
            );
            if *key == "expect" {
                fault = fault.help("in a scenario each step has its own `expect`");
            } else {
                let why = if scenario {
                    "it has `steps` or a `topology`"
                } else {
                    "it has an `operation`"
                };
                fault = fault.help(format!("{why}, itself or from its parent"));
            }
            return Err(source.key_fault(fault));
        }
        Ok(())
    }

    fn merge_scenario(
        &self,
        source: &Source,
        own: &VectorFile,
        whole: &mut Whole,
    ) -> Result<(), Diagnostic> {
        match &own.topology {
            Some(Value::String(name)) => {
                // The vector's own root first, then the others in their order.
                let found = self
                    .topologies
                    .iter()
                    .filter(|(_, t)| t.name == *name)
                    .min_by_key(|(root, _)| (*root != source.root, *root));
                whole.topology = Some(match found {
                    Some((_, topology)) => topology.clone(),
                    None => {
                        let fault =
                            Fault::new(&["topology"], format!("there is no topology `{name}`"));
                        let near =
                            suggest(name, self.topologies.iter().map(|(_, t)| t.name.as_str()));
                        return Err(source.fault(match near {
                            Some(near) => fault.help(format!("did you mean `{near}`?")),
                            None => fault.help("put it into `topologies/`, or write it here"),
                        }));
                    }
                });
            }
            Some(inline) => {
                let mut topology: Topology =
                    serde_json::from_value(inline.clone()).map_err(|e| {
                        source.fault(Fault::new(
                            &["topology"],
                            format!("the topology cannot be read: {e}"),
                        ))
                    })?;
                topology.name = "inline".into();
                topology::check(&topology).map_err(|f| source.fault(f.below(&["topology"])))?;
                whole.topology = Some(topology);
            }
            None => {}
        }
        for (role, choice) in own.roles.iter().flatten() {
            whole
                .roles
                .insert(role.clone(), role_choice(source, role, choice)?);
        }
        if let Some(steps) = &own.steps {
            whole.steps.clone_from(steps);
        }
        for (role, options) in own.options.iter().flatten() {
            topology::options(options).map_err(|f| source.fault(f.below(&["options", role])))?;
            let known = whole.options.entry(role.clone()).or_default();
            known.extend(options.clone());
        }
        if own.cluster.is_some() {
            whole.cluster = own.cluster;
        }
        Ok(())
    }

    fn mutate(
        &self,
        source: &Source,
        changes: &Map<String, Value>,
        whole: &mut Whole,
    ) -> Result<(), Diagnostic> {
        if changes.is_empty() {
            return Err(source
                .fault(Fault::new(&["mutate"], "no change is named").help("write PATH: CHANGE")));
        }
        for (path, change) in changes {
            let at = |fault: (String, String)| {
                source.fault(Fault::new(&["mutate", path], fault.0).help(fault.1))
            };
            let parsed = Change::parse(change).map_err(at)?;
            let segments: Vec<&str> = path.split('.').collect();
            let outcome = match (segments.as_slice(), whole.operation.is_some()) {
                (["input", rest @ ..], true) if !rest.is_empty() => {
                    let mut input = Value::Object(std::mem::take(&mut whole.input));
                    let before = input.clone();
                    let outcome = apply(&mut input, rest, &parsed, self.codecs);
                    let same = input == before;
                    if let Value::Object(map) = input {
                        whole.input = map;
                    }
                    match outcome {
                        Ok(()) if same => Err("the change changes nothing".to_owned()),
                        other => other,
                    }
                }
                (["steps", name, "with", rest @ ..], false) if !rest.is_empty() => {
                    match step_named(&mut whole.steps, name) {
                        Ok(step) => {
                            let mut with = Value::Object(std::mem::take(&mut step.with));
                            let outcome = apply(&mut with, rest, &parsed, self.codecs);
                            if let Value::Object(map) = with {
                                step.with = map;
                            }
                            outcome
                        }
                        Err(e) => Err(e),
                    }
                }
                (_, true) => Err(format!(
                    "`{path}` does not lead into the input; a path begins with `input.`"
                )),
                (_, false) => Err(format!(
                    "`{path}` does not lead into a step; a path begins with `steps.NAME.with.`"
                )),
            };
            outcome.map_err(|e| source.key_fault(Fault::new(&["mutate", path], e)))?;
        }
        Ok(())
    }

    /// Makes the cases of one file.
    fn expand(&mut self, source: &Source, own: &VectorFile, whole: Whole, cases: &mut Vec<Case>) {
        let before = self.problems.len();
        self.covers(source, own, &whole);
        let variants = match matrix::variants(own, &whole) {
            Ok(variants) => variants,
            Err(fault) => {
                self.problems.push(source.key_fault(fault));
                return;
            }
        };
        let line = source
            .text
            .lines()
            .position(|l| !l.trim().is_empty() && !l.starts_with(['#', '-']))
            .unwrap_or(0)
            + 1;
        for (suffix, implementations, whole) in variants {
            let body = if whole.operation.is_some() {
                body::codec(&whole, implementations, self.options.unfilled).map(Body::Codec)
            } else {
                body::scenario(&whole, self.options.unfilled).map(Body::Scenario)
            };
            match body {
                Ok(body) => cases.push(Case {
                    id: format!("{}{suffix}", source.id),
                    file: source.file.clone(),
                    line,
                    description: own.description.trim().to_owned(),
                    spec: whole.spec,
                    covers: own.covers.clone(),
                    tags: whole.tags,
                    needs: whole.needs,
                    provenance: whole.provenance,
                    origin: source.origin,
                    body,
                }),
                // One variant's mistake is that of all.
                Err(fault) => {
                    self.problems.push(source.fault(fault));
                    break;
                }
            }
            if self.problems.len() > before {
                break;
            }
        }
    }

    fn covers(&mut self, source: &Source, own: &VectorFile, whole: &Whole) {
        // Where no text could be had, there is no requirement either.
        let no_text = matches!(whole.provenance, Some(Provenance::DraftByImplementation(_)));
        let none = own.covers.is_empty() && whole.steps.iter().all(|s| s.covers.is_empty());
        if none && !no_text {
            let d = Diagnostic::new(&source.file, "no requirement is covered")
                .at(&source.text, &[])
                .help("name at least one in `covers: [ID]`");
            self.problems.push(d);
        }
        let Some(catalogue) = self.options.requirements else {
            return;
        };
        let mut named: Vec<(Vec<String>, &str)> = Vec::new();
        let ids = |ids: &'_ [String], path: &[&str]| -> Vec<Vec<String>> {
            let below = |i: usize| path.iter().map(|p| (*p).to_owned()).chain([i.to_string()]);
            (0..ids.len()).map(|i| below(i).collect()).collect()
        };
        named.extend(
            ids(&own.covers, &["covers"])
                .into_iter()
                .zip(own.covers.iter().map(String::as_str)),
        );
        rules(own.expect.as_ref(), &["expect"], &mut named);
        for (i, step) in own.steps.iter().flatten().enumerate() {
            let i = i.to_string();
            let covers = ids(&step.covers, &["steps", &i, "covers"]);
            named.extend(
                covers
                    .into_iter()
                    .zip(step.covers.iter().map(String::as_str)),
            );
            rules(step.expect.as_ref(), &["steps", &i, "expect"], &mut named);
        }
        for (path, id) in named {
            if catalogue.knows(id) {
                continue;
            }
            let fault = Fault {
                path,
                ..Fault::new(&[], format!("no catalogue has a requirement `{id}`"))
            };
            self.problems
                .push(source.fault(match catalogue.nearest(id) {
                    Some(near) => fault.help(format!("did you mean `{near}`?")),
                    None => fault.help("add it to specs/catalogue"),
                }));
        }
    }

    /// Ids of different files differ already; a matrix or upstream could make two alike.
    fn unique(&mut self, cases: &[Case]) {
        let mut seen: HashMap<&str, &Case> = HashMap::with_capacity(cases.len());
        for case in cases {
            if let Some(earlier) = seen.insert(&case.id, case)
                && earlier.origin == case.origin
                && (earlier.file == case.file || case.origin == Origin::Upstream)
            {
                self.problems.push(
                    Diagnostic::new(&case.file, format!("two cases have the id `{}`", case.id))
                        .help("give the matrix' values labels: {label: value}"),
                );
            }
        }
    }
}

/// The rules that errors are expected from, with their places; they are requirements too.
fn rules<'v>(expect: Option<&'v Value>, at: &[&str], named: &mut Vec<(Vec<String>, &'v str)>) {
    let Some(expect) = expect else { return };
    let place = |below: &[&str]| at.iter().chain(below).map(|p| (*p).to_owned()).collect();
    if let Some(rule) = expect.pointer("/error/rule").and_then(Value::as_str) {
        named.push((place(&["error", "rule"]), rule));
    }
    let alternatives = expect.get("one_of").and_then(Value::as_array);
    for (i, alternative) in alternatives.into_iter().flatten().enumerate() {
        if let Some(rule) = alternative.pointer("/error/rule").and_then(Value::as_str) {
            named.push((place(&["one_of", &i.to_string(), "error", "rule"]), rule));
        }
    }
}

fn is_vector_path(path: &str) -> bool {
    path.ends_with(".yaml")
        && !path.starts_with("schema/")
        && !path.split('/').any(|segment| segment.starts_with('.'))
}

fn place_steps(parsed: &mut VectorFile, text: &str) {
    let Some(steps) = &mut parsed.steps else {
        return;
    };
    let mut places = lnconform_yaml::items(text, "steps").into_iter();
    for step in steps {
        step.line = places.next().map_or(1, |p| p.line);
    }
}

fn merge_codec(source: &Source, own: &VectorFile, whole: &mut Whole) -> Result<(), Diagnostic> {
    if let Some(operation) = &own.operation {
        if operation.trim().is_empty() {
            return Err(source.fault(Fault::new(&["operation"], "the operation has no name")));
        }
        whole.operation = Some(operation.clone());
    }
    for (key, value) in own.input.iter().flatten() {
        expect::numbers(value, key).map_err(|f| source.fault(f.below(&["input", key])))?;
        whole.input.insert(key.clone(), value.clone());
    }
    if own.expect.is_some() {
        whole.expect.clone_from(&own.expect);
    } else if own.mutate.is_some() {
        return Err(
            Diagnostic::new(&source.file, "a mutated vector needs its own `expect`")
                .at_key(&source.text, &["mutate"])
                .help("for example `expect: {error: {rule: ID}}`"),
        );
    }
    if whole.expect.is_none() {
        return Err(Diagnostic::new(&source.file, "`expect` is missing")
            .at(&source.text, &[])
            .help("`{}` takes any result, `{error: {}}` any error, `$fill` is filled by `lnconform fill`"));
    }
    Ok(())
}

fn role_choice(source: &Source, role: &str, value: &Value) -> Result<RoleChoice, Diagnostic> {
    let names = match value {
        Value::String(any) if any == "any" => return Ok(RoleChoice::Any),
        Value::String(codec) if codec == "codec" => return Ok(RoleChoice::Codec),
        Value::String(name) if !name.is_empty() => Some(vec![name.clone()]),
        Value::Array(list) if !list.is_empty() => list
            .iter()
            .map(|v| {
                v.as_str()
                    .filter(|s| !s.is_empty() && !["any", "codec"].contains(s))
                    .map(str::to_owned)
            })
            .collect(),
        _ => None,
    };
    names.map(RoleChoice::Of).ok_or_else(|| {
        let fault = Fault::new(
            &["roles", role],
            format!("nobody can take the role `{role}` like this"),
        );
        source.fault(fault.help("write a name, a list of names, `any`, or `codec`"))
    })
}

fn step_named<'s>(steps: &'s mut [StepFile], name: &str) -> Result<&'s mut StepFile, String> {
    let by_name = steps.iter().position(|s| s.name.as_deref() == Some(name));
    let place = by_name.or_else(|| name.parse::<usize>().ok()?.checked_sub(1));
    let names: Vec<String> = steps
        .iter()
        .enumerate()
        .map(|(i, s)| s.name.clone().unwrap_or_else(|| (i + 1).to_string()))
        .collect();
    match place.filter(|&i| i < steps.len()) {
        Some(i) => Ok(&mut steps[i]),
        None => Err(format!(
            "there is no step `{name}`, only {}",
            names.join(", ")
        )),
    }
}

/// One of upstream's own cases; what `spec` expects is a pattern already.
fn of_upstream(case: &UpstreamCase) -> Case {
    let expect = match &case.expect {
        UpstreamExpect::Result(value) => Expect::Result(value.clone()),
        UpstreamExpect::Error => Expect::Error(crate::case::ErrorPattern::default()),
    };
    Case {
        id: case.id.clone(),
        file: PathBuf::from(&case.file),
        line: case.line,
        description: case.name.clone(),
        spec: Some(case.spec.clone()),
        covers: case.covers.clone(),
        tags: Vec::new(),
        needs: Vec::new(),
        provenance: Some(Provenance::Upstream {
            file: case.file.to_string(),
            case: case.name.clone(),
        }),
        origin: Origin::Upstream,
        body: Body::Codec(Codec {
            operation: case.operation.clone(),
            input: case.input.clone(),
            expect,
            implementations: Vec::new(),
            observe: Vec::new(),
        }),
    }
}
