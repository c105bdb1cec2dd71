//! The layers of the configuration.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use divisord::config::{BUILT_IN, Config, ConfigError, Flag, Inputs, Loaded, Publish, Source};

#[test]
fn the_shipped_file_is_the_built_in_defaults_and_complete() {
    let shipped: Config = toml::from_str(BUILT_IN).unwrap();
    assert_eq!(shipped, Config::default());
    let keys = |table: toml::Table| {
        let mut keys = Vec::new();
        collect("", &table, &mut keys);
        keys.sort();
        keys
    };
    let in_file = keys(toml::from_str(BUILT_IN).unwrap());
    let in_structs = keys(toml::Table::try_from(Config::default()).unwrap());
    assert_eq!(in_file, in_structs);
}

#[test]
fn every_key_of_the_shipped_file_is_commented() {
    let mut commented = false;
    for line in BUILT_IN.lines() {
        if line.is_empty() || line.starts_with('[') {
            commented = false;
        } else if line.starts_with('#') {
            commented = true;
        } else {
            assert!(commented, "no comment above: {line}");
        }
    }
}

#[test]
fn stronger_layers_win() {
    let mut world = World::new(
        "[journal]\nbytes_max = \"1 GiB\"\nkeep = \"1 MiB\"\n[sequencer]\npublish = \"immediate\"\n",
    );
    world.env("DIVISOR_JOURNAL_KEEP", "2097152");
    world.env("DIVISOR_TICKS_FUTURE_MAX", "5m");
    world.env("DIVISOR_MQTT_ROUTER_SEGMENT_COUNT", "7");
    world.env("DIVISOR_STATE_DIR", "/srv/divisor");
    world.env("DIVISOR_URL", "belongs to the command line client");
    world.flag("--set ticks.future_max", "ticks.future_max", "10s");
    world.flag("--listen", "mqtt.listen", "127.0.0.1:0,[::1]:1883");
    let loaded = world.load().unwrap();
    let config = &loaded.config;
    assert_eq!(config.journal.segment_bytes, 64 << 20);
    assert_eq!(config.journal.bytes_max, 1 << 30);
    assert_eq!(config.journal.keep, 2 << 20);
    assert_eq!(config.sequencer.publish, Publish::Immediate);
    assert_eq!(config.ticks.future_max, Duration::from_secs(10));
    assert_eq!(config.mqtt.router.segment_count, 7);
    assert_eq!(config.mqtt.listen.len(), 2);
    assert_eq!(config.journal_dir(), PathBuf::from("/srv/divisor/journal"));
    assert_eq!(
        loaded.source("journal.segment_bytes"),
        Some(&Source::BuiltIn)
    );
    assert_eq!(
        loaded.source("journal.bytes_max"),
        Some(&Source::File(world.path()))
    );
    let variable = Source::Environment("DIVISOR_JOURNAL_KEEP".to_owned());
    assert_eq!(loaded.source("journal.keep"), Some(&variable));
}

#[test]
fn mistakes_are_named_with_their_place() {
    let file = |text: &str| World::new(text).load().unwrap_err().to_string();
    let place = |text: &str, expected: &str| {
        let message = file(text);
        assert!(
            message.contains(expected),
            "{message}\nshould have: {expected}"
        );
        assert!(
            message.starts_with("read the configuration: /"),
            "{message}"
        );
    };
    place(
        "[mqtt]\nlissten = []\n",
        "broker.toml:2:1: unknown field `lissten`",
    );
    place("\n[mqt]\n", "broker.toml:2:2: unknown field `mqt`");
    place(
        "[journal]\n  keep = \"lots\"\n",
        "broker.toml:2:10: expected a size",
    );
    place(
        "[ticks]\nfuture_max = 60\n",
        "broker.toml:2:14: expected a duration",
    );
    place(
        "[mqtt]\nlisten = [\"localhost\"]\n",
        "broker.toml:2:11: invalid socket address",
    );
    place(
        "[store]\npartition = \"year\"\n",
        "broker.toml:2:13: unknown variant `year`",
    );
    place("[mqtt]\ninflight_max = 70000\n", "broker.toml:2:16: ");
    place("[mqtt\n", "broker.toml:1:6: ");

    let mut world = World::new("");
    world.env("DIVISOR_JOURNAL_BYTESMAX", "1");
    let message = world.load().unwrap_err().to_string();
    assert!(message.starts_with("apply environment DIVISOR_JOURNAL_BYTESMAX: it names no key"));
    assert!(message.contains("DIVISOR_JOURNAL_BYTES_MAX"), "{message}");

    let flag = |key: &str, value: &str| {
        let mut world = World::new("");
        world.flag("--set", key, value);
        world.load().unwrap_err().to_string()
    };
    let message = flag("jornal.keep", "1");
    assert_eq!(
        message,
        "apply flag --set: there is no key jornal.keep (there is: journal.keep)"
    );
    let message = flag("journal", "1");
    assert!(
        message.starts_with("apply flag --set: there is no key journal"),
        "{message}"
    );
    let message = flag("journal.sync", "maybe");
    assert!(
        message.starts_with("apply flag --set: journal.sync: invalid type"),
        "{message}"
    );
    let missing = Inputs {
        file: Some(PathBuf::from("/none.toml")),
        ..Inputs::default()
    };
    let message = Config::load(&missing).unwrap_err().to_string();
    assert!(
        message.starts_with("read the configuration /none.toml: No such file"),
        "{message}"
    );
}

#[test]
fn values_are_checked_against_each_other() {
    let problems = |text: &str| match World::new(text).load() {
        Err(ConfigError::Problems { problems }) => problems,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        problems("[mqtt]\nlisten = [\"0.0.0.0:1883\"]\n"),
        [
            "mqtt.listen = \"0.0.0.0:1883\": listening beyond loopback needs users: make a file with \
             `divisord passwd` and name it in access.users_file, or use 127.0.0.1"
        ]
    );
    let named = World::new(
        "[mqtt]\nlisten = [\"0.0.0.0:1883\"]\n[access]\nusers_file = \"/etc/divisor/users.toml\"\n",
    );
    assert!(named.load().is_ok());
    let all = problems(
        "state_dir = \"relative\"\n\
         [mqtt]\nlisten = []\nfilters_max = 0\n\
         [mqtt.router]\nsegment_bytes = 100\n\
         [journal]\nsegment_bytes = \"1 GiB\"\nbytes_max = \"1 GiB\"\n\
         [database]\nurl = \"postgres://me:s3cret@[bad\"\nurl_file = \"/x\"\n\
         [log]\nfilter = \"divisord=loud\"\n\
         [service]\nstop_timeout = \"0s\"\n",
    );
    assert_eq!(all.len(), 9, "{all:#?}");
    assert!(!all.concat().contains("s3cret"), "{all:#?}");
    let keep = problems("[journal]\nbytes_max = \"128 MiB\"\nkeep = \"1 MiB\"\n");
    assert!(
        keep[0].starts_with("journal.keep must leave two segments"),
        "{keep:?}"
    );
}

#[test]
fn what_is_printed_can_be_read_again_and_hides_secrets() {
    let mut world = World::new("[database]\nurl = \"postgres://me:s3cret@db/divisor\"\n");
    world.flag("--set sequencer.publish", "sequencer.publish", "immediate");
    let loaded = world.load().unwrap();
    let text = loaded.print();
    let path = world.path();
    assert!(text.contains(&format!(
        "url = \"postgres://me:***@db/divisor\" # {}\n",
        path.display()
    )));
    assert!(text.contains("publish = \"immediate\" # flag --set sequencer.publish\n"));
    assert!(text.contains("\n[mqtt.router]\nsegment_bytes = \"1 MiB\" # built-in\n"));
    assert!(!text.contains("s3cret"));
    assert!(!format!("{:?}", loaded.config).contains("s3cret"));
    assert_eq!(
        loaded.config.database.url.expose(),
        "postgres://me:s3cret@db/divisor"
    );
    let again: Config = toml::from_str(&text.replace("***", "s3cret")).unwrap();
    assert_eq!(again, loaded.config);
}

#[test]
fn the_url_may_be_in_a_file() {
    let world = World::new("");
    let secret = world.dir.path().join("url");
    let mut inputs = world.inputs;
    inputs.flags.push(Flag {
        name: "--set".to_owned(),
        key: "database.url_file".to_owned(),
        value: secret.display().to_string(),
    });
    let config = Config::load(&inputs).unwrap().config;
    assert!(
        config
            .database
            .resolve()
            .unwrap_err()
            .to_string()
            .contains("No such file")
    );
    fs::write(&secret, "postgres://me:s3cret@db/divisor\n").unwrap();
    let url = config.database.resolve().unwrap().unwrap();
    assert_eq!(url.expose(), "postgres://me:s3cret@db/divisor");
    fs::write(&secret, "postgres://[s3cret").unwrap();
    let message = config.database.resolve().unwrap_err().to_string();
    assert!(!message.contains("s3cret"), "{message}");
}

#[test]
fn credentials_of_systemd_are_taken_where_nothing_else_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let load = |text: &str, credentials: &[&str]| {
        for name in ["users.toml", "database.url"] {
            let path = dir.path().join(name);
            if credentials.contains(&name) {
                fs::write(&path, "").unwrap();
            } else {
                let _ = fs::remove_file(&path);
            }
        }
        let mut world = World::new(text);
        world.env("CREDENTIALS_DIRECTORY", &dir.path().display().to_string());
        world.load().unwrap()
    };
    let none = load("", &[]);
    assert!(!none.config.access.has_users());
    let both = load("", &["users.toml", "database.url"]);
    assert_eq!(both.config.access.users_file, dir.path().join("users.toml"));
    assert_eq!(
        both.config.database.url_file,
        dir.path().join("database.url")
    );
    let source = Source::Environment("CREDENTIALS_DIRECTORY".to_owned());
    assert_eq!(both.source("access.users_file"), Some(&source));
    let other = load(
        "[access]\nusers_file = \"/other\"\n[database]\nurl = \"postgres://h/d\"\n",
        &["users.toml", "database.url"],
    );
    assert_eq!(other.config.access.users_file, PathBuf::from("/other"));
    assert_eq!(other.config.database.url_file, PathBuf::new());
}

/// A configuration file and an environment of its own.
struct World {
    dir: tempfile::TempDir,
    inputs: Inputs,
}

impl World {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broker.toml");
        fs::write(&path, text).unwrap();
        let inputs = Inputs {
            file: Some(path),
            ..Inputs::default()
        };
        Self { dir, inputs }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("broker.toml")
    }

    fn env(&mut self, name: &str, value: &str) {
        self.inputs
            .environment
            .push((name.to_owned(), value.to_owned()));
    }

    fn flag(&mut self, name: &str, key: &str, value: &str) {
        let flag = Flag {
            name: name.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        self.inputs.flags.push(flag);
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        Config::load(&self.inputs)
    }
}

fn collect(section: &str, table: &toml::Table, keys: &mut Vec<String>) {
    for (key, value) in table {
        let name = format!("{section}{key}");
        match value.as_table() {
            Some(inner) => collect(&format!("{name}."), inner, keys),
            None => keys.push(name),
        }
    }
}
