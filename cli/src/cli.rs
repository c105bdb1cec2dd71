//! The command line: global flags, the verbs, and the runtime they run in.

use clap::{Args, ColorChoice, Parser, Subcommand};

use crate::commands;
use crate::connection::{Address, Broker, Login};
use crate::exit::{self, Exit};
use crate::interrupt::Interrupt;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  divisor demo                                  see it work: start, load, real Dow days, live levels
  divisor load fixtures/dow/before.json         define securities and indexes
  divisor publish AAPL 189.84                   send one price
  divisor simulate --every 10s                  a made-up market
  divisor tail DJIA                             live levels of one index
  divisor watch                                 all of them, in the terminal
  divisor index list -o json                    one object per line";

/// Loads fixtures, simulates feeds and tails index updates of divisord, over MQTT.
#[derive(Debug, Parser)]
#[command(
    name = "divisor",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP)
)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The broker, such as `mqtt://127.0.0.1:1883`, or `mqtts://` for TLS
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DIVISOR_URL",
        hide_env_values = true,
        default_value = "mqtt://127.0.0.1:1883"
    )]
    pub(crate) url: Address,

    #[command(flatten)]
    pub(crate) login: Login,

    /// What the above come to; filled in before a verb runs.
    #[arg(skip)]
    pub(crate) broker: Broker,

    /// How data is printed on stdout
    ///
    /// `json` is one object per line, `csv` has a header line. Talk, progress and errors go to
    /// stderr in every case.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub(crate) output: Format,

    /// When to colour
    ///
    /// `auto` does where a terminal reads and `NO_COLOR` is not set.
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(commands::demo::Opts),
    Load(commands::load::Opts),
    Simulate(commands::simulate::Opts),
    Tail(commands::tail::Opts),
    Watch(commands::watch::Opts),
    Publish(commands::publish::Opts),
    #[command(subcommand)]
    Index(commands::index::Verb),
    #[command(subcommand)]
    Action(commands::action::Verb),
    #[command(subcommand)]
    Rebalance(commands::rebalance::Verb),
    #[command(subcommand)]
    Security(commands::security::Verb),
    #[command(subcommand)]
    Rate(commands::rate::Verb),
    #[command(subcommand)]
    Price(commands::price::Verb),
    Close(commands::close::Opts),
    Correct(commands::correct::Opts),
    Halt(commands::close::HaltOpts),
    Resume(commands::close::ResumeOpts),
    #[command(subcommand)]
    Calendar(commands::calendar::Verb),
    Backfill(commands::backfill::Opts),
    Status(commands::status::Opts),
    History(commands::history::Opts),
    Open(commands::open::Opts),
}

/// Reads the command line; usage errors end the process with code 2.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}

/// Runs the verb.
pub(crate) fn run(mut cli: Cli) -> anyhow::Result<Exit> {
    // The demonstration has a daemon of its own, which asks nobody who he is.
    if !matches!(cli.command, Command::Demo(_)) {
        cli.globals.broker = Broker::new(cli.globals.url.clone(), &cli.globals.login)?;
        // These speak HTTP, over TLS or not, whatever the broker speaks.
        if !matches!(cli.command, Command::History(_) | Command::Open(_)) {
            cli.globals.broker.refuse_idle(&cli.globals.login)?;
        }
    }
    match cli.globals.color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    // The command runs here, the MQTT tasks beside it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let interrupt = Interrupt::listen()?;
        let globals = &cli.globals;
        match cli.command {
            Command::Demo(opts) => commands::demo::run(opts, globals, &interrupt).await,
            Command::Load(opts) => commands::load::run(opts, globals, &interrupt).await,
            Command::Simulate(opts) => commands::simulate::run(opts, globals, &interrupt).await,
            Command::Tail(opts) => commands::tail::run(opts, globals, &interrupt).await,
            Command::Watch(opts) => commands::watch::run(opts, globals, &interrupt).await,
            Command::Publish(opts) => commands::publish::run(opts, globals, &interrupt).await,
            Command::Index(verb) => commands::index::run(verb, globals).await,
            Command::Rebalance(verb) => commands::rebalance::run(verb, globals).await,
            Command::Action(verb) => commands::action::run(verb, globals).await,
            Command::Security(verb) => commands::security::run(verb, globals).await,
            Command::Rate(verb) => commands::rate::run(verb, globals).await,
            Command::Price(verb) => commands::price::run(verb, globals).await,
            Command::Close(opts) => commands::close::run(opts, globals).await,
            Command::Correct(opts) => commands::correct::run(opts, globals).await,
            Command::Halt(opts) => commands::close::halt(opts, globals).await,
            Command::Resume(opts) => commands::close::resume(opts, globals).await,
            Command::Calendar(verb) => commands::calendar::run(verb, globals).await,
            Command::Backfill(opts) => commands::backfill::run(opts, globals, &interrupt).await,
            Command::Status(opts) => commands::status::run(opts, globals).await,
            Command::History(opts) => commands::history::run(opts, globals).await,
            Command::Open(opts) => commands::open::run(opts, globals).await,
        }
    });
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_examples() {
        for verb in Cli::command()
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help")
        {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", verb.get_name());
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }

    #[track_caller]
    fn check(line: &str, good: bool) {
        let parsed = Cli::try_parse_from(line.split(' '));
        assert_eq!(
            parsed.is_ok(),
            good,
            "{line}: {:?}",
            parsed.err().map(|e| e.to_string())
        );
    }

    #[test]
    fn usage_of_indexes_is_checked() {
        check(
            "divisor index explain X --at 2021-11-03 --http http://h:1",
            true,
        );
        check("divisor index create some.json --dry-run", true);
        check(
            "divisor index create X --currency USD --base 100 --members A,B=2",
            true,
        );
        check("divisor index create X --currency USD --base 100", false);
        check(
            "divisor index create X --currency US/D --base 100 --members A",
            false,
        );
        check("divisor index create X --scheme equal", false);
        check(
            "divisor index composition X --at 2021-11-03 --revision 2",
            false,
        );
        check("divisor index diff X 1", false);
        check("divisor index diff X 1 2 -o csv", true);
        check("divisor index history X", true);
        check("divisor index rename X Y", true);
        check("divisor index rename X", false);
        check("divisor index deactivate X Y --note gone", true);
        check("divisor index delete", false);
        check("divisor security reactivate A", true);
    }

    #[test]
    fn usage_is_checked() {
        check("divisor load a.json b.csv --dry-run", true);
        check("divisor load", false);
        check(
            "divisor simulate --rate 10 --seed 7 --securities 5 -o json",
            true,
        );
        check("divisor simulate --rate 10 --every 10s", false);
        check("divisor simulate --rate 0", false);
        check("divisor simulate --qos 3", false);
        check("divisor simulate --replay a.csv --speed 10x", true);
        check("divisor simulate --fx --rate 10", true);
        check("divisor simulate --fx=EUR/USD --rate 10", true);
        check("divisor simulate --fx EUR/USD=1.08,GBP/USD", true);
        check("divisor simulate --fx EURUSD", false);
        check("divisor tail DJIA -n 5 --for 10s --changed", true);
        check("divisor publish AAPL 189.84 --ccy USD", true);
        check("divisor publish AAPL one", false);
        check("divisor publish -", true);
        check("divisor index show DJIA --url mqtt://h", true);
        check("divisor action preview X --url mqtt://h", true);
        check("divisor action add", false);
        check(
            "divisor rebalance plan X --effective 2026-06-22 --days 4",
            true,
        );
        check("divisor rebalance plan X --effective soon", false);
        check("divisor index explain X", true);
        check("divisor status --url ftp://h", false);
        check(
            "divisor history DJIA --from 2021-11-03 --candles 1m -o csv",
            true,
        );
        check("divisor history DJIA --candles 7m", false);
        check("divisor history", false);
        check("divisor open --http https://h", true);
        check("divisor demo --days 3 --seconds 1", true);
        check("divisor price hold release 1 2", true);
        check("divisor price hold reject", false);
        check("divisor close DJIA --confirm", true);
        check(
            "divisor correct price A --ts T --price 1.5 --reason x",
            true,
        );
        check(
            "divisor correct price A --ts T --void --reason x --preview",
            true,
        );
        check("divisor correct price A --ts T --reason x", false);
        check(
            "divisor correct price A --ts T --price 1 --void --reason x",
            false,
        );
        check(
            "divisor correct rate EUR/USD --ts T --rate 1.08 --reason x",
            true,
        );
        check(
            "divisor correct rate EURUSD --ts T --rate 1.08 --reason x",
            false,
        );
        check("divisor correct withdraw 3", false);
        check(
            "divisor calendar show XNYS --from 2021-11-22 --sessions 5",
            true,
        );
        check(
            "divisor backfill a.json b.csv.gz --at 16:00 --zone America/New_York --type close",
            true,
        );
        check("divisor backfill a.csv --zone Mars/Olympus", false);
    }
}
