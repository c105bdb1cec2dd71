//! Users, versions, paths and programs: what is taken in stride and what is named.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use divisord::store::cluster::{ClusterError, PrivateCluster, Search};
use rustix::process::geteuid;

use super::{READY, ask, connect, end, scratch, server_lives, start_helper};

#[test]
fn two_daemons_do_not_share_a_directory() {
    let home = scratch();
    let dir = home.path().join("pg");
    let _first = PrivateCluster::start(&dir).unwrap();
    let second = PrivateCluster::start(&dir).unwrap_err();
    assert!(
        matches!(&second, ClusterError::AnotherDaemon(path) if *path == dir),
        "{second}"
    );
    let (helper, said) = start_helper(&dir, None, &[]);
    assert!(said.contains("another daemon uses it"), "{said}");
    end(helper);
}

#[test]
fn runs_as_an_ordinary_user_under_an_odd_locale() {
    let home = scratch();
    let (user, dir) = if geteuid().is_root() {
        let dir = home.path().join("own");
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::chown(&dir, Some(65534), Some(65534)).unwrap();
        (Some(65534), dir.join("pg"))
    } else {
        (None, home.path().join("pg"))
    };
    let odd = [
        ("LANG", "xx_XX.UTF-99"),
        ("LC_ALL", "tlh_QO"),
        ("PGPORT", "1"),
        ("TZ", "Mars/Base"),
    ];
    let (helper, said) = start_helper(&dir, user, &odd);
    assert!(said.contains(READY), "{said}");
    let expected = user.unwrap_or_else(|| geteuid().as_raw());
    assert_eq!(fs::metadata(dir.join("data")).unwrap().uid(), expected);
    end(helper);
    assert!(!server_lives(&dir));
}

#[test]
fn root_takes_over_what_belongs_to_another_user() {
    if !geteuid().is_root() {
        return;
    }
    let home = scratch();
    let own = home.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(65534), Some(65534)).unwrap();
    let dir = own.join("pg");
    let (helper, said) = start_helper(&dir, Some(65534), &[]);
    assert!(said.contains(READY), "{said}");
    end(helper);
    let cluster = PrivateCluster::start(&dir).unwrap();
    assert_eq!(
        ask(&mut connect(&cluster), "select current_user::text"),
        "divisor"
    );
}

#[test]
fn a_user_without_a_name_is_told() {
    if !geteuid().is_root() {
        return;
    }
    let home = scratch();
    let own = home.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(54321), Some(54321)).unwrap();
    let (helper, said) = start_helper(&own.join("pg"), Some(54321), &[]);
    assert!(
        said.contains("54321") && said.contains("/etc/passwd"),
        "{said}"
    );
    end(helper);
}

#[test]
fn a_directory_that_postgres_cannot_reach_is_named() {
    if !geteuid().is_root() {
        return;
    }
    let home = scratch();
    let closed = home.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let error = PrivateCluster::start(&closed.join("pg")).unwrap_err();
    let ClusterError::Unreachable { barrier, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*barrier, closed);
}

#[test]
fn a_path_too_long_for_a_socket_is_named() {
    let home = scratch();
    let dir = home.path().join("d".repeat(90));
    let error = PrivateCluster::start(&dir).unwrap_err();
    assert!(
        matches!(error, ClusterError::SocketPathTooLong { .. }),
        "{error}"
    );
    assert!(!dir.exists(), "nothing was made");
}

#[test]
fn missing_programs_are_told_with_the_ways_out() {
    let home = scratch();
    let nowhere = Search {
        bindir: None,
        path: Some("".into()),
        folders: false,
    };
    let error = PrivateCluster::start_with(&home.path().join("a"), nowhere).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, ClusterError::ProgramsMissing { .. }),
        "{text}"
    );
    for word in [
        "apt-get install postgresql",
        "brew install",
        "PG_BINDIR",
        "database.url",
    ] {
        assert!(text.contains(word), "{text}");
    }
    assert!(error.needs_operator());

    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let search = Search {
        bindir: Some(empty.clone()),
        ..Search::from_env()
    };
    let text = PrivateCluster::start_with(&home.path().join("b"), search)
        .unwrap_err()
        .to_string();
    assert!(text.contains(&empty.display().to_string()), "{text}");
}

#[test]
fn the_version_of_the_data_decides() {
    let home = scratch();
    let dir = home.path().join("pg");
    drop(PrivateCluster::start(&dir).unwrap());
    let version = dir.join("data/PG_VERSION");
    let right = fs::read_to_string(&version).unwrap();

    fs::write(&version, "9\n").unwrap();
    let error = PrivateCluster::start(&dir).unwrap_err();
    assert!(
        matches!(error, ClusterError::VersionMissing { major: 9, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("pg_upgrade"), "{error}");

    fs::write(&version, "fifteen\n").unwrap();
    let error = PrivateCluster::start(&dir).unwrap_err();
    assert!(matches!(error, ClusterError::Damaged { .. }), "{error}");

    fs::write(&version, right).unwrap();
    assert!(PrivateCluster::start(&dir).is_ok());
}

#[test]
fn a_server_that_cannot_start_is_quoted() {
    let home = scratch();
    let dir = home.path().join("pg");
    drop(PrivateCluster::start(&dir).unwrap());
    let conf = dir.join("data/postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\nno_such_setting = 1\n")).unwrap();
    let error = PrivateCluster::start(&dir).unwrap_err();
    assert!(matches!(error, ClusterError::StartFailed { .. }), "{error}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}
