//! Clients that other people wrote, over TLS and WebSocket, with passwords and with certificates.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use divisor_testkit::{Authority, Certificate};
use divisord::access::{self, Access, Change, change};
use divisord::door::Settings;
use divisord::tls::{self, Tls};
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::clients::has;
use super::rig::*;

/// A door with users, TLS and certificates of clients: ann may do everything, bob reads, and
/// feed-1, whom only a certificate names, writes two securities.
struct Secured {
    authority: Authority,
    rig: Rig,
}

impl Secured {
    async fn start() -> Self {
        let authority = Authority::new();
        let access = Access::open(access::Settings {
            users_file: Some(users(authority.dir())),
            other_topics: true,
            ..access::Settings::default()
        })
        .unwrap();
        let server = authority.server("server");
        let tls = Tls::open(tls::Settings {
            certificate: server.certificate,
            key: server.key,
            client_ca: Some(authority.ca()),
            client_required: false,
        })
        .unwrap();
        // Programs take their time to start on a loaded machine.
        let settings = Settings {
            connect_timeout: PATIENCE,
            handshake_timeout: PATIENCE,
            ..settings()
        };
        let rig = Rig::secure(settings, access, tls).await;
        Self { authority, rig }
    }

    fn port(&self) -> u16 {
        self.rig.tls_address.port()
    }

    fn ca(&self) -> String {
        self.authority.ca().display().to_string()
    }

    /// What rumqttc needs to trust the door.
    fn transport(&self) -> Transport {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.authority.ca()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config)))
    }

    /// Runs a program of mosquitto against the door.
    async fn mosquitto(&self, program: &str, who: &[String], arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command
            .args(["-h", "localhost", "-p", &self.port().to_string()])
            .args(["--cafile", &self.ca(), "-q", "1"])
            .args(who)
            .args(arguments);
        run(command).await
    }
}

/// Writes the users of these tests.
fn users(dir: &Path) -> PathBuf {
    let path = dir.join("users.toml");
    for (name, role) in [("ann", "admin"), ("bob", "subscriber")] {
        let new = Change {
            password: Some(&format!("{name}-pw")),
            roles: &[role.to_owned()],
            ..Change::default()
        };
        change(&path, name, &new).unwrap();
    }
    let certificate = Change {
        no_password: true,
        ..Change::default()
    };
    change(&path, "feed-1", &certificate).unwrap();
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("securities = [\"AAPL\", \"BRK.B\"]\n");
    std::fs::write(&path, text).unwrap();
    path
}

fn password(user: &str) -> Vec<String> {
    ["-u", user, "-P", &format!("{user}-pw")]
        .map(str::to_owned)
        .to_vec()
}

fn certificate(files: &Certificate) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let key = path(&files.key);
    vec![
        "--cert".to_owned(),
        path(&files.certificate),
        "--key".to_owned(),
        key,
    ]
}

/// Runs a program beside the door, which lives in this process.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rumqttc_speaks_both_versions_over_tls_with_its_password() {
    let mut secured = Secured::start().await;
    let mut options = MqttOptions::new("four", "localhost", secured.port());
    options
        .set_transport(secured.transport())
        .set_credentials("ann", "ann-pw");
    let (client, mut events) = AsyncClient::new(options, 10);
    let price = client.publish("securities/AAPL/price", QoS::AtLeastOnce, false, "1");
    price.await.unwrap();
    let acknowledged = async {
        while !matches!(
            events.poll().await.unwrap(),
            Event::Incoming(Packet::PubAck(_))
        ) {}
    };
    tokio::time::timeout(PATIENCE, acknowledged).await.unwrap();
    assert_eq!(
        &*secured.rig.messages(1).await[0].topic,
        "securities/AAPL/price"
    );

    secured.rig.publish("indexes/A/level", "1", true).await;
    let mut options = rumqttc::v5::MqttOptions::new("five", "localhost", secured.port());
    options
        .set_transport(secured.transport())
        .set_credentials("bob", "bob-pw");
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 10);
    client
        .subscribe("indexes/#", QoS5::AtLeastOnce)
        .await
        .unwrap();
    let heard = async {
        loop {
            if let rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::Publish(publish)) =
                events.poll().await.unwrap()
            {
                return publish;
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await.unwrap();
    assert_eq!((heard.retain, &heard.payload[..]), (true, &b"1"[..]));

    // A wrong password is refused in the protocol of each.
    let mut options = MqttOptions::new("wrong", "localhost", secured.port());
    options
        .set_transport(secured.transport())
        .set_credentials("ann", "bob-pw");
    let (_client, mut events) = AsyncClient::new(options, 10);
    let refused = events.poll().await.unwrap_err();
    assert!(
        matches!(
            refused,
            rumqttc::ConnectionError::ConnectionRefused(
                rumqttc::ConnectReturnCode::BadUserNamePassword
            )
        ),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_comes_with_a_password_or_a_certificate() {
    if !has("mosquitto_pub", &["--help"]) || !has("mosquitto_sub", &["--help"]) {
        return;
    }
    let mut secured = Secured::start().await;
    secured
        .rig
        .publish("indexes/A/level", "39131.53", true)
        .await;
    let feed = certificate(&secured.authority.client("feed-1", &[]));
    let stranger = certificate(&secured.authority.client("stranger", &[]));
    for version in ["mqttv311", "mqttv5"] {
        let level = ["-V", version, "-t", "indexes/#", "-C", "1", "-W", "60"];
        let heard = secured
            .mosquitto("mosquitto_sub", &password("bob"), &level)
            .await;
        assert_eq!(heard.stdout, b"39131.53\n", "{version}: {heard:?}");
        let price = |symbol: &str| format!("securities/{symbol}/price");
        let (own, other) = (price("BRK.B"), price("MSFT"));
        let own = ["-V", version, "-t", &own, "-m", "1"];
        let other = ["-V", version, "-t", &other, "-m", "1"];
        // The certificate's user writes its own securities; of another one nothing arrives.
        let said = secured.mosquitto("mosquitto_pub", &feed, &other).await;
        let is_told = version == "mqttv5";
        assert_eq!(said.stderr.is_empty(), !is_told, "{version}: {said:?}");
        let said = secured.mosquitto("mosquitto_pub", &feed, &own).await;
        assert!(said.status.success(), "{version}: {said:?}");
        assert_eq!(
            &*secured.rig.messages(1).await[0].topic,
            "securities/BRK.B/price"
        );
        let mut wrong = password("bob");
        wrong[3] = "ann-pw".to_owned();
        for who in [&stranger, &wrong, &Vec::new()] {
            let said = secured.mosquitto("mosquitto_pub", who, &own).await;
            assert!(!said.status.success(), "{version}: {who:?} {said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paho_speaks_both_versions_over_tls() {
    if !has("python3", &["-c", "import paho.mqtt.enums"]) {
        return;
    }
    for version in ["4", "5"] {
        let secured = Secured::start().await;
        let mut command = Command::new("python3");
        command
            .args(["-c", include_str!("paho.py"), &secured.port().to_string()])
            .args([version, &secured.ca()]);
        let output = run(command).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"ok\n", "MQTT {version}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mqtt_js_speaks_both_versions_over_websocket() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/browser/mqtt.mjs");
    let program = program.display().to_string();
    // Its package is there after `npm --prefix tests/browser ci`.
    let probe = format!("require('module').createRequire('{program}').resolve('mqtt')");
    if !has("node", &["-e", &probe]) {
        return;
    }
    for version in ["4", "5"] {
        let secured = Secured::start().await;
        let plain = Rig::start(Settings {
            connect_timeout: PATIENCE,
            ..settings()
        })
        .await;
        let ws = format!("ws://127.0.0.1:{}/mqtt", plain.address.port());
        let wss = format!("wss://localhost:{}/mqtt", secured.port());
        for arguments in [&[&*ws, version][..], &[&*wss, version, &*secured.ca()]] {
            let mut command = Command::new("node");
            command.arg(&program).args(arguments);
            let output = run(command).await;
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.stdout, b"ok\n", "{arguments:?}: {complaint}");
        }
    }
}
