//! What is left of a run that was stopped, or killed, or killed together with its watchdog.
//!
//! This binary plays three parts: the test, the harness that is killed (`victim`), and that
//! harness's watchdog (`reap`), which is why it has a `main` of its own.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("reap") => lnconform_regtest::reaper::main().unwrap(),
        Some("victim") => linux::victim(&args[2]),
        Some("starter") => linux::starter(&args[2]),
        Some("--list") => {}
        _ => linux::tests(),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use lnconform_regtest::chain::Chain;
    use lnconform_regtest::clean::{self, Leftover};
    use lnconform_regtest::reaper::Reaper;
    use lnconform_regtest::run::{self, RunDir};
    use lnconform_regtest::{RUN_ENV, process, provision};
    use std::io::{BufRead, BufReader, Write};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    /// A harness with a run under way: a child with a child of its own (both deaf to SIGTERM) and
    /// a bitcoind. Prints what there is to be tidied up, then does what it reads.
    pub fn victim(id: &str) {
        let me = std::env::current_exe().unwrap();
        let run = RunDir::create(id).unwrap();
        let watchdog = Reaper::start(&me, &run).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' TERM; sleep 100 & echo $!; wait; wait"])
            .env(RUN_ENV, id)
            .stdout(Stdio::piped());
        let mut child = process::spawn(command, "deaf").unwrap();
        let mut grandchild = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut grandchild)
            .unwrap();
        let found = provision::install("bitcoind", false, &mut |p| eprintln!("{}", p.message));
        let chain = Chain::start(&run, &found.unwrap_or_else(|e| panic!("{e}")).path, "a").unwrap();
        println!("{} {} {}", child.id(), grandchild.trim(), chain.pid());
        println!("{}", run.path().display());

        let mut order = String::new();
        std::io::stdin().read_line(&mut order).unwrap();
        match order.trim() {
            "stop" => {
                let stubborn = run::stop_all();
                println!("{stubborn:?}");
                let refused = process::spawn(Command::new("true"), "late").unwrap_err();
                println!("{refused}");
                // Nothing is dropped, as when a thread for signals ends the process.
                std::process::exit(130);
            }
            "exit" => std::process::exit(0),
            "keep" => {
                run.keep();
                drop((chain, child, run, watchdog));
            }
            _ => drop((chain, child, run, watchdog)),
        }
    }

    /// A harness that starts bitcoinds one after another, and is told to stop meanwhile. Prints how
    /// many were up by then, and for how many milliseconds the starts went on after that.
    pub fn starter(id: &str) {
        let run = RunDir::create(id).unwrap();
        let me = std::env::current_exe().unwrap();
        let watchdog = Reaper::start(&me, &run).unwrap();
        let found = provision::install("bitcoind", false, &mut |p| eprintln!("{}", p.message));
        let exe = found.unwrap_or_else(|e| panic!("{e}")).path;
        let up = AtomicUsize::new(0);
        let begin = std::thread::scope(|scope| {
            let start = |n: u32| {
                let (run, exe, up) = (&run, &exe, &up);
                scope.spawn(move || {
                    if Chain::start(run, exe, &format!("c{n}")).is_ok() {
                        up.fetch_add(1, Ordering::Relaxed);
                    }
                });
            };
            (0..STARTS).for_each(start);
            let begun = |n: u32| run.path().join(format!("chain-c{n}/pid")).exists();
            until("a first process", || (0..STARTS).any(begun));
            let begin = Instant::now();
            let stopping = scope.spawn(run::stop_all);
            (STARTS..STARTS + LATE).for_each(start);
            stopping.join().unwrap();
            begin
        });
        drop((run, watchdog));
        let up = up.load(Ordering::Relaxed);
        println!("{up} {}", begin.elapsed().as_millis());
    }

    /// So many bitcoinds start at once; the stop comes when there is a first process.
    const STARTS: u32 = 24;
    /// So many begin while it goes on.
    const LATE: u32 = 8;

    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(Instant::now() < deadline, "{what} did not come");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    struct Victim {
        child: Child,
        lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
        pids: Vec<u32>,
        dir: PathBuf,
        id: String,
    }

    fn start(name: &str) -> Victim {
        let id = format!("test-kill-{name}-{}", std::process::id());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["victim", &id])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let pids: Vec<u32> = line().split(' ').map(|n| n.parse().unwrap()).collect();
        let dir = PathBuf::from(line());
        assert!(pids.iter().all(|p| running(*p)) && dir.exists());
        Victim {
            child,
            lines,
            pids,
            dir,
            id,
        }
    }

    impl Victim {
        fn order(&mut self, word: &str) {
            writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
        }

        /// How long after `begin` everything was gone.
        fn tidy(&self, begin: Instant, limit: Duration) -> Duration {
            loop {
                let left: Vec<&u32> = self.pids.iter().filter(|p| running(**p)).collect();
                if left.is_empty() && !self.dir.exists() {
                    return begin.elapsed();
                }
                let dir = self.dir.exists();
                assert!(
                    begin.elapsed() < limit,
                    "left: processes {left:?}, folder {dir}"
                );
                std::thread::sleep(Duration::from_millis(5));
            }
        }

        fn watchdog(&self) -> u32 {
            let wanted = format!("reap\0{}\0", self.id);
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                if let Ok(line) = std::fs::read(entry.path().join("cmdline"))
                    && line.ends_with(wanted.as_bytes())
                {
                    return entry.file_name().to_str().unwrap().parse().unwrap();
                }
            }
            panic!("no watchdog of {}", self.id);
        }
    }

    /// Whether the process exists and is no zombie (orphans wait for an init that may be slow).
    fn running(pid: u32) -> bool {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return false;
        };
        let state = stat[stat.rfind(')').unwrap()..].chars().nth(2);
        !matches!(state, Some('Z' | 'X'))
    }

    fn kill(pid: u32) {
        assert!(
            Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    pub fn tests() {
        let all: [(&str, fn()); 7] = [
            (
                "an_orderly_end_leaves_nothing",
                an_orderly_end_leaves_nothing,
            ),
            (
                "a_kept_folder_survives_the_watchdog",
                a_kept_folder_survives_the_watchdog,
            ),
            (
                "stop_all_ends_everything_within_five_seconds",
                stop_all_ends_everything,
            ),
            (
                "what_is_starting_when_the_stop_comes_gives_up_at_once",
                what_is_starting_gives_up,
            ),
            (
                "an_exit_without_drops_is_tidied_up_by_the_watchdog",
                an_exit_without_drops,
            ),
            (
                "a_killed_harness_is_tidied_up_by_the_watchdog",
                a_killed_harness,
            ),
            (
                "what_a_killed_watchdog_leaves_is_found_by_clean",
                a_killed_watchdog,
            ),
        ];
        let filters: Vec<String> = std::env::args()
            .skip(1)
            .filter(|a| !a.starts_with('-'))
            .collect();
        for (name, test) in all {
            if filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str())) {
                // A failed one panics, and with it this process ends unsuccessfully.
                test();
                println!("test {name} ... ok");
            }
        }
    }

    fn an_orderly_end_leaves_nothing() {
        let mut victim = start("orderly");
        let watchdog = victim.watchdog();
        victim.order("end");
        assert!(victim.child.wait().unwrap().success());
        assert!(!running(watchdog), "the watchdog outlived its goodbye");
        victim.tidy(Instant::now(), Duration::from_secs(1));
    }

    fn a_kept_folder_survives_the_watchdog() {
        let mut victim = start("keep");
        victim.order("keep");
        assert!(victim.child.wait().unwrap().success());
        assert!(victim.dir.join("owner.json").exists());
        assert!(victim.pids.iter().all(|p| !running(*p)));
        std::fs::remove_dir_all(&victim.dir).unwrap();
    }

    fn stop_all_ends_everything() {
        let mut victim = start("stop");
        let begin = Instant::now();
        victim.order("stop");
        assert_eq!(
            victim.lines.next().unwrap().unwrap(),
            "[\"deaf\"]",
            "who had to be killed"
        );
        assert!(
            victim
                .lines
                .next()
                .unwrap()
                .unwrap()
                .contains("being stopped")
        );
        assert_eq!(victim.child.wait().unwrap().code(), Some(130));
        let took = victim.tidy(begin, Duration::from_secs(5));
        println!("  stopped after {took:?}, of which 2 s are granted to the deaf");
    }

    fn what_is_starting_gives_up() {
        let id = format!("test-kill-starting-{}", std::process::id());
        let ran = Command::new(std::env::current_exe().unwrap())
            .args(["starter", &id])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(ran.status.success());
        let said = String::from_utf8(ran.stdout).unwrap();
        let (up, took) = said.trim().split_once(' ').unwrap();
        println!("  {up} of {STARTS} were up; the last start ended {took} ms after the stop");
        let (up, took): (u32, u64) = (up.parse().unwrap(), took.parse().unwrap());
        assert!(up < STARTS, "the stop came too late to show anything");
        // Their launcher looks for 15 s for a bitcoind whose folder is gone.
        assert!(took < 3000, "{took} ms");
        let left: Vec<Leftover> = clean::plan();
        assert!(
            !left.iter().any(|l| matches!(l,
                Leftover::Process { run, .. } | Leftover::Folder { run, .. } if *run == id)),
            "{left:?}"
        );
    }

    fn an_exit_without_drops() {
        let mut victim = start("exit");
        let begin = Instant::now();
        victim.order("exit");
        victim.child.wait().unwrap();
        println!(
            "  tidy after {:?}",
            victim.tidy(begin, Duration::from_secs(5))
        );
    }

    fn a_killed_harness() {
        let mut victim = start("killed");
        let begin = Instant::now();
        kill(victim.child.id());
        victim.child.wait().unwrap();
        println!(
            "  tidy after {:?}",
            victim.tidy(begin, Duration::from_secs(10))
        );
    }

    fn a_killed_watchdog() {
        let mut victim = start("both");
        let ours = |l: &Leftover| match l {
            Leftover::Process { run, .. }
            | Leftover::Folder { run, .. }
            | Leftover::Kept { run, .. } => *run == victim.id,
            Leftover::PortLock { .. } => false,
        };
        assert!(
            !clean::plan().iter().any(ours),
            "a living run was taken for a dead one"
        );
        kill(victim.watchdog());
        kill(victim.child.id());
        victim.child.wait().unwrap();
        // The kernel kills the direct child; the grandchild and bitcoind stay.
        let [child, grandchild, bitcoind] = victim.pids[..] else {
            panic!()
        };
        let begin = Instant::now();
        while running(child) {
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "the direct child lives on"
            );
        }
        let found: Vec<Leftover> = clean::plan().into_iter().filter(ours).collect();
        for pid in [grandchild, bitcoind] {
            assert!(running(pid));
            let listed = |l: &Leftover| matches!(l, Leftover::Process { pid: p, .. } if *p == pid);
            assert!(found.iter().any(listed), "{pid} is not in {found:?}");
        }
        let folder =
            |l: &Leftover| matches!(l, Leftover::Folder { path, .. } if *path == *victim.dir);
        assert!(found.iter().any(folder), "{found:?}");
        clean::remove(&found).unwrap();
        victim.tidy(Instant::now(), Duration::from_secs(5));
        assert!(!clean::plan().iter().any(ours));
        assert!(!Path::new(&victim.dir).exists());
    }
}
