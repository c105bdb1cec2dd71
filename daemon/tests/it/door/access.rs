//! Who is let in, with which answer, and what he may do then.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use divisord::access::{self, Access, Anonymous, Change, change};

use super::rig::*;

/// The users of these tests; everybody's password is his name and `-pw`.
const USERS: [(&str, &[&str]); 4] = [
    ("ann", &["admin"]),
    ("bob", &["subscriber"]),
    ("feed", &["publisher"]),
    ("own", &[]),
];

fn write_users(path: &Path) {
    for (name, roles) in USERS {
        let roles: Vec<_> = roles.iter().map(|&role| role.to_owned()).collect();
        let new = Change {
            password: Some(&format!("{name}-pw")),
            roles: &roles,
            ..Change::default()
        };
        change(path, name, &new).unwrap();
    }
    let mut text = std::fs::read_to_string(path).unwrap();
    text.push_str("securities = [\"AAPL\", \"BRK.B\"]\nsubscribe = [\"desk/{user}/#\"]\n");
    text.push_str("publish = [\"desk/{user}/{client}\"]\n");
    std::fs::write(path, text).unwrap();
}

struct Guests {
    dir: tempfile::TempDir,
    access: Arc<Access>,
}

impl Guests {
    fn new(anonymous: Anonymous) -> Self {
        Self::with(access::Settings {
            anonymous,
            anonymous_roles: vec!["subscriber".to_owned()],
            ..access::Settings::default()
        })
    }

    fn with(settings: access::Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        write_users(&path);
        let settings = access::Settings {
            users_file: Some(path),
            ..settings
        };
        let access = Access::open(settings).unwrap();
        Self { dir, access }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("users.toml")
    }

    async fn rig(&self) -> Rig {
        // A login may take its time on a loaded machine.
        let settings = divisord::door::Settings {
            connect_timeout: PATIENCE,
            ..settings()
        };
        Rig::guarded(settings, Arc::clone(&self.access)).await
    }
}

/// A CONNECT of either version with user and password.
fn connect(version: u8, id: &str, user: Option<&str>, password: Option<&str>) -> Vec<u8> {
    let flags = 2 | u8::from(user.is_some()) << 7 | u8::from(password.is_some()) << 6;
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend([version, flags, 0, 0]);
    if version == 5 {
        body.push(0);
    }
    body.extend(text(id));
    for field in [user, password].into_iter().flatten() {
        body.extend(text(field));
    }
    packet(0x10, &body)
}

/// The code of the CONNACK.
async fn knock(rig: &Rig, version: u8, user: Option<&str>, password: Option<&str>) -> u8 {
    let mut raw = rig.connect().await;
    raw.send(&connect(version, "c", user, password)).await;
    let (first, body) = raw.packet().await;
    assert_eq!(first, 0x20);
    body[1]
}

async fn login(rig: &Rig, version: u8, user: &str) -> Raw {
    let mut raw = rig.connect().await;
    let password = format!("{user}-pw");
    let connect = connect(version, &format!("{user}/1"), Some(user), Some(&password));
    raw.send(&connect).await;
    let (_, body) = raw.packet().await;
    assert_eq!(body[1], 0, "{user}");
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_checked() {
    let guests = Guests::new(Anonymous::Auto);
    let rig = guests.rig().await;
    let check = async |user: Option<&str>, password: Option<&str>, v4: u8, v5: u8| {
        let got = [
            knock(&rig, 4, user, password).await,
            knock(&rig, 5, user, password).await,
        ];
        assert_eq!(got, [v4, v5], "{user:?} {password:?}");
    };
    check(Some("ann"), Some("ann-pw"), 0, 0).await;
    check(Some("ann"), Some("bob-pw"), 4, 0x86).await;
    check(Some("ann"), None, 4, 0x86).await;
    check(Some("nobody"), Some("ann-pw"), 4, 0x86).await;
    check(None, None, 5, 0x87).await;
    let counters = guests.access.counters();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(count(&counters.users), 2);
    assert_eq!(count(&counters.bad_credentials), 6);
    assert_eq!(count(&counters.not_authorized), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_in_particular_comes_where_it_is_configured() {
    for (anonymous, code) in [
        (Anonymous::Auto, 5),
        (Anonymous::Nobody, 5),
        (Anonymous::Loopback, 0),
        (Anonymous::Everywhere, 0),
    ] {
        let guests = Guests::new(anonymous);
        let rig = guests.rig().await;
        assert_eq!(knock(&rig, 4, None, None).await, code, "{anonymous:?}");
    }
    let guests = Guests::new(Anonymous::Loopback);
    let rig = guests.rig().await;
    let mut raw = rig.v4("guest").await;
    raw.subscribe("indexes/#", 1).await;
    raw.send(&subscribe(2, "#", 0)).await;
    raw.expect(b"\x90\x03\0\x02\x80").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_failures_lock_out() {
    let guests = Guests::with(access::Settings {
        failures_max: 2,
        lockout: Duration::from_secs(3_600),
        ..access::Settings::default()
    });
    let rig = guests.rig().await;
    // Who has been here before is not locked out by others from the same place.
    assert_eq!(knock(&rig, 4, Some("bob"), Some("bob-pw")).await, 0);
    for _ in 0..2 {
        assert_eq!(knock(&rig, 4, Some("ann"), Some("wrong")).await, 4);
    }
    assert_eq!(
        knock(&rig, 4, Some("ann"), Some("ann-pw")).await,
        4,
        "locked out"
    );
    assert_eq!(
        knock(&rig, 5, Some("feed"), Some("feed-pw")).await,
        0x86,
        "the address"
    );
    assert_eq!(knock(&rig, 4, Some("bob"), Some("bob-pw")).await, 0);
    let locked_out = guests.access.counters().locked_out.load(Ordering::Relaxed);
    assert_eq!(locked_out, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_are_checked_at_every_packet_with_a_topic() {
    let guests = Guests::new(Anonymous::Nobody);
    let rig = guests.rig().await;
    // PUBACK of MQTT 5 for each of them: 0 or 0x87.
    let check = async |user: &str, topics: &[(&str, bool)]| {
        let mut raw = login(&rig, 5, user).await;
        for (topic, allowed) in topics {
            raw.send(&publish_v5(2, topic, 7, &[], "{}")).await;
            let (first, body) = raw.packet().await;
            assert_eq!(first, 0x40);
            let code = body.get(2).copied().unwrap_or(0);
            assert_eq!(code, if *allowed { 0 } else { 0x87 }, "{user} {topic}");
        }
    };
    let price = "securities/AAPL/price";
    let load = "divisor/control/load.begin";
    let list = "divisor/control/index.list";
    check(
        "ann",
        &[(price, true), (load, true), ("indexes/X/level", false)],
    )
    .await;
    check("bob", &[(price, false), (load, false), (list, true)]).await;
    check(
        "feed",
        &[(price, true), ("fx/EUR/USD/rate", true), (list, false)],
    )
    .await;
    check(
        "own",
        &[
            (price, true),
            ("securities/BRK.B/price", true),
            ("securities/MSFT/price", false),
            ("desk/own/own%2F1", true),
            ("desk/own/other", false),
            ("divisor/status", false),
        ],
    )
    .await;
    let mut raw = login(&rig, 5, "own").await;
    for (filter, code) in [
        ("desk/own/#", 0),
        ("desk/#", 0x87),
        ("divisor/status", 0),
        ("divisor/rejected/own%2F1", 0),
        ("divisor/rejected/+", 0x87),
        ("indexes/#", 0x87),
    ] {
        raw.send(&subscribe_v5(3, filter, 0)).await;
        let mut answer = raw.packet().await;
        while answer.0 >> 4 == 3 {
            // What was published above may arrive as late as this.
            answer = raw.packet().await;
        }
        assert_eq!(answer, (0x90, vec![0, 3, 0, code]), "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_id_belongs_to_its_user() {
    let guests = Guests::new(Anonymous::Nobody);
    let rig = guests.rig().await;
    let knock = async |version: u8, user: &str| {
        let mut raw = rig.connect().await;
        let password = format!("{user}-pw");
        let connect = connect(version, "feed/1", Some(user), Some(&password));
        raw.send(&connect).await;
        let (_, body) = raw.packet().await;
        (raw, body[1])
    };
    let (mut feed, code) = knock(4, "feed").await;
    assert_eq!(code, 0);
    assert_eq!(knock(4, "bob").await.1, 2, "identifier rejected");
    assert_eq!(knock(5, "bob").await.1, 0x85);
    feed.send(b"\xc0\0").await;
    feed.expect(b"\xd0\0").await;
    // Its own user takes it over as ever.
    let (_again, code) = knock(4, "feed").await;
    assert_eq!(code, 0);
    feed.until_closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_change_under_live_connections() {
    let guests = Guests::new(Anonymous::Nobody);
    let rig = guests.rig().await;
    let mut bob = login(&rig, 5, "bob").await;
    bob.send(&subscribe_v5(3, "indexes/#", 0)).await;
    bob.expect(&[0x90, 4, 0, 3, 0, 0]).await;
    let mut feed = login(&rig, 5, "feed").await;
    feed.send(&publish_v5(2, "securities/AAPL/price", 7, &[], "1"))
        .await;
    feed.expect(b"\x40\x02\0\x07").await;
    let mut ann = login(&rig, 5, "ann").await;
    for (name, role) in [("bob", "publisher"), ("feed", "subscriber")] {
        let other = Change {
            roles: &[role.to_owned()],
            ..Change::default()
        };
        change(&guests.path(), name, &other).unwrap();
    }
    let gone = Change {
        remove: true,
        ..Change::default()
    };
    change(&guests.path(), "ann", &gone).unwrap();
    assert!(guests.access.reload().unwrap().changed);
    // MQTT 5: DISCONNECT, not authorized.
    let goodbye = ann.until_closed().await;
    assert_eq!((goodbye[0], goodbye[2]), (0xe0, 0x87), "{goodbye:02x?}");
    let mut code = 0;
    while code == 0 {
        feed.send(&publish_v5(2, "securities/AAPL/price", 8, &[], "1"))
            .await;
        let (_, body) = feed.packet().await;
        code = body.get(2).copied().unwrap_or(0);
    }
    assert_eq!(code, 0x87, "no publisher any more");
    let mut code = 0x87;
    while code != 0 {
        bob.send(&publish_v5(2, "securities/AAPL/price", 9, &[], "1"))
            .await;
        let (_, body) = bob.packet().await;
        code = body.get(2).copied().unwrap_or(0);
    }
    rig.publish("indexes/X/level", "1", false).await;
    bob.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_by_a_password_goes_with_it() {
    let guests = Guests::new(Anonymous::Loopback);
    let rig = guests.rig().await;
    let mut four = login(&rig, 4, "bob").await;
    let mut feed = login(&rig, 5, "feed").await;
    let mut ann = login(&rig, 5, "ann").await;
    let mut nobody = rig.v4("nobody").await;
    let fresh = Change {
        password: Some("fresh"),
        ..Change::default()
    };
    let other = Change {
        roles: &["subscriber".to_owned()],
        ..Change::default()
    };
    change(&guests.path(), "bob", &fresh).unwrap();
    change(&guests.path(), "ann", &fresh).unwrap();
    change(&guests.path(), "feed", &other).unwrap();
    assert!(guests.access.reload().unwrap().changed);
    // MQTT 5: DISCONNECT, not authorized; 3.1.1 has no word for it.
    let goodbye = ann.until_closed().await;
    assert_eq!((goodbye[0], goodbye[2]), (0xe0, 0x87), "{goodbye:02x?}");
    assert!(four.until_closed().await.is_empty());
    for other in [&mut feed, &mut nobody] {
        other.send(b"\xc0\0").await;
        other.expect(b"\xd0\0").await;
    }
    assert_eq!(knock(&rig, 5, Some("bob"), Some("fresh")).await, 0);
    // Rights that were renewed have not lost what proved them.
    change(&guests.path(), "feed", &fresh).unwrap();
    assert!(guests.access.reload().unwrap().changed);
    assert_eq!(feed.until_closed().await[2], 0x87);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_the_new_file_or_keeps_the_old() {
    let guests = Guests::new(Anonymous::Nobody);
    let rig = guests.rig().await;
    assert_eq!(guests.access.reload().unwrap().users, USERS.len());
    assert!(!guests.access.reload().unwrap().changed);
    let good = std::fs::read(guests.path()).unwrap();
    std::fs::write(guests.path(), "[users").unwrap();
    assert!(guests.access.reload().is_err());
    assert_eq!(
        knock(&rig, 4, Some("ann"), Some("ann-pw")).await,
        0,
        "the old one"
    );
    std::fs::write(guests.path(), good).unwrap();
    let gone = Change {
        remove: true,
        ..Change::default()
    };
    change(&guests.path(), "ann", &gone).unwrap();
    let fresh = Change {
        password: Some("fresh"),
        ..Change::default()
    };
    change(&guests.path(), "bob", &fresh).unwrap();
    assert!(guests.access.reload().unwrap().changed);
    assert_eq!(knock(&rig, 4, Some("ann"), Some("ann-pw")).await, 4);
    assert_eq!(knock(&rig, 4, Some("bob"), Some("bob-pw")).await, 4);
    assert_eq!(knock(&rig, 4, Some("bob"), Some("fresh")).await, 0);
}
