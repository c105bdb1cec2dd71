//! `divisor index rename`, `deactivate`, `reactivate` and `delete`, and the same of a security: the
//! end of definitions, and the way back.

use clap::Subcommand;
use divisor_engine::{Named, Order};

use crate::cli::Globals;
use crate::commands::connected;
use crate::commands::price::carry_out;
use crate::exit::Exit;

/// What may become of an index.
#[derive(Debug, Subcommand)]
pub(crate) enum OfIndex {
    /// Give an index another code
    ///
    /// Its topics move with it, its levels go on under the new code, and the old code is not given to
    /// another index. A name for people is a part of the definition: load it with the new name.
    #[command(after_help = "Examples:\n  divisor index rename DJIA DOW30")]
    Rename {
        /// The code it has
        code: String,
        /// The code it gets
        to: String,
    },
    /// Take indexes out of service: no level leaves until they are reactivated
    ///
    /// They go on following prices, actions and reviews, so that they can come back at any time.
    #[command(after_help = "Examples:\n  divisor index deactivate OLD --note \"no licence left\"")]
    Deactivate(Words),
    /// Put deactivated indexes back into service
    #[command(after_help = "Examples:\n  divisor index reactivate OLD")]
    Reactivate(Words),
    /// Delete deactivated indexes for good
    ///
    /// Their history stays readable under their codes, which are not given to another index.
    #[command(after_help = "Examples:\n  divisor index delete OLD")]
    Delete(Words),
}

/// What may become of a security.
#[derive(Debug, Subcommand)]
pub(crate) enum OfSecurity {
    /// Take securities out of service: prices of them are refused
    ///
    /// Refused while an active index holds one.
    #[command(after_help = "Examples:\n  divisor security deactivate GONE")]
    Deactivate(Words),
    /// Put deactivated securities back into service
    #[command(after_help = "Examples:\n  divisor security reactivate GONE")]
    Reactivate(Words),
    /// Delete deactivated securities for good
    ///
    /// Their prices stay readable under their symbols, which are not given to another security.
    #[command(after_help = "Examples:\n  divisor security delete GONE")]
    Delete(Words),
}

/// Whom an order is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Words {
    /// Codes or symbols
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Why, for the audit trail
    #[arg(long)]
    note: Option<String>,
}

/// Carries out an order about indexes.
pub(crate) async fn of_index(verb: OfIndex, globals: &Globals) -> anyhow::Result<Exit> {
    let orders = match verb {
        OfIndex::Rename { code, to } => vec![Order::Rename { index: code, to }],
        OfIndex::Deactivate(words) => words.orders(Named::Index, deactivate),
        OfIndex::Reactivate(words) => words.orders(Named::Index, reactivate),
        OfIndex::Delete(words) => words.orders(Named::Index, delete),
    };
    connected(globals, "index", async |to| carry_out(to, orders).await).await
}

/// Carries out an order about securities.
pub(crate) async fn of_security(verb: OfSecurity, globals: &Globals) -> anyhow::Result<Exit> {
    let orders = match verb {
        OfSecurity::Deactivate(words) => words.orders(Named::Security, deactivate),
        OfSecurity::Reactivate(words) => words.orders(Named::Security, reactivate),
        OfSecurity::Delete(words) => words.orders(Named::Security, delete),
    };
    connected(globals, "security", async |to| carry_out(to, orders).await).await
}

impl Words {
    fn orders(
        self,
        named: fn(String) -> Named,
        order: fn(Named, Option<String>) -> Order,
    ) -> Vec<Order> {
        let Self { names, note } = self;
        let order = |name| order(named(name), note.clone());
        names.into_iter().map(order).collect()
    }
}

const fn deactivate(of: Named, note: Option<String>) -> Order {
    Order::Deactivate { of, note }
}

const fn reactivate(of: Named, note: Option<String>) -> Order {
    Order::Reactivate { of, note }
}

const fn delete(of: Named, note: Option<String>) -> Order {
    Order::Delete { of, note }
}
