//! `divisor index create`: from a file, or from a few flags.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use divisor_engine::definition::{Base, Constituent, IndexDefinition, Reset, Weighting};
use divisor_engine::{Currency, Decimal};
use divisor_wire::command::{Items, LoadSummary};

use crate::cli::Globals;
use crate::commands::{connected, load};
use crate::exit::{Exit, WrongInput};
use crate::fixtures;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  divisor index create fixtures/methodology/weighting/equal.json
  divisor index create BIG3 --currency USD --scheme price --base 100 --members AAPL,MSFT,IBM
  divisor index create MIX --currency EUR --scheme fixed_weight --base 1000 --members SAP=0.6,BMW=0.4
  divisor index create EW --currency USD --scheme equal --reset monthly --base 100 --members A,B,C";

/// Create indexes from a fixture, or a simple one from flags
///
/// An index that is there already is refused: `divisor load` changes those. Whatever these flags do
/// not say, a fixture does.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// A fixture with `indexes` and what they need, `-` for stdin; with the flags below a code
    #[arg(value_name = "FILE|CODE")]
    subject: String,

    /// The currency of the level
    #[arg(long, requires = "members", value_parser = currency)]
    currency: Option<Currency>,

    /// How its members are weighted
    #[arg(long, value_enum, requires = "currency")]
    scheme: Option<Scheme>,

    /// How often weights are restored: `never`, `daily`, `weekly`, `monthly`, `quarterly`, `yearly`,
    /// or behind the third Friday: `third_friday_monthly`, `third_friday_quarterly`, `third_friday_yearly`
    #[arg(long, requires = "scheme", value_parser = reset)]
    reset: Option<Reset>,

    /// The level to begin with
    #[arg(
        long,
        value_name = "LEVEL",
        requires = "currency",
        conflicts_with = "divisor"
    )]
    base: Option<Decimal>,

    /// The divisor to begin with, of an index that is taken over from elsewhere
    #[arg(long, requires = "currency")]
    divisor: Option<Decimal>,

    /// Members: `SYMBOL`, or `SYMBOL=NUMBER` for units, shares or weight, as the scheme asks for
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        requires = "currency"
    )]
    members: Vec<String>,

    /// A name for people
    #[arg(long, requires = "currency")]
    name: Option<String>,

    /// Check everything and create nothing
    #[arg(long)]
    dry_run: bool,
}

/// The schemes that a symbol and a number suffice for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Scheme {
    /// Prices as they are; the number is units, 1 by default
    Price,
    /// The number is units
    FixedUnits,
    /// The number is shares outstanding
    MarketCap,
    /// Without numbers
    Equal,
    /// The number is a weight
    FixedWeight,
    /// The number is a weight, restored daily
    ConstantWeight,
}

fn currency(text: &str) -> Result<Currency, String> {
    Currency::parse(text).map_err(|error| error.to_string())
}

fn reset(text: &str) -> Result<Reset, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// Runs the verb.
pub(super) async fn run(opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    let items = items(&opts)?;
    if items.indexes.is_empty() {
        return Err(WrongInput::one(format!("{} defines no index", opts.subject)).into());
    }
    let summary = connected(globals, "index", async |connection| {
        let tried = load::apply(connection, items.clone(), true, false).await?;
        refuse_known(&tried)?;
        if opts.dry_run {
            return Ok(tried);
        }
        load::apply(connection, items, false, false).await
    })
    .await?;
    load::print(globals.output, &summary)?;
    if opts.dry_run {
        output::say(format_args!("dry run, nothing created"));
    }
    Ok(Exit::Done)
}

/// What is there already is changed by a load, and not by chance.
fn refuse_known(tried: &LoadSummary) -> anyhow::Result<()> {
    let known = tried.indexes.changed + tried.indexes.unchanged;
    if known == 0 {
        return Ok(());
    }
    anyhow::bail!("{known} of these indexes are there already; `divisor load` changes them")
}

fn items(opts: &Opts) -> anyhow::Result<Items> {
    let Some(currency) = opts.currency else {
        let loaded = fixtures::read(&[PathBuf::from(&opts.subject)], None, false)?;
        return Ok(loaded.items);
    };
    let scheme = opts.scheme.unwrap_or(Scheme::Price);
    let reset = opts.reset.unwrap_or_default();
    let weighting = match scheme {
        Scheme::Price => Weighting::Price,
        Scheme::FixedUnits => Weighting::FixedUnits,
        Scheme::MarketCap => Weighting::MarketCap,
        Scheme::Equal => Weighting::Equal { reset },
        Scheme::FixedWeight => Weighting::FixedWeight { reset },
        Scheme::ConstantWeight => Weighting::ConstantWeight,
    };
    let base = Base {
        value: opts.base,
        divisor: opts.divisor,
        date: None,
    };
    let members = opts.members.iter().map(|text| member(scheme, text));
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let mut definition = IndexDefinition::new(&opts.subject, currency, weighting, base, members);
    definition.name.clone_from(&opts.name);
    Ok(Items {
        indexes: vec![definition],
        ..Items::default()
    })
}

fn member(scheme: Scheme, text: &str) -> Result<Constituent, WrongInput> {
    let (symbol, number) = match text.split_once('=') {
        Some((symbol, number)) => {
            let wrong = |error| WrongInput::one(format!("`{text}`: {error}"));
            let number: Decimal = number.parse().map_err(wrong)?;
            (symbol, Some(number))
        }
        None => (text, None),
    };
    let mut member = Constituent::new(symbol);
    match scheme {
        Scheme::Price | Scheme::FixedUnits => member.units = number,
        Scheme::MarketCap => member.shares = number,
        Scheme::FixedWeight | Scheme::ConstantWeight => member.weight = number,
        Scheme::Equal if number.is_some() => {
            return Err(WrongInput::one(format!(
                "`{text}`: equal weights need no number"
            )));
        }
        Scheme::Equal => {}
    }
    Ok(member)
}
