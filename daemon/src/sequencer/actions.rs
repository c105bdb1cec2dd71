//! Commands about corporate actions: what they ask for as items of a load, and what is known of
//! actions in the terms of the wire.

use divisor_engine::{ActionState, ActionView, Decimal, Engine};
use divisor_wire::command::{
    ActionPreview, ActionRow, BeforeAfter, CommandError, IndexPreview, Items, MemberPreview, Page,
    Request,
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
            ActionState::Announced | ActionState::Applied | ActionState::Cancelled => None,
        },
        definition: definition.clone(),
    }
}

/// What an announced action, or one in the request, would do at the prices of the moment.
pub(super) fn preview(engine: &Engine, request: &Request) -> Result<ActionPreview, CommandError> {
    let stated = request
        .items
        .as_ref()
        .and_then(|items| items.actions.first());
    let definition = match (stated, &request.action) {
        (Some(definition), _) => definition,
        (None, Some(id)) => {
            let missing = || error("not_found", &format!("there is no action {}", clip(id)));
            engine.action(id).ok_or_else(missing)?.definition
        }
        (None, None) => return Err(error("bad_request", "`action` or `items` is missing")),
    };
    let preview = engine.preview(definition);
    let preview = preview.map_err(|problem| error("refused", &problem.to_string()))?;
    let pair = |(before, after): (Option<Decimal>, Option<Decimal>)| BeforeAfter { before, after };
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
