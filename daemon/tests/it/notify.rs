//! What the service manager hears.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use divisord::notify;

#[test]
fn the_service_manager_hears_every_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // An environment can only be given to another process, so this test runs its other half in one.
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "notify::notifies", "--ignored"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "10000000")
        .status()
        .unwrap();
    assert!(status.success());
    let heard = || {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    assert_eq!(heard(), "READY=1\nSTATUS=3 indexes live\n");
    assert_eq!(heard(), "STATUS=two lines\n");
    assert_eq!(heard(), "WATCHDOG=1\n");
    assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping\n");
}

#[test]
#[ignore = "the other half of the test above"]
fn notifies() {
    assert_eq!(notify::watchdog_interval(), Some(Duration::from_secs(5)));
    notify::ready("3 indexes live");
    notify::status("two\nlines");
    notify::watchdog();
    notify::stopping();
}

#[test]
fn without_a_service_manager_nothing_happens() {
    notify::ready("alone");
}
