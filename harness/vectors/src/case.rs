//! What the loader hands to the engine: cases with `extends`, `mutate` and `matrix` resolved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One case: one check in the codec lane, one or more in the cluster lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Path below the vector folder without `.yaml`, plus `?axis=value` for a `matrix`; or
    /// `upstream/…`.
    pub id: String,
    /// The file it came from, for messages; the embedded ones have their path in the repository.
    pub file: PathBuf,
    /// Where in the file the case begins, counted from 1.
    pub line: usize,
    /// One sentence.
    pub description: String,
    /// Name of the specification and revision, `blip-0003` or `keysend-proof@0`.
    pub spec: Option<String>,
    /// Ids of the requirements that the case covers.
    pub covers: Vec<String>,
    /// Such as `slow`.
    pub tags: Vec<String>,
    /// Operations and dialects without which the case does not apply.
    pub needs: Vec<String>,
    /// Where the expectation comes from.
    pub provenance: Option<Provenance>,
    /// Whose case it is.
    pub origin: Origin,
    /// Codec or scenario.
    pub body: Body,
}

/// Where a case was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// This repository's own vectors: embedded, or `vectors/` of the working directory.
    BuiltIn,
    /// A folder that the user added with `--vectors`.
    Added,
    /// A file of the specification's own repository, below `--specs`.
    Upstream,
}

/// The two kinds of case.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// One operation, stateless.
    Codec(Codec),
    /// Steps on live nodes.
    Scenario(Scenario),
}

/// One stateless operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Codec {
    /// The operation's name.
    pub operation: String,
    /// Its params.
    pub input: Value,
    /// What must be answered.
    pub expect: Expect,
    /// Narrows the implementations (from `matrix: {implementation: […]}`); empty means all.
    pub implementations: Vec<String>,
    /// JSON pointers (or dotted paths) into the answer that go into the snapshot; empty: the whole.
    pub observe: Vec<String>,
}

/// What is expected of an answer. Patterns may hold matchers; see `matchers`.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// A result; fields of the pattern must be there and match, others are ignored.
    Result(Value),
    /// An error; `kind`, `rule` and `code` are compared only where given, `rule` only where the
    /// implementation answered one.
    Error(ErrorPattern),
    /// Any of these.
    OneOf(Vec<Alternative>),
    /// Nothing is asserted: the answer is an observation only.
    Observe,
}

/// One allowed answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The sentence (our paraphrase, with section) that allows it.
    pub because: String,
    /// The answer.
    pub expect: Expect,
}

/// An expected error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorPattern {
    /// `invalid`, `rejected`, `payment-failed`, `timeout`, `internal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Requirement id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// BOLT 4 failure code with its flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// A part of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Where an expectation comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Provenance {
    /// The text; the section.
    Text(String),
    /// Computed by the reference: generator, its version, the seed.
    Derived {
        /// Operation that computed it.
        generator: String,
        /// Version of the reference.
        version: String,
        /// Seed, a decimal string, where one was used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<String>,
    },
    /// A file of the specification's own repository, and the case in it.
    Upstream {
        /// Path below the checkout.
        file: String,
        /// Name of the case.
        case: String,
    },
    /// No text could be had.
    DraftByImplementation(String),
}

/// Steps on live nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Which nodes and channels.
    pub topology: Topology,
    /// Which implementations may take each role: those of the topology, and those that are a codec's
    /// ([`RoleChoice::Codec`]).
    pub roles: BTreeMap<String, RoleChoice>,
    /// In order.
    pub steps: Vec<Step>,
    /// It has a cluster for itself: the file says so, or its steps stop or start a node, or leave
    /// an interception on.
    pub own_cluster: bool,
}

/// Who may take a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleChoice {
    /// Every node implementation at hand.
    Any,
    /// These.
    Of(Vec<String>),
    /// Every implementation with a codec. The role has no node and does not stand in the topology; its
    /// steps are codec operations.
    Codec,
}

impl Scenario {
    /// Roles that have no node: an implementation's codec answers their steps.
    pub fn codec_roles(&self) -> impl Iterator<Item = &String> {
        let codec = |(_, choice): &(&String, &RoleChoice)| **choice == RoleChoice::Codec;
        self.roles.iter().filter(codec).map(|(role, _)| role)
    }

    /// All its roles: those of the topology, then those that have no node.
    pub fn all_roles(&self) -> impl Iterator<Item = &String> {
        self.topology.nodes.keys().chain(self.codec_roles())
    }
}

/// A file of `vectors/topologies`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Name: the file's, without `.yaml`.
    #[serde(skip)]
    pub name: String,
    /// Roles and how each node is set up.
    pub nodes: BTreeMap<String, TopologyNode>,
    /// Channels, opened in this order.
    #[serde(default)]
    pub channels: Vec<TopologyChannel>,
    /// Peers without a channel, for onion messages.
    #[serde(default)]
    pub connect: Vec<[String; 2]>,
    /// Named conditions: `channels-usable`, `graph-complete`.
    #[serde(default)]
    pub ready: Vec<String>,
    /// The Electrum server for the nodes that take the chain from one; `e-x` where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
}

/// An Electrum server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerName {
    /// The maintained ElectrumX.
    #[serde(rename = "e-x")]
    Ex,
    /// electrs.
    Electrs,
}

/// Where a node takes the chain from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChainSource {
    /// The cluster's Electrum server, of which alone it is told.
    Electrum,
}

/// One node of a topology.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopologyNode {
    /// On-chain balance in satoshi at the start; whoever accepts a channel has 100000 at least.
    #[serde(default)]
    pub funded_sat: u64,
    /// It forwards, so it is announced and accepts forwards to unannounced channels.
    #[serde(default)]
    pub forwards: bool,
    /// It has an alias and an announced address.
    #[serde(default)]
    pub announced: bool,
    /// Where it takes the chain from; its own choice where nothing is said, which is bitcoind where it
    /// can. Write `needs: ["ROLE: chain/electrum"]` beside `electrum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainSource>,
    /// More `options` for its `node.start`, such as `{keysend_hold: 8}`; an adapter that does not
    /// know one answers `unsupported`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

/// One channel of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopologyChannel {
    /// The role that opens and funds it.
    pub from: String,
    /// The role that accepts it.
    pub to: String,
    /// Capacity, satoshi.
    pub capacity_sat: u64,
    /// Pushed to the acceptor, millisatoshi (a decimal string in the file).
    #[serde(default, with = "decimal")]
    #[schemars(with = "String")]
    pub push_msat: u64,
    /// Announced to the network.
    #[serde(default)]
    pub announce: bool,
}

/// One step: an operation on a role.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name of the step; the check's id ends in `#name` (its number from 1 where absent).
    pub name: String,
    /// The role that does it, or `chain`, `codec` or `harness`.
    pub on: String,
    /// The operation: of a node; of an adapter that needs none (on `codec`); or the harness's own:
    /// `chain.mine` (on `chain`), `file.write`, `file.read`, `values.keep`, `bytes.xor`, `process.kill` and
    /// `lnurl.…`
    /// (on `harness`).
    pub operation: String,
    /// Params; may hold references such as `$payee.node_id`.
    pub with: Value,
    /// Name under which the result is known to later steps.
    pub bind: Option<String>,
    /// How long it may take.
    pub deadline: Option<Duration>,
    /// Repeat the step until the expectation holds or the deadline has passed; for state that
    /// is asked for, such as `graph.nodes`, where there is no event to wait for.
    pub until: bool,
    /// What must be answered; `None` asserts nothing but that the step works.
    pub expect: Option<Expect>,
    /// Paths into the answer that go into the snapshot; empty: the fields that `expect` names.
    pub observe: Vec<String>,
    /// Requirements that this step covers; empty: those of the case.
    pub covers: Vec<String>,
    /// Line of the step in the file, counted from 1.
    pub line: usize,
}

/// 64-bit numbers as decimal strings.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        // YAML would take an unquoted number for a string.
        let value = serde_json::Value::deserialize(d)?;
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| D::Error::custom(format!("{value} is not a decimal string; quote it")))
    }
}
