//! Commands about corporate actions: what they ask for as items of a load, and what is known of
//! actions in the terms of the wire.

use divisor_engine::definition::ActionDefinition;
use divisor_engine::{ActionState, ActionView, Decimal, Engine, ProformaMember};
use divisor_wire::command::{
    ActionPreview, ActionRow, BeforeAfter, CommandError, IndexPreview, Items, MemberPreview, Page,
    Proforma, ProformaRow, Request,
};

use super::staging::{clip, error};

/// What `action.add` and `action.cancel` load.
pub(super) fn items(verb: &str, request: Request) -> Result<(Items, bool), CommandError> {
    if verb == "action.cancel" {
        let id = request
            .action
            .ok_or_else(|| error("bad_request", "`action` is missing"))?;
        let items = Items {
            cancelled: vec![id],
            ..Items::default()
        };
        return Ok((items, request.dry_run));
    }
    let items = request.items.unwrap_or_default();
    if items.actions.is_empty() || items.len() > items.actions.len() {
        let message = "`items` must hold actions and nothing else; `load` takes everything";
        return Err(error("bad_request", message));
    }
    Ok((items, request.dry_run))
}

/// A page of actions in the order of their days, behind the id `after`; those of one security or
/// index where the request names it.
pub(super) fn list(
    engine: &Engine,
    request: &Request,
    after: Option<&str>,
    limit: usize,
) -> Page<ActionRow> {
    let views = engine.actions();
    let start = after
        .and_then(|id| views.iter().position(|view| view.definition.id == id))
        .map_or(0, |at| at + 1);
    let index = request.code.as_deref();
    let symbol = request.symbol.as_deref();
    let wanted = |view: &&ActionView<'_>| {
        let event = &view.definition.event;
        let concerns = |code: &str| {
            let concerned = engine.concerned_by(&view.definition.id);
            concerned
                .iter()
                .any(|id| engine.index_code(*id) == Some(code))
        };
        symbol.is_none_or(|symbol| event.symbol() == Some(symbol)) && index.is_none_or(concerns)
    };
    let mut rows = views[start..].iter().filter(wanted).map(row);
    let page: Vec<_> = rows.by_ref().take(limit).collect();
    let next = rows.next().and(page.last()).map(|row| row.action.clone());
    Page { rows: page, next }
}

fn row(view: &ActionView<'_>) -> ActionRow {
    let (definition, event) = (view.definition, &view.definition.event);
    ActionRow {
        action: definition.id.clone(),
        kind: event.kind().to_owned(),
        symbol: event.symbol().map(str::to_owned),
        index: event.index().map(str::to_owned),
        ex_date: definition.ex_date.to_string(),
        due: view.due.to_string(),
        state: view.state.as_str().to_owned(),
        why: match view.state {
            ActionState::Refused(why) => Some(why.clone()),
            ActionState::Announced
            | ActionState::Applying
            | ActionState::Applied
            | ActionState::Cancelled => None,
        },
        definition: definition.clone(),
    }
}

/// The action that a request states, or names.
fn asked<'a>(
    engine: &'a Engine,
    request: &'a Request,
) -> Result<&'a ActionDefinition, CommandError> {
    let stated = request
        .items
        .as_ref()
        .and_then(|items| items.actions.first());
    match (stated, &request.action) {
        (Some(definition), _) => Ok(definition),
        (None, Some(id)) => {
            let missing = || error("not_found", &format!("there is no action {}", clip(id)));
            Ok(engine.action(id).ok_or_else(missing)?.definition)
        }
        (None, None) => Err(error("bad_request", "`action` or `items` is missing")),
    }
}

const fn pair((before, after): (Option<Decimal>, Option<Decimal>)) -> BeforeAfter {
    BeforeAfter { before, after }
}

/// The composition that a review would give at the prices of the moment.
pub(super) fn proforma(engine: &Engine, request: &Request) -> Result<Proforma, CommandError> {
    let definition = asked(engine, request)?;
    let proforma = engine.proforma(definition);
    let proforma = proforma.map_err(|problem| error("refused", &problem.to_string()))?;
    let members = proforma.members.iter().map(|member| ProformaRow {
        symbol: member.symbol.clone(),
        price: member.price,
        coefficient: pair(member.coefficient),
        weight: pair(member.weight),
    });
    let joins = |m: &&ProformaMember| m.coefficient.0.is_none() && m.coefficient.1.is_some();
    let leaves = |m: &&ProformaMember| m.coefficient.1.is_none();
    let symbols = |wanted: &dyn Fn(&&ProformaMember) -> bool| {
        let found = proforma.members.iter().filter(|m| wanted(m));
        found.map(|m| m.symbol.clone()).collect()
    };
    Ok(Proforma {
        index: definition.event.index().unwrap_or_default().to_owned(),
        effective: definition.ex_date.to_string(),
        level: proforma.level,
        divisor: pair(proforma.divisor),
        turnover: proforma.turnover,
        additions: symbols(&joins),
        deletions: symbols(&leaves),
        members: members.collect(),
        action: proforma.action.clone(),
    })
}

/// What an announced action, or one in the request, would do at the prices of the moment.
pub(super) fn preview(engine: &Engine, request: &Request) -> Result<ActionPreview, CommandError> {
    let definition = asked(engine, request)?;
    let preview = engine.preview(definition);
    let preview = preview.map_err(|problem| error("refused", &problem.to_string()))?;
    let indexes = preview.indexes.into_iter().map(|index| IndexPreview {
        code: index.code,
        level: pair(index.level),
        divisor: pair(index.divisor),
        members: index
            .members
            .into_iter()
            .map(|member| MemberPreview {
                symbol: member.symbol,
                price: pair(member.price),
                shares: pair(member.shares),
                coefficient: pair(member.coefficient),
            })
            .collect(),
    });
    Ok(ActionPreview {
        action: definition.id.clone(),
        price: preview
            .price
            .map(|(before, after)| pair((Some(before), Some(after)))),
        indexes: indexes.collect(),
    })
}
