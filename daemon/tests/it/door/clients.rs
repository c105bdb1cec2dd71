//! Clients that other people wrote.

use std::process::Command;
use std::time::Duration;

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
