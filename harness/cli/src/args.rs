//! The command line; the words are those of the README and `docs/`.

use crate::guard::draw;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Conformance and interoperability harness for Lightning payment drafts.
///
/// It replays vectors through implementations in processes of their own, runs payments between
/// real nodes on regtest, and checks what it saw against the specification, requirement by
/// requirement.
#[derive(Debug, Parser)]
#[command(name = "lnconform", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run checks
    Run(Box<RunArgs>),
    /// Show the checks a run would make, a line each
    List(Box<ListArgs>),
    /// Show a check, a requirement, a mutant or an implementation: sentence, vector, who takes it
    Explain(ExplainArgs),
    /// Accept the observations of the last run as snapshots
    Bless(BlessArgs),
    /// Compute expected values of vectors from the reference
    Fill(FillArgs),
    /// Write the ledger of expected failures
    Baseline(BaselineArgs),
    /// Show a result file
    Report(ReportArgs),
    /// Show what appeared, disappeared or changed between two result files
    Diff(DiffArgs),
    /// Put the result files of shards into one, and somebody else's beside them
    Merge(MergeArgs),
    /// Catalogues against texts, runs and upstream's vector files
    Spec {
        #[command(subcommand)]
        command: SpecCommand,
    },
    /// Write vectors as one file, to attach to a bLIP or a pull request
    Export(ExportArgs),
    /// Show which seeded defects of the reference the vectors catch
    Mutants(MutantsArgs),
    /// Ask every implementation the same made-up inputs, and write what they disagree on as vectors
    Fuzz(FuzzArgs),
    /// Be an adapter on stdin and stdout, or check one
    Adapter(AdapterArgs),
    /// Get what the cluster lane needs
    Install(InstallArgs),
    /// Write a config file that pins harness, specs and expectations in a repository of yours
    Init(InitArgs),
    /// Show what is here, what is missing, and what to type
    Doctor(DoctorArgs),
    /// Remove what killed runs left: processes and folders
    Clean(CleanArgs),
    /// Print a JSON Schema
    Schema(SchemaArgs),
    /// Watch over a run and kill what outlives it (started by `run` itself)
    #[command(hide = true)]
    Reap {
        /// The run's id, so that a list of processes tells what this one is for
        run: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LaneArg {
    /// Stateless operations; needs no node
    Codec,
    /// Live nodes on regtest
    Cluster,
    /// Both
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunFormat {
    /// For people
    Pretty,
    /// One JSON object
    Json,
    /// Annotations and a step summary for GitHub Actions
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    Pretty,
    /// One JSON object
    Json,
    /// Annotations and a step summary for GitHub Actions
    Github,
    /// One page that needs no network
    Html,
    /// JUnit XML, for CI systems
    Junit,
    /// Markdown
    Markdown,
    /// The JSON of an endpoint badge of shields.io
    Badge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For people
    Text,
    /// Markdown
    Markdown,
    /// One page that needs no network
    Html,
}

/// A folder that may be empty text: a variable that is set to nothing names none.
fn folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// A seed; a variable that is set to nothing leaves it to chance.
fn seed(text: &str) -> Result<u64, std::num::ParseIntError> {
    if text.is_empty() {
        return Ok(draw());
    }
    text.parse()
}

/// What is selected and from where; shared by `run` and `list`.
#[derive(Clone, Debug, Default, Args)]
pub struct Select {
    /// Globs over check ids, or @FILE with one a line
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Which lane
    #[arg(long, value_enum, help_heading = "What")]
    pub lane: Option<LaneArg>,
    /// An implementation, NAME or NAME@VERSION, or NAME=COMMAND for one that is not built in; narrows the run to those given
    #[arg(long = "adapter", value_name = "NAME[=COMMAND]", help_heading = "What")]
    pub adapters: Vec<String>,
    /// Who may take a role in scenarios
    #[arg(long = "role", value_name = "ROLE=NAME", help_heading = "What")]
    pub roles: Vec<String>,
    /// Fail if this implementation is not there
    #[arg(long, value_name = "NAME", help_heading = "What")]
    pub require: Vec<String>,
    /// Only vectors of this specification
    #[arg(long = "spec", value_name = "NAME[@REV]", help_heading = "What")]
    pub specs_named: Vec<String>,
    /// Only vectors that cover this requirement
    #[arg(long, value_name = "ID", help_heading = "What")]
    pub requirement: Vec<String>,
    /// Only vectors with this tag
    #[arg(long = "tag", value_name = "TAG", help_heading = "What")]
    pub tags: Vec<String>,
    /// Take what is tagged slow too
    #[arg(long, help_heading = "What")]
    pub slow: bool,
    /// Only what was unexpected in this result file
    #[arg(long, value_name = "RESULTS", help_heading = "What")]
    pub failed: Option<PathBuf>,
    /// A frozen set such as 2027.1, whose vectors do not change, or a named set of the config file
    #[arg(long = "set", value_name = "NAME", help_heading = "What")]
    pub set: Option<String>,
    /// A checkout of the specifications (any part of it): its own vectors become checks
    #[arg(
        long,
        value_name = "DIR",
        env = "LNCONFORM_SPECS",
        value_parser = folder(),
        help_heading = "Inputs"
    )]
    pub specs: Option<PathBuf>,
    /// More vectors, beside the built-in ones: a folder, or a file that `export` wrote
    #[arg(long, value_name = "DIR", help_heading = "Inputs")]
    pub vectors: Vec<PathBuf>,
    /// Only the part K of N
    #[arg(long, value_name = "K/N", help_heading = "How")]
    pub shard: Option<String>,
    /// Drives every choice the harness makes
    #[arg(long, value_name = "N", env = "LNCONFORM_SEED", value_parser = seed, help_heading = "How")]
    pub seed: Option<u64>,
    /// Run each check this many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), help_heading = "How")]
    pub repeat: u32,
    /// In random order, by the seed
    #[arg(long, help_heading = "How")]
    pub shuffle: bool,
}

#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub select: Select,
    /// Ledgers of expected failures, beside the built-in one
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    pub expectations: Vec<PathBuf>,
    /// A store of snapshots that takes the place of the built-in one
    #[arg(long, value_name = "DIR", help_heading = "Inputs")]
    pub snapshots: Option<PathBuf>,
    /// Clusters at work at a time; others are made ready meanwhile
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "How")]
    pub jobs: u32,
    /// Stop at the first unexpected result
    #[arg(long, help_heading = "How")]
    pub fail_fast: bool,
    /// A SHOULD counts like a MUST
    #[arg(long, help_heading = "How")]
    pub strict: bool,
    /// Leave clusters up in which something failed unexpectedly, and say how to get at their nodes
    #[arg(long, help_heading = "How")]
    pub keep: bool,
    /// Give every scenario a cluster of its own
    #[arg(long, help_heading = "How")]
    pub fresh_clusters: bool,
    /// Install what is missing first, system packages too
    #[arg(long, help_heading = "How")]
    pub install: bool,
    /// Show the checks and stop
    #[arg(long, help_heading = "How")]
    pub dry_run: bool,
    /// The day by which expectations expire (YYYY-MM-DD)
    #[arg(long, value_name = "DATE", help_heading = "How")]
    pub today: Option<String>,
    /// The result file; one that exists is moved to .old
    #[arg(
        long,
        value_name = "FILE",
        default_value = ".lnconform/last.jsonl",
        help_heading = "Output"
    )]
    pub results: PathBuf,
    /// How results are shown
    #[arg(long, value_enum, default_value = "pretty", help_heading = "Output")]
    pub format: RunFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub select: Select,
    /// How the list is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
    /// What the probe can do wrong on purpose, instead of checks
    #[arg(long)]
    pub misbehaviours: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// Id of a check, of a requirement or of a mutant, or the name of an implementation
    pub id: String,
    /// A checkout of the specifications, for the sentences themselves
    #[arg(long, value_name = "DIR", env = "LNCONFORM_SPECS", value_parser = folder())]
    pub specs: Option<PathBuf>,
    /// More vectors, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub vectors: Vec<PathBuf>,
    /// Results whose outcomes are shown
    #[arg(long, value_name = "FILE", default_value = ".lnconform/last.jsonl")]
    pub results: PathBuf,
    /// Of a requirement, every check and every outcome
    #[arg(long)]
    pub all: bool,
}

#[derive(Clone, Debug, Args)]
pub struct BlessArgs {
    /// Globs over check ids
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// The result file with the observations
    #[arg(long, value_name = "FILE", default_value = ".lnconform/last.jsonl")]
    pub results: PathBuf,
    /// A store of your own, which takes every observation, not only those of built-in
    /// implementations on built-in vectors [default: tests/snapshots]
    #[arg(long, value_name = "DIR")]
    pub snapshots: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct FillArgs {
    /// Vector files; none: every file below vectors/
    pub files: Vec<PathBuf>,
    /// Change nothing; fail where a file would change
    #[arg(long)]
    pub check: bool,
}

#[derive(Clone, Debug, Args)]
pub struct BaselineArgs {
    #[command(subcommand)]
    pub command: BaselineCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum BaselineCommand {
    /// Write an entry for every unexpected failure of a result file
    Init(BaselineFile),
    /// Add entries for failures that have none
    Update(BaselineFile),
    /// Remove entries that nothing matches any more
    Prune(BaselineFile),
}

#[derive(Clone, Debug, Args)]
pub struct BaselineFile {
    /// The result file
    #[arg(long, value_name = "FILE", default_value = ".lnconform/last.jsonl")]
    pub results: PathBuf,
    /// The ledger
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "tests/expectations/baseline.yaml"
    )]
    pub output: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The result file; `--format html` takes several, of which it shows the latest run, with the others
    /// as its history
    #[arg(required = true)]
    pub results: Vec<PathBuf>,
    /// How it is shown
    #[arg(long, value_enum, default_value = "pretty")]
    pub format: ReportFormat,
    /// Of `--format badge`: only the checks that ran on this implementation, alone or in any role
    #[arg(long, value_name = "NAME")]
    pub implementation: Option<String>,
    /// Where it is written; without it, to standard output. Of `--format github`, the page of the step
    #[arg(long, short, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// A checkout of the specifications, for the sentences themselves in `--format html`
    #[arg(long, value_name = "DIR", env = "LNCONFORM_SPECS", value_parser = folder())]
    pub specs: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// The earlier result file
    pub old: PathBuf,
    /// The later result file
    pub new: PathBuf,
    /// How it is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: DiffFormat,
    /// Where it is written; without it, to standard output
    #[arg(long, short, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Exit code 1 where the later one has failures that the earlier one had not
    #[arg(long, value_name = "WHAT", value_parser = ["new"])]
    pub fail_on: Option<String>,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Result files of one run: its shards, each run with the same seed
    #[arg(required = true)]
    pub results: Vec<PathBuf>,
    /// A result file that somebody else made; its implementations stand apart, marked as
    /// self-reported, and its failures change no exit code
    #[arg(long, value_name = "FILE")]
    pub self_reported: Vec<PathBuf>,
    /// Where the whole goes
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = ".lnconform/merged.jsonl"
    )]
    pub output: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
pub enum SpecCommand {
    /// Which requirements a run covered, and who satisfies them
    Coverage(CoverageArgs),
    /// What upstream's vector files in a checkout give
    Import {
        /// A checkout of the specifications, any part of it
        #[arg(long, value_name = "DIR", env = "LNCONFORM_SPECS", value_parser = folder())]
        specs: PathBuf,
    },
    /// What became of the statements of a text between two revisions, and what hangs on them
    Drift(DriftArgs),
    /// Write a catalogue to be filled in, from a text or the diff of a pull request
    Scaffold(ScaffoldArgs),
    /// The frozen sets, and whether their vectors are what they were
    Sets {
        /// How the list is shown
        #[arg(long, value_enum, default_value = "text")]
        format: TextOrJson,
    },
    /// Write a new frozen set, of the codec vectors that there are
    Freeze(FreezeArgs),
    /// Which negative cases of upstream's files do not test what they name
    ///
    /// A negative case reaches its rule if the reference refuses it and, with that rule alone switched
    /// off, accepts it. Where it does not, an implementation that lacks the rule passes the case all
    /// the same. Each such case is shown with the rules that refuse it one after the other, and with
    /// vectors that only the named rule refuses.
    Audit(AuditArgs),
    /// What proof of payment each form of payment leaves, and the checks that show it
    Proofs {
        /// The result file whose outcomes are shown
        results: Option<PathBuf>,
        /// In its place, what `--format json` wrote of an earlier run
        #[arg(long, value_name = "FILE", conflicts_with = "results")]
        recorded: Option<PathBuf>,
        /// How it is shown
        #[arg(long, value_enum, default_value = "text")]
        format: ProofsFormat,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProofsFormat {
    /// For people
    Text,
    /// For a page
    Markdown,
    /// For programs, and for `--recorded`
    Json,
    /// The ids of the checks, a line each: filters for `run`
    Ids,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Page {
    /// For people
    Text,
    /// For programs
    Json,
    /// For a page of a repository
    Markdown,
    /// One file for a browser
    Html,
}

#[derive(Clone, Debug, Args)]
pub struct CoverageArgs {
    /// The result file
    pub results: PathBuf,
    /// How it is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: Page,
    /// Only this specification
    #[arg(long = "spec", value_name = "NAME")]
    pub specs_named: Vec<String>,
    /// List every statement with its checks and who satisfies it, not only the counts
    #[arg(long)]
    pub statements: bool,
    /// Count what was seen on the wire instead: of each MUST for who reads, a check with a peer that the
    /// harness plays, or why no peer can break or see it (the reasons with --statements)
    #[arg(long)]
    pub wire: bool,
    /// What `mutants --format json` wrote: which requirements are tested, and the score of each section
    /// (`--format json` finds out by itself where this is not given)
    #[arg(long, value_name = "FILE")]
    pub mutants: Option<PathBuf>,
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shown {
    /// For people
    Text,
    /// For programs
    Json,
    /// For a comment on a pull request
    Markdown,
}

#[derive(Clone, Debug, Args)]
pub struct DriftArgs {
    /// Before: a folder, a file, or a git revision in the checkout that --specs names
    pub old: String,
    /// After
    pub new: String,
    /// A git checkout of the specifications
    #[arg(long, value_name = "DIR", env = "LNCONFORM_SPECS", value_parser = folder())]
    pub specs: Option<PathBuf>,
    /// Only entries of this catalogue
    #[arg(long = "spec", value_name = "NAME")]
    pub specs_named: Vec<String>,
    /// More vectors, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub vectors: Vec<PathBuf>,
    /// A store of snapshots that takes the place of the built-in one
    #[arg(long, value_name = "DIR")]
    pub snapshots: Option<PathBuf>,
    /// How it is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: Shown,
}

#[derive(Clone, Debug, Args)]
pub struct ScaffoldArgs {
    /// A Markdown text, or a unified diff that changes one, as `gh pr diff` prints it
    pub text: PathBuf,
    /// Name of the specification [default: the listed one, else by the file's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Which text of a diff; of a text, its path in a checkout
    #[arg(long, value_name = "PATH")]
    pub document: Option<String>,
    /// The revision of the text [default: the listed one, else its blob hash]
    #[arg(long, value_name = "REV")]
    pub revision: Option<String>,
    /// A checkout of the specifications: the text that a diff changes
    #[arg(long, value_name = "DIR", env = "LNCONFORM_SPECS", value_parser = folder())]
    pub specs: Option<PathBuf>,
    /// Write each statement above its entry, as a comment to be deleted
    #[arg(long)]
    pub quote: bool,
    /// Take statements that have an entry already, too
    #[arg(long)]
    pub all: bool,
    /// A new file, such as specs/catalogue/NAME.yaml [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct FreezeArgs {
    /// Name of the set: year and number, such as 2027.1
    pub name: String,
    /// Globs over check ids, or @FILE with one a line; none: every vector
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Take scenarios too
    #[arg(long)]
    pub scenarios: bool,
    /// The day from which on it does not change (YYYY-MM-DD) [default: today]
    #[arg(long, value_name = "DATE")]
    pub today: Option<String>,
    /// Folder of the file NAME.yaml
    #[arg(long, short, value_name = "DIR", default_value = "specs/sets")]
    pub output: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    /// Globs over check ids, or @FILE with one a line
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// A checkout of the specifications, any part of it
    #[arg(
        long,
        value_name = "DIR",
        env = "LNCONFORM_SPECS",
        value_parser = folder(),
        required_unless_present = "own"
    )]
    pub specs: Option<PathBuf>,
    /// Judge the vectors of this project, and of --vectors, in the place of upstream's
    #[arg(long)]
    pub own: bool,
    /// More vectors, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub vectors: Vec<PathBuf>,
    /// How the list is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A JSON list, as the specifications' own vector files are
    BoltJson,
}

#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// Globs over check ids, or @FILE with one a line
    #[arg(value_name = "FILTER", required = true)]
    pub filters: Vec<String>,
    /// How they are written
    #[arg(long, value_enum, default_value = "bolt-json")]
    pub format: ExportFormat,
    /// More vectors, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub vectors: Vec<PathBuf>,
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct MutantsArgs {
    /// Globs over check ids, or @FILE with one a line: the vectors that have to catch them
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// A checkout of the specifications: its own vectors may catch mutants too
    #[arg(long, value_name = "DIR", env = "LNCONFORM_SPECS")]
    pub specs: Option<PathBuf>,
    /// More vectors, beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub vectors: Vec<PathBuf>,
    /// Show how many are caught in each section of the specifications, instead of each mutant
    #[arg(long)]
    pub by_section: bool,
    /// How the list is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

impl MutantsArgs {
    /// The same as a selection.
    pub fn select(&self) -> Select {
        Select {
            filters: self.filters.clone(),
            specs: self.specs.clone(),
            vectors: self.vectors.clone(),
            ..Select::default()
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct FuzzArgs {
    /// Globs over check ids, or @FILE with one a line: the codec vectors whose operations are
    /// searched, and whose inputs are changed
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Hold the answers of implementations against each other (the one way there is)
    #[arg(long, required = true)]
    pub differential: bool,
    /// How long new inputs are drawn
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub seconds: u64,
    /// How many inputs at the most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub inputs: Option<u64>,
    /// Drives every draw: the same seed and number of inputs give the same finds
    #[arg(long, value_name = "N", env = "LNCONFORM_SEED", value_parser = seed)]
    pub seed: Option<u64>,
    /// An implementation, NAME or NAME@VERSION, or NAME=COMMAND for one that is not built in; narrows the search to those given, and the reference
    #[arg(long = "adapter", value_name = "NAME[=COMMAND]")]
    pub adapters: Vec<String>,
    /// More vectors, beside the built-in ones: what they show is known
    #[arg(long, value_name = "DIR")]
    pub vectors: Vec<PathBuf>,
    /// Folder for the finds, a vector each
    #[arg(long, value_name = "DIR", default_value = ".lnconform/fuzz-finds")]
    pub out: PathBuf,
    /// How the summary is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

impl FuzzArgs {
    /// The same as a selection.
    pub fn select(&self) -> Select {
        Select {
            filters: self.filters.clone(),
            adapters: self.adapters.clone(),
            vectors: self.vectors.clone(),
            ..Select::default()
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct AdapterArgs {
    #[command(subcommand)]
    pub command: Option<AdapterCommand>,
    /// Built-in adapter to be, on stdin and stdout
    #[arg(required = true)]
    pub name: Option<String>,
    /// Options of that adapter
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum AdapterCommand {
    /// Test an adapter against the protocol
    Check {
        /// A built-in name, else a command (one argument, split like shell words)
        adapter: String,
    },
}

#[derive(Clone, Debug, Args)]
pub struct InstallArgs {
    /// What to install, NAME or NAME@VERSION; none: everything that `run --install` needs
    pub names: Vec<String>,
    /// Install system packages too (apt, as root or with passwordless sudo)
    #[arg(long)]
    pub apt: bool,
}

#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Where the file goes
    #[arg(default_value = "lnconform.yaml")]
    pub file: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// How it is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

#[derive(Clone, Debug, Args)]
pub struct CleanArgs {
    /// Show what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaName {
    Vector,
    Scenario,
    Topology,
    Result,
    Adapter,
    Expectations,
    Catalogue,
}

#[derive(Clone, Debug, Args)]
pub struct SchemaArgs {
    /// Which file's schema
    pub name: SchemaName,
}
