//! What supervisors are told: by `/readyz`, its reasons and what is merely worse, and back.

use divisor_testkit::{Postgres, eventually};
use serde_json::json;

use super::client::get;
use super::{Mqtt, daemon, pair};

/// Ticks in a message, so that few messages fill a journal.
const TICKS: usize = 500;

#[test]
fn readiness_fails_while_the_journal_is_full_and_comes_back() {
    // Its watchdog ends the server with this process.
    let server: &'static Postgres = Box::leak(Box::new(Postgres::start().unwrap()));
    let database = server.database();
    let options = daemon().http().database(&database.url());
    let daemon = options
        .set("journal.bytes_max=2MiB")
        .set("journal.keep=0")
        .start();
    let desk = Mqtt::v4(&daemon, "desk");
    desk.load(&pair());
    desk.wait_projected();
    let ready = || {
        let answer = get(&daemon, "/readyz");
        (answer.status, answer.json())
    };
    let well = json!({ "ready": true, "reasons": [], "degraded": [] });
    assert_eq!(ready(), (200, well.clone()));
    // PostgreSQL is away: everything goes on, and what is worse has a name.
    server.halt();
    let feed = Mqtt::v4(&daemon, "feed");
    let mut sent = 0;
    let mut send = || {
        let tick = |n: usize| json!({ "price": format!("{}.{:02}", 20 + sent, n % 100) });
        let ticks: Vec<_> = (0..TICKS).map(tick).collect();
        sent += 1;
        feed.publish("securities/AAA/price", json!(ticks).to_string());
    };
    eventually("degraded", || {
        send();
        let (status, answer) = ready();
        assert_eq!(status, 200);
        let why = answer["degraded"][0].as_str()?.to_owned();
        assert!(why.starts_with("PostgreSQL: "), "{why}");
        Some(())
    });
    // Until nothing more can be taken: that is not ready, and still alive.
    eventually("the journal is full", || {
        let (status, answer) = ready();
        if status == 200 {
            send();
            return None;
        }
        assert_eq!((status, &answer["ready"]), (503, &json!(false)));
        (answer["reasons"] == json!(["journal full"])).then_some(())
    });
    assert_eq!(get(&daemon, "/healthz").status, 200);
    let metrics = get(&daemon, "/metrics").text();
    for line in [
        "divisor_ready 0",
        "divisor_journal_full 1",
        "divisor_store{state=\"degraded\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}: {metrics}");
    }
    let status = super::client::json(&daemon, "/api/v1/status");
    assert_eq!(status["journal"], "full");
    server.resume();
    eventually("all is well", || {
        (ready() == (200, well.clone())).then_some(())
    });
    feed.wait_acked();
}
