//! Lays file, environment and flags over the built-in values and remembers where each came from.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{BUILT_IN, Config, ConfigError};

/// The file that is read when none is named, if it exists.
const SYSTEM_FILE: &str = "/etc/divisor/broker.toml";

/// Keys that name a file, and the systemd credential that is taken where they name none.
const CREDENTIALS: [(&str, &str); 5] = [
    ("access.users_file", "users.toml"),
    ("tls.certificate", "tls.crt"),
    ("tls.key", "tls.key"),
    ("tls.client_ca", "clients.crt"),
    ("database.url_file", "database.url"),
];

/// Where systemd puts credentials.
const CREDENTIALS_DIR: &str = "CREDENTIALS_DIRECTORY";

/// What the environment names the file with.
const FILE_VARIABLE: &str = "DIVISOR_CONFIG";

/// Everything outside the program that has a say.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The file to read when none is named; it need not exist.
    pub fallback: Option<PathBuf>,
    /// The environment, all of it.
    pub environment: Vec<(String, String)>,
    /// `--set` and its shorthands, in the order given.
    pub flags: Vec<Flag>,
}

/// A value given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as typed, for messages.
    pub name: String,
    /// The key with its section, `journal.bytes_max`.
    pub key: String,
    /// The value as typed.
    pub value: String,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The embedded `broker.toml`.
    BuiltIn,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

/// The configuration and its history.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The same as TOML, in the order of the built-in file.
    pub(super) values: Table,
    /// Where each value came from, by key with section.
    pub(super) sources: BTreeMap<String, Source>,
}

impl Inputs {
    /// The inputs of this process: its environment, and the system's file as fallback.
    #[must_use]
    pub fn of_process() -> Self {
        let environment = std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .collect();
        Self {
            fallback: Some(PathBuf::from(SYSTEM_FILE)),
            environment,
            ..Self::default()
        }
    }

    /// The value of an environment variable, unless it is empty.
    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(named, _)| named == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

impl Loaded {
    /// Where the value of this key came from.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&Source> {
        self.sources.get(key)
    }

    /// The keys whose values differ from the other's.
    pub fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        self.sources
            .keys()
            .filter(|key| get(&self.values, key) != get(&other.values, key))
            .map(String::as_str)
    }

    /// Replaces one value, keeping it only if the outcome can still be read.
    fn set(&mut self, key: &str, value: Value, source: Source) -> Result<(), ConfigError> {
        let wrong = |message| ConfigError::Override {
            source_name: source.to_string(),
            message,
        };
        let mut values = self.values.clone();
        match place(&mut values, key) {
            Some(place) => *place = value,
            None => return Err(wrong(format!("there is no key {key}{}", self.similar(key)))),
        }
        match values.clone().try_into() {
            Ok(config) => self.config = config,
            Err(error) => return Err(wrong(format!("{key}: {}", error.message()))),
        }
        self.values = values;
        self.sources.insert(key.to_owned(), source);
        Ok(())
    }

    /// The keys that this one may have been meant to be, as the end of a message.
    fn similar(&self, key: &str) -> String {
        let last = key.rsplit('.').next().unwrap_or(key);
        let section = key
            .split_once('.')
            .map(|(section, _)| format!("{section}."));
        let keys = self.sources.keys();
        let near: Vec<&str> = keys
            .filter(|known| {
                let same_section = section.as_ref().is_some_and(|s| known.starts_with(s));
                same_section || known.ends_with(&format!(".{last}"))
            })
            .map(String::as_str)
            .collect();
        if near.is_empty() {
            String::new()
        } else {
            format!(" (there is: {})", near.join(", "))
        }
    }
}

/// Lays all layers over each other.
pub(super) fn merge(inputs: &Inputs) -> Result<Loaded, ConfigError> {
    let values = read(Path::new("broker.toml (built-in)"), BUILT_IN)?;
    let mut sources = BTreeMap::new();
    for (key, _) in leaves(&values) {
        sources.insert(key, Source::BuiltIn);
    }
    let config = Config::default();
    let mut loaded = Loaded {
        config,
        values,
        sources,
    };
    if let Some(path) = file(inputs) {
        let text = fs::read_to_string(&path).map_err(|source| ConfigError::Unreadable {
            path: path.clone(),
            source,
        })?;
        for (key, value) in leaves(&read(&path, &text)?) {
            loaded.set(&key, value, Source::File(path.clone()))?;
        }
    }
    environment(inputs, &mut loaded)?;
    for Flag { name, key, value } in &inputs.flags {
        let value = typed(&loaded.values, key, value);
        loaded.set(key, value, Source::Flag(name.clone()))?;
    }
    credentials(inputs, &mut loaded)?;
    if loaded.config.state_dir.as_os_str().is_empty() {
        loaded.config.state_dir = default_state_dir(inputs);
        let shown = loaded.config.state_dir.display().to_string();
        loaded
            .values
            .insert("state_dir".to_owned(), Value::String(shown));
    }
    Ok(loaded)
}

/// The file to read, if any.
fn file(inputs: &Inputs) -> Option<PathBuf> {
    let named = inputs
        .file
        .clone()
        .or_else(|| inputs.variable(FILE_VARIABLE).map(PathBuf::from));
    // A system file that exists and cannot be read is an error, not a default.
    let exists = |path: &PathBuf| !matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound);
    named.or_else(|| inputs.fallback.clone().filter(exists))
}

/// Reads a file's text, checking every key and value of it in place.
fn read(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let wrong = |error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        let message = error.message().to_owned();
        ConfigError::File {
            path: path.to_owned(),
            line,
            column,
            message,
        }
    };
    // As a configuration first: only this knows the keys, and it knows their places.
    let _checked: Config = toml::from_str(text).map_err(wrong)?;
    toml::from_str(text).map_err(wrong)
}

/// Applies the variables that name a key, and refuses those that only look as if they did.
fn environment(inputs: &Inputs, loaded: &mut Loaded) -> Result<(), ConfigError> {
    let by_name: BTreeMap<String, String> = loaded
        .sources
        .keys()
        .map(|key| (variable_name(key), key.clone()))
        .collect();
    let sections: Vec<String> = loaded
        .values
        .iter()
        .filter(|(_, value)| value.is_table())
        .map(|(section, _)| format!("{}_", variable_name(section)))
        .collect();
    for (name, text) in &inputs.environment {
        let source = Source::Environment(name.clone());
        if let Some(key) = by_name.get(name) {
            let value = typed(&loaded.values, key, text);
            loaded.set(key, value, source)?;
        } else if let Some(section) = sections.iter().find(|section| name.starts_with(*section)) {
            let known: Vec<&str> = by_name
                .keys()
                .filter(|n| n.starts_with(section))
                .map(String::as_str)
                .collect();
            return Err(ConfigError::Override {
                source_name: source.to_string(),
                message: format!("it names no key (there is: {})", known.join(", ")),
            });
        }
    }
    Ok(())
}

/// Takes the credentials that systemd has loaded for the unit, for files that nothing else names.
fn credentials(inputs: &Inputs, loaded: &mut Loaded) -> Result<(), ConfigError> {
    let Some(dir) = inputs.variable(CREDENTIALS_DIR).map(Path::new) else {
        return Ok(());
    };
    for (key, name) in CREDENTIALS {
        let path = dir.join(name);
        let is_named = get(&loaded.values, key) != Some(&Value::String(String::new()));
        // A url in the configuration itself is stronger too.
        let is_given = key == "database.url_file" && !loaded.config.database.url.is_empty();
        if !is_named && !is_given && path.is_file() {
            let value = Value::String(path.display().to_string());
            let source = Source::Environment(CREDENTIALS_DIR.to_owned());
            loaded.set(key, value, source)?;
        }
    }
    Ok(())
}

/// The environment variable of a key: `journal.bytes_max` is `DIVISOR_JOURNAL_BYTES_MAX`.
fn variable_name(key: &str) -> String {
    format!("DIVISOR_{}", key.replace('.', "_").to_uppercase())
}

/// Text as the type that the key has now. What does not fit stays text, for the message.
fn typed(values: &Table, key: &str, text: &str) -> Value {
    let text = text.trim();
    let as_toml = || {
        let table: Option<Table> = toml::from_str(&format!("value = {text}")).ok();
        table.and_then(|mut table| table.remove("value"))
    };
    let value = match get(values, key) {
        Some(Value::Boolean(_) | Value::Integer(_)) => as_toml(),
        Some(Value::Array(_)) if text.starts_with('[') => as_toml(),
        Some(Value::Array(_)) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Some(Value::Array(
                items.map(|item| Value::String(item.to_owned())).collect(),
            ))
        }
        Some(_) if text.starts_with('"') => as_toml(),
        _ => None,
    };
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// All values that are not tables, with their keys, in the order of the file.
pub(super) fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value.as_table() {
            Some(inner) => {
                let inner = leaves(inner).into_iter();
                found.extend(inner.map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            None => found.push((key.clone(), value.clone())),
        }
    }
    found
}

/// The value of a key, unless it is a table.
fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => get(table.get(section)?.as_table()?, rest),
        None => table.get(key).filter(|value| !value.is_table()),
    }
}

/// The place of a key's value, unless it is a table.
fn place<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        Some((section, rest)) => place(table.get_mut(section)?.as_table_mut()?, rest),
        None => table.get_mut(key).filter(|value| !value.is_table()),
    }
}

/// The state directory when none is configured.
fn default_state_dir(inputs: &Inputs) -> PathBuf {
    // systemd separates several with colons; the first is ours.
    let given = inputs
        .variable("STATE_DIRECTORY")
        .and_then(|dirs| dirs.split(':').next());
    if let Some(dir) = given {
        return PathBuf::from(dir);
    }
    let home = inputs
        .variable("HOME")
        .map(|home| Path::new(home).join(".local/state"));
    let state = inputs
        .variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or(home);
    match state {
        Some(state) if !rustix::process::geteuid().is_root() => state.join("divisor"),
        _ => PathBuf::from("/var/lib/divisor"),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => write!(f, "built-in"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}
