//! Hostile servers: they send empty HTTP/2 frames as fast as they can.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::fixture::daemon::Daemon;

/// PING and SETTINGS frames, which the client must answer.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0twitcher";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// Starts the server, and returns its port. Each connection has a thread, which ends with it.
fn serve(frame: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // An error is the end of the connection.
            std::thread::spawn(move || drop(flood(stream, frame)));
        }
    });
    port
}

fn flood(mut stream: TcpStream, frame: &[u8]) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while answers.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    stream.write_all(SETTINGS)?;
    let frames = frame.repeat(2000);
    loop {
        stream.write_all(&frames)?;
    }
}

fn costs_little(frame: &'static [u8]) {
    let url = format!("etcd://127.0.0.1:{}", serve(frame));
    let mut daemon = Daemon::prepare(&format!("[store.hostile]\nurl = \"{url}\"\n"));
    let top = daemon.place.path().display().to_string();
    daemon.write(
        "w.toml",
        &format!(
            "[[watch]]\nname = \"hostile\"\nstore = \"hostile\"\nkey = \"/key\"\naction = \"true\"\n\
             [[watch]]\nname = \"other\"\nkey = \"/other\"\naction = \"cat >{top}/other\"\n"
        ),
    );
    daemon.run();
    daemon.until_watch("hostile", |watch| watch["unreachable"] == true);
    let (began, before) = (Instant::now(), daemon.cpu_time());
    let mut changes = 0;
    while began.elapsed() < Duration::from_secs(20) {
        changes += 1;
        daemon.put("/other", changes.to_string());
        daemon.until_file("other", |text| text == changes.to_string());
    }
    let spent = daemon.cpu_time().checked_sub(before).unwrap();
    println!("{spent:?} of CPU in {:?}, with {changes} changes of another store", began.elapsed());
    // Each run of the other watch costs some milliseconds.
    let allowed = began.elapsed() / 2 + Duration::from_millis(20) * changes;
    assert!(spent < allowed, "{spent:?} in {:?}", began.elapsed());
}

#[test]
fn a_flood_of_pings_costs_a_share_of_one_core() {
    costs_little(PING);
}

#[test]
fn a_flood_of_settings_costs_a_share_of_one_core() {
    costs_little(SETTINGS);
}
