//! `history` and `open`: the HTTP side from the command line.

use std::net::SocketAddr;
use std::sync::Arc;

use divisor_testkit::{Authority, Certificate, Daemon, Options, Postgres};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Run, command, fixture};

/// Runs the program with the page's address.
pub(super) fn run(daemon: &Daemon, arguments: &[&str]) -> Run {
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

fn tls_proxy(server: &Certificate, upstream: SocketAddr) -> SocketAddr {
    let certificate = CertificateDer::pem_file_iter(&server.certificate).unwrap();
    let certificate = certificate.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&server.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificate, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut server = TcpStream::connect(upstream).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    });
    receiver.recv().unwrap()
}

#[test]
fn speaks_to_a_page_behind_tls_with_a_user() {
    let authority = Authority::new();
    let files = super::Files::new();
    let options = Options::sibling_of(env!("CARGO_BIN_EXE_divisor"));
    let users = files.write("users.toml", "[users.feed]\nroles = [\"admin\"]\n");
    super::login::set_password(&options, &files, &users);
    let file = format!("access.users_file={users}");
    let daemon = options.http().set(&file).start();
    let port = tls_proxy(&authority.server("proxy"), daemon.http_address()).port();
    let page = format!("https://localhost:{port}/");
    let ca = authority.ca().display().to_string();
    let check = |page: &str, arguments: &[&str], password: &str, code: i32, says: &str| {
        let arguments = [arguments, &["--http", page]].concat();
        let output = command(&arguments)
            .env("DIVISOR_PASSWORD", password)
            .output();
        let run = Run::from(output.unwrap(), &arguments).code(code);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(says), "{says} in {said}");
    };
    let ann = ["history", "DJIA", "--user", "ann", "--ca", &ca];
    check(&page, &ann, "s3cret", 2, "no index DJIA");
    check(&page, &ann, "wrong", 1, "wants a user");
    check(&page, &["open", "--ca", &ca], "", 0, &page);
    check(&page, &["open"], "", 4, "certificate");
    // A password that is kept secret from others on the way to the broker is kept so here.
    let output = command(&[
        "history",
        "X",
        "--url",
        "mqtts://localhost",
        "--user",
        "ann",
    ])
    .env("DIVISOR_PASSWORD", "s3cret")
    .output();
    let run = Run::from(output.unwrap(), &["history"]);
    run.code(2).says("--http https://");
}
