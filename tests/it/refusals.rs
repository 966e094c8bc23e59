//! Starts that are refused: with a sentence a person understands, exit code 1, and nothing changed.

use crate::{
    support::databases::{Engine, execute, gateway_on_both_engines},
    testapp::TestApp,
};
use gatehouse::{app::Running, config::Config, store::Db};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

gateway_on_both_engines!(wrong_keys_and_newer_tables_are_refused);

/// Starts the program and returns what it said when it gave up.
fn refused(data: &Path, database_url: &str) -> String {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "off", "--data"])
        .arg(data)
        .args(["--database-url", database_url])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "it did not begin to serve");
    assert!(said.starts_with("gatehouse: ") && said.lines().count() == 1, "one sentence: {said}");
    said
}

fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

async fn wrong_keys_and_newer_tables_are_refused(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    app.running.take().unwrap().stop().await;
    let Config { data, database_url, .. } = app.config.clone();
    let mut tried = 0;
    for (name, other) in
        [("master.key", "pepper.key"), ("pepper.key", "master.key"), ("audit.key", "master.key")]
    {
        let file = data.join(name);
        let right = fs::read(&file).unwrap();
        let mut flipped = right.clone();
        flipped[5] = if flipped[5] == b'0' { b'1' } else { b'0' };
        let restore = "restore the right file from its backup";
        let missing = [name, "missing or not the one this database was made with", restore];
        for (content, words) in [
            (None, missing),
            (Some(flipped), missing),
            (Some(fs::read(data.join(other)).unwrap()), missing),
            (Some(b"not hex".to_vec()), [name, "not a key file", "64 hex digits"]),
            (Some(Vec::new()), [name, "not a key file", "64 hex digits"]),
        ] {
            match &content {
                Some(bytes) => fs::write(&file, bytes).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            says(&refused(&data, &database_url), &words);
            let now = fs::read(&file).ok();
            assert_eq!(now, content, "it does not help itself");
            tried += 1;
        }
        fs::write(&file, right).unwrap();
    }

    let db = Db::connect(&database_url).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT 99990101000000, 'of the future', success, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    execute(&db, newer, &[]).await.unwrap();
    let said = refused(&data, &database_url);
    says(&said, &["a newer Gatehouse has made this database", "99990101000000", "restore the backup"]);
    execute(&db, "DELETE FROM _sqlx_migrations WHERE version = 99990101000000", &[]).await.unwrap();
    db.close().await;

    // Nothing of all that has changed anything.
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    assert!(app.app().access.account(&app.ws).is_some());
    println!("{} starts refused", tried + 1);
}

#[test]
fn a_data_folder_that_cannot_be_used_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let mut cases: Vec<(PathBuf, &str)> =
        vec![(file.join("data"), "Not a directory"), (PathBuf::from("/proc/gatehouse"), "")];
    let read_only = ReadOnly::mount(&folder.path().join("read-only"));
    match &read_only {
        Some(mounted) => cases.push((mounted.0.join("data"), "Read-only")),
        None => println!("mounting is not allowed here: a read-only file system was not tried"),
    }
    for (data, reason) in &cases {
        let said = refused(data, &format!("sqlite:{}", data.join("gatehouse.db").display()));
        says(&said, &["the data folder cannot be used", &data.display().to_string(), reason]);
    }
    // One that is there, can be read, and not written.
    if let Some(mounted) = &read_only {
        let said = refused(&mounted.0, &format!("sqlite:{}", mounted.0.join("gatehouse.db").display()));
        says(&said, &["the data folder cannot be used", "gatehouse.lock", "Read-only"]);
        // The same where the database is elsewhere: the key files cannot be made.
        let database = format!("sqlite:{}", folder.path().join("elsewhere.db").display());
        says(&refused(&mounted.0, &database), &["Read-only"]);
    }
    println!("{} folders refused", cases.len());
}

#[test]
fn a_database_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatehouse.db");
    fs::write(&file, "This is a letter, not a database. ".repeat(100)).unwrap();
    let url = format!("sqlite:{}", file.display());
    says(&refused(folder.path(), &url), &["not a database", "gatehouse.db"]);
    let nowhere = format!("sqlite:{}", folder.path().join("no/such/folder.db").display());
    says(&refused(folder.path(), &nowhere), &["unable to open database file", "no/such/folder.db"]);
    // A PostgreSQL that is not there, and one that takes the connection and says nothing.
    let gone = "postgres://gatehouse:hunter2hunter2@127.0.0.1:1/gatehouse";
    let said = refused(folder.path(), gone);
    says(&said, &["database", "127.0.0.1:1"]);
    assert!(!said.contains("hunter2"), "{said}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://gatehouse@{}/gatehouse", silent.local_addr().unwrap());
    says(&refused(folder.path(), &url), &["the database does not answer"]);
}

/// A read-only file system; only root can mount one.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"]).arg(at).status();
        status.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
