//! Shared subscriptions: one member for each message, and nothing lost when a member goes.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use divisord::door::Settings;

use super::rig::*;

/// Publishes numbered messages at QoS 1 and waits for their acknowledgements.
async fn publish_numbers(raw: &mut Raw, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let id = (number % 60_000) as u16 + 1;
        raw.send(&publish(2, "work/x", id, &number.to_string()))
            .await;
        raw.expect(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
            .await;
    }
}

async fn acknowledge_packet(raw: &mut Raw, id: u16) {
    raw.send(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_has_one_member() {
    let rig = Rig::start(settings()).await;
    let mut writer = rig.v4("writer").await;
    let mut members = Vec::new();
    for number in 0..3 {
        let mut member = rig.v4(&format!("member{number}")).await;
        member.subscribe("$share/team/work/+", 1).await;
        members.push(member);
    }
    // Another group and a plain subscriber get all of them.
    let mut other = rig.v4("other").await;
    other.subscribe("$share/others/work/#", 0).await;
    other.send(&subscribe(2, "work/#", 0)).await;
    other.expect(b"\x90\x03\0\x02\0").await;
    assert_eq!(rig.door.counters.shared_groups.load(Ordering::Relaxed), 2);
    publish_numbers(&mut writer, 0..300).await;
    let mut seen = BTreeSet::new();
    for member in &mut members {
        // In turns, so each has a third.
        for _ in 0..100 {
            let (first, _, id, payload) = member.message().await;
            assert_eq!(first, 0x32);
            acknowledge_packet(member, id).await;
            assert!(
                seen.insert(payload.parse::<u32>().unwrap()),
                "{payload} came twice"
            );
        }
        member.expect_nothing().await;
    }
    assert_eq!(seen.len(), 300);
    let mut copies = vec![0; 300];
    for _ in 0..600 {
        copies[other.message().await.3.parse::<usize>().unwrap()] += 1;
    }
    assert!(
        copies.iter().all(|count| *count == 2),
        "one for each subscription"
    );
    drop((members, other, writer));
    rig.until(|counters| counters.shared_groups.load(Ordering::Relaxed) == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_leaving_member_has_not_acknowledged_goes_to_another() {
    let rig = Rig::start(settings()).await;
    let mut writer = rig.v4("writer").await;
    let mut leaver = rig.v4("leaver").await;
    leaver.subscribe("$share/team/work/+", 1).await;
    publish_numbers(&mut writer, 0..50).await;
    let mut had = BTreeSet::new();
    for number in 0..50 {
        let (_, _, id, payload) = leaver.message().await;
        if number < 10 {
            acknowledge_packet(&mut leaver, id).await;
            had.insert(payload);
        }
    }
    leaver.send(b"\xc0\0").await;
    leaver.expect(b"\xd0\0").await;
    let mut stayer = rig.v4("stayer").await;
    stayer.subscribe("$share/team/work/+", 1).await;
    drop(leaver);
    let mut rest = BTreeSet::new();
    for _ in 0..40 {
        let (first, _, id, payload) = stayer.message().await;
        assert_eq!(first, 0x32, "a new delivery, not a repeated one");
        acknowledge_packet(&mut stayer, id).await;
        assert!(!had.contains(&payload));
        rest.insert(payload);
    }
    assert_eq!(rest.len(), 40);
    stayer.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_one_that_is_away_keeps_its_messages() {
    let rig = Rig::start(settings()).await;
    let mut writer = rig.v4("writer").await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("kept", 0, 0)).await;
    raw.expect(b"\x20\x02\0\0").await;
    raw.subscribe("$share/team/work/+", 1).await;
    publish_numbers(&mut writer, 0..1).await;
    assert_eq!(raw.message().await.2, 1);
    drop(raw);
    rig.parked(1).await;
    publish_numbers(&mut writer, 1..5).await;
    // At QoS 0 nothing waits for anybody.
    writer.send(&publish(0, "work/x", 0, "lost")).await;
    writer.send(b"\xc0\0").await;
    writer.expect(b"\xd0\0").await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("kept", 0, 0)).await;
    raw.expect(b"\x20\x02\x01\0").await;
    for number in 0..5 {
        let (first, _, id, payload) = raw.message().await;
        assert_eq!(payload, number.to_string());
        assert_eq!(first, if number == 0 { 0x3a } else { 0x32 });
        acknowledge_packet(&mut raw, id).await;
    }
    raw.expect_nothing().await;
    // While somebody is there, a member that is away gets nothing.
    let mut there = rig.v4("there").await;
    there.subscribe("$share/team/work/+", 1).await;
    drop(raw);
    rig.parked(1).await;
    publish_numbers(&mut writer, 5..25).await;
    for _ in 0..20 {
        let (_, _, id, _) = there.message().await;
        acknowledge_packet(&mut there, id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_once_stays_with_its_member() {
    let rig = Rig::start(settings()).await;
    let mut writer = rig.v4("writer").await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("kept", 0, 0)).await;
    raw.expect(b"\x20\x02\0\0").await;
    raw.subscribe("$share/team/work/+", 2).await;
    let mut other = rig.v4("other").await;
    other.subscribe("$share/team/work/+", 2).await;
    // One for each.
    for id in [1u8, 2] {
        writer.send(&publish(4, "work/x", id.into(), "x")).await;
        writer.expect(&[0x50, 2, 0, id]).await;
        writer.send(&[0x62, 2, 0, id]).await;
        writer.expect(&[0x70, 2, 0, id]).await;
    }
    let (_, _, id, _) = raw.message().await;
    other.message().await;
    drop(raw);
    rig.parked(1).await;
    other.expect_nothing().await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("kept", 0, 0)).await;
    raw.expect(b"\x20\x02\x01\0").await;
    let (first, _, again, _) = raw.message().await;
    assert_eq!((first, again), (0x3c, id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_read_starves_nobody() {
    let rig = Rig::start(Settings {
        write_timeout: PATIENCE,
        // Room for all of it, or a loaded machine loses what is counted here.
        segment_bytes: 32 << 20,
        queue_bytes_max: 128 << 20,
        ..settings()
    })
    .await;
    let mut deaf = rig.v4("deaf").await;
    deaf.subscribe("$share/team/work/+", 0).await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("$share/team/work/+", 0).await;
    let payload = "x".repeat(50_000);
    let publishing = async {
        for _ in 0..2_000 {
            rig.publish("work/x", &payload, false).await;
        }
    };
    let reading = async {
        // Half would be its turn; once the other one is behind, all of them are.
        for _ in 0..1_200 {
            reader.message().await;
        }
    };
    tokio::join!(publishing, reading);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_bounded_and_end_with_their_last_member() {
    let rig = Rig::start(Settings {
        shared_groups_max: 1,
        ..settings()
    })
    .await;
    let mut five = rig.v5("five", b"").await;
    five.send(&subscribe_v5(1, "$share/a/t", 1)).await;
    five.expect(b"\x90\x04\0\x01\0\x01").await;
    five.send(&subscribe_v5(2, "$share/b/t", 1)).await;
    five.expect(b"\x90\x04\0\x02\0\x97").await;
    let unsubscribe = |filter: &str| packet(0xa2, &[&[0, 3, 0][..], &text(filter)].concat());
    five.send(&unsubscribe("$share/b/t")).await;
    five.expect(b"\xb0\x04\0\x03\0\x11").await;
    five.send(&unsubscribe("$share/a/t")).await;
    five.expect(b"\xb0\x04\0\x03\0\0").await;
    five.send(&subscribe_v5(4, "$share/b/t", 0)).await;
    five.expect(b"\x90\x04\0\x04\0\0").await;
    // Again, with other options.
    five.send(&subscribe_v5(5, "$share/b/t", 2)).await;
    five.expect(b"\x90\x04\0\x05\0\x02").await;
    rig.publish("t", "1", false).await;
    let (first, _) = five.packet().await;
    assert_eq!(first, 0x32);
    five.expect_nothing().await;
}

/// Members that come and go at random: whatever is published arrives at least once, and most of it
/// exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_members_come_and_go() {
    const COUNT: u32 = 2_000;
    let rig = Rig::start(settings()).await;
    let mut steady = rig.v4("steady").await;
    steady.subscribe("$share/team/work/+", 1).await;
    let seen = std::sync::Mutex::new(BTreeSet::new());
    let note = |payload: String| seen.lock().unwrap().insert(payload.parse::<u32>().unwrap());
    let publishing = async {
        let mut writer = rig.v4("writer").await;
        publish_numbers(&mut writer, 0..COUNT).await;
    };
    let is_all = || seen.lock().unwrap().len() == COUNT as usize;
    let steadily = async {
        while !is_all() {
            let next = tokio::time::timeout(QUIET, steady.stream.peek(&mut [0])).await;
            if next.is_ok() {
                let (_, _, id, payload) = steady.message().await;
                acknowledge_packet(&mut steady, id).await;
                note(payload);
            }
        }
    };
    let coming_and_going = async {
        let mut round = 0;
        while !is_all() {
            round += 1;
            let mut raw = rig.v4(&format!("guest{}", round % 3)).await;
            raw.subscribe("$share/team/work/+", 1).await;
            for _ in 0..round % 7 {
                if tokio::time::timeout(QUIET / 10, raw.stream.peek(&mut [0]))
                    .await
                    .is_err()
                {
                    break;
                }
                let (_, _, id, payload) = raw.message().await;
                // Noted only when acknowledged: the others must come to somebody else.
                if id % 2 == 0 {
                    note(payload);
                    acknowledge_packet(&mut raw, id).await;
                }
            }
        }
    };
    let all = async { tokio::join!(publishing, steadily, coming_and_going) };
    tokio::time::timeout(PATIENCE * 2, all).await.unwrap();
}
