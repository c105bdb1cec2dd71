//! As whom the PostgreSQL programs run: they refuse to run as root.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use super::ClusterError;

/// The users that may own the cluster of a daemon that runs as root, best first.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// The user of the cluster's processes and files, where it is not the daemon's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunAs {
    /// The name, for messages.
    pub(super) name: String,
    uid: u32,
    gid: u32,
}

impl RunAs {
    /// `None` when the daemon is not root and so needs no other user.
    pub(super) fn choose() -> Result<Option<Self>, ClusterError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        // getpwnam would need unsafe code; service users stand in the file, not in a directory
        // service.
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        match USERS.iter().find_map(|name| Self::find(&passwd, name)) {
            Some(user) => Ok(Some(user)),
            None => Err(ClusterError::NoUser),
        }
    }

    fn find(passwd: &str, name: &str) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            let name = name.to_owned();
            (uid != 0).then_some(Self { name, uid, gid })
        })
    }

    /// Makes `command` run as this user; std drops the supplementary groups of root by itself.
    pub(super) fn apply(user: Option<&Self>, command: &mut Command) {
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
    }

    /// Gives `path` and all below it to this user, where something else owns it.
    ///
    /// A cluster copied or restored by root belongs to root, and so does one whose user changed
    /// because the package that brings `postgres` came or went.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.uid() == self.uid {
            return Ok(());
        }
        self.own_tree(path)
    }

    fn own_tree(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.own_tree(&entry?.path())?;
            }
        }
        // The directory comes last, so that an interrupted walk is begun again.
        lchown(path, Some(self.uid), Some(self.gid))
    }

    /// Checks that this user can reach `dir`, by going there; what stands in the way is named.
    pub(super) fn check_reach(&self, dir: &Path) -> Result<(), ClusterError> {
        let mut probe = Command::new("/bin/sh");
        probe.args(["-c", ":"]).current_dir(dir).env_clear();
        probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self::apply(Some(self), &mut probe);
        match probe.status() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(ClusterError::Unreachable {
                    user: self.name.clone(),
                    dir: dir.to_owned(),
                    barrier: self.barrier(dir).unwrap_or_else(|| dir.to_owned()),
                })
            }
            // Any other trouble shows itself, with a better message, when the programs start.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The topmost directory above `dir` whose mode bars this user.
    fn barrier(&self, dir: &Path) -> Option<PathBuf> {
        let mut ancestors: Vec<&Path> = dir.ancestors().collect();
        ancestors.reverse();
        let barred = |path: &&Path| {
            fs::metadata(path).is_ok_and(|meta| {
                let bit = if meta.uid() == self.uid {
                    0o100
                } else if meta.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                meta.permissions().mode() & bit == 0
            })
        };
        ancestors.into_iter().find(barred).map(Path::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_users_in_a_passwd_file() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgresx:x:7:7::/:/bin/sh\n\
                      postgres:x:103:104:PostgreSQL:/var/lib/postgresql:/bin/bash\nnobody:x:0:0::\n";
        let found = RunAs::find(passwd, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (103, 104));
        assert_eq!(
            RunAs::find(passwd, "nobody"),
            None,
            "never root under another name"
        );
        assert_eq!(RunAs::find("", "postgres"), None);
    }
}
