//! Where the PostgreSQL server programs are, and which version of them to use.
//!
//! | set | looked at |
//! |---|---|
//! | `PG_BINDIR` | that folder alone: a setting that leads nowhere is an error, not a hint |
//! | otherwise | PATH with links resolved, the distributions' versioned folders, Homebrew |
//!
//! A new cluster takes the newest version found; an existing one needs the major version that
//! made it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ClusterError;
use super::run_as::RunAs;

/// The oldest major version that the store's SQL is written for.
pub const MAJOR_MIN: u32 = 14;

/// Versioned folders as (parent, head of the name, rest of the path): Debian, Red Hat, Alpine,
/// Homebrew on both kinds of Mac, Postgres.app.
const FOLDERS: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// Where to look for the programs; a value, so that tests need not change the environment.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The folder that `PG_BINDIR` names.
    pub bindir: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// Whether the distributions' folders are looked at too.
    pub folders: bool,
}

impl Search {
    /// The search that this process's environment asks for.
    #[must_use]
    pub fn from_env() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            bindir: set("PG_BINDIR").map(PathBuf::from),
            path: set("PATH"),
            folders: true,
        }
    }

    fn candidates(&self) -> BTreeSet<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        if let Some(bindir) = &self.bindir {
            found.push(bindir.clone());
        } else {
            // `psql` is left out on purpose: Debian's is a wrapper that lives without a server.
            for dir in self.path.iter().flat_map(std::env::split_paths) {
                let program = fs::canonicalize(dir.join("initdb"));
                found.extend(
                    program
                        .iter()
                        .filter_map(|p| p.parent())
                        .map(Path::to_owned),
                );
            }
            if self.folders {
                found.extend(FOLDERS.iter().flat_map(versioned));
            }
        }
        let canonical = found.iter().filter_map(|dir| fs::canonicalize(dir).ok());
        canonical
            .filter(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
            .collect()
    }

    /// All usable programs, oldest first, and a line for each folder that cannot be used.
    fn find(&self, user: Option<&RunAs>) -> (Vec<Programs>, Vec<String>) {
        let mut found = Vec::new();
        let mut unusable = Vec::new();
        for dir in self.candidates() {
            match version(&dir.join("postgres"), user) {
                Ok(major) if major >= MAJOR_MIN => found.push(Programs { dir, major }),
                Ok(major) => unusable.push(format!("{}: version {major}", dir.display())),
                Err(reason) => unusable.push(format!("{}: {reason}", dir.display())),
            }
        }
        found.sort_by_key(|programs| programs.major);
        (found, unusable)
    }

    /// The newest programs, for a cluster that is still to be made.
    pub(super) fn newest(&self, user: Option<&RunAs>) -> Result<Programs, ClusterError> {
        let (mut found, unusable) = self.find(user);
        found.pop().ok_or_else(|| self.missing(&unusable))
    }

    /// The programs of the major version that made the cluster in `data`.
    pub(super) fn matching(
        &self,
        major: u32,
        data: &Path,
        user: Option<&RunAs>,
    ) -> Result<Programs, ClusterError> {
        let (found, unusable) = self.find(user);
        if found.is_empty() {
            return Err(self.missing(&unusable));
        }
        let versions: Vec<String> = found.iter().map(|p| p.major.to_string()).collect();
        found
            .into_iter()
            .find(|p| p.major == major)
            .ok_or_else(|| ClusterError::VersionMissing {
                data: data.to_owned(),
                major,
                found: versions.join(", "),
            })
    }

    fn missing(&self, unusable: &[String]) -> ClusterError {
        let mut place = match &self.bindir {
            Some(dir) => format!("in PG_BINDIR ({})", dir.display()),
            None => "in PATH and the usual folders".to_owned(),
        };
        if !unusable.is_empty() {
            place = format!("{place}; not usable: {}", unusable.join("; "));
        }
        ClusterError::ProgramsMissing { place }
    }
}

/// One installation of the server programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    dir: PathBuf,
    /// The major version, 15 for 15.18.
    pub(super) major: u32,
}

impl Programs {
    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

fn versioned(&(parent, head, rest): &(&str, &str, &str)) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(head));
    named.map(|entry| entry.path().join(rest)).collect()
}

/// Asks the program itself, as the user that will run it, so that one that this user cannot
/// execute is found out here.
fn version(postgres: &Path, user: Option<&RunAs>) -> Result<u32, String> {
    let mut command = Command::new(postgres);
    command
        .arg("--version")
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null());
    RunAs::apply(user, &mut command);
    let output = command.output().map_err(|error| match user {
        Some(user) => format!("user {} cannot run it: {error}", user.name),
        None => error.to_string(),
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    major(&text).ok_or_else(|| {
        let trouble = String::from_utf8_lossy(&output.stderr);
        format!(
            "`postgres --version` said `{}{}`",
            text.trim(),
            trouble.trim()
        )
    })
}

/// The major version in a text like `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 17beta1"), Some(17));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major("sh: not found"), None);
    }

    #[test]
    fn a_bindir_that_leads_nowhere_is_not_replaced_by_another() {
        let empty = std::env::temp_dir().join("divisor-no-such-folder");
        let search = Search {
            bindir: Some(empty),
            ..Search::from_env()
        };
        assert_eq!(search.candidates(), BTreeSet::new());
    }
}
