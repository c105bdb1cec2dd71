//! The clients that people have: mosquitto's tools, and paho of Python.

use std::process::{Command, Output};

use divisor_testkit::Daemon;

use super::{Mqtt, daemon, pair};

/// Publishes with each quality of service and waits until each is through; prints the retained
/// level it finds.
const PAHO: &str = r#"
import sys
import paho.mqtt.client as mqtt
port, protocol = int(sys.argv[1]), int(sys.argv[2])
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "paho", protocol=protocol)
levels = []
def connected(client, userdata, flags, reason, properties):
    client.subscribe("indexes/PAIR/level", qos=2)
client.on_connect = connected
def received(client, userdata, message):
    levels.append(message)
client.on_message = received
client.connect("127.0.0.1", port)
client.loop_start()
import time
deadline = time.monotonic() + 60
while not levels and time.monotonic() < deadline:
    time.sleep(0.01)
for qos, price in ((0, "30"), (1, "31"), (2, "32.25")):
    client.publish("securities/AAA/price", price, qos=qos).wait_for_publish(60)
while not any(b'"82.25"' in level.payload for level in levels) and time.monotonic() < deadline:
    time.sleep(0.01)
client.disconnect()
client.loop_stop()
assert levels[0].retain and not levels[-1].retain
print(levels[0].payload.decode())
print(levels[-1].payload.decode())
"#;

#[test]
fn mosquitto_pub_and_sub_work() {
    if !is_there("mosquitto_pub", "--help") || !is_there("mosquitto_sub", "--help") {
        println!("mosquitto's tools are not installed: not tested with them");
        return;
    }
    let daemon = daemon().start();
    let desk = Mqtt::v4(&daemon, "desk");
    desk.subscribe("indexes/PAIR/level");
    desk.load(&pair());
    for (version, price, level) in [
        ("mqttv311", "189.84", "239.84"),
        ("mqttv5", "190", "240.00"),
    ] {
        for qos in ["0", "1", "2"] {
            let price = format!("{price}{}", if price.contains('.') { "" } else { ".00" });
            let args = ["-t", "securities/AAA/price", "-m", &price, "-q", qos];
            let out = mosquitto(&daemon, "mosquitto_pub", version, &args);
            assert!(out.status.success(), "{out:?}");
        }
        desk.wait_level("PAIR", level);
        let args = ["-t", "indexes/#", "-C", "1", "-W", "60", "-v"];
        let out = mosquitto(&daemon, "mosquitto_sub", version, &args);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            text.starts_with("indexes/PAIR/level {") && text.contains(level),
            "{out:?}"
        );
    }
}

#[test]
fn paho_works_with_every_quality_of_service() {
    if !is_there(
        "python3",
        "-cimport paho.mqtt.client as c; c.CallbackAPIVersion",
    ) {
        println!("paho-mqtt 2 for python3 is not installed: not tested with it");
        return;
    }
    for protocol in ["4", "5"] {
        let daemon = daemon().start();
        let desk = Mqtt::v5(&daemon, "desk");
        desk.load(&pair());
        let port = daemon.address().port().to_string();
        let out = Command::new("python3")
            .args(["-c", PAHO, &port, protocol])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let lines: Vec<_> = text.lines().collect();
        assert!(
            out.status.success() && lines.len() == 2,
            "{protocol}: {out:?}"
        );
        assert!(lines[0].contains(r#""level":"70.00""#), "{text}");
        assert!(lines[1].contains(r#""level":"82.25""#), "{text}");
    }
}

fn is_there(program: &str, argument: &str) -> bool {
    let ran = Command::new(program).arg(argument).output();
    // mosquitto's tools end with 1 after their help.
    ran.is_ok_and(|out| out.status.success() || !out.stdout.is_empty())
}

fn mosquitto(daemon: &Daemon, program: &str, version: &str, args: &[&str]) -> Output {
    let port = daemon.address().port().to_string();
    Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &port, "-V", version])
        .args(args)
        .output()
        .unwrap()
}
