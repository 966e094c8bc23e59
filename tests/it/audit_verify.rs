//! The verifiers: every attack is caught, by ours and by the Python one that shares nothing with it; honest logs raise no
//! alarm.

mod attacks;
mod log;

use crate::support::chance::Chance;
use attacks::{Case, Kind};
use gatehouse::audit::{
    bundle::Scope,
    note::PublicKey,
    verify::{Fault, Outcome, Since, Verdict, verify},
};
use log::Log;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What our verifier says.
fn ours(case: &Case) -> Verdict {
    let look = || -> Result<Verdict, Fault> {
        let key = case.key.as_deref().map(|key| PublicKey::parse(key).unwrap());
        let since = case.since.iter().map(|note| Since::parse("earlier", note.clone()));
        Ok(verify(&case.bundle[..], key.as_ref(), &since.collect::<Result<Vec<_>, Fault>>()?))
    };
    look().unwrap_or_else(Verdict::of)
}

#[test]
fn every_attack_is_caught() {
    let cases = attacks::all();
    let (mut caught, mut blind, mut wrong) = (0, 0, Vec::new());
    for case in &cases {
        let verdict = ours(case).json();
        let expected = (json!(case.exit), json!(case.check), json!(case.seq));
        if (verdict["exit"].clone(), verdict["check"].clone(), verdict["seq"].clone()) != expected {
            wrong.push(format!("{}: {expected:?}, but {verdict}", case.name));
        }
        match case.kind {
            Kind::Attack => caught += usize::from(verdict["exit"] != 0),
            Kind::Blind => blind += 1,
            Kind::Honest => {}
        }
    }
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
    let tried = cases.iter().filter(|case| case.kind == Kind::Attack).count();
    println!(
        "figure: audit attacks | tried = {tried}, violations = {}, caught = {caught}, blind without an anchor = {blind}",
        tried - caught
    );
    assert_eq!(caught, tried);
    // Every check of the format has something that fails it; 12 and 13 leave things unproven.
    let checks: BTreeSet<u8> = cases.iter().filter_map(|case| case.check).collect();
    assert_eq!(checks, (1..=11).chain([14]).collect());
}

/// What is not caught is said: the verdict names it.
#[test]
fn the_verdict_says_what_is_not_proven() {
    let cases = attacks::all();
    let says = |name: &str, words: &[&str]| {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let text = ours(case).to_string();
        for word in words {
            assert!(text.contains(word), "{name}: no {word:?} in\n{text}");
        }
    };
    says(
        "honest: the whole log",
        &["PROVEN", "none missing", "What was written after the first 64 entries", "no earlier checkpoint"],
    );
    says("honest: a tenant", &["all of tenant w1 t1", "leave", "silences"]);
    says("honest: what a search found", &["INCOMPLETE", "nothing says that none was left out"]);
    says("honest: details erased", &["details were erased or not given"]);
    says("honest: no key given", &["No key was given", "gatehouse-audit/5f0c1d9e+"]);
    says("honest: stopped for two hours", &["PROVEN", "The program was stopped from 2026-"]);
    says("two hours without a word", &["INCOMPLETE", "nothing says why", "(entry 63)", "(entry 64)"]);
    says("restored, and entries were lost", &["Entries 50 to 63 of epoch 1", "were lost"]);
    says("restored, and nothing known of it", &["epoch 2"]);
    says("an older bundle given again, with an earlier checkpoint", &["TAMPERED", "older state"]);
    says(
        "the key holder rewrites what follows the last earlier checkpoint",
        &["wrote anew what follows the first 40 entries"],
    );
    says("an entry edited", &["TAMPERED", "First thing wrong", "Entry "]);
    says("an archive cut in the middle", &["MALFORMED", "ends early"]);
}

/// Scopes that a log of `life` can be exported in.
fn scopes(chance: &mut Chance) -> Vec<Scope> {
    vec![
        Scope::Log {},
        log::workspace(chance.one::<&str>(&["w1", "w2", "w9"])),
        log::tenant("w1", chance.one::<&str>(&["t1", "t2", "t9"])),
        log::partial(chance.between(1, 9)),
    ]
}

/// One log of a kind: what happened in it, and how big it is, is the seed's.
fn random_log(seed: u64) -> Log {
    let mut chance = Chance::new(seed);
    let size = match chance.between(0, 100) {
        0..5 => 0,
        5..10 => 1,
        10..13 => 255 + chance.between(0, 3),
        _ => chance.between(2, 60),
    } as usize;
    let mut log = log::life(seed, size);
    for _ in 0..chance.between(0, 3) {
        if log.entries.len() > 2 && chance.percent(20) {
            let kept = chance.between(1, log.size()) as usize;
            let (at, epoch) = (log.entries[kept - 1].at, log.epoch + chance.between(1, 3));
            log.restore(kept, at + chance.between(0, 100) as i64 * 3_600_000, epoch);
            let more = chance.between(0, 20) as usize;
            let size = log.entries.len() + more;
            log::grow(&mut log, &mut chance, size);
        }
    }
    for entry in &mut log.entries {
        if chance.percent(10) {
            let gone = chance.between(0, 5) as usize;
            entry.details.drain(..gone.min(entry.details.len()));
        }
    }
    log
}

/// An honest bundle of the log, and how it has to end.
fn honest_case(name: String, log: &Log, scope: &Scope, chance: &mut Chance) -> Case {
    let size = if chance.percent(50) { log.size() } else { chance.between(0, log.size() + 1) };
    // An epoch's checkpoints are all after the entry that began it.
    let began = log
        .entries
        .iter()
        .rposition(|e| String::from_utf8_lossy(&e.bytes).contains("\"audit.restore\""))
        .map_or(0, |at| at as u64 + 1);
    let size = size.max(began);
    let mut earlier: Vec<u64> = (0..chance.between(0, 4)).map(|_| chance.between(began, size + 1)).collect();
    if log.epoch > 1 {
        earlier.push(size);
    }
    earlier.sort_unstable();
    earlier.dedup();
    Case {
        name,
        bundle: log.bundle(scope, size, &earlier),
        key: Some(log.key.public().to_string()),
        since: earlier.iter().map(|size| log.checkpoint(*size)).collect(),
        exit: if matches!(scope, Scope::Partial { .. }) { 3 } else { 0 },
        check: None,
        seq: None,
        kind: Kind::Honest,
    }
}

#[test]
fn honest_logs_raise_no_alarm() {
    const LOGS: u64 = 1000;
    let (mut bundles, mut alarms) = (0, Vec::new());
    for seed in 0..LOGS {
        let log = random_log(seed);
        let mut chance = Chance::new(!seed);
        for scope in scopes(&mut chance) {
            let case = honest_case(format!("seed {seed}, {scope:?}"), &log, &scope, &mut chance);
            let verdict = ours(&case);
            bundles += 1;
            if verdict.outcome().exit_code() != case.exit {
                alarms.push(format!("{}: {verdict}", case.name));
            }
        }
    }
    println!("figure: honest audit logs | logs = {LOGS}, violations = {}, bundles = {bundles}", alarms.len());
    assert!(alarms.is_empty(), "{}", alarms.join("\n"));
}

/// Proofs around the borders of tiles, in a tree that has more than one level of them.
#[test]
fn proofs_hold_around_the_borders_of_tiles() {
    let log = log::life(3, 65_537);
    for size in [65_535, 65_536, 65_537] {
        let earlier = [1, 255, 256, 257, 65_535];
        let mut scopes = vec![log::tenant("w2", "t2"), log::partial(65_535)];
        scopes.extend((size == 65_537).then_some(Scope::Log {}));
        for scope in scopes {
            let exit = if matches!(scope, Scope::Partial { .. }) { 3 } else { 0 };
            let case = Case {
                name: String::new(),
                bundle: log.bundle(&scope, size, &earlier),
                key: Some(log.key.public().to_string()),
                since: earlier.iter().map(|size| log.checkpoint(*size)).collect(),
                exit,
                check: None,
                seq: None,
                kind: Kind::Honest,
            };
            let verdict = ours(&case);
            assert_eq!(verdict.outcome().exit_code(), exit, "{scope:?} of {size}: {verdict}");
        }
    }
}

/// Whatever byte is changed in a bundle, it is not what was signed.
#[test]
fn no_byte_can_be_changed() {
    let log = log::life(11, 12);
    let key = log.key.public().clone();
    let mut tried = 0;
    for scope in [Scope::Log {}, log::tenant("w1", "t1")] {
        let bundle = log.bundle(&scope, 12, &[5]);
        let mut chance = Chance::new(17);
        // But for the notation of a header's checksum, which nothing covers.
        let notation = |at: usize| {
            let block = &bundle[at / 512 * 512..];
            block.get(257..262) == Some(b"ustar") && (148..156).contains(&(at % 512))
        };
        let places: Vec<usize> =
            (0..bundle.len()).filter(|at| chance.percent(20) && !notation(*at)).collect();
        for at in places {
            let mut other = bundle.clone();
            other[at] ^= 1 << chance.between(0, 8);
            let verdict = verify(&other[..], Some(&key), &[]);
            let refused = matches!(verdict.outcome(), Outcome::Tampered | Outcome::Malformed);
            assert!(refused, "byte {at} of {scope:?}: {verdict}");
            tried += 1;
        }
    }
    println!("{tried} bundles with one bit changed, all refused");
}

/// The command: files, a key in a file, exit codes, both forms of the verdict.
#[test]
fn the_command_says_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    for (number, case) in attacks::all().iter().enumerate().filter(|(number, _)| number % 9 == 0) {
        let args = write_case(&folder.path().join(number.to_string()), case);
        let run = |more: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_gatehouse"))
                .args(["audit", "verify"])
                .args(&args)
                .args(more)
                .output()
                .unwrap()
        };
        let text = run(&[]);
        assert_eq!(text.status.code(), Some(case.exit.into()), "{}: {text:?}", case.name);
        let first = String::from_utf8(text.stdout).unwrap();
        let word = ["PROVEN", "TAMPERED", "MALFORMED", "INCOMPLETE"][case.exit as usize];
        assert!(first.starts_with(word), "{}: {first}", case.name);
        let json: Value = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
        assert_eq!(json["exit"], case.exit, "{}: {json}", case.name);
    }
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("key"), "nothing\n").unwrap();
    for args in [
        vec![at("missing.tar")],
        vec![at("0/bundle.tar"), "--key".into(), at("missing")],
        vec![at("0/bundle.tar"), "--key".into(), at("key")],
        vec![at("0/bundle.tar"), "--since".into(), at("missing")],
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["audit", "verify"])
            .args(&args)
            .output()
            .unwrap();
        assert_eq!(run.status.code(), Some(2), "{args:?}: {run:?}");
    }
}

/// A big bundle in a file, checked by the command: entries a second, and the most memory it took. For figures worth quoting:
/// `GATEHOUSE_AUDIT_ENTRIES=1000000 GATEHOUSE_BIN=target/release/gatehouse`.
#[test]
fn a_big_bundle_is_checked_in_little_memory() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<usize>().ok());
    let entries = number("GATEHOUSE_AUDIT_ENTRIES").unwrap_or(20_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.tar");
    let key = log::write_big(&path, entries);
    let program = std::env::var("GATEHOUSE_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_gatehouse").into());
    let began = Instant::now();
    let mut running = Command::new(program)
        .args(["audit", "verify", "--json", "--key", &key])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    while running.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let rss = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak = rss.and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default().max(peak);
        thread::sleep(Duration::from_millis(5));
    }
    let took = began.elapsed();
    let said: Value = serde_json::from_reader(running.stdout.take().unwrap()).unwrap();
    assert_eq!((&said["exit"], &said["entries"]), (&json!(0), &json!(entries)), "{said}");
    let mib = fs::metadata(&path).unwrap().len() >> 20;
    println!(
        "figure: audit verification | entries = {entries}, entries/s = {:.0}, peak = {} MiB, bundle = {mib} MiB",
        entries as f64 / took.as_secs_f64(),
        peak >> 10
    );
    assert!(peak < 100 << 10, "{peak} KiB");
}

/// The second verifier, in Python and by somebody else, says the same of the same files. Skipped where Python or its one package
/// is missing; `tests/run.sh` has them, and says with GATEHOUSE_TEST_PYTHON that they must be there.
#[test]
fn the_second_verifier_agrees() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/audit_verify.py");
    // Where tests/audit_tools.sh puts it.
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/audit-tools/bin/python");
    let python = if made.exists() { made } else { "python3".into() };
    let ready = Command::new(&python)
        .args(["-c", "import cryptography"])
        .output()
        .is_ok_and(|run| run.status.success());
    if !ready {
        assert!(
            std::env::var_os("GATEHOUSE_TEST_PYTHON").is_none(),
            "{python:?} lacks the package cryptography"
        );
        println!("not tried: {python:?} lacks the package cryptography");
        return;
    }
    let mut cases = attacks::all();
    for seed in (0..1000).step_by(50) {
        let (log, mut chance) = (random_log(seed), Chance::new(!seed));
        for scope in scopes(&mut chance) {
            cases.push(honest_case(format!("seed {seed}, {scope:?}"), &log, &scope, &mut chance));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    let wrong: Vec<String> = thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            while let Some((number, case)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, cases.get(n)?)))
            {
                let args = write_case(&folder.path().join(number.to_string()), case);
                let run = Command::new(&python).arg(&tool).args(&args).arg("--json").output().unwrap();
                let verdict: Value = serde_json::from_slice(&run.stdout).unwrap_or_default();
                let ours = ours(case).json();
                let mut differs = run.status.code() != Some(case.exit.into());
                differs |= ["exit", "check"].iter().any(|name| verdict[name] != ours[name]);
                // Which entry a malformed line is of cannot always be told.
                differs |= case.exit == 1 && verdict["seq"] != ours["seq"];
                if differs {
                    let error = String::from_utf8_lossy(&run.stderr);
                    wrong.push(format!("{}: {ours}\n  but {verdict} {error}", case.name));
                }
            }
            wrong
        };
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let of = |kind: Kind| cases.iter().filter(|case| case.kind == kind).count();
    println!(
        "figure: audit attacks, Python | tried = {0}, violations = 0, caught = {0}, honest bundles = {1}, blind without an anchor = {2}",
        of(Kind::Attack),
        of(Kind::Honest),
        of(Kind::Blind)
    );
}

/// Writes the cases to `GATEHOUSE_FIXTURES`, for whoever writes a third verifier: a folder each, with the bundle, the key, the
/// earlier checkpoints and what is expected.
#[test]
fn fixtures_can_be_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let asked = std::env::var("GATEHOUSE_FIXTURES").ok().map(PathBuf::from);
    let folder = asked.as_deref().unwrap_or(folder.path());
    let cases = attacks::all();
    for case in &cases {
        let name: String =
            case.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        write_case(&folder.join(name), case);
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), cases.len());
}

/// Writes a case to a folder; the arguments of a verifier.
fn write_case(folder: &Path, case: &Case) -> Vec<String> {
    fs::create_dir_all(folder).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    fs::write(path("bundle.tar"), &case.bundle).unwrap();
    let mut args = vec![path("bundle.tar")];
    if let Some(key) = &case.key {
        fs::write(path("key.vkey"), format!("{key}\n")).unwrap();
        args.extend(["--key".to_owned(), path("key.vkey")]);
    }
    for (number, note) in case.since.iter().enumerate() {
        let name = path(&format!("since-{}.note", number + 1));
        fs::write(&name, note).unwrap();
        args.extend(["--since".to_owned(), name]);
    }
    let expected = json!({
        "name": case.name,
        "kind": format!("{:?}", case.kind).to_lowercase(),
        "exit": case.exit,
        "check": case.check,
        "seq": case.seq,
    });
    fs::write(path("expected.json"), format!("{expected}\n")).unwrap();
    args
}
