//! The verbs of `divisord`.

mod journal;
mod passwd;
mod replay;
mod restore;
mod verify;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Flag, Inputs, Loaded};
use crate::exit::{self, Failure};
use crate::run::Start;
use crate::{logging, run, shutdown, store};

/// Calculates financial indexes in real time.
///
/// Publishers send prices over MQTT; divisord computes every index that holds the security, keeps
/// ticks and levels in PostgreSQL and publishes the levels over MQTT.
#[derive(Debug, Parser)]
#[command(
    name = "divisord",
    version,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        divisord run                          with defaults: loopback, private PostgreSQL\n  \
        divisord check --config broker.toml   is this configuration good?\n  \
        divisord print-config                 what is configured, and by what\n\n\
        Exit codes: 0 done, 1 verify or replay --compare found a difference, 64 wrong usage or\n\
        configuration, 69 PostgreSQL cannot be used, 70 internal error, 73 state directory cannot\n\
        be used, 74 journal damaged or its disk fails, 75 state directory or port in use (try\n\
        again)."
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Clone, Args)]
struct Options {
    /// The configuration file
    ///
    /// Only what differs from the defaults needs to be in it. Without this, the file named by
    /// `$DIVISOR_CONFIG` is read, or /etc/divisor/broker.toml if it exists.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// The state directory: journal and private PostgreSQL
    ///
    /// The same as `--set state_dir=DIR`.
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<String>,

    /// Where to listen for MQTT; may be repeated
    ///
    /// The same as `--set mqtt.listen=ADDR,ADDR`.
    #[arg(long, value_name = "ADDR", global = true)]
    listen: Vec<String>,

    /// Sets a key of the configuration; may be repeated
    ///
    /// For example `--set journal.bytes_max=8GiB`. `divisord print-config` lists the keys.
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the daemon
    ///
    /// Runs in the foreground until SIGTERM or SIGINT. SIGHUP reloads users, rights, certificates
    /// and the log filter; nobody is disconnected but users who are gone or have another password.
    #[command(after_help = "Examples:\n  \
        divisord run\n  \
        divisord run --state /tmp/try --listen 127.0.0.1:11883\n  \
        DIVISOR_LOG_FILTER=debug divisord run")]
    Run,
    /// Validates the configuration and starts nothing
    #[command(after_help = "Examples:\n  \
        divisord check\n  \
        divisord check --config broker.toml && systemctl restart divisord")]
    Check,
    /// Prints the configuration, each value with where it came from
    ///
    /// The output is a configuration file again, passwords excepted.
    #[command(after_help = "Examples:\n  \
        divisord print-config\n  \
        divisord print-config | grep -v built-in     what differs from the defaults")]
    PrintConfig,
    /// Adds, changes or removes a user
    ///
    /// The password is asked for without showing it, or read from the first line of stdin where
    /// that is no terminal; it is never an argument, since others could see it. What is written is
    /// its hash. A running daemon takes the change at SIGHUP (`systemctl reload divisord`).
    #[command(after_help = "Examples:\n  \
        divisord passwd ann --role operator --file /etc/divisor/users.toml\n  \
        pass show feed-1 | divisord passwd feed-1 --role publisher\n  \
        divisord passwd wall --no-password --role subscriber   for a client certificate\n  \
        divisord passwd ann --remove")]
    Passwd(passwd::Passwd),
    /// Brings the database's schema up to date and ends
    ///
    /// `run` does the same at its start.
    #[command(after_help = "Examples:\n  \
        divisord migrate --set database.url=postgres://me@localhost/divisor")]
    Migrate,
    /// Looks into the journal, or cuts a damaged one
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:\n  \
        divisord journal inspect\n  \
        divisord journal export --from 1000 | head\n  \
        divisord journal repair"
    )]
    Journal(journal::Verb),
    /// Calculates stored levels again, and prints or compares them
    ///
    /// Runs the journal, or the prices and definitions stored in PostgreSQL, through a fresh
    /// engine. Changes nothing, and may be run beside the daemon.
    #[command(after_help = "Examples:\n  \
        divisord replay | head\n  \
        divisord replay --index DJIA --from 2021-11-04T00:00:00Z --format csv\n  \
        divisord replay --source postgres --compare")]
    Replay(replay::Replay),
    /// Compares journal, PostgreSQL, snapshots and recomputation
    ///
    /// Every stored price, rate, level, revision and command against a replay of the stored
    /// inputs and against the journal; every snapshot against the replay at its position. Changes
    /// nothing, and may be run beside the daemon. Ends with 0 when all agree, with 1 at the first
    /// difference, which it names.
    #[command(after_help = "Examples:\n  \
        divisord verify\n  \
        divisord verify --state /backup/divisor")]
    Verify,
    /// Makes a new state directory from PostgreSQL, where the journal is lost
    ///
    /// Positions, numbers of levels and the identity of the journal go on where PostgreSQL is.
    /// What the daemon acknowledged and had not stored yet is lost with the journal.
    #[command(after_help = "Example:\n  \
        divisord restore --from-postgres --set database.url=postgres://me@db/divisor")]
    Restore(restore::Restore),
}

/// Does what the command line says and returns the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to do when the terminal is gone.
            let _printed = error.print();
            return ExitCode::from(if error.use_stderr() {
                exit::CONFIG
            } else {
                exit::OK
            });
        }
    };
    match dispatch(&cli) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(failure) => {
            let _printed = writeln!(io::stderr(), "{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let loaded = cli.options.load()?;
    match &cli.verb {
        Verb::Run => {
            let start = Start {
                filter: logging::start(&loaded.config.log),
                reread: {
                    let options = cli.options.clone();
                    Box::new(move || options.load())
                },
                loaded,
            };
            let (trigger, shutdown) = shutdown::token();
            run::run(start, trigger, &shutdown)
        }
        Verb::Check => {
            loaded.config.database.resolve()?;
            run::guests(&loaded.config)?;
            run::certificate(&loaded.config)?;
            print("the configuration is good\n")
        }
        Verb::PrintConfig => print(&loaded.print()),
        Verb::Passwd(passwd) => passwd.run(&loaded.config),
        Verb::Migrate => migrate(&loaded.config),
        Verb::Journal(verb) => verb.run(&loaded.config),
        Verb::Replay(replay) => replay.run(&loaded.config),
        Verb::Verify => verify::run(&loaded.config),
        Verb::Restore(restore) => restore.run(&loaded.config),
    }
}

/// Brings the schema of the configured database up to date.
fn migrate(config: &Config) -> Result<(), Failure> {
    let failed = |error: anyhow::Error| Failure::new(exit::DATABASE, error);
    let mut access = run::own(config)?;
    let report = store::migrate(access.client()?).map_err(|error| failed(error.into()))?;
    if report.applied.is_empty() {
        return print("the schema is up to date\n");
    }
    print(&format!("applied {}\n", report.applied.join(", ")))
}

impl Options {
    /// The configuration with these flags on top.
    fn load(&self) -> Result<Loaded, Failure> {
        let flag = |name: &str, key: &str, value: &str| Flag {
            name: name.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let mut inputs = Inputs::of_process();
        inputs.file.clone_from(&self.config);
        for set in &self.set {
            let Some((key, value)) = set.split_once('=') else {
                let error = anyhow!("apply --set {set}: expected KEY=VALUE");
                return Err(Failure::new(exit::CONFIG, error));
            };
            inputs
                .flags
                .push(flag(&format!("--set {key}"), key.trim(), value));
        }
        if let Some(state) = &self.state {
            // What is typed at a prompt is meant relative to where it is typed.
            let path =
                std::path::absolute(state).map_err(|error| Failure::new(exit::CONFIG, error))?;
            inputs
                .flags
                .push(flag("--state", "state_dir", &path.to_string_lossy()));
        }
        if !self.listen.is_empty() {
            inputs
                .flags
                .push(flag("--listen", "mqtt.listen", &self.listen.join(",")));
        }
        Ok(Config::load(&inputs)?)
    }
}

/// Prints to stdout; a reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Turns the outcome of printing into the outcome of the program.
fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::INTERNAL, anyhow!("print: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }
}
