//! History over HTTP, warm, from an index of ten million levels; and what readers cost the way of a
//! price.
//!
//! Half of the levels lie a second apart, in days of eight hours, over half a year; the other half
//! come 500 a second, in the hours after that. So a question over everything is long, and one for
//! the shortest candles is dense.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::publisher::{self, Pace, micros_now};
use super::stage::Stage;
use super::web::{Browser, Crowd};
use super::{CONFLATE, Scale, machine, median, subscriber};

/// Where the levels begin, and the day behind the quiet half.
const BEGIN: &str = "2025-01-01";
const SESSION_S: u64 = 28_800;
const DENSE_HZ: u64 = 500;

/// Levels of the index, in the whole measurement.
const LEVELS: u64 = 10_000_000;

/// Streams and readers at the same time.
const CROWD: (usize, usize) = (500, 300);

/// How long a reader looks before it asks again.
const PAUSE: Duration = Duration::from_secs(5);

/// Ticks for each millisecond while others read.
const PER_MILLI: i64 = 10;

/// Fills the first index of the stage with levels, and gives its code and the date of the dense half.
fn fill(stage: &mut Stage, levels: u64) -> (String, String) {
    let half = levels / 2;
    let days = half.div_ceil(SESSION_S);
    let code = stage.universe.holds[0].0.clone();
    let sql = format!(
        "truncate index_level, candle;
         create table index_level_bench partition of index_level
             for values from ('{BEGIN}') to ('2025-12-01');
         insert into index_level (ts, ts_calc, position, seq, index_id, revision, stale, ts_nanos,
                                  ts_calc_nanos, status, level, prev_close)
         select ts, ts + interval '300 microseconds', 0, n, i.id, 1, 0, 0, 123, 'live',
                round((39131.53 + 400 * sin(n / 5000.0) + n % 97)::numeric, 2), 39069.11
         from (select id from index_definition where code = '{code}') i,
              generate_series(0, {levels} - 1) n, lateral (
             select case when n < {half}
                 then timestamptz '{BEGIN} 09:00+00' + make_interval(days => (n / {SESSION_S})::int,
                                                                    secs => n % {SESSION_S})
                 else timestamptz '{BEGIN} 00:00+00' + make_interval(days => {days},
                                                     secs => (n - {half}) / {DENSE_HZ}.0)
             end as ts) t;
         insert into candle select c.* from index_definition i, (values (60), (3600)) as s(step),
             candles_of(i.id, s.step, '-infinity', 'infinity') c where i.code = '{code}';
         analyze index_level; analyze candle; checkpoint"
    );
    stage.execute(&sql);
    let begin: jiff::civil::Date = BEGIN.parse().unwrap();
    let dense = begin.saturating_add(jiff::Span::new().days(days.cast_signed()));
    (code, dense.to_string())
}

/// Times each question over one connection.
pub(crate) fn history(scale: Scale) {
    let levels = if scale.rounds > 1 { LEVELS } else { 40_000 };
    let mut stage = Stage::start(CONFLATE, &["http.listen=127.0.0.1:0"]);
    let began = Instant::now();
    let (code, dense) = fill(&mut stage, levels);
    println!("\n## History of {levels} levels over HTTP\n");
    println!(
        "Filled in {:.0} s; one reader, warm, uncompressed; load average {}\n",
        began.elapsed().as_secs_f64(),
        machine::load()
    );
    println!("| question | rows | ms median | ms max |");
    println!("|---|---:|---:|---:|");
    let mut browser = Browser::open(stage.daemon.http_address()).unwrap();
    for (name, query) in questions(&dense) {
        let path = format!("/api/v1/indexes/{code}/{query}");
        let mut rows = 0;
        let mut times = Vec::new();
        for round in 0..=scale.rounds.max(1) * 3 {
            let began = Instant::now();
            let body = browser.get(&path).unwrap();
            if round > 0 {
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
            let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
            rows = page["rows"].as_array().unwrap().len();
        }
        let most = times.iter().copied().fold(0.0, f64::max);
        let middle = median(times.into_iter());
        println!("| {name} | {rows} | **{middle:.1}** | {most:.1} |");
    }
}

/// What is asked: everything, a window, the last, and the most that may be asked of the dense half.
fn questions(dense: &str) -> Vec<(String, String)> {
    let mut questions = Vec::new();
    let mut add = |name: String, query: String| questions.push((name, query));
    for step in ["1s", "5s", "1m", "5m", "15m", "1h", "1d"] {
        let candles = format!("candles?step={step}");
        let most = if step.ends_with('s') { 3_600 } else { 5_000 };
        add(
            format!("{step}, whole range, as many as there may be"),
            format!("{candles}&from={BEGIN}&limit={most}"),
        );
        add(
            format!("{step}, a day in the middle"),
            format!("{candles}&from=2025-03-03&to=2025-03-04"),
        );
        add(
            format!("{step}, the dense hours, as many as there may be"),
            format!("{candles}&from={dense}&limit={most}"),
        );
        add(format!("{step}, the last"), candles);
    }
    for limit in [1_000, 10_000] {
        for (name, from) in [("quiet", "2025-03-03"), ("dense", dense)] {
            add(
                format!("levels, {name}, {limit}"),
                format!("levels?from={from}&limit={limit}"),
            );
        }
        add(
            format!("levels, the last {limit}"),
            format!("levels?limit={limit}"),
        );
    }
    questions
}

/// Takes the latency of ticks with and without readers, in turns.
pub(crate) fn readers(scale: Scale) {
    let is_small = scale.rounds == 1;
    let (streams, readers) = if is_small { (10, 6) } else { CROWD };
    let mut stage = Stage::start(CONFLATE, &["http.listen=127.0.0.1:0"]);
    let (code, dense) = fill(&mut stage, if is_small { 20_000 } else { LEVELS / 10 });
    let index = format!("/api/v1/indexes/{code}");
    let paths = [
        format!("{index}/candles?step=1m&from=2025-01-05&to=2025-01-06"),
        format!("{index}/candles?step=1h&from={BEGIN}"),
        format!("{index}/candles?step=5s&from={dense}&limit=100"),
        format!("{index}/levels?limit=500"),
    ];
    println!("\n## {streams} streams and {readers} readers of history beside the ticks\n");
    println!(
        "{} s and {} rounds in turns, {} ticks/s, a question of each reader every {} s\n",
        scale.seconds,
        scale.rounds,
        PER_MILLI * 1_000,
        PAUSE.as_secs()
    );
    let mut found: [Vec<[f64; 4]>; 2] = Default::default();
    let mut answers = 0;
    for round in 0..=scale.rounds {
        for (with, found) in found.iter_mut().enumerate() {
            let address = stage.daemon.http_address();
            let crowd =
                (with == 1).then(|| Crowd::gather(address, (streams, readers), &paths, PAUSE));
            // Connections and first frames are not what is measured.
            thread::sleep(Duration::from_secs(1));
            let before = crowd.as_ref().map_or(0, Crowd::answers);
            let latency = latency(&stage, scale, &format!("readers-{round}-{with}"));
            // The first round warms caches up.
            if round > 0 || is_small {
                found.push(latency);
                answers += crowd.as_ref().map_or(0, Crowd::answers) - before;
            }
            if let Some(crowd) = crowd {
                crowd.leave();
            }
            stage.wait_stored();
        }
    }
    println!("| | PUBACK p50 ms | p99 | level p50 ms | p99 |");
    println!("|---|---:|---:|---:|---:|");
    let of = |with: usize, column: usize| median(found[with].iter().map(|row| row[column]));
    for (with, name) in ["alone", "with readers"].iter().enumerate() {
        let cells = [0, 1, 2, 3].map(|column| format!("{:.2}", of(with, column)));
        println!("| {name} | {} |", cells.join(" | "));
    }
    let ratios = [0, 1, 2, 3].map(|column| format!("{:.2}", of(1, column) / of(0, column)));
    println!("| ratio of the medians | {} |", ratios.join(" | "));
    println!(
        "\n{answers} answers of history; load average {}",
        machine::load()
    );
}

/// Median and 99th percentile, in ms, to the acknowledgement and to the level.
fn latency(stage: &Stage, scale: Scale, source: &str) -> [f64; 4] {
    let pace = Pace {
        start_micros: (micros_now() / 1_000 + 300) * 1_000,
        per_milli: PER_MILLI,
        ticks: scale.seconds * 1_000 * PER_MILLI,
    };
    let skip = pace.ticks / 10;
    let address = stage.daemon.address();
    let reader = subscriber::timing(address, &stage.universe, pace, skip);
    let acks = publisher::paced(address, &stage.universe, source, pace, skip);
    thread::sleep(Duration::from_millis(300));
    let (levels, _) = reader.stop();
    let at = |histogram: &Histogram<u64>, q| histogram.value_at_quantile(q) as f64 / 1e3;
    [
        at(&acks, 0.5),
        at(&acks, 0.99),
        at(&levels, 0.5),
        at(&levels, 0.99),
    ]
}
