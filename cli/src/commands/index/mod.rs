//! `divisor index`: the indexes of the daemon, what they were made of, and their life.

mod create;
mod diff;
mod explain;
mod life;
mod past;
mod show;

use clap::Subcommand;

use crate::cli::Globals;
use crate::commands::connected;
use crate::exit::Exit;
use crate::web::HttpArgs;

pub(crate) use life::{OfSecurity, of_security};
pub(crate) use show::{request, show};

const EXAMPLES: &str = "\
Examples:
  divisor index list
  divisor index show DJIA
  divisor index create fixtures/methodology/weighting/equal.json
  divisor index create BIG3 --currency USD --scheme price --base 100 --members AAPL,MSFT,IBM
  divisor index explain DJIA --at 2021-11-03T20:00:00Z
  divisor index diff DJIA 1 2
  divisor index history DJIA
  divisor index deactivate DJIA --note unlicensed
  divisor index show DJIA -o json | jq .definition    as a fixture states it";

/// List, show, explain, create and retire indexes
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Verb {
    /// One line for each index
    #[command(after_help = "Examples:\n  divisor index list -o csv")]
    List,
    /// An index with divisor, constituents and weights
    #[command(after_help = "Examples:\n  divisor index show DJIA")]
    Show {
        /// The index code
        code: String,
    },
    /// The level taken apart, so that a calculator gives it again
    ///
    /// `level = (Σ price · coefficient · rate + cash) / divisor`, cut once at the end. With `--at`
    /// the last level at that time, from PostgreSQL by way of the HTTP side.
    #[command(after_help = "Examples:\n  divisor index explain DJIA -o csv\n  \
        divisor index explain DJIA --at 2021-11-03T20:00:00Z\n  \
        divisor index explain DJIA --at 2021-11-03T20:00:00Z --as-of published")]
    Explain {
        /// The index code
        code: String,
        #[command(flatten)]
        when: past::When,
        #[command(flatten)]
        http: HttpArgs,
    },
    Create(create::Opts),
    /// The constituents with coefficients, prices and weights, now or at a time
    #[command(
        after_help = "Examples:\n  divisor index composition DJIA --at 2021-11-03 -o csv\n  \
        divisor index composition DJIA --revision 1"
    )]
    Composition {
        /// The index code
        code: String,
        #[command(flatten)]
        when: past::When,
        /// A revision, at the prices that it was made with; 5@2 is number 5 of run 2
        #[arg(long, value_name = "REV", conflicts_with = "at")]
        revision: Option<past::Numbered>,
        #[command(flatten)]
        http: HttpArgs,
    },
    /// The revisions of basket and divisor, the oldest first
    ///
    /// A correction leaves those that were published and makes others under its run.
    #[command(after_help = "Examples:\n  divisor index revisions DJIA -o json\n  \
        divisor index revisions DJIA --as-of published")]
    Revisions {
        /// The index code
        code: String,
        /// What was right as of a time: `published`, `now` (as without it), or RFC 3339
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
        #[command(flatten)]
        http: HttpArgs,
    },
    /// Who changed an index, how and when
    ///
    /// Definitions, revisions, actions and operators' orders. Its levels and official closes are
    /// `divisor history`.
    #[command(
        after_help = "Examples:\n  divisor index history DJIA\n  divisor history DJIA --closes"
    )]
    History {
        /// The index code
        code: String,
        #[command(flatten)]
        http: HttpArgs,
    },
    /// What differs between two revisions: members, coefficients, weights, the divisor
    ///
    /// A revision that a correction has made is named with its run: 5@2, and 5@0 is what was
    /// published.
    #[command(after_help = "Examples:\n  divisor index diff DJIA 1 2 -o csv\n  \
        divisor index diff DJIA 5@0 5@2")]
    Diff {
        /// The index code
        code: String,
        /// The earlier revision
        #[arg(value_name = "REV1")]
        before: past::Numbered,
        /// The later revision
        #[arg(value_name = "REV2")]
        after: past::Numbered,
        #[command(flatten)]
        http: HttpArgs,
    },
    #[command(flatten)]
    Life(life::OfIndex),
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, globals: &Globals) -> anyhow::Result<Exit> {
    let format = globals.output;
    match verb {
        Verb::List => {
            connected(globals, "index", async |to| show::list(to, format).await).await?;
        }
        Verb::Show { code } => {
            let ask = async |to: &_| Ok(show(to, &code).await?);
            show::print(format, connected(globals, "index", ask).await?)?;
        }
        Verb::Explain { code, when, http } => explain::run(globals, &http, code, &when).await?,
        Verb::Create(opts) => return create::run(opts, globals).await,
        Verb::Composition {
            code,
            when,
            revision,
            http,
        } => {
            let site = http.site(globals)?;
            past::composition(globals, &site, &code, &when, revision).await?;
        }
        Verb::Revisions { code, as_of, http } => {
            let site = http.site(globals)?;
            past::revisions(format, &site, &code, as_of.as_deref()).await?;
        }
        Verb::History { code, http } => past::changes(format, &http.site(globals)?, &code).await?,
        Verb::Diff {
            code,
            before,
            after,
            http,
        } => diff::run(format, &http.site(globals)?, &code, before, after).await?,
        Verb::Life(verb) => return life::of_index(verb, globals).await,
    }
    Ok(Exit::Done)
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}
