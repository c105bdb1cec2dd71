//! Users, passwords and TLS, as the program takes them.

use std::io::Write;
use std::process::Stdio;

use divisor_testkit::{Authority, Daemon, Options};

use super::{Files, Run, command};

/// Gives `ann` the password `s3cret` and the role of an operator in this users file.
pub(super) fn set_password(options: &Options, files: &Files, users: &str) {
    let mut passwd = options.verb(files.0.path(), &["passwd", "ann", "--role", "operator"]);
    let mut child = passwd
        .args(["--file", users])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"s3cret\n").unwrap();
    assert!(child.wait().unwrap().success());
}

/// A daemon with users and TLS.
struct Guarded {
    authority: Authority,
    files: Files,
    daemon: Daemon,
}

impl Guarded {
    fn start() -> Self {
        let authority = Authority::new();
        let server = authority.server("server");
        let files = Files::new();
        let users = files.write("users.toml", "[users.feed]\nroles = [\"admin\"]\n");
        let options = Options::sibling_of(env!("CARGO_BIN_EXE_divisor"));
        set_password(&options, &files, &users);
        let daemon = options
            .set(&format!("access.users_file={users}"))
            .set(&format!("tls.certificate={}", server.certificate.display()))
            .set(&format!("tls.key={}", server.key.display()))
            .set(&format!("tls.client_ca={}", authority.ca().display()))
            .set("mqtt.tls_listen=127.0.0.1:0")
            .start();
        Self {
            authority,
            files,
            daemon,
        }
    }

    /// Runs `divisor status` with these arguments and variables.
    fn status(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let arguments = [&["status"], arguments].concat();
        let output = command(&arguments)
            .envs(environment.iter().copied())
            .output();
        Run::from(output.unwrap(), &arguments)
    }

    fn plain(&self) -> String {
        format!("mqtt://{}", self.daemon.address())
    }

    fn secure(&self) -> String {
        format!("mqtts://localhost:{}", self.daemon.tls_address().port())
    }
}

#[test]
fn a_password_comes_from_a_file_or_the_environment_and_never_as_an_argument() {
    let guarded = Guarded::start();
    let url = &guarded.plain()[..];
    let file = &guarded.files.write("password", "s3cret\nmore\n")[..];
    let ann = ["--url", url, "--user", "ann"];
    let with_file = [&ann[..], &["--password-file", file]].concat();
    guarded.status(&with_file, &[]).code(0).shows("online");
    let run = guarded.status(&ann, &[("DIVISOR_PASSWORD", "s3cret")]);
    run.code(0).shows("online");
    let in_url = url.replace("mqtt://", "mqtt://ann:s3cret@");
    let run = guarded.status(&[], &[("DIVISOR_URL", &in_url)]);
    run.code(0).shows("online");
    let run = guarded.status(&["--url", &in_url], &[]);
    run.code(2).says("can be seen by others");
    guarded
        .status(&ann, &[])
        .code(2)
        .says("password of ann is missing");
    let run = guarded.status(&ann, &[("DIVISOR_PASSWORD", "wrong")]);
    run.code(4).says("wrong user or password");
    guarded
        .status(&["--url", url], &[])
        .code(4)
        .says("a user is needed");
}

#[test]
fn tls_needs_somebody_to_trust() {
    let guarded = Guarded::start();
    let url = &guarded.secure()[..];
    let ca = &guarded.authority.ca().display().to_string()[..];
    let password = [("DIVISOR_PASSWORD", "s3cret")];
    let ann = ["--url", url, "--user", "ann"];
    let trusting = [&ann[..], &["--ca", ca]].concat();
    guarded.status(&trusting, &password).code(0).shows("online");
    guarded.status(&ann, &password).code(4).says("--ca");
    let plain = guarded.plain();
    let run = guarded.status(&["--url", &plain, "--ca", ca], &[]);
    run.code(2).says("need TLS");
    let run = guarded.status(&["--url", url, "--ca", "/none"], &[]);
    run.code(2).says("cannot use /none");
    // A certificate says who we are.
    let feed = guarded.authority.client("feed", &[]);
    let cert = feed.certificate.display().to_string();
    let key = feed.key.display().to_string();
    let mine = ["--url", url, "--ca", ca, "--cert", &cert, "--key", &key];
    guarded.status(&mine, &[]).code(0).shows("online");
}
