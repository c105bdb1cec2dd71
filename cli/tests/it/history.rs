//! `history` and `open`: the HTTP side from the command line.

use divisor_testkit::{Daemon, Options, Postgres};

use super::{Run, command, fixture};

/// Runs the program with the page's address.
fn run(daemon: &Daemon, arguments: &[&str]) -> Run {
    let page = format!("http://{}/", daemon.http_address());
    let output = command(arguments)
        .env("DIVISOR_URL", super::url(daemon))
        .env("DIVISOR_HTTP", page)
        .output();
    Run::from(output.unwrap(), arguments)
}

#[test]
fn prints_levels_and_candles() {
    let database = Postgres::shared().database();
    let options = Options::sibling_of(env!("CARGO_BIN_EXE_divisor"));
    let daemon = options.http().database(&database.url()).start();
    run(&daemon, &["load", &fixture("dow/before.json")]).code(0);
    let price = |price: &str, ts: &str| {
        let arguments = ["publish", "MMM", price, "--ts", ts];
        run(&daemon, &arguments).code(0);
    };
    price("180.00", "2021-11-04T15:00:10Z");
    price("181.00", "2021-11-04T15:00:20Z");
    price("179.50", "2021-11-04T15:01:20Z");
    let levels = divisor_testkit::eventually("the levels are stored", || {
        let from = "2021-11-04T15:00:00Z";
        let all = run(&daemon, &["history", "DJIA", "--from", from, "-o", "json"]);
        let rows = all.code(0).json();
        (rows.len() == 3).then_some(rows)
    });
    assert_eq!(levels[0]["ts"], "2021-11-04T15:00:10.000000Z");
    let from = ["--from", "2021-11-04T15:00:00Z", "--candles", "1m"];
    let table = run(&daemon, &[&["history", "DJIA"], &from[..]].concat()).code(0);
    assert_eq!(table.stdout.lines().count(), 3, "{}", table.stdout);
    let csv = run(
        &daemon,
        &[&["history", "DJIA", "-o", "csv"], &from[..]].concat(),
    )
    .code(0);
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(lines[0], "ts,open,high,low,close,count");
    assert!(lines[1].starts_with("2021-11-04T15:00:00.000000Z,"));
    assert!(lines[1].ends_with(",2"));
    let one = run(&daemon, &["history", "DJIA", "-n", "1", "-o", "json"]).code(0);
    assert_eq!(one.object()["level"], levels[2]["level"]);
    run(&daemon, &["history", "NONE"])
        .code(2)
        .says("no index NONE");
    run(&daemon, &["history", "DJIA", "--from", "soon"])
        .code(2)
        .says("from");
}

#[test]
fn open_says_where_the_page_is() {
    let options = Options::sibling_of(env!("CARGO_BIN_EXE_divisor"));
    let daemon = options.http().start();
    let page = format!("http://{}/\n", daemon.http_address());
    let shown = run(&daemon, &["open"]).code(0);
    assert_eq!(shown.stdout, page);
    run(&daemon, &["open", "--http", "http://127.0.0.1:1/"])
        .code(4)
        .says("--http");
}
