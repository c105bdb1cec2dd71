//! The network between Divisor and its publishers, its subscribers and PostgreSQL: cut, silent,
//! closed. Everybody comes back, and nothing is missing or there twice.

use std::thread;
use std::time::Duration;

use divisor_testkit::{Postgres, Proxy, Upstream, eventually};

use super::faults::{Dice, FEEDS, RATE, all_is_well, market};
use super::raw::{Publisher, Recorder};
use super::{Mqtt, daemon};

/// Blows of each kind.
const ROUNDS: u64 = 12;

#[test]
fn publishers_and_subscribers_come_back() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    Mqtt::v4(&daemon, "operator").load(&market());
    let network = Proxy::start(Upstream::Tcp(daemon.address()));
    let recorder = Recorder::start(network.address());
    let publishers = FEEDS.map(|(s, f)| Publisher::start(network.address(), s, f, RATE / 3));
    let acked = || publishers.iter().map(Publisher::acked).sum::<u64>();
    let mut dice = Dice(77);
    for round in 0..ROUNDS {
        thread::sleep(Duration::from_millis(20 + dice.below(200)));
        match round % 3 {
            0 => {}
            1 => {
                // Acknowledgements are swallowed, too: what is sent again has arrived already.
                network.silence(true);
                thread::sleep(Duration::from_millis(100 + dice.below(300)));
                network.cut();
                network.silence(false);
            }
            _ => {
                network.close(true);
                network.cut();
                thread::sleep(Duration::from_millis(dice.below(200)));
                network.close(false);
            }
        }
        network.cut();
        let before = acked();
        eventually("publishing goes on", || (acked() > before).then_some(()));
    }
    assert!(network.connections() > ROUNDS * 4);
    let sent = publishers.map(Publisher::finish);
    Mqtt::v4(&daemon, "operator").wait_projected();
    thread::sleep(Duration::from_millis(300));
    all_is_well(&daemon, &database, sent, &recorder.finish());
}

#[test]
fn the_way_to_postgresql_breaks() {
    let database = Postgres::shared().database();
    let network = Proxy::start(Upstream::Unix(database.socket()));
    let url = database.url_by_port(network.address().port());
    let daemon = daemon().database(&url).start();
    Mqtt::v4(&daemon, "operator").load(&market());
    let recorder = Recorder::start(daemon.address());
    let publishers = FEEDS.map(|(s, f)| Publisher::start(daemon.address(), s, f, RATE / 3));
    let store_is = |word: &str| {
        eventually(&format!("the store is {word}"), || {
            let status = recorder.look(|seen| seen.status.clone())?;
            (status.1 == word).then_some(())
        });
    };
    let goes_on = |what: &str| {
        let before = publishers[0].acked();
        let levels = recorder.look(|seen| seen.levels.len());
        eventually(&format!("levels go on: {what}"), || {
            let acked = publishers[0].acked() > before + 50;
            (acked && recorder.look(|seen| seen.levels.len()) > levels + 50).then_some(())
        });
    };
    let mut dice = Dice(78);
    for _ in 0..ROUNDS {
        thread::sleep(Duration::from_millis(dice.below(300)));
        network.cut();
    }
    store_is("ok");

    network.close(true);
    network.cut();
    store_is("degraded");
    goes_on("PostgreSQL is out of reach");
    network.close(false);
    store_is("ok");

    // Nothing is broken and nothing comes: no error would ever tell.
    network.silence(true);
    store_is("degraded");
    goes_on("PostgreSQL is silent");
    network.cut();
    network.silence(false);
    store_is("ok");

    let sent = publishers.map(Publisher::finish);
    Mqtt::v4(&daemon, "operator").wait_projected();
    thread::sleep(Duration::from_millis(300));
    all_is_well(&daemon, &database, sent, &recorder.finish());
}
