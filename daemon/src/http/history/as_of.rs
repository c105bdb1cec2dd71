//! What was right as of a time: corrections made later than that are left out.

use divisor_engine::Time;

use crate::http::problem::Problem;
use crate::http::query;

/// When what is asked for was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AsOf(pub(super) Time);

impl AsOf {
    pub(super) const NOW: Self = Self(Time::MAX);
    /// Before any correction.
    pub(super) const PUBLISHED: Self = Self(Time::MIN);

    /// Reads the parameter: `now`, which is meant without it, `published`, or a time.
    pub(super) fn read(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None | Some("now") => Ok(Self::NOW),
            Some("published") => Ok(Self::PUBLISHED),
            time => Ok(query::time("as_of", time)?.map_or(Self::NOW, Self)),
        }
    }

    pub(super) fn is_now(self) -> bool {
        self == Self::NOW
    }
}

/// What runs restate: levels with the revisions that they are made with, or closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Levels,
    Closes,
}

/// The condition under which a row of this name is the right one as of the time in this parameter of
/// the query: no run recorded by then that covers it is newer than its own.
pub(super) fn counts(of: Of, row: &str, parameter: &str) -> String {
    // A correction of closes only leaves intraday levels as they were published.
    let policy = match of {
        Of::Levels => "and s.policy = 'full' ",
        Of::Closes => "",
    };
    format!(
        "({row}.run = 0 or exists (select from correction_run r \
             where r.run = {row}.run and r.recorded_at <= {parameter})) \
         and not exists (select from restatement s join correction_run r using (run) \
             where s.index_id = {row}.index_id and s.run > {row}.run {policy}\
             and r.recorded_at <= {parameter} \
             and s.from_position <= {row}.position and {row}.position < s.until_position)"
    )
}
