//! The program as a process of its own, for what cannot be tried in the test's: signals, kill -9, standing still.

use crate::testapp::TestApp;
use gatehouse::config::Config;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// A data folder with the same keys, for a second replica.
pub fn replica_folder(app: &TestApp) -> PathBuf {
    let folder = app.config.data.with_file_name("data-b");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["master.key", "pepper.key", "audit.key"] {
        std::fs::copy(app.config.data.join(file), folder.join(file)).unwrap();
    }
    folder
}

/// A gateway in a process of its own, on the data of a stopped one or on none.
pub struct Process {
    pub child: Child,
    pub url: String,
    /// What it says after its address.
    pub stdout: BufReader<ChildStdout>,
    /// Until it answered.
    pub started_in: Duration,
}

impl Process {
    pub async fn start(app: &TestApp) -> Self {
        Self::start_logging(app, "error", Stdio::inherit()).await
    }

    /// With more arguments.
    pub async fn start_with(app: &TestApp, more: &[&str]) -> Self {
        let more = [&["--log", "error"], more].concat();
        Self::launch(&app.config, &app.config.data, &[], &more, Stdio::inherit()).await
    }

    pub async fn start_logging(app: &TestApp, log: &str, stderr: Stdio) -> Self {
        Self::start_through(app, &[], log, stderr).await
    }

    /// The same as the last words of another command.
    pub async fn start_through(app: &TestApp, command: &[&str], log: &str, stderr: Stdio) -> Self {
        Self::launch(&app.config, &app.config.data, command, &["--log", log], stderr).await
    }

    /// With the database and limits of `config`, and the data folder `data`.
    pub async fn launch(
        config: &Config,
        data: &Path,
        command: &[&str],
        more: &[&str],
        stderr: Stdio,
    ) -> Self {
        let begun = Instant::now();
        // A measurement may want the program as it is shipped.
        let program =
            std::env::var("GATEHOUSE_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_gatehouse").into());
        let words: Vec<&str> = command.iter().copied().chain([program.as_str()]).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(["--database-url", &config.database_url])
            .args(more)
            .args(["--key-rate", &config.key_rate.to_string()])
            .args(["--tenant-rate", &config.tenant_rate.to_string()])
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url =
            line.trim().strip_prefix("Gatehouse listens on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        let health = reqwest::get(format!("{url}/healthz")).await.unwrap();
        assert_eq!(health.status(), 200);
        Self { child, url, stdout, started_in: begun.elapsed() }
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
