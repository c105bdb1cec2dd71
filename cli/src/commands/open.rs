//! `divisor open`: where the page is.

use clap::Args;

use crate::cli::Globals;
use crate::exit::Exit;
use crate::output;
use crate::web::{self, HttpArgs};

const EXAMPLES: &str = "\
Examples:
  divisor open
  xdg-open $(divisor open)";

/// Print the page's address
///
/// After asking whether a daemon answers there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    #[command(flatten)]
    http: HttpArgs,
}

/// Runs the verb.
pub(crate) async fn run(opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    let site = opts.http.site(globals)?;
    web::get(&site, "healthz").await?;
    output::line(format_args!("{site}"))?;
    Ok(Exit::Done)
}
