//! `adapter check`: the rules of the protocol against one adapter, a verdict a rule.
//!
//! Each rule has a process of its own, so that what one rule breaks is not blamed on the next.
//! `hello` and an ordinary conversation go first: what breaks the process there breaks it
//! everywhere, and the rules that it hides are shown as not run instead of failing all at once.

mod rules;

use crate::fault::{Fault, FaultKind};
use crate::host::{Adapter, seconds};
use crate::launch::{Launch, Limits};
use lnconform_protocol::Hello;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// What a rule found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The adapter keeps the rule.
    Passed,
    /// The adapter breaks the rule: it is refused.
    Failed,
    /// Something that the protocol advises against, or leaves open.
    Warning,
    /// The adapter has nothing the rule is about.
    NotApplicable,
    /// Another failure hides what the rule would see.
    NotRun,
}

impl Outcome {
    /// The word in the rendered list.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Warning => "warning",
            Outcome::NotApplicable => "not-applicable",
            Outcome::NotRun => "not-run",
        }
    }
}

/// The verdict on one rule.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Id of the rule, such as `adapter/hello/shape`.
    pub rule: &'static str,
    /// What it found.
    pub outcome: Outcome,
    /// What was seen, in one line.
    pub saw: String,
    /// What to do about it; empty when there is nothing to do.
    pub advice: String,
    /// The end of standard error, where the process broke down.
    pub stderr_tail: String,
}

/// How an adapter is checked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Limits of each process; `codec` is the time for one answer.
    pub limits: Limits,
    /// Time for one answer to a node operation, without a node.
    pub node_answer: Duration,
    /// How long an idle adapter is listened to.
    pub quiet: Duration,
    /// Rules that have not begun after this are not run, and the adapter is refused.
    pub budget: Duration,
    /// Processes at a time.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            node_answer: Duration::from_secs(10),
            quiet: Duration::from_millis(200),
            budget: Duration::from_secs(40),
            workers: 4,
        }
    }
}

/// What a rule works with.
pub(crate) struct Context<'a> {
    launch: &'a Launch,
    options: &'a Options,
    /// The adapter's `hello`.
    hello: &'a Hello,
}

impl Context<'_> {
    /// A fresh process that has not been greeted.
    fn open(&self) -> Result<Adapter, Fault> {
        Adapter::open(self.launch, &self.options.limits, 0, true)
    }

    /// A fresh process after `hello`.
    fn greeted(&self) -> Result<Adapter, Fault> {
        let adapter = self.open()?;
        adapter.greet()?;
        Ok(adapter)
    }

    fn lists(&self, op: &str) -> bool {
        self.hello.operations.iter().any(|o| o == op)
    }

    fn answer(&self) -> Duration {
        self.options.limits.codec
    }
}

/// What a rule saw.
pub(crate) enum Finding {
    Passed(String),
    Failed { saw: String, advice: &'static str },
    Warning { saw: String, advice: &'static str },
    NotApplicable(String),
}

/// A rule with a process of its own.
pub(crate) struct Rule {
    id: &'static str,
    /// What to do when the process breaks down under it.
    advice: &'static str,
    run: fn(&Context<'_>) -> Result<Finding, Fault>,
}

/// A kind of fault in an ordinary conversation is a rule as well: id, advice, what keeping it
/// looks like.
const ORDINARY: &[(&str, &[FaultKind], &str, &str)] = &[
    (
        "adapter/process/stays",
        &[FaultKind::Died, FaultKind::ClosedStdout],
        "keep the process and its output alive until `shutdown` or the end of input; turn what \
         goes wrong in one request into its error answer",
        "stayed up and kept its output open",
    ),
    (
        "adapter/process/answers",
        &[FaultKind::Hung],
        "answer every request, and flush standard output after each answer",
        "answered every request in time",
    ),
    (
        "adapter/output/answers-only",
        &[FaultKind::Garbage],
        "write nothing but answers on standard output, one JSON object a line with `id` and \
         exactly one of `result`, `error` and `unsupported`; logs go to standard error",
        "wrote only answers on standard output",
    ),
    (
        "adapter/output/utf8",
        &[FaultKind::NotUtf8],
        "write UTF-8; bytes are lower-case hex",
        "wrote UTF-8",
    ),
    (
        "adapter/output/whole-lines",
        &[FaultKind::DiedMidLine],
        "write each answer and its newline at once",
        "ended each answer with a newline",
    ),
    (
        "adapter/output/line-length",
        &[FaultKind::LineTooLong],
        "keep each answer below 4 MiB",
        "kept lines below the limit",
    ),
    (
        "adapter/output/once",
        &[FaultKind::AnsweredTwice],
        "answer each request once",
        "answered each request once",
    ),
    (
        "adapter/output/asked",
        &[FaultKind::NeverAsked, FaultKind::Flood],
        "answer only requests, with the id of the request unchanged",
        "wrote nothing unasked",
    ),
];

const HELLO: [(&str, &str); 3] = [
    (
        "adapter/hello/answer",
        "answer `hello` within 10 s of the start; do slow work later",
    ),
    (
        "adapter/hello/version",
        "answer the highest protocol version that you speak and that is not above the one asked; \
         this harness speaks 1",
    ),
    (
        "adapter/hello/shape",
        "answer {\"implementation\": {\"name\", \"version\", \"language\", \"source\"}, \
         \"protocol\": 1, \"operations\": [names], \"dialects\": [names]}",
    ),
];

/// Which rule of [`HELLO`] or [`ORDINARY`] a fault in the first `hello` breaks.
fn broken_in_hello(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::NotFound | FaultKind::NoHello => HELLO[0].0,
        FaultKind::Died | FaultKind::ClosedStdout | FaultKind::Hung => HELLO[0].0,
        FaultKind::WrongProtocol => HELLO[1].0,
        FaultKind::BadHello => HELLO[2].0,
        kind => broken_later(kind),
    }
}

/// Which rule of [`ORDINARY`] a fault after a first good `hello` breaks.
fn broken_later(kind: FaultKind) -> &'static str {
    // A second process that says no `hello`, or another one, does not answer as the first did.
    const ANSWERS: &str = "adapter/process/answers";
    ORDINARY
        .iter()
        .find(|(_, kinds, ..)| kinds.contains(&kind))
        .map_or(ANSWERS, |(id, ..)| id)
}

/// The ids of all rules, in the order of the verdicts.
pub fn rule_ids() -> Vec<&'static str> {
    let hello = HELLO.iter().map(|(id, _)| *id);
    let ordinary = ORDINARY.iter().map(|(id, ..)| *id);
    hello
        .chain(ordinary)
        .chain(rules::RULES.iter().map(|r| r.id))
        .collect()
}

/// Whether the adapter passes: no rule failed and none was left out because of a failure.
pub fn accepted(verdicts: &[Verdict]) -> bool {
    verdicts
        .iter()
        .all(|v| !matches!(v.outcome, Outcome::Failed | Outcome::NotRun))
}

/// Checks the adapter against all rules, in under a minute. `each` sees every verdict, in the
/// order of [`rule_ids`], as soon as those before it are there.
///
/// # Errors
/// A [`Fault`] if the program cannot be started at all ([`FaultKind::NotFound`], exit code 5).
pub fn check(
    launch: &Launch,
    options: &Options,
    mut each: impl FnMut(&Verdict),
) -> Result<Vec<Verdict>, Fault> {
    let clock = Instant::now();
    let mut verdicts = Vec::new();
    let mut tell = |verdict: Verdict| {
        each(&verdict);
        verdicts.push(verdict);
    };
    let (hello, first) = match introduce(launch, options) {
        Ok((hello, took)) => (hello, Ok(took)),
        Err(fault) if fault.kind == FaultKind::NotFound => return Err(fault),
        Err(fault) => (nobody(), Err(fault)),
    };
    let context = Context {
        launch,
        options,
        hello: &hello,
    };
    hello_verdicts(&context, &first, &mut tell);
    // What is wrong already, and the rule that says so.
    // Where this much goes wrong there is nothing to see for any other rule.
    let (general, hopeless) = match first {
        Err(fault) => (Some((broken_in_hello(fault.kind), fault)), true),
        Ok(_) => match rules::ordinary(&context) {
            Err(fault) => (Some((broken_later(fault.kind), fault)), true),
            Ok(()) => {
                let fault = rules::ordinary_listed(&context).err();
                (fault.map(|fault| (broken_later(fault.kind), fault)), false)
            }
        },
    };
    for (id, _, advice, kept) in ORDINARY {
        let verdict = match &general {
            Some((rule, fault)) if rule == id => failed(id, fault, advice),
            Some((rule, _)) => not_run(id, rule),
            None => verdict(id, Outcome::Passed, (*kept).to_owned(), ""),
        };
        tell(verdict);
    }
    if let (true, Some((rule, _))) = (hopeless, &general) {
        for rule_of_its_own in rules::RULES {
            tell(not_run(rule_of_its_own.id, rule));
        }
        return Ok(verdicts);
    }

    let next = AtomicUsize::new(0);
    let (send, receive) = channel();
    thread::scope(|scope| {
        for _ in 0..options.workers.clamp(1, rules::RULES.len()) {
            let (send, next, context, general) = (send.clone(), &next, &context, &general);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(rule) = rules::RULES.get(at) else {
                        return;
                    };
                    let verdict = if clock.elapsed() > options.budget {
                        let saw = format!(
                            "not begun: the rules before it took {}",
                            seconds(options.budget)
                        );
                        verdict(
                            rule.id,
                            Outcome::NotRun,
                            saw,
                            "make the adapter start faster",
                        )
                    } else {
                        judge(rule, context, general.as_ref())
                    };
                    if send.send((at, verdict)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting: Vec<Option<Verdict>> = rules::RULES.iter().map(|_| None).collect();
        let mut shown = 0;
        for (at, verdict) in receive {
            waiting[at] = Some(verdict);
            while let Some(verdict) = waiting.get_mut(shown).and_then(Option::take) {
                tell(verdict);
                shown += 1;
            }
        }
    });
    Ok(verdicts)
}

/// Starts the adapter and exchanges `hello`; also how long that took.
fn introduce(launch: &Launch, options: &Options) -> Result<(Hello, Duration), Fault> {
    let clock = Instant::now();
    let adapter = Adapter::open(launch, &options.limits, 0, true)?;
    let hello = adapter.greet()?.clone();
    Ok((hello, clock.elapsed()))
}

fn nobody() -> Hello {
    Hello {
        implementation: lnconform_protocol::Implementation {
            name: String::new(),
            version: String::new(),
            language: String::new(),
            source: String::new(),
        },
        protocol: 0,
        operations: Vec::new(),
        dialects: Vec::new(),
    }
}

fn hello_verdicts(
    context: &Context<'_>,
    first: &Result<Duration, Fault>,
    tell: &mut impl FnMut(Verdict),
) {
    let took = match first {
        Ok(took) => *took,
        Err(fault) => {
            let broken = broken_in_hello(fault.kind);
            // Whatever was answered, it was answered in time.
            let answered = matches!(fault.kind, FaultKind::WrongProtocol | FaultKind::BadHello);
            for (id, advice) in HELLO {
                tell(match id {
                    id if id == broken => failed(id, fault, advice),
                    "adapter/hello/answer" if answered => {
                        verdict(id, Outcome::Passed, "answered `hello`".into(), "")
                    }
                    id => not_run(id, broken),
                });
            }
            return;
        }
    };
    let (hello, who) = (context.hello, &context.hello.implementation);
    let saw = format!(
        "answered after {} ms: {} {}, {} operations",
        took.as_millis(),
        who.name,
        who.version,
        hello.operations.len()
    );
    tell(verdict(HELLO[0].0, Outcome::Passed, saw, ""));
    let (id, advice) = HELLO[1];
    tell(match rules::hello_version(context) {
        Ok(finding) => from_finding(id, finding),
        Err(fault) => failed(id, &fault, advice),
    });
    let (id, advice) = HELLO[2];
    tell(match rules::hello_shape(hello) {
        Ok(saw) => verdict(id, Outcome::Passed, saw, ""),
        Err(saw) => verdict(id, Outcome::Failed, saw, advice),
    });
}

fn judge(rule: &Rule, context: &Context<'_>, general: Option<&(&'static str, Fault)>) -> Verdict {
    match ((rule.run)(context), general) {
        (Ok(finding), _) => from_finding(rule.id, finding),
        (Err(_), Some((known, _))) => not_run(rule.id, known),
        (Err(fault), None) => failed(rule.id, &fault, rule.advice),
    }
}

fn verdict(rule: &'static str, outcome: Outcome, saw: String, advice: &str) -> Verdict {
    Verdict {
        rule,
        outcome,
        saw,
        advice: advice.to_owned(),
        stderr_tail: String::new(),
    }
}

fn failed(rule: &'static str, fault: &Fault, advice: &str) -> Verdict {
    Verdict {
        stderr_tail: fault.stderr_tail.clone(),
        ..verdict(rule, Outcome::Failed, fault.message.clone(), advice)
    }
}

fn not_run(rule: &'static str, because: &str) -> Verdict {
    verdict(
        rule,
        Outcome::NotRun,
        format!("nothing to see while {because} fails"),
        "",
    )
}

fn from_finding(rule: &'static str, finding: Finding) -> Verdict {
    match finding {
        Finding::Passed(saw) => verdict(rule, Outcome::Passed, saw, ""),
        Finding::Failed { saw, advice } => verdict(rule, Outcome::Failed, saw, advice),
        Finding::Warning { saw, advice } => verdict(rule, Outcome::Warning, saw, advice),
        Finding::NotApplicable(saw) => verdict(rule, Outcome::NotApplicable, saw, ""),
    }
}

/// One verdict as a line: outcome, rule, what was seen, what to do.
pub fn line(verdict: &Verdict) -> String {
    let Verdict {
        rule,
        outcome,
        saw,
        advice,
        ..
    } = verdict;
    let mut line = format!("{:<14}  {rule:<30}  {saw}", outcome.as_str());
    if !advice.is_empty() {
        line.push_str("; to do: ");
        line.push_str(advice);
    }
    line
}

/// The counts, and the end of standard error of the first failure; several lines.
pub fn summary(verdicts: &[Verdict]) -> String {
    let count = |outcome| verdicts.iter().filter(|v| v.outcome == outcome).count();
    let counts: Vec<_> = [
        Outcome::Passed,
        Outcome::Failed,
        Outcome::Warning,
        Outcome::NotApplicable,
        Outcome::NotRun,
    ]
    .into_iter()
    .filter(|&outcome| count(outcome) > 0)
    .map(|outcome| format!("{} {}", count(outcome), outcome.as_str()))
    .collect();
    let mut text = format!("{} rules: {}", verdicts.len(), counts.join(", "));
    text.push_str(if accepted(verdicts) {
        "; accepted\n"
    } else {
        "; refused\n"
    });
    if let Some(v) = verdicts.iter().find(|v| !v.stderr_tail.trim().is_empty()) {
        text.push_str(&format!("standard error at {}:\n", v.rule));
        let lines: Vec<_> = v.stderr_tail.trim_end().lines().collect();
        for line in &lines[lines.len().saturating_sub(10)..] {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

/// All verdicts, one line each, and the summary. Plain text; colours are the caller's.
pub fn render(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        text.push_str(&line(verdict));
        text.push('\n');
    }
    text.push_str(&summary(verdicts));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_breaks_one_rule() {
        let ids = rule_ids();
        for kind in [
            FaultKind::NoHello,
            FaultKind::BadHello,
            FaultKind::WrongProtocol,
            FaultKind::Died,
            FaultKind::DiedMidLine,
            FaultKind::ClosedStdout,
            FaultKind::Hung,
            FaultKind::Flood,
            FaultKind::AnsweredTwice,
            FaultKind::NeverAsked,
            FaultKind::Garbage,
            FaultKind::NotUtf8,
            FaultKind::LineTooLong,
        ] {
            assert!(ids.contains(&broken_in_hello(kind)), "{kind}");
            assert!(ids.contains(&broken_later(kind)), "{kind}");
        }
        assert_eq!(broken_later(FaultKind::Died), "adapter/process/stays");
        assert_eq!(broken_in_hello(FaultKind::Died), "adapter/hello/answer");
    }

    #[test]
    fn rule_ids_are_unique() {
        let mut ids = rule_ids();
        let n = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), n);
        assert!(ids.iter().all(|id| id.starts_with("adapter/")));
    }

    #[test]
    fn verdicts_are_rendered_a_line_each() {
        let verdicts = [
            verdict(
                "adapter/hello/answer",
                Outcome::Passed,
                "answered after 3 ms".into(),
                "",
            ),
            Verdict {
                stderr_tail: "Traceback\nKeyError: 'id'\n".into(),
                ..verdict(
                    "adapter/process/stays",
                    Outcome::Failed,
                    "exited with code 1".into(),
                    "stay",
                )
            },
            not_run("adapter/ids/echo", "adapter/process/stays"),
        ];
        insta::assert_snapshot!(render(&verdicts), @r"
        passed          adapter/hello/answer            answered after 3 ms
        failed          adapter/process/stays           exited with code 1; to do: stay
        not-run         adapter/ids/echo                nothing to see while adapter/process/stays fails
        3 rules: 1 passed, 1 failed, 1 not-run; refused
        standard error at adapter/process/stays:
            Traceback
            KeyError: 'id'
        ");
        assert!(accepted(&verdicts[..1]) && !accepted(&verdicts[2..]));
    }
}
