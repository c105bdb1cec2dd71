//! The protocol as a table of bytes, run against the door and, as the yardstick, against mosquitto.
//!
//! `conformance/v4.txt` and `conformance/v5.txt` hold the cases. Each line is about one connection,
//! named by a letter and opened at its first use:
//!
//! | line | |
//! |---|---|
//! | `case what is shown` | begins a case, with connections of its own |
//! | `a> 10 [ "MQTT" 04 … ]` | the client sends these bytes |
//! | `a< 20 [ 00 00 ] \| closed` | the next packet is one of these |
//! | `a~ closed` | what mosquitto answers instead to the line before, where it may |
//! | `a< nothing` | nothing comes before the answer to a PINGREQ |
//! | `a! drop` | the client's socket closes without a word |
//! | `wait 300` | milliseconds |
//! | `def name …$1…` | `name(x)` stands for this with x |
//!
//! Bytes are hexadecimal; `"text"` has its length in two bytes before it, `'text'` has not; `[ … ]`
//! has its length in front as MQTT counts it; `61*300` is a byte 300 times. In answers `..` is any
//! byte and `...` any rest of the packet; `missing` is `nothing` as one of several.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use divisord::door::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rig::{PATIENCE, QUIET, Rig, settings};

const TABLES: [(&str, &str); 2] = [
    ("v4", include_str!("conformance/v4.txt")),
    ("v5", include_str!("conformance/v5.txt")),
];

/// Packets above this end their connection, at both brokers.
const PACKET_BYTES_MAX: usize = 2_000;

/// QoS 1 and 2 messages a client of MQTT 5 may have on their way, at both brokers.
const RECEIVE_MAX: usize = 3;

/// The longest keep-alive, at both brokers.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_answers_by_the_table() {
    let rig = Rig::start(Settings {
        packet_bytes_max: PACKET_BYTES_MAX,
        connect_timeout: PATIENCE,
        inflight_max: RECEIVE_MAX,
        keep_alive_max: KEEP_ALIVE_MAX,
        ..settings()
    })
    .await;
    run(rig.address, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_answers_by_the_table() {
    let Some(mosquitto) = Mosquitto::start().await else {
        println!("SKIPPED: mosquitto is not installed, so the table has no yardstick");
        return;
    };
    run(mosquitto.address, true).await;
}

/// Runs every case and reports all that fail.
async fn run(address: SocketAddr, is_mosquitto: bool) {
    let mut failures = Vec::new();
    let mut count = 0;
    for (name, table) in TABLES {
        for case in cases(table) {
            count += 1;
            if let Err(failure) = case.run(address, is_mosquitto).await {
                failures.push(format!("{name}, {}: {failure}", case.name));
            }
        }
    }
    assert!(count > 120, "{count} cases are not all");
    assert!(
        failures.is_empty(),
        "{} of {count} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A mosquitto of our own; it ends with the test.
struct Mosquitto {
    process: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Mosquitto {
    /// `None` where it is not installed.
    async fn start() -> Option<Self> {
        let program = ["mosquitto", "/usr/sbin/mosquitto"]
            .into_iter()
            .find(|program| Command::new(program).arg("-h").output().is_ok())?;
        let directory = tempfile::tempdir().unwrap();
        loop {
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let configuration = directory.path().join("mosquitto.conf");
            let text = format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n\
                 allow_duplicate_messages false\nmax_packet_size {PACKET_BYTES_MAX}\n\
                 log_type none\nset_tcp_nodelay true\nmax_inflight_messages {RECEIVE_MAX}\n\
                 max_keepalive {}\n",
                KEEP_ALIVE_MAX.as_secs()
            );
            std::fs::write(&configuration, text).unwrap();
            let mut process = Command::new(program)
                .arg("-c")
                .arg(&configuration)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let address: SocketAddr = ([127, 0, 0, 1], port).into();
            for _ in 0..600 {
                if TcpStream::connect(address).await.is_ok() {
                    return Some(Self {
                        process,
                        address,
                        _directory: directory,
                    });
                }
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Somebody else took the port between our look and its bind.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Case {
    name: String,
    steps: Vec<(usize, Step)>,
}

enum Step {
    Send(char, Vec<u8>),
    Expect {
        who: char,
        answers: Vec<Answer>,
        instead: Option<Vec<Answer>>,
    },
    Drop(char),
    Wait(Duration),
}

#[derive(Debug, Clone)]
enum Answer {
    Closed,
    Nothing,
    Missing,
    Packet(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Byte(u8),
    Any,
    Rest,
    /// A length, in front of what it counts.
    Counted(Vec<Self>),
}

/// Reads a table.
fn cases(table: &str) -> Vec<Case> {
    let mut definitions: BTreeMap<&str, &str> = BTreeMap::new();
    let mut cases: Vec<Case> = Vec::new();
    for (at, line) in table.lines().enumerate() {
        let line = line.trim();
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        match head {
            "" | "#" => {}
            "def" => {
                let (name, text) = rest.split_once(' ').unwrap();
                definitions.insert(name, text);
            }
            "case" => cases.push(Case {
                name: rest.to_owned(),
                steps: Vec::new(),
            }),
            _ => {
                let steps = &mut cases.last_mut().unwrap().steps;
                read_step(&definitions, head, rest, at + 1, steps);
            }
        }
    }
    cases
}

fn read_step(
    definitions: &BTreeMap<&str, &str>,
    head: &str,
    rest: &str,
    line: usize,
    steps: &mut Vec<(usize, Step)>,
) {
    if head == "wait" {
        let wait = Duration::from_millis(rest.parse().unwrap());
        steps.push((line, Step::Wait(wait)));
        return;
    }
    let mut letters = head.chars();
    let who = letters.next().unwrap();
    let expanded = expand(definitions, rest);
    match letters.as_str() {
        ">" => steps.push((line, Step::Send(who, bytes(&expanded)))),
        "<" => {
            let answers = answers(&expanded);
            let expect = Step::Expect {
                who,
                answers,
                instead: None,
            };
            steps.push((line, expect));
        }
        "~" => match &mut steps.last_mut().unwrap().1 {
            Step::Expect { instead, .. } => *instead = Some(answers(&expanded)),
            Step::Send(..) | Step::Drop(_) | Step::Wait(_) => {
                panic!("line {line} stands behind no answer")
            }
        },
        "!" => steps.push((line, Step::Drop(who))),
        other => panic!("line {line}: {other}"),
    }
}

/// Puts definitions in for their names.
fn expand(definitions: &BTreeMap<&str, &str>, text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.trim_start().is_empty() {
        rest = rest.trim_start();
        // Texts may hold spaces and parentheses.
        let end = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let closing = rest[1..].find(quote).unwrap() + 2;
                closing + rest[closing..].find(' ').unwrap_or(rest.len() - closing)
            }
            _ => match rest.find(['(', ' ']) {
                Some(open) if rest[open..].starts_with('(') => {
                    open + rest[open..].find(')').unwrap() + 1
                }
                Some(space) => space,
                None => rest.len(),
            },
        };
        let (word, behind) = rest.split_at(end);
        rest = behind;
        let (name, argument) = match word.strip_suffix(')').and_then(|word| word.split_once('(')) {
            Some((name, argument)) => (name, argument),
            None => (word, ""),
        };
        words.push(match definitions.get(name) {
            Some(text) => expand(definitions, &text.replace("$1", argument)),
            None => word.to_owned(),
        });
    }
    words.join(" ")
}

fn answers(text: &str) -> Vec<Answer> {
    text.split(" | ")
        .map(|answer| match answer.trim() {
            "closed" => Answer::Closed,
            "nothing" => Answer::Nothing,
            "missing" => Answer::Missing,
            packet => Answer::Packet(pieces(packet)),
        })
        .collect()
}

fn bytes(text: &str) -> Vec<u8> {
    fn lay(pieces: &[Piece], out: &mut Vec<u8>) {
        for piece in pieces {
            match piece {
                Piece::Byte(byte) => out.push(*byte),
                Piece::Counted(inside) => {
                    let mut body = Vec::new();
                    lay(inside, &mut body);
                    super::rig::put_length(out, body.len());
                    out.extend(body);
                }
                Piece::Any | Piece::Rest => panic!("bytes to send are all known"),
            }
        }
    }
    let mut out = Vec::new();
    lay(&pieces(text), &mut out);
    out
}

/// Reads bytes with their lengths and placeholders.
fn pieces(text: &str) -> Vec<Piece> {
    let mut open: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let level = open.last_mut().unwrap();
        let length = match first {
            '[' => {
                open.push(Vec::new());
                1
            }
            ']' => {
                let inside = open.pop().unwrap();
                open.last_mut().unwrap().push(Piece::Counted(inside));
                1
            }
            quote @ ('"' | '\'') => {
                let end = rest[1..].find(quote).unwrap() + 1;
                let text = &rest[1..end];
                if quote == '"' {
                    level.extend((text.len() as u16).to_be_bytes().map(Piece::Byte));
                }
                level.extend(text.bytes().map(Piece::Byte));
                end + 1
            }
            _ => {
                let end = rest.find(' ').unwrap_or(rest.len());
                level.extend(word(&rest[..end]));
                end
            }
        };
        rest = rest[length..].trim_start();
    }
    assert_eq!(open.len(), 1, "unbalanced: {text}");
    open.remove(0)
}

fn word(word: &str) -> Vec<Piece> {
    if word == "..." {
        return vec![Piece::Rest];
    }
    let (digits, times) = match word.split_once('*') {
        Some((digits, times)) => (digits, times.parse().unwrap()),
        None => (word, 1),
    };
    let pair = |pair: &[u8]| match pair {
        b".." => Piece::Any,
        pair => {
            let digits = std::str::from_utf8(pair).unwrap();
            Piece::Byte(u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{word}")))
        }
    };
    let once: Vec<Piece> = digits.as_bytes().chunks(2).map(pair).collect();
    once.iter()
        .cloned()
        .cycle()
        .take(once.len() * times)
        .collect()
}

/// Whether bytes are these; a length may be of anything where its inside has an open end.
fn fits(pieces: &[Piece], bytes: &[u8]) -> bool {
    match pieces {
        [] => bytes.is_empty(),
        [Piece::Rest, ..] => true,
        [Piece::Any, rest @ ..] => !bytes.is_empty() && fits(rest, &bytes[1..]),
        [Piece::Byte(byte), rest @ ..] => bytes.first() == Some(byte) && fits(rest, &bytes[1..]),
        [Piece::Counted(inside), rest @ ..] => {
            let mut len = 0usize;
            for (at, byte) in bytes.iter().take(4).enumerate() {
                len |= usize::from(byte & 0x7f) << (7 * at);
                if byte & 0x80 == 0 {
                    let body = &bytes[at + 1..];
                    return body.len() >= len
                        && fits(inside, &body[..len])
                        && fits(rest, &body[len..]);
                }
            }
            false
        }
    }
}

type Streams = BTreeMap<char, TcpStream>;

impl Case {
    async fn run(&self, address: SocketAddr, is_mosquitto: bool) -> Result<(), String> {
        let mut streams = Streams::new();
        for (line, step) in &self.steps {
            match step {
                Step::Send(who, bytes) => {
                    let stream = match streams.entry(*who) {
                        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                        std::collections::btree_map::Entry::Vacant(entry) => {
                            entry.insert(TcpStream::connect(address).await.unwrap())
                        }
                    };
                    // The other side may have closed, which the next line sees.
                    let _ = stream.write_all(bytes).await;
                }
                Step::Expect {
                    who,
                    answers,
                    instead,
                } => {
                    let wanted = instead.as_ref().filter(|_| is_mosquitto).unwrap_or(answers);
                    let stream = streams.get_mut(who).unwrap();
                    expect(stream, wanted)
                        .await
                        .map_err(|failure| format!("line {line}: {failure}"))?;
                }
                Step::Drop(who) => drop(streams.remove(who)),
                Step::Wait(wait) => tokio::time::sleep(*wait).await,
            }
        }
        Ok(())
    }
}

async fn expect(stream: &mut TcpStream, answers: &[Answer]) -> Result<(), String> {
    let silent = answers
        .iter()
        .any(|answer| matches!(answer, Answer::Nothing | Answer::Missing));
    if silent {
        // What is on its way from the router has time to come.
        tokio::time::sleep(QUIET).await;
        let _ = stream.write_all(&[0xc0, 0]).await;
    }
    let Ok(got) = timeout(PATIENCE, packet(stream)).await else {
        return Err(format!("no answer; wanted {answers:02x?}"));
    };
    let fits = |answer: &Answer| match (answer, &got) {
        (Answer::Closed, None) => true,
        (Answer::Nothing | Answer::Missing, Some(packet)) => packet[..] == [0xd0, 0],
        (Answer::Packet(pieces), Some(packet)) => fits(pieces, packet),
        _ => false,
    };
    if answers.iter().any(fits) {
        return Ok(());
    }
    let got = got.map_or("a close".to_owned(), |packet| format!("{packet:02x?}"));
    Err(format!("got {got}; wanted {answers:02x?}"))
}

/// The next packet, `None` when the stream has ended.
async fn packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut packet = vec![stream.read_u8().await.ok()?];
    let mut len = 0usize;
    for shift in [0, 7, 14, 21] {
        let byte = stream.read_u8().await.ok()?;
        packet.push(byte);
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let head = packet.len();
    packet.resize(head + len, 0);
    stream.read_exact(&mut packet[head..]).await.ok()?;
    Some(packet)
}
