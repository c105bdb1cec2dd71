//! Changing the users file for `divisord passwd`: comments and order stay, and at every moment the
//! file is the old one or the new one.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, TomlError, value};

use super::password::Hash;
use super::users::name_is_valid;

/// What a new file may be for others than its owner: nothing.
const MODE: u32 = 0o600;

/// What an existing file may keep: its group may read, others may not.
const MODE_KEPT: u32 = 0o660;

/// What to change of a user.
#[derive(Default)]
pub struct Change<'a> {
    /// A new password.
    pub password: Option<&'a str>,
    /// No password: he comes by client certificate alone.
    pub no_password: bool,
    /// His roles from now on; as they were when there are none here.
    pub roles: &'a [String],
    /// He goes.
    pub remove: bool,
}

/// Never shows the password.
impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("roles", &self.roles)
            .field("remove", &self.remove)
            .finish_non_exhaustive()
    }
}

/// Why the file is as it was. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Nobody may be called so.
    #[error("take the name: it must have 1 to 128 bytes and no control characters")]
    Name,
    /// He is not there to be removed.
    #[error("remove {name}: there is no such user")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The file is not TOML, or has something else where users belong.
    #[error("read the users {}: {message}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The password cannot be hashed.
    #[error("hash the password: the system gives no random numbers")]
    Hash,
    /// The file cannot be read or written.
    #[error("write the users {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Changes one user of the file, which is made when there is none. True when he is new.
///
/// # Errors
/// Why nothing was changed.
pub fn change(path: &Path, name: &str, change: &Change<'_>) -> Result<bool, EditError> {
    if !name_is_valid(name) {
        return Err(EditError::Name);
    }
    let hash = match change.password {
        Some(password) => Some(Hash::of(password.as_bytes()).map_err(|_| EditError::Hash)?),
        None => None,
    };
    let failed = |source| EditError::Io {
        path: path.to_owned(),
        source,
    };
    // Behind a link the file itself is replaced, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    // Another one who changes the file meanwhile waits.
    let lock = File::open(dir).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let text = match fs::read_to_string(&target) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let mut document = parse(path, &text)?;
    let is_new = edit(path, &mut document, name, hash.as_ref(), change)?;
    let text = document.to_string();
    replace(dir, &target, &text).map_err(failed)?;
    Ok(is_new)
}

fn malformed(path: &Path, message: &str) -> EditError {
    EditError::Malformed {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn parse(path: &Path, text: &str) -> Result<DocumentMut, EditError> {
    text.parse()
        .map_err(|error: TomlError| malformed(path, error.message()))
}

/// Changes one user; true when he is new.
fn edit(
    path: &Path,
    document: &mut DocumentMut,
    name: &str,
    hash: Option<&Hash>,
    change: &Change<'_>,
) -> Result<bool, EditError> {
    let users = document.entry("users").or_insert_with(|| {
        let mut users = Table::new();
        users.set_implicit(true);
        Item::Table(users)
    });
    let users = users
        .as_table_like_mut()
        .ok_or_else(|| malformed(path, "`users` is not a table"))?;
    if change.remove {
        return match users.remove(name) {
            Some(_) => Ok(false),
            None => Err(EditError::Unknown {
                name: name.to_owned(),
            }),
        };
    }
    let is_new = !users.contains_key(name);
    let user = users
        .entry(name)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_like_mut()
        .ok_or_else(|| malformed(path, "the user is not a table"))?;
    if change.no_password {
        user.remove("password");
    }
    if let Some(hash) = hash {
        user.insert("password", value(hash.expose()));
    }
    if !change.roles.is_empty() {
        user.insert("roles", value(change.roles.iter().collect::<Array>()));
    }
    Ok(is_new)
}

/// Writes the file beside the old one and puts it in its place, with the old one's owner and no
/// rights for others.
fn replace(dir: &Path, target: &Path, text: &str) -> io::Result<()> {
    let mut fresh = tempfile::Builder::new()
        .prefix(".users-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(dir)?;
    if let Ok(old) = fs::metadata(target) {
        let mode = old.permissions().mode() & MODE_KEPT;
        fresh
            .as_file()
            .set_permissions(Permissions::from_mode(mode))?;
        let mine = fresh.as_file().metadata()?;
        if (mine.uid(), mine.gid()) != (old.uid(), old.gid()) {
            std::os::unix::fs::fchown(fresh.as_file(), Some(old.uid()), Some(old.gid()))?;
        }
    }
    fresh.write_all(text.as_bytes())?;
    fresh.as_file().sync_all()?;
    fresh.persist(target).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Settings;
    use crate::access::users::Users;

    struct Dir {
        dir: tempfile::TempDir,
        path: PathBuf,
    }

    impl Dir {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("users.toml");
            Self { dir, path }
        }

        fn set(&self, name: &str, password: &str, roles: &[&str]) -> bool {
            let roles: Vec<_> = roles.iter().map(|&role| role.to_owned()).collect();
            let new = Change {
                password: Some(password),
                roles: &roles,
                ..Change::default()
            };
            change(&self.path, name, &new).unwrap()
        }

        fn text(&self) -> String {
            fs::read_to_string(&self.path).unwrap()
        }

        fn mode(&self) -> u32 {
            fs::metadata(&self.path).unwrap().permissions().mode() & 0o777
        }

        fn users(&self) -> Users {
            let settings = Settings {
                users_file: Some(self.path.clone()),
                ..Settings::default()
            };
            Users::read(&settings).unwrap()
        }
    }

    #[test]
    fn a_file_is_made_and_grows() {
        let dir = Dir::new();
        assert!(dir.set("ann", "one", &["operator"]));
        assert_eq!(dir.mode(), 0o600);
        let ann = dir.text();
        assert!(
            ann.starts_with("[users.ann]\npassword = \"$argon2id$"),
            "{ann}"
        );
        assert!(ann.ends_with("\"\nroles = [\"operator\"]\n"), "{ann}");
        assert!(dir.set("feed 1", "two", &[]));
        assert!(dir.text().contains("[users.\"feed 1\"]\n"));
        assert!(!dir.set("ann", "three", &[]));
        assert_ne!(dir.text(), ann);
        assert_eq!(dir.users().get("ann").unwrap().roles(), ["operator"]);
        assert_eq!(dir.users().len(), 2);
        let names: Vec<_> = fs::read_dir(dir.dir.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_people_wrote_stays() {
        let dir = Dir::new();
        let written = "# mine\n[users.ann]\nroles = [] # none yet\nsubscribe = [\"a/#\"]\n\n\
                       [roles.desk] # for ann\n";
        fs::write(&dir.path, written).unwrap();
        fs::set_permissions(&dir.path, Permissions::from_mode(0o644)).unwrap();
        dir.set("ann", "one", &[]);
        assert_eq!(dir.mode(), 0o640);
        let text = dir.text();
        for kept in [
            "# mine\n",
            "roles = [] # none yet\n",
            "[\"a/#\"]",
            "# for ann\n",
        ] {
            assert!(text.contains(kept), "{text}");
        }
        let gone = Change {
            remove: true,
            ..Change::default()
        };
        change(&dir.path, "ann", &gone).unwrap();
        assert!(!dir.text().contains("ann]"), "{}", dir.text());
        let error = change(&dir.path, "ann", &gone).unwrap_err();
        assert_eq!(error.to_string(), "remove ann: there is no such user");
    }

    #[test]
    fn nothing_is_written_over_what_cannot_be_read() {
        let dir = Dir::new();
        for (text, expected) in [("[users", "read the users"), ("users = 1", "not a table")] {
            fs::write(&dir.path, text).unwrap();
            let new = Change {
                password: Some("one"),
                ..Change::default()
            };
            let error = change(&dir.path, "ann", &new).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(dir.text(), text);
        }
        let error = change(&dir.path, "a\nb", &Change::default()).unwrap_err();
        assert!(matches!(error, EditError::Name));
    }
}
