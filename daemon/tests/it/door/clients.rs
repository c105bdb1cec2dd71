//! Clients that other people wrote.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use divisord::door::Settings;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use super::rig::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rumqttc_speaks_3_1_1() {
    let mut rig = Rig::start(settings()).await;
    let options = MqttOptions::new("four", "127.0.0.1", rig.address.port());
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("t/#", QoS::ExactlyOnce).await.unwrap();
    let mut acknowledged = 0;
    let mut messages = Vec::new();
    let session = async {
        while messages.len() < 3 || acknowledged < 1 {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::SubAck(_)) => {
                    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                        client
                            .publish("t/x", qos, false, format!("{qos:?}"))
                            .await
                            .unwrap();
                    }
                    let price = client.publish("securities/A/price", QoS::AtLeastOnce, false, "1");
                    price.await.unwrap();
                }
                Event::Incoming(Packet::Publish(publish)) => messages.push(publish.qos),
                Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
                Event::Incoming(_) | Event::Outgoing(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, session).await.unwrap();
    assert_eq!(
        messages,
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]
    );
    assert_eq!(&*rig.messages(1).await[0].topic, "securities/A/price");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rumqttc_speaks_5() {
    let rig = Rig::start(settings()).await;
    rig.publish("indexes/A/level", "1", true).await;
    let mut options = rumqttc::v5::MqttOptions::new("five", "127.0.0.1", rig.address.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 10);
    client
        .subscribe("indexes/+/level", QoS5::AtLeastOnce)
        .await
        .unwrap();
    let session = async {
        loop {
            if let rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::Publish(publish)) =
                events.poll().await.unwrap()
            {
                return publish;
            }
        }
    };
    let publish = tokio::time::timeout(PATIENCE, session).await.unwrap();
    assert!(publish.retain);
    assert_eq!(&publish.payload[..], b"1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_clients_work() {
    if Command::new("mosquitto_pub")
        .arg("--help")
        .output()
        .is_err()
    {
        println!("skipped: mosquitto_pub is not installed");
        return;
    }
    let mut rig = Rig::start(settings()).await;
    rig.publish("indexes/A/level", "39131.53", true).await;
    let port = rig.address.port().to_string();
    for version in ["mqttv311", "mqttv5"] {
        let args = ["-p", &port, "-V", version];
        let subscriber = Command::new("mosquitto_sub")
            .args(args)
            .args(["-t", "indexes/#", "-C", "1", "-W", "5", "-q", "1"])
            .output();
        assert_eq!(subscriber.unwrap().stdout, b"39131.53\n", "{version}");
        for qos in ["0", "1", "2"] {
            let published = Command::new("mosquitto_pub")
                .args(args)
                .args(["-t", "securities/AAPL/price", "-m", "189.84", "-q", qos])
                .status();
            assert!(published.unwrap().success(), "{version} {qos}");
            assert_eq!(&*rig.messages(1).await[0].topic, "securities/AAPL/price");
        }
    }
}

/// Runs a program against the door; false, with a loud word, where what it needs is missing.
#[expect(clippy::print_stdout, reason = "what is skipped is said")]
pub(super) fn has(program: &str, probe: &[&str]) -> bool {
    let there = Command::new(program)
        .args(probe)
        .output()
        .is_ok_and(|output| output.status.success() || probe == ["--help"]);
    if !there {
        println!("SKIPPED: {program} {probe:?} does not work here");
    }
    there
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paho_speaks_both_versions() {
    if !has("python3", &["-c", "import paho.mqtt.enums"]) {
        return;
    }
    for version in ["4", "5"] {
        let rig = Rig::start(Settings {
            connect_timeout: PATIENCE,
            ..settings()
        })
        .await;
        let port = rig.address.port().to_string();
        let running = tokio::task::spawn_blocking(move || {
            Command::new("python3")
                .args(["-c", include_str!("paho.py"), &port, version])
                .output()
        });
        let output = running.await.unwrap().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"ok\n", "MQTT {version}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rumqttc_5_shares_a_subscription() {
    const COUNT: usize = 200;
    let rig = Rig::start(settings()).await;
    let mut members = Vec::new();
    for number in 0..2 {
        let options = rumqttc::v5::MqttOptions::new(
            format!("member{number}"),
            "127.0.0.1",
            rig.address.port(),
        );
        let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 10);
        client
            .subscribe("$share/team/work/+", QoS5::AtLeastOnce)
            .await
            .unwrap();
        loop {
            let event = tokio::time::timeout(PATIENCE, events.poll()).await.unwrap();
            if let rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::SubAck(_)) = event.unwrap() {
                break;
            }
        }
        members.push((client, events));
    }
    for number in 0..COUNT {
        rig.publish("work/x", &number.to_string(), false).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    for (_, events) in &mut members {
        for _ in 0..COUNT / 2 {
            loop {
                let event = tokio::time::timeout(PATIENCE, events.poll()).await.unwrap();
                if let rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::Publish(publish)) =
                    event.unwrap()
                {
                    assert!(seen.insert(publish.payload));
                    break;
                }
            }
        }
    }
    assert_eq!(seen.len(), COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_clients_use_what_mqtt_5_adds() {
    if !has("mosquitto_pub", &["--help"]) || !has("mosquitto_sub", &["--help"]) {
        return;
    }
    let rig = Rig::start(settings()).await;
    let port = rig.address.port().to_string();
    let kept = ["-p", &port, "-t", "t2/ready", "-m", "now", "-r", "-q", "1"];
    let kept = Command::new("mosquitto_pub").args(kept).status();
    assert!(kept.unwrap().success());
    let listening = {
        let port = port.clone();
        tokio::task::spawn_blocking(move || {
            Command::new("mosquitto_sub")
                .args(["-p", &port, "-V", "mqttv5", "-t", "$share/g/t/+", "-q", "1"])
                .args(["-t", "t2/ready"])
                .args(["-D", "subscribe", "subscription-identifier", "7"])
                .args([
                    "-D",
                    "connect",
                    "topic-alias-maximum",
                    "4",
                    "-i",
                    "listener",
                ])
                .args(["-F", "%t %p %P %R", "-C", "3", "-W", "60"])
                .output()
        })
    };
    // The retained message leaves behind the acknowledgement of both subscriptions: only then is the
    // group owed what is published.
    rig.until(|counters| {
        let sent = counters.messages_out.iter();
        sent.map(|sent| sent.load(Ordering::Relaxed)).sum::<u64>() == 1
    })
    .await;
    let said = tokio::task::spawn_blocking(move || {
        Command::new("mosquitto_pub")
            .args([
                "-p", &port, "-V", "mqttv5", "-t", "t/x", "-m", "hello", "-q", "1",
            ])
            .args(["--repeat", "2", "-D", "publish", "user-property", "k", "v"])
            .args(["-D", "publish", "response-topic", "r"])
            .output()
    });
    assert!(said.await.unwrap().unwrap().status.success());
    let heard = listening.await.unwrap().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&heard.stdout),
        "t2/ready now  \nt/x hello k:v r\nt/x hello k:v r\n",
        "{heard:?}"
    );
}
