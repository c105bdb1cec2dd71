//! Loads under way: begin, parts, commit. What is staged here has not happened yet; it is in
//! memory only and gone with the daemon, and the sender repeats it.

use std::collections::BTreeMap;

use divisor_wire::command::{CommandError, Items, Request};

/// Loads under way at the same time.
const LOADS_MAX: usize = 16;

/// The staged loads of all clients.
#[derive(Debug)]
pub(super) struct Loads {
    /// By client id and load id.
    staged: BTreeMap<(Box<str>, String), Staged>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Staged {
    parts: BTreeMap<u32, Items>,
    bytes: usize,
    /// Rises with each begin, so that the oldest can be told.
    age: u64,
}

impl Loads {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            staged: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Starts a load, or starts it anew. The oldest makes room where there are too many.
    pub(super) fn begin(&mut self, client: &str, request: &Request) -> Result<(), CommandError> {
        let key = key(client, request)?;
        self.remove(&key);
        let age = self.staged.values().map(|s| s.age).max().unwrap_or(0) + 1;
        if self.staged.len() >= LOADS_MAX
            && let Some(oldest) = self
                .staged
                .iter()
                .min_by_key(|(_, s)| s.age)
                .map(|(key, _)| key.clone())
        {
            self.remove(&oldest);
        }
        self.staged.insert(
            key,
            Staged {
                age,
                ..Staged::default()
            },
        );
        Ok(())
    }

    /// Adds a part; a part that is sent again replaces itself.
    pub(super) fn part(
        &mut self,
        client: &str,
        request: Request,
        bytes: usize,
    ) -> Result<(), CommandError> {
        let key = key(client, &request)?;
        if self.bytes + bytes > self.bytes_max {
            self.remove(&key);
            let message = format!(
                "all loads under way may take {} bytes: split the load, or raise sequencer.load_bytes_max",
                self.bytes_max
            );
            return Err(error("too_large", &message));
        }
        let Some(staged) = self.staged.get_mut(&key) else {
            return Err(error("not_found", "no such load: begin it first"));
        };
        let (Some(part), Some(items)) = (request.part, request.items) else {
            return Err(error("bad_request", "a part needs `part` and `items`"));
        };
        staged.parts.insert(part, items);
        staged.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes a load whose parts are all there.
    pub(super) fn take(&mut self, client: &str, request: &Request) -> Result<Items, CommandError> {
        let key = key(client, request)?;
        let Some(staged) = self.remove(&key) else {
            return Err(error("not_found", "no such load: begin it first"));
        };
        let expected = request.parts.unwrap_or(0);
        if !staged.parts.keys().copied().eq(0..expected) {
            let message = format!(
                "{} of {expected} parts are here; nothing was applied, send the load again",
                staged.parts.len()
            );
            return Err(error("incomplete", &message));
        }
        let mut all = Items::default();
        for items in staged.parts.into_values() {
            all.append(items);
        }
        Ok(all)
    }

    /// Forgets a load.
    pub(super) fn abort(&mut self, client: &str, request: &Request) -> Result<(), CommandError> {
        self.remove(&key(client, request)?);
        Ok(())
    }

    fn remove(&mut self, key: &(Box<str>, String)) -> Option<Staged> {
        let staged = self.staged.remove(key)?;
        self.bytes -= staged.bytes;
        Some(staged)
    }
}

fn key(client: &str, request: &Request) -> Result<(Box<str>, String), CommandError> {
    match &request.load {
        Some(load) if (1..=64).contains(&load.len()) => Ok((client.into(), load.clone())),
        _ => Err(error("bad_request", "`load` must be 1 to 64 bytes")),
    }
}

/// A command error without details.
pub(super) fn error(kind: &str, message: &str) -> CommandError {
    CommandError {
        kind: kind.to_owned(),
        message: message.to_owned(),
        details: Vec::new(),
    }
}

/// As much of a name as a message repeats.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}
