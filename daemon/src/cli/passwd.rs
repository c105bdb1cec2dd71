//! `divisord passwd`: the users file, one user at a time.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use super::print;
use crate::access::{Change, change};
use crate::config::Config;
use crate::exit::{self, Failure};

/// What `passwd` takes.
#[derive(Debug, Args)]
pub(super) struct Passwd {
    /// The user's name
    name: String,

    /// A role from now on, instead of the present ones; may be repeated
    ///
    /// publisher, subscriber, operator, admin, or a role of the file. Without this the roles stay.
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,

    /// The users file; otherwise the configured one, `access.users_file`
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// No password: the user comes with a client certificate
    #[arg(long)]
    no_password: bool,

    /// Removes the user
    #[arg(long, conflicts_with_all = ["role", "no_password"])]
    remove: bool,
}

impl Passwd {
    pub(super) fn run(&self, config: &Config) -> Result<(), Failure> {
        let configured = config.access.users_file.as_path();
        let path = self.file.as_deref().unwrap_or(configured);
        if path.as_os_str().is_empty() {
            let error = "find the users file: name it with --file, or in access.users_file";
            return Err(Failure::new(exit::CONFIG, anyhow!(error)));
        }
        let password = match self.no_password || self.remove {
            true => None,
            false => Some(ask(&self.name)?),
        };
        let new = Change {
            password: password.as_deref(),
            no_password: self.no_password,
            roles: &self.role,
            remove: self.remove,
        };
        let is_new = change(path, &self.name, &new)?;
        print(&self.report(is_new, path, config))
    }

    fn report(&self, is_new: bool, path: &Path, config: &Config) -> String {
        let done = match (self.remove, is_new) {
            (true, _) => "removed",
            (false, true) => "added",
            (false, false) => "changed",
        };
        let mut text = format!("{done} {} in {}\n", self.name, path.display());
        if is_new && self.role.is_empty() {
            text.push_str("the user has no rights yet: give a --role, or grants in the file\n");
        }
        if config.access.users_file != path {
            text.push_str("the configuration does not name this file: set access.users_file\n");
        }
        text
    }
}

/// Asks at the terminal twice without showing it, or takes the first line of stdin.
fn ask(name: &str) -> Result<String, Failure> {
    let failed =
        |error: io::Error| Failure::new(exit::CONFIG, anyhow!("read the password: {error}"));
    let password = if io::stdin().is_terminal() {
        let password = prompt(&format!("Password of {name}: ")).map_err(failed)?;
        if prompt("Again: ").map_err(failed)? != password {
            return Err(failed(io::Error::other("the two are not the same")));
        }
        password
    } else {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map_err(failed)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.is_empty() {
        return Err(failed(io::Error::other("it is empty")));
    }
    Ok(password)
}

fn prompt(text: &str) -> io::Result<String> {
    io::stderr().flush()?;
    rpassword::prompt_password(text)
}
