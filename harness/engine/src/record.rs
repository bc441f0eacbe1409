//! The result file: JSON lines, appended as they happen. Everything a person looks at is a
//! function of these lines (`interface.md`, "Result file").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// One line of the result file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Record {
    /// The header, always first.
    Run(Run),
    /// One assertion.
    Check(Box<Check>),
    /// What was seen, apart from any verdict.
    Observation(Observation),
    /// Implementations answered differently where the text is silent.
    Disagreement(Disagreement),
    /// A live node.
    Node(Node),
    /// Where the time went.
    Phase(Phase),
    /// A dialect of a draft that checks of the run were about, and its numbers.
    Dialect(Dialect),
    /// The end of a run that was not cut short.
    Summary(Summary),
}

/// The JSON Schema of a line of the result file.
pub fn schema() -> Value {
    schemars::schema_for!(Record).to_value()
}

/// Header of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Version of the result file format: 1.
    pub format: u32,
    /// Id of the run.
    pub run: String,
    /// Version of the harness.
    pub harness: String,
    /// `sha256:…` over the vectors.
    pub vectors: String,
    /// Revision of each specification.
    pub specs: BTreeMap<String, String>,
    /// Who took part, or did not.
    pub implementations: Vec<RunImplementation>,
    /// Seed of the run, decimal.
    pub seed: String,
    /// Operating system, architecture, cores.
    pub machine: String,
    /// RFC 3339.
    pub started: String,
    /// The command line.
    pub command: Vec<String>,
    /// Filters, a lane, a shard or a choice of implementations narrowed the run, so that what it
    /// did not produce says nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub filtered: bool,
    /// Which part of a run this is, where `--shard` made it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
}

/// A part of a run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Shard {
    /// Which part, from 1.
    pub part: u32,
    /// Of how many.
    pub of: u32,
    /// Something else narrowed the run as well.
    #[serde(default, skip_serializing_if = "is_false")]
    pub filtered: bool,
}

/// One implementation in a run's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunImplementation {
    /// Name, as in `--adapter`.
    pub name: String,
    /// Its own version string; empty where it could not be asked.
    pub version: String,
    /// Whether it can run here.
    pub available: bool,
    /// Why not, with the command that installs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In merged results: somebody else ran it, and this is what their file says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_reported: Option<String>,
    /// Where its adapter was never run against the real thing by us: the mark that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untested: Option<String>,
}

/// The two lanes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Stateless operations; needs no node.
    Codec,
    /// Live nodes on regtest.
    Cluster,
}

/// What came of a check.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As the text says.
    Passed,
    /// Not as the text says.
    Failed,
    /// The adapter says it lacks the operation.
    Unsupported,
    /// The role or dialect does not exist there.
    NotApplicable,
    /// The environment did not allow it.
    CouldNotRun,
}

impl Outcome {
    /// The name in result files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Unsupported => "unsupported",
            Outcome::NotApplicable => "not-applicable",
            Outcome::CouldNotRun => "could-not-run",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The implementation under test, or its adapter.
    Implementation,
    /// This harness.
    Harness,
    /// The machine, the network, what is installed.
    Environment,
}

impl Blame {
    /// The name in result files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Implementation => "implementation",
            Self::Harness => "harness",
            Self::Environment => "environment",
        }
    }
}

/// The strength of a requirement.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Keyword {
    /// Only observed.
    #[serde(rename = "MAY")]
    May,
    /// A failure is a warning.
    #[serde(rename = "SHOULD")]
    Should,
    /// A failure is unexpected.
    #[serde(rename = "MUST")]
    Must,
}

impl Keyword {
    /// The word of the texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::May => "MAY",
            Self::Should => "SHOULD",
            Self::Must => "MUST",
        }
    }
}

/// One assertion made in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Vector path, `#step`, `?axis=value`.
    pub id: String,
    /// Counts repeats, from 1.
    pub attempt: u32,
    /// In the codec lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implementation: Option<String>,
    /// In the cluster lane: role to implementation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeMap<String, String>>,
    /// In the cluster lane: the cluster it ran in, which other scenarios may have had before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Which lane.
    pub lane: Lane,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether that was expected, by default or by the ledger.
    pub expected: bool,
    /// A SHOULD failed.
    #[serde(default)]
    pub warning: bool,
    /// The ledger calls it flaky, or repeats differed.
    #[serde(default)]
    pub flaky: bool,
    /// The vector is tagged `simulation`: it shows a construction in one process, and nothing of a
    /// node.
    #[serde(default, skip_serializing_if = "is_false")]
    pub simulation: bool,
    /// Whose fault a failure is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<Blame>,
    /// Requirement ids.
    pub requirements: Vec<String>,
    /// The strongest keyword among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyword: Option<Keyword>,
    /// Microseconds.
    pub duration_us: u64,
    /// Why it failed or did not run; absent for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What was expected; absent for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<Value>,
    /// What was answered; absent for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub got: Option<Value>,
    /// The ledger entry that applied, `file:line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expectation: Option<String>,
    /// Paths of logs and transcripts.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// The command that runs it again; absent for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun: Option<String>,
    /// Tail of the node's or adapter's log, for a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_tail: Option<String>,
    /// For a failure on live nodes: what nodes that keep a transcript (the peer that the harness
    /// plays does) said and heard in the scenario, decrypted, and cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transcripts: Vec<Transcript>,
    /// How it failed, as the ledger of expected failures compares it; absent for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Where the vector says so, `file:line`; absent for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The conversations of one node, as it wrote them down. At most the last 200 messages and 64 KiB;
/// texts of more than 160 characters, long lists and deep objects end in `…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transcript {
    /// Role of the node that kept it.
    pub role: String,
    /// The messages, the oldest first: `at_ms` (milliseconds since the node's start), `direction`
    /// (`in`, `out`), `peer` (node id), `message` (the name in the specification), and fields of the
    /// message.
    pub lines: Vec<serde_json::Map<String, Value>>,
    /// Messages that were left out before these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a check failed, in the terms that stay the same from run to run.
///
/// `kind` is the `kind` of the error that was answered, or one of the harness's own:
/// `accepted` (a result where an error was due), `mismatch` (a result that differs), `crash`,
/// `hang`, `protocol` (the adapter broke the protocol), `deadline` (a condition of a scenario
/// did not come about).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Kind of the error or of the difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// BOLT 4 failure code with its flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Requirement id that the answer named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The message, without the ledger's note.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

fn is_false(b: &bool) -> bool {
    !*b
}

impl Check {
    /// The implementation, or the roles as `payee=lnd,payer=ldk-node`.
    pub fn who(&self) -> String {
        who(self.implementation.as_ref(), self.roles.as_ref())
    }
}

fn who(implementation: Option<&String>, roles: Option<&BTreeMap<String, String>>) -> String {
    match (implementation, roles) {
        (Some(name), _) => name.clone(),
        (None, Some(roles)) => roles_text(roles),
        (None, None) => String::new(),
    }
}

/// `payee=lnd,payer=ldk-node`: roles in one word, in the order of their names.
pub fn roles_text(roles: &BTreeMap<String, String>) -> String {
    roles
        .iter()
        .map(|(r, i)| format!("{r}={i}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// What was seen, normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// Id of the check.
    pub id: String,
    /// In the codec lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implementation: Option<String>,
    /// In the cluster lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeMap<String, String>>,
    /// Redacted value.
    pub value: Value,
    /// Against the stored one.
    pub snapshot: SnapshotState,
    /// Pinned revision of the case's specification; a part of the snapshot's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What changed, as a unified diff; absent for `same` and `new`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

impl Observation {
    /// Who it was seen on, as [`Check::who`].
    pub fn who(&self) -> String {
        who(self.implementation.as_ref(), self.roles.as_ref())
    }
}

/// An observation against its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotState {
    /// As stored.
    Same,
    /// Nothing stored.
    New,
    /// Different under the version that stored it.
    Changed,
    /// Different under another version.
    Drift,
}

/// Answers that differ where the text is silent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disagreement {
    /// Id of the check.
    pub id: String,
    /// Who says what.
    pub groups: Vec<DisagreementGroup>,
}

/// Implementations that gave one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DisagreementGroup {
    /// Their names.
    pub implementations: Vec<String>,
    /// The answer.
    pub value: Value,
}

/// A live node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its role.
    pub role: String,
    /// Which implementation.
    pub implementation: String,
    /// Its version.
    pub version: String,
    /// Its node id, hex.
    pub node_id: String,
    /// Milliseconds its start took.
    pub started_ms: u64,
    /// Path of its log.
    pub log: String,
    /// The cluster it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// A part of a run's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// `build`, `install`, `start`, `fund`, `open`, `graph`, `turn` (ready, but others were at
    /// work), `steps`, `settle` (from one scenario of a cluster to the next), `stop`.
    pub name: String,
    /// Milliseconds.
    pub duration_ms: u64,
    /// The scenario it belongs to, where it does: what several scenarios of one cluster have in
    /// common belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The cluster it belongs to, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Of `stop`: why the cluster was thrown away before all its scenarios had run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Phase {
    /// A phase that belongs to nothing yet.
    pub fn new(name: &str, took: std::time::Duration) -> Self {
        Self {
            name: name.to_owned(),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            id: None,
            cluster: None,
            note: None,
        }
    }
}

/// A dialect of a draft. The lines of one draft's dialects follow each other, and have the same items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dialect {
    /// As `hello` lists it, such as `async/ldk`.
    pub name: String,
    /// Whose it is.
    pub title: String,
    /// The draft, in words.
    pub draft: String,
    /// Implementations that list it in `hello`.
    pub speakers: Vec<String>,
    /// Checks in this dialect that passed.
    pub passed: u64,
    /// Checks in this dialect that failed, expected or not.
    pub failed: u64,
    /// The number of each item, in the order of the table; `""` for an item that it does not have.
    pub numbers: serde_json::Map<String, Value>,
    /// Where the numbers were read.
    pub source: String,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Checks by outcome.
    pub counts: BTreeMap<String, u64>,
    /// Unexpected results.
    pub unexpected: u64,
    /// Stale, expired or unmatched expectations, changed, missing or orphan snapshots.
    pub stale: u64,
    /// The exit code of the run.
    pub exit_code: u8,
    /// Milliseconds.
    pub duration_ms: u64,
    /// What is stale, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}
