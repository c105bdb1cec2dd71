//! The daemon as an operator sets it up: a users file, a certificate, a reload.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use divisor_testkit::{Authority, Daemon};
use divisord::access::{Change, change};

use super::daemon;

fn add(path: &Path, name: &str, password: &str, roles: &[&str]) {
    let roles: Vec<_> = roles.iter().map(|&role| role.to_owned()).collect();
    let new = Change {
        password: Some(password),
        roles: &roles,
        ..Change::default()
    };
    change(path, name, &new).unwrap();
}

/// A daemon with users and TLS, and files that a test may change.
struct Secured {
    authority: Authority,
    daemon: Daemon,
}

impl Secured {
    fn start() -> Self {
        let authority = Authority::new();
        let server = authority.server("server");
        let users = authority.dir().join("users.toml");
        add(&users, "feed", "feed-pw", &["publisher"]);
        add(&users, "bob", "bob-pw", &["subscriber"]);
        let config = authority.dir().join("broker.toml");
        fs::write(&config, "").unwrap();
        let daemon = daemon()
            .env("DIVISOR_CONFIG", &config.display().to_string())
            .set(&format!("access.users_file={}", users.display()))
            .set(&format!("tls.certificate={}", server.certificate.display()))
            .set(&format!("tls.key={}", server.key.display()))
            // Beyond loopback, which needs users; the test itself stays on it.
            .set("mqtt.tls_listen=0.0.0.0:0")
            .start();
        Self { authority, daemon }
    }

    fn users(&self) -> std::path::PathBuf {
        self.authority.dir().join("users.toml")
    }

    /// `mosquitto_pub` or `mosquitto_sub` over TLS; none where it is not installed.
    fn mosquitto(&self, program: &str, login: &[&str], arguments: &[&str]) -> Option<Command> {
        if Command::new(program).arg("--help").output().is_err() {
            return None;
        }
        let mut command = Command::new(program);
        command
            .args(["-h", "localhost", "-V", "5", "-q", "1"])
            .args(["-p", &self.daemon.tls_address().port().to_string()])
            .args(["--cafile", &self.authority.ca().display().to_string()])
            .args(login)
            .args(arguments)
            .stdin(Stdio::null());
        Some(command)
    }

    /// Whether `mosquitto_pub` is let in; true where it is not installed.
    fn lets_in(&self, user: &str, password: &str) -> Option<bool> {
        let login = ["-u", user, "-P", password];
        let price = ["-t", "securities/AAA/price", "-m", "20"];
        let command = self.mosquitto("mosquitto_pub", &login, &price);
        Some(command?.status().unwrap().success())
    }
}

#[test]
fn mosquitto_comes_in_over_tls_with_its_password() {
    let secured = Secured::start();
    if secured.lets_in("feed", "feed-pw").is_none() {
        println!("skipped: mosquitto_pub is not installed");
        return;
    }
    assert_eq!(secured.lets_in("feed", "feed-pw"), Some(true));
    assert_eq!(secured.lets_in("feed", "wrong"), Some(false));
    let status = ["-t", "divisor/status", "-C", "1", "-W", "30"];
    let login = ["-u", "bob", "-P", "bob-pw"];
    let mut reader = secured.mosquitto("mosquitto_sub", &login, &status).unwrap();
    let output = reader.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"state\":\"online\""), "{text}");
    // Not without TLS's authority, and not as nobody.
    let mut nobody = secured.mosquitto("mosquitto_sub", &[], &status).unwrap();
    assert!(!nobody.output().unwrap().status.success());

    // A reload takes what is new.
    add(&secured.users(), "late", "late-pw", &["publisher"]);
    assert_eq!(secured.lets_in("late", "late-pw"), Some(false));
    secured.daemon.reload("reloaded the users and their rights");
    assert_eq!(secured.lets_in("late", "late-pw"), Some(true));
}

/// systemd puts secrets into a directory that it names in the environment.
#[test]
fn credentials_of_systemd_are_read_at_the_start_and_by_a_reload() {
    let authority = Authority::new();
    let server = authority.server("server");
    let credentials = tempfile::tempdir().unwrap();
    let credential = |name: &str| credentials.path().join(name);
    add(&credential("users.toml"), "feed", "feed-pw", &["publisher"]);
    fs::copy(server.certificate, credential("tls.crt")).unwrap();
    fs::copy(server.key, credential("tls.key")).unwrap();
    let directory = credentials.path().display().to_string();
    let daemon = daemon()
        .env("CREDENTIALS_DIRECTORY", &directory)
        .set("mqtt.tls_listen=0.0.0.0:0")
        .start();
    let secured = Secured { authority, daemon };
    if secured.lets_in("feed", "feed-pw").is_none() {
        println!("skipped: mosquitto_pub is not installed");
        return;
    }
    assert_eq!(secured.lets_in("feed", "feed-pw"), Some(true));
    add(&credential("users.toml"), "late", "late-pw", &["publisher"]);
    assert_eq!(secured.lets_in("late", "late-pw"), Some(false));
    let renewed = secured.authority.server("server");
    fs::copy(renewed.certificate, credential("tls.crt")).unwrap();
    fs::copy(renewed.key, credential("tls.key")).unwrap();
    secured.daemon.reload("reloaded the certificate");
    assert_eq!(secured.lets_in("late", "late-pw"), Some(true));
}

#[test]
fn a_reload_says_what_it_did_and_keeps_what_is_broken() {
    let secured = Secured::start();
    let daemon = &secured.daemon;
    daemon.reload("the users have not changed");
    let good = fs::read(secured.users()).unwrap();
    fs::write(secured.users(), "[users").unwrap();
    daemon.reload("kept the users and their rights");
    fs::write(secured.users(), good).unwrap();
    fs::write(secured.authority.dir().join("server.crt"), "").unwrap();
    daemon.reload("kept the certificate");
    secured.authority.server("server");
    daemon.reload("reloaded the certificate");
    let config = secured.authority.dir().join("broker.toml");
    fs::write(
        &config,
        "[log]\nfilter = \"debug,rumqttd=warn\"\n[mqtt]\nwindow",
    )
    .unwrap();
    daemon.reload("kept the log filter");
    fs::write(
        &config,
        "[log]\nfilter = \"info,divisord::run=debug\"\n[mqtt]\nsubscriptions_max = 7\n",
    )
    .unwrap();
    daemon.reload("reloaded the log filter");
    daemon.reload("these keys have changed and need a restart");
    let log = daemon.log();
    assert!(log.contains("mqtt.subscriptions_max"), "{log}");
    for secret in ["feed-pw", "argon2id", "PRIVATE"] {
        assert!(!log.contains(secret), "{log}");
    }
}
