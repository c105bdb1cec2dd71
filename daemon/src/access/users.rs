//! The users file: who there is, with which password, roles and grants.
//!
//! ```toml
//! [users.ann]
//! password = "$argon2id$…"             # made by `divisord passwd ann`
//! roles = ["operator"]
//!
//! [users.feed-1]
//! password = "$argon2id$…"
//! securities = ["AAPL", "BRK.B"]       # publishes their prices, and nothing else
//!
//! [users.wall]                         # no password: by client certificate alone
//! roles = ["lobby"]
//!
//! [roles.lobby]                        # beside publisher, subscriber, operator and admin
//! subscribe = ["indexes/DJIA/#"]
//! publish = ["lobby/{user}/#"]
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

use super::Settings;
use super::password::Hash;
use super::rights::{BUILT_IN, Grant};

/// The longest user name. It becomes a level of topics and a source of prices.
const NAME_BYTES_MAX: usize = 128;

/// The largest file; some 50,000 users.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Permissions of others.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// Why there are no users. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file cannot be read.
    #[error("read the users {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not TOML, or has an unknown key.
    #[error("read the users: {}:{line}: {message}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// It can be read and makes no sense, or the configured roles do not.
    #[error("accept the users: {}", .problems.join("; "))]
    Problems {
        /// All that was found.
        problems: Vec<String>,
    },
}

/// Whether somebody may be called so: no control characters, not too long.
#[must_use]
pub fn name_is_valid(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    password: Option<Hash>,
    roles: Vec<String>,
    own: Grant,
}

impl User {
    /// The hash of the password; `None` for those who come by certificate alone.
    pub(super) const fn password(&self) -> Option<&Hash> {
        self.password.as_ref()
    }

    /// The roles, each of which there is.
    pub(super) fn roles(&self) -> &[String] {
        &self.roles
    }

    /// What is granted beside the roles.
    pub(super) const fn own(&self) -> &Grant {
        &self.own
    }
}

/// All users and roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Users {
    by_name: BTreeMap<Box<str>, User>,
    /// The built-in ones too.
    roles: BTreeMap<String, Grant>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Written {
    users: BTreeMap<Box<str>, WrittenUser>,
    roles: BTreeMap<String, WrittenRole>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WrittenUser {
    password: Option<Secret>,
    roles: Vec<String>,
    publish: Vec<String>,
    subscribe: Vec<String>,
    securities: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WrittenRole {
    publish: Vec<String>,
    subscribe: Vec<String>,
    securities: Vec<String>,
}

/// A text whose content no message quotes.
struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(from) {
            Ok(toml::Value::String(text)) => Ok(Self(text)),
            _ => Err(de::Error::custom("the password's hash must be a text")),
        }
    }
}

impl Users {
    /// Reads the configured file; no users without one.
    pub(super) fn read(settings: &Settings) -> Result<Self, UsersError> {
        let (path, users) = match &settings.users_file {
            Some(path) => (path.as_path(), read(path)?),
            None => (Path::new("access"), Self::none()),
        };
        let mut problems = Vec::new();
        for role in &settings.anonymous_roles {
            if !users.has_role(role) {
                problems.push(format!("access.anonymous_roles: there is no role {role}"));
            }
        }
        if settings.users_file.is_some() && users.is_empty() {
            let path = path.display();
            problems.push(format!(
                "{path} has no users: add one with `divisord passwd NAME --role ROLE`"
            ));
        }
        if problems.is_empty() {
            Ok(users)
        } else {
            Err(UsersError::Problems { problems })
        }
    }

    /// Nobody, and the roles that are always there.
    fn none() -> Self {
        let roles = BUILT_IN.map(|role| (role.to_owned(), Grant::built_in(role)));
        Self {
            by_name: BTreeMap::new(),
            roles: roles.into(),
        }
    }

    /// Takes the text of a file.
    fn parse(path: &Path, text: &str) -> Result<Self, UsersError> {
        let written: Written = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            UsersError::Malformed {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                message: error.message().to_owned(),
            }
        })?;
        let mut problems = Vec::new();
        let mut users = Self::none();
        for (name, role) in written.roles {
            if BUILT_IN.contains(&name.as_str()) {
                problems.push(format!("roles.{name} is built in and cannot be changed"));
            }
            let grant = Grant::new(&role.publish, &role.subscribe, &role.securities);
            let grant = or_problems(&format!("roles.{name}"), grant, &mut problems);
            users.roles.insert(name, grant);
        }
        for (name, user) in written.users {
            let user = users.user(&name, user, &mut problems);
            users.by_name.insert(name, user);
        }
        if problems.is_empty() {
            Ok(users)
        } else {
            let path = path.display();
            let problems = problems.iter().map(|problem| format!("{path}: {problem}"));
            Err(UsersError::Problems {
                problems: problems.collect(),
            })
        }
    }

    fn user(&self, name: &str, written: WrittenUser, problems: &mut Vec<String>) -> User {
        let at = format!("users.{name}");
        if !name_is_valid(name) {
            problems.push(format!(
                "{at}: a name has up to {NAME_BYTES_MAX} bytes and no control characters"
            ));
        }
        let password = written.password.and_then(|secret| {
            let hash = Hash::parse(&secret.0);
            if hash.is_none() {
                problems.push(format!(
                    "{at}.password is not a hash: make it with `divisord passwd {name}`"
                ));
            }
            hash
        });
        for role in &written.roles {
            if !self.has_role(role) {
                problems.push(format!("{at}.roles: there is no role {role}"));
            }
        }
        let mut granted = self.roles(&written.roles).into_iter();
        if !written.securities.is_empty() && granted.any(Grant::publishes_all_prices) {
            problems.push(format!(
                "{at}.securities grants nothing that its roles don't: leave out one of them"
            ));
        }
        let own = Grant::new(&written.publish, &written.subscribe, &written.securities);
        User {
            password,
            roles: written.roles,
            own: or_problems(&at, own, problems),
        }
    }

    fn has_role(&self, role: &str) -> bool {
        self.roles.contains_key(role)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// What these roles grant.
    pub(super) fn roles(&self, roles: &[String]) -> Vec<&Grant> {
        roles
            .iter()
            .filter_map(|role| self.roles.get(role))
            .collect()
    }
}

fn or_problems(at: &str, grant: Result<Grant, Vec<String>>, problems: &mut Vec<String>) -> Grant {
    grant.unwrap_or_else(|found| {
        problems.extend(found.iter().map(|problem| format!("{at}: {problem}")));
        Grant::default()
    })
}

/// Reads the file and looks at who else may.
fn read(path: &Path) -> Result<Users, UsersError> {
    let unreadable = |source| UsersError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & OTHERS_WRITE != 0 {
        let source = io::Error::other("everybody may write it (chmod 600)");
        return Err(unreadable(source));
    }
    if mode & OTHERS_READ != 0 {
        tracing::warn!(file = %path.display(), "everybody may read the users' hashes (chmod 600)");
    }
    let mut text = String::new();
    let read = (&mut file).take(FILE_BYTES_MAX).read_to_string(&mut text);
    if read.map_err(unreadable)? as u64 == FILE_BYTES_MAX {
        return Err(unreadable(io::Error::other("it is larger than 16 MiB")));
    }
    Users::parse(path, &text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parse(text: &str) -> Result<Users, String> {
        Users::parse(Path::new("users.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn users_and_roles_are_read() {
        let hash = Hash::of(b"secret").unwrap();
        let users = parse(&format!(
            "[users.ann]\npassword = \"{}\"\nroles = [\"operator\", \"desk\"]\n\
             [users.\"wall 1\"]\nsecurities = [\"AAPL\"]\n\
             [roles.desk]\nsubscribe = [\"desk/#\"]\n",
            hash.expose()
        ))
        .unwrap();
        assert_eq!(users.len(), 2);
        let ann = users.get("ann").unwrap();
        assert_eq!(ann.password(), Some(&hash));
        assert_eq!(users.roles(ann.roles()).len(), 2);
        assert_eq!(users.get("wall 1").unwrap().password(), None);
        assert!(users.get("Ann").is_none());
        assert!(!format!("{users:?}").contains("argon2"));
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        let check = |text: &str, expected: &str| {
            let message = parse(text).unwrap_err();
            assert!(
                message.contains(expected),
                "{message}\nshould have: {expected}"
            );
            assert!(!message.contains("hunter2"), "{message}");
            assert!(!message.contains("4711"), "{message}");
        };
        check(
            "[users.ann]\npasword = \"hunter2\"",
            "users.toml:2: unknown field `pasword`",
        );
        check(
            "[users.ann]\npassword = \"hunter2\"",
            "users.ann.password is not a hash",
        );
        check(
            "[users.ann]\npassword = 4711",
            "users.toml:2: the password's hash",
        );
        check(
            "[users.ann]\nroles = [\"boss\"]",
            "users.ann.roles: there is no role boss",
        );
        check(
            "[users.ann]\npublish = [\"a/#/b\"]",
            "users.ann: \"a/#/b\" is not a topic filter",
        );
        check(
            "[users.ann]\nsecurities = [\"a b\"]",
            "users.ann: \"a b\" is not a symbol",
        );
        check(
            "[users.ann]\nroles = [\"publisher\"]\nsecurities = [\"A\"]",
            "users.ann.securities grants nothing",
        );
        check("[users.\"a\\nb\"]\n", "no control characters");
        check("[roles.admin]\n", "roles.admin is built in");
        check(
            "[roles.x]\npublish = [\"indexes/#\"]",
            "roles.x: \"indexes/#\": only the daemon",
        );
        check("[users\n", "users.toml:1: ");
    }

    #[test]
    fn the_file_must_be_there_and_have_somebody_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        let read = |roles: &[&str]| {
            let settings = Settings {
                users_file: Some(path.clone()),
                anonymous_roles: roles.iter().map(|&role| role.to_owned()).collect(),
                ..Settings::default()
            };
            Users::read(&settings).map_err(|error| error.to_string())
        };
        assert!(read(&[]).unwrap_err().contains("No such file"));
        fs::write(&path, "").unwrap();
        assert!(read(&[]).unwrap_err().contains("has no users"));
        fs::write(&path, "[users.ann]\n[roles.desk]\n").unwrap();
        assert!(read(&["desk", "subscriber"]).is_ok());
        assert!(read(&["boss"]).unwrap_err().contains("no role boss"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).unwrap();
        assert!(read(&[]).unwrap_err().contains("everybody may write it"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&[]).is_ok());
    }
}
