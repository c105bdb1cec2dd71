//! Answers about the state: what the engine holds, in the terms of the wire.

use divisor_engine::{
    Currency, Decimal, Engine, Explained, Explanation, Held, HeldInput, IndexId, IndexView, Life,
    RoundingMode, SecurityId, SecurityView,
};
use divisor_wire::command::{
    CommandError, DaemonStatus, ExplainedRow, FollowRow, HoldRow, IndexDetail, IndexExplanation,
    IndexRow, MemberRow, Page, RateRow, SecurityDetail, SecurityRow,
};

use super::staging::{clip, error};
use crate::health::Health;

/// Places of a weight in an answer.
const WEIGHT_PLACES: u8 = 6;

/// A page of indexes, in the order of definition, behind the code `after`.
pub(super) fn index_list(engine: &Engine, after: Option<&str>, limit: usize) -> Page<IndexRow> {
    let start = after
        .and_then(|code| engine.index_id(code))
        .map_or(0, |id| id.0 + 1);
    let views = (start..).map_while(|id| engine.index(IndexId(id)));
    let mut views = views.filter(|view| view.life != Life::Deleted);
    let rows: Vec<_> = views
        .by_ref()
        .take(limit)
        .map(|view| index_row(&view))
        .collect();
    let next = views.next().and(rows.last()).map(|row| row.code.clone());
    Page { rows, next }
}

/// One index with its definition and members.
pub(crate) fn index_show(engine: &Engine, code: Option<&str>) -> Result<IndexDetail, CommandError> {
    let code = code.ok_or_else(|| error("bad_request", "`code` is missing"))?;
    let view = engine
        .index_id(code)
        .and_then(|id| engine.index(id))
        .ok_or_else(|| error("not_found", &format!("there is no index {}", clip(code))))?;
    let weights = engine.weights(view.id, WEIGHT_PLACES);
    let members = view.members.iter().enumerate().filter_map(|(at, member)| {
        let security = engine.security(member.security)?;
        Some(MemberRow {
            symbol: security.definition.symbol.clone(),
            currency: security.definition.currency,
            price: member.price.map(at_least_two_places),
            coefficient: member.coefficient,
            weight: weights
                .as_ref()
                .and_then(|weights| weights.get(at).copied()),
        })
    });
    Ok(IndexDetail {
        row: index_row(&view),
        definition: view.definition.clone(),
        divisor: view.divisor,
        follows: follow_row(engine, &view),
        waits_for: view.waits_for.clone(),
        cash: view.cash,
        prev_close: view.level.and_then(|level| level.prev_close),
        members: members.collect(),
    })
}

/// The parts of a level.
pub(crate) fn index_explain(
    engine: &Engine,
    code: Option<&str>,
) -> Result<IndexExplanation, CommandError> {
    let code = code.ok_or_else(|| error("bad_request", "`code` is missing"))?;
    let view = engine.index_id(code).and_then(|id| engine.index(id));
    let view =
        view.ok_or_else(|| error("not_found", &format!("there is no index {}", clip(code))))?;
    let explanation = engine.explain(view.id).ok_or_else(|| {
        if view.level.is_some() {
            let message = format!("the level of {} is no sum of members", clip(code));
            return error("not_found", &message);
        }
        let waits = view.waits_for.as_deref().unwrap_or("something");
        error(
            "not_found",
            &format!("{} has no level yet, it waits for {waits}", clip(code)),
        )
    })?;
    let symbol = |id| Some(engine.security(id)?.definition.symbol.clone());
    let (currency, rev) = (view.definition.currency, view.revision);
    Ok(explanation_of(code, currency, rev, explanation, symbol))
}

/// An explanation in the terms of the wire.
pub(crate) fn explanation_of(
    code: &str,
    currency: Currency,
    rev: u32,
    explanation: Explanation,
    symbol: impl Fn(SecurityId) -> Option<String>,
) -> IndexExplanation {
    let row = |member: Explained| {
        Some(ExplainedRow {
            symbol: symbol(member.security)?,
            currency: member.currency,
            price: member.price,
            coefficient: member.coefficient,
            rate: member.rate,
            value: member.value,
            points: member.points,
            weight: member.weight,
        })
    };
    IndexExplanation {
        code: code.to_owned(),
        currency,
        rev,
        members: explanation.members.into_iter().filter_map(row).collect(),
        cash: explanation.cash,
        sum: explanation.sum,
        divisor: explanation.divisor,
        quotient: explanation.quotient,
        rounding: explanation.rounding,
        level: explanation.level,
        of: None,
    }
}

/// A page of securities, in the order of definition, behind the symbol `after`.
pub(crate) fn security_list(
    engine: &Engine,
    after: Option<&str>,
    limit: usize,
) -> Page<SecurityRow> {
    let start = after
        .and_then(|symbol| engine.security_id(symbol))
        .map_or(0, |id| id.0 + 1);
    let views = (start..).map_while(|id| engine.security(SecurityId(id)));
    let mut views = views.filter(|view| !view.is_component && view.life != Life::Deleted);
    let rows: Vec<_> = views
        .by_ref()
        .take(limit)
        .map(|view| security_row(&view))
        .collect();
    let next = views.next().and(rows.last()).map(|row| row.symbol.clone());
    Page { rows, next }
}

/// One security with its definition and the indexes that hold it.
pub(crate) fn security_show(
    engine: &Engine,
    symbol: Option<&str>,
) -> Result<SecurityDetail, CommandError> {
    let symbol = symbol.ok_or_else(|| error("bad_request", "`symbol` is missing"))?;
    let view = engine
        .security_id(symbol)
        .and_then(|id| engine.security(id))
        .ok_or_else(|| {
            error(
                "not_found",
                &format!("there is no security {}", clip(symbol)),
            )
        })?;
    let src = view
        .origin
        .and_then(|origin| engine.label_text(origin.source));
    Ok(SecurityDetail {
        row: security_row(&view),
        definition: view.definition.clone(),
        src: src.map(str::to_owned),
        indexes: engine.holders(view.id).map(str::to_owned).collect(),
    })
}

/// A page of rates, by their pair, behind the pair `after`.
pub(super) fn rate_list(engine: &Engine, after: Option<&str>, limit: usize) -> Page<RateRow> {
    let pair = |row: &RateRow| format!("{}/{}", row.base, row.quote);
    let rows = engine.rates().map(|view| RateRow {
        base: view.base,
        quote: view.quote,
        rate: at_least_two_places(view.rate),
        ts: view.origin.ts.to_string(),
        src: engine.label_text(view.origin.source).map(str::to_owned),
    });
    let mut rows = rows.filter(|row| after.is_none_or(|after| pair(row).as_str() > after));
    let page: Vec<_> = rows.by_ref().take(limit).collect();
    let next = rows.next().and(page.last()).map(pair);
    Page { rows: page, next }
}

/// A price or a rate that waits for an operator.
pub(crate) fn hold_row(engine: &Engine, position: u64, held: &Held) -> HoldRow {
    let (subject, price) = match held.what {
        HeldInput::Tick(tick) => {
            let security = engine.security(tick.security);
            let places = security.map_or(0, |s| s.definition.price_places);
            let symbol = security.map_or("?", |s| s.definition.symbol.as_str());
            let price = Decimal::new(tick.price.into(), places);
            (symbol.to_owned(), price.normalized())
        }
        HeldInput::Rate(rate) => (format!("{}/{}", rate.base, rate.quote), rate.value()),
    };
    let origin = held.what.origin();
    HoldRow {
        held: position,
        subject,
        price,
        doubt: held.doubt.as_str().to_owned(),
        reference: held.reference.normalized(),
        ts: origin.ts.to_string(),
        src: engine.label_text(origin.source).map(str::to_owned),
    }
}

/// The daemon in a few numbers.
pub(crate) fn status(
    engine: &Engine,
    health: &Health,
    epoch: u64,
    is_leaving: bool,
) -> DaemonStatus {
    let (indexes, securities) = engine.in_use();
    DaemonStatus {
        v: 1,
        state: if is_leaving { "offline" } else { "online" }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch,
        store: health.store_word().to_owned(),
        journal: if health.journal_is_full() {
            "full"
        } else {
            "ok"
        }
        .to_owned(),
        securities: securities as u64,
        indexes: indexes as u64,
        pos: engine.next_position(),
        projected: health.projected(),
        lost: 0,
    }
}

pub(crate) fn index_row(view: &IndexView<'_>) -> IndexRow {
    let level = view.level;
    let chg = level.and_then(|l| divisor_wire::level::change(l.level, l.prev_close));
    IndexRow {
        code: view.definition.code.clone(),
        name: view.definition.name.clone(),
        currency: view.definition.currency,
        weighting: view.definition.kind().to_owned(),
        constituents: u32::try_from(view.members.len()).unwrap_or(u32::MAX),
        missing: u32::try_from(view.missing).unwrap_or(u32::MAX),
        level: level.map(|l| l.level),
        chg: chg.map(|(chg, _)| chg),
        ts: level.map(|l| l.ts.to_string()),
        seq: level.map_or(0, |l| l.seq),
        rev: view.revision,
        status: if view.life == Life::Deleted {
            view.life.as_str()
        } else {
            view.status.as_str()
        }
        .to_owned(),
        stale: view.stale,
    }
}

/// What a variant is fixed at, by the code of whom it follows.
fn follow_row(engine: &Engine, view: &IndexView<'_>) -> Option<FollowRow> {
    let follows = view.follows?;
    Some(FollowRow {
        of: engine.index_code(follows.parent)?.to_owned(),
        own: follows.own,
        parent_level: follows.parent_level,
        slope: follows.slope,
        offset: follows.offset,
    })
}

fn security_row(view: &SecurityView<'_>) -> SecurityRow {
    SecurityRow {
        symbol: view.definition.symbol.clone(),
        name: view.definition.name.clone(),
        currency: view.definition.currency,
        // Without the zeros that the security's places would add: 189.84, not 189.840000.
        price: view.price.map(at_least_two_places),
        ts: view.origin.map(|origin| origin.ts.to_string()),
        life: view.life,
    }
}

/// A price as people write it: no zeros behind the second place.
pub(crate) fn at_least_two_places(price: Decimal) -> Decimal {
    let short = price.normalized();
    if short.places() < 2 {
        short.round(2, RoundingMode::Down).with_places(2)
    } else {
        short
    }
}
