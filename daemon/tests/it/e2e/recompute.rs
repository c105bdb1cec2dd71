//! Everything published can be reproduced: from the journal, from PostgreSQL, from a copy.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use divisor_testkit::{Daemon, Options, Postgres, programs};
use divisord::exit;
use serde_json::json;

use super::{Mqtt, column, daemon, stored_levels, sum_of};

/// One index of each way to disseminate, one of them over a currency, and actions of the days.
fn indexes() -> serde_json::Value {
    json!({
        "securities": [
            { "symbol": "AAA", "currency": "USD" },
            { "symbol": "BBB", "currency": "USD", "price_places": 3 },
            { "symbol": "CCC", "currency": "EUR" },
        ],
        "rates": [{ "base": "EUR", "quote": "USD", "rate": "1.08" }],
        "prices": [
            { "symbol": "AAA", "price": "20", "ts": "2026-01-05T16:00:00Z" },
            { "symbol": "BBB", "price": "50.125", "ts": "2026-01-05T16:00:00Z" },
            { "symbol": "CCC", "price": "7", "ts": "2026-01-05T16:00:00Z" },
        ],
        "actions": [
            { "id": "split", "ex_date": "2026-01-06", "type": "split", "symbol": "AAA", "from": 1, "to": 3 },
            { "id": "extra", "ex_date": "2026-01-06", "type": "dividend", "symbol": "BBB", "amount": "2",
              "kind": "special" },
            { "id": "quarter", "ex_date": "2026-01-07", "type": "dividend", "symbol": "BBB", "amount": "1" },
            { "id": "later", "ex_date": "2027-01-07", "type": "delisting", "symbol": "BBB" },
        ],
        "indexes": [
            sum_of("PAIR", &["AAA", "BBB"], json!({ "mode": "tick" })),
            sum_of("CALM", &["AAA", "BBB"], json!({ "mode": "conflate" })),
            sum_of("CLOCK", &["AAA", "BBB", "CCC"], json!({ "mode": "interval", "every_ms": 50 })),
        ],
    })
}

/// Ticks of all kinds: in order, late, repeated, several in a message, with rates between them.
fn trade(desk: &Mqtt, round: u64) {
    for n in 1..=40 {
        let seq = round * 1_000 + n;
        let tick = |price: String, seq: u64| {
            let ts = format!("2026-01-0{}T10:{n:02}:00.000000{n:03}Z", 6 + round);
            json!({ "price": price, "ts": ts, "src": "feed", "inc": 7, "seq": seq })
        };
        let first = tick(format!("{}.{n:02}", 20 + round), 2 * seq);
        let second = tick(format!("{}.5", 50 + n), 2 * seq + 1);
        desk.publish("securities/AAA/price", first.to_string());
        desk.publish("securities/BBB/price", json!([second, second]).to_string());
        match n % 8 {
            1 => desk.publish("securities/AAA/price", first.to_string()),
            3 => desk.publish("fx/EUR/USD/rate", format!("1.{n:02}")),
            5 => desk.publish(
                "securities/CCC/price",
                r#"{"price":"8","size":"1.50","venue":"XETR"}"#,
            ),
            7 => desk.publish(
                "securities/AAA/price",
                r#"{"price":"1","ts":"2026-01-05T10:00:00Z","src":"slow"}"#,
            ),
            _ => {}
        }
        if n % 4 == 0 {
            desk.wait_acked();
            // Time for a timer without inputs.
            thread::sleep(Duration::from_millis(60));
        }
    }
    desk.wait_acked();
    desk.wait_projected();
}

fn verb(options: &Options, state: &Path, arguments: &[&str]) -> Output {
    let mut command = options.verb(state, arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: u8, words: &[&str]) -> String {
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code.into()), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn journal_and_postgresql_give_the_same_levels_again() {
    let database = Postgres::shared().database();
    let options = daemon().database(&database.url());
    let mut daemon = options.clone().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/+/level");
    desk.load(&indexes());
    trade(&desk, 0);
    let state = daemon.state().to_owned();

    // Beside the running daemon.
    expect(&verb(&options, &state, &["verify"]), exit::OK, &["equal"]);
    drop(desk);
    daemon = daemon.restart();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/+/level");
    trade(&desk, 1);
    let received = desk.levels("PAIR");
    assert!(daemon.stop().success());
    let told = expect(&verb(&options, &state, &["verify"]), exit::OK, &["equal"]);
    assert!(!told.contains(" 0 snapshots"), "{told}");

    let replay = |arguments: &[&str], code, words: &[&str]| {
        let arguments = [&["replay"], arguments].concat();
        expect(&verb(&options, &state, &arguments), code, words)
    };
    let journal = replay(&[], exit::OK, &[]);
    assert_eq!(journal, replay(&["--source", "postgres"], exit::OK, &[]));
    for source in ["journal", "postgres"] {
        let arguments = ["--compare", "--source", source];
        replay(&arguments, exit::OK, &["levels are equal"]);
    }
    // What is printed is what was published.
    let last = received.last().unwrap();
    let from = received[0].pos.to_string();
    let printed = replay(&["--index", "PAIR", "--from", &from], exit::OK, &[]);
    assert_eq!(printed.lines().count(), received.len());
    let message: serde_json::Value =
        serde_json::from_str(printed.lines().next_back().unwrap()).unwrap();
    assert_eq!(message["level"], last.level.to_string());
    assert_eq!(
        (&message["seq"], &message["epoch"]),
        (&json!(last.seq), &json!(2))
    );
    let day = [
        "--from",
        "2020-01-01T00:00:00Z",
        "--to",
        "2020-01-02T00:00:00Z",
    ];
    assert_eq!(replay(&day, exit::OK, &[]), "");
    let csv = replay(&["--format", "csv", "--index", "CALM"], exit::OK, &[]);
    assert!(csv.starts_with("index,seq,level"), "{csv}");
    assert_eq!(
        csv.lines().count(),
        1 + stored_levels(&database, "CALM").len()
    );

    differences_are_named(&database, &options, &state);
}

/// Each change to what is stored is found, and undone.
fn differences_are_named(
    database: &divisor_testkit::TestDatabase,
    options: &Options,
    state: &Path,
) {
    let mut client = database.connect();
    let mut check = |change: &str, back: &str, words: &[&str]| {
        client.batch_execute(change).unwrap();
        expect(&verb(options, state, &["verify"]), exit::DIFFERENT, words);
        client.batch_execute(back).unwrap();
    };
    check(
        "update index_level set level = level + 0.01 where seq = 9 and index_id = 0",
        "update index_level set level = level - 0.01 where seq = 9 and index_id = 0",
        &["level 9 of PAIR", "position "],
    );
    check(
        "create table gone as select * from index_level where seq = 11 and index_id = 1;
         delete from index_level where seq = 11 and index_id = 1",
        "insert into index_level select * from gone; drop table gone",
        &["nothing", "level 11 of CALM"],
    );
    check(
        "update price_tick set price = price + 1 where src = (select id from label where text = 'feed') and seq = 20",
        "update price_tick set price = price - 1 where src = (select id from label where text = 'feed') and seq = 20",
        &["position "],
    );
    check(
        "update batch set time = time + interval '1 second' where position = (select max(position) from batch)",
        "update batch set time = time - interval '1 second' where position = (select max(position) from batch)",
        &["position "],
    );
    check(
        "update basket set divisor = 2 where index_id = 2",
        "update basket set divisor = 1 where index_id = 2",
        &["revision 1 of CLOCK"],
    );
    let arguments = ["replay", "--compare", "--index", "PAIR"];
    let change = "update index_level set level = level + 0.01 where seq = 9 and index_id = 0";
    client.batch_execute(change).unwrap();
    expect(
        &verb(options, state, &arguments),
        exit::DIFFERENT,
        &["level 9 of PAIR"],
    );
    let arguments = ["replay", "--compare", "--index", "CALM"];
    expect(&verb(options, state, &arguments), exit::OK, &["equal"]);
}

#[test]
fn a_lost_journal_is_restored_from_a_dump_of_postgresql() {
    let server = Postgres::shared();
    let (database, copy) = (server.database(), server.database());
    let mut daemon = daemon().database(&database.url()).start();
    let desk = Mqtt::v4(&daemon, "desk");
    desk.load(&indexes());
    trade(&desk, 0);
    let before = desk.done("status", json!({}));
    let shown = desk.done("index.show", json!({ "code": "PAIR" }));
    dump(&database.url(), &copy.url());
    daemon.kill();

    let options = super::daemon().database(&copy.url());
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("new");
    let restore = ["restore", "--from-postgres"];
    expect(
        &verb(&options, &state, &restore),
        exit::OK,
        &["restored journal", "equal"],
    );
    expect(
        &verb(&options, &state, &restore),
        exit::STATE,
        &["restore", "holds"],
    );
    expect(&verb(&options, &state, &["verify"]), exit::OK, &["equal"]);

    let mut daemon = options.clone().state(&state).start();
    let desk = Mqtt::v4(&daemon, "desk");
    let after = desk.done("status", json!({}));
    assert_eq!(
        after["pos"].as_u64().unwrap(),
        before["pos"].as_u64().unwrap() + 1
    );
    assert!(after["epoch"].as_u64() > before["epoch"].as_u64().map(|e| e + 1));
    let again = desk.done("index.show", json!({ "code": "PAIR" }));
    assert_eq!(again, shown);
    // A tick that was there before the loss is known.
    let ticks = || column(&copy, "select count(*)::text from price_tick");
    let count = ticks();
    desk.price(
        "AAA",
        json!({ "price": "9", "src": "feed", "inc": 7, "seq": 2 }),
    );
    desk.wait_projected();
    assert_eq!(ticks(), count);
    trade(&desk, 1);
    contiguous(&copy);
    daemon = daemon.restart();
    Mqtt::v4(&daemon, "desk").wait_projected();
    assert!(daemon.stop().success());
    expect(&verb(&options, &state, &["verify"]), exit::OK, &["equal"]);
}

#[test]
fn a_copy_of_the_state_directory_goes_on() {
    let dir = tempfile::Builder::new()
        .prefix("divisor-test-")
        .tempdir()
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    let (first, copy) = (dir.path().join("first"), dir.path().join("copy"));
    let options = daemon().set("database.private=true");
    let mut daemon = options.clone().state(&first).start();
    let desk = Mqtt::v4(&daemon, "desk");
    desk.load(&indexes());
    trade(&desk, 0);
    let shown = desk.done("index.show", json!({ "code": "PAIR" }));
    expect(&verb(&options, &first, &["verify"]), exit::OK, &["equal"]);
    assert!(daemon.stop().success());
    let copied = Command::new("cp").arg("-a").arg(&first).arg(&copy).status();
    assert!(copied.unwrap().success());
    expect(&verb(&options, &copy, &["verify"]), exit::OK, &["equal"]);
    let mut daemon: Daemon = options.clone().state(&copy).start();
    let desk = Mqtt::v4(&daemon, "desk");
    assert_eq!(desk.done("index.show", json!({ "code": "PAIR" })), shown);
    trade(&desk, 1);
    assert!(daemon.stop().success());
    expect(&verb(&options, &copy, &["verify"]), exit::OK, &["equal"]);

    // The journal of that copy is lost, the private database is not.
    for lost in ["journal", "snapshots"] {
        std::fs::remove_dir_all(copy.join(lost)).unwrap();
    }
    let restore = ["restore", "--from-postgres"];
    expect(
        &verb(&options, &copy, &restore),
        exit::STATE,
        &["holds identity"],
    );
    std::fs::remove_file(copy.join("identity")).unwrap();
    expect(&verb(&options, &copy, &restore), exit::OK, &["equal"]);
    let mut daemon = options.clone().state(&copy).start();
    trade(&Mqtt::v4(&daemon, "desk"), 2);
    assert!(daemon.stop().success());
    expect(&verb(&options, &copy, &["verify"]), exit::OK, &["equal"]);
}

#[test]
fn other_versions_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let options = daemon();
    let state = dir.path();
    let mut daemon = options.clone().state(state).start();
    Mqtt::v4(&daemon, "desk").load(&indexes());
    assert!(daemon.stop().success());

    // Behind a snapshot of another version the journal is replayed from its beginning …
    let folder = state.join("snapshots");
    let snapshot = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&snapshot).unwrap();
    let newer = text.replace("divisor-snapshot 1", "divisor-snapshot 2");
    std::fs::write(&snapshot, &newer).unwrap();
    let mut daemon = options.clone().state(state).start();
    assert!(
        daemon.log().contains("divisor-snapshot 2"),
        "{}",
        daemon.log()
    );
    assert!(daemon.stop().success());

    // … and the journal of another version is not touched.
    let segment = state.join("journal/00000000000000000000.journal");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[8] = 2;
    std::fs::write(&segment, &bytes).unwrap();
    let words = ["format version 2", "reads version 1"];
    expect(&verb(&options, state, &["run"]), exit::JOURNAL, &words);
    expect(&verb(&options, state, &["verify"]), exit::JOURNAL, &words);
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_journal_without_its_beginning_needs_a_snapshot_that_can_be_read() {
    let database = Postgres::shared().database();
    let options = daemon().database(&database.url());
    let mut daemon = options.clone().start();
    let desk = Mqtt::v4(&daemon, "desk");
    desk.load(&indexes());
    trade(&desk, 0);
    assert!(daemon.stop().success());
    let dir = tempfile::tempdir().unwrap();
    let restore = ["restore", "--from-postgres"];
    expect(&verb(&options, dir.path(), &restore), exit::OK, &[]);
    let folder = dir.path().join("snapshots");
    let snapshot = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&snapshot).unwrap();
    std::fs::write(
        &snapshot,
        text.replace("divisor-snapshot 1", "divisor-snapshot 9"),
    )
    .unwrap();
    let words = ["snapshot", "divisor-snapshot 9"];
    expect(&verb(&options, dir.path(), &["run"]), exit::JOURNAL, &words);
    expect(
        &verb(&options, dir.path(), &["verify"]),
        exit::JOURNAL,
        &["snapshot"],
    );
}

fn dump(from: &str, to: &str) {
    // A server's programs come without the clients' on some machines.
    let program = |name: &str| {
        let sibling = programs().map(|bin| bin.join(name));
        sibling.filter(|path| path.exists()).unwrap_or(name.into())
    };
    let mut dump = Command::new(program("pg_dump"))
        .arg(from)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restored = Command::new(program("psql"))
        .args(["-q", "-v", "ON_ERROR_STOP=1", to])
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status();
    assert!(dump.wait().unwrap().success() && restored.unwrap().success());
}

fn contiguous(database: &divisor_testkit::TestDatabase) {
    let sql = "select index_id::text from index_level group by index_id \
               having count(*) <> max(seq) or min(seq) <> 1 or count(distinct seq) <> count(*)";
    assert_eq!(column(database, sql), Vec::<String>::new());
}
