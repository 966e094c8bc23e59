//! The program as a process of its own, for what cannot be tried in the test's: signals, kill -9, standing still.

use crate::testapp::TestApp;
use gatehouse::config::Config;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

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

    /// With more flags.
    pub async fn start_with(app: &TestApp, more: &[&str]) -> Self {
        Self::launch(&app.config, &app.config.data, &[&["--log", "error"], more].concat(), Stdio::inherit())
            .await
    }

    pub async fn start_logging(app: &TestApp, log: &str, stderr: Stdio) -> Self {
        Self::launch(&app.config, &app.config.data, &["--log", log], stderr).await
    }

    /// With the database of `config`, in the folder `data`, with further flags.
    pub async fn launch(config: &Config, data: &Path, flags: &[&str], stderr: Stdio) -> Self {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(["--database-url", &config.database_url])
            .args(flags)
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
