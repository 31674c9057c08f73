//! Hostile servers: they announce answers of two gigabytes, lie about the number of elements, and flood the client with
//! events. The daemon's memory stays bounded, and the watches of other stores are served.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::fixture::daemon::{Daemon, until};

/// What a fake server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Answers the first request of a connection with an endless frame.
    EndlessSession,
    /// Sends an endless frame without a request, once there is a session.
    EndlessFrame,
    /// Answers reads with an endless frame.
    EndlessAnswer,
    /// Says that a node has two billion children.
    EndlessList,
    /// Sends events as fast as it can, each for another node.
    Flood,
}

const SYNC: i32 = 9;
const GET_CHILDREN: i32 = 12;
const GET_DATA: i32 = 4;
const ADD_WATCH: i32 = 106;
const EXISTS: i32 = 3;

/// Starts the server, and returns its port. Each connection has a thread, which ends with it.
fn serve(attack: Attack) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // An error is the end of the connection.
            std::thread::spawn(move || drop(converse(stream, attack)));
        }
    });
    port
}

fn converse(mut stream: TcpStream, attack: Attack) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    receive(&mut stream)?;
    if attack == Attack::EndlessSession {
        return send_for_ever(&mut stream, 0);
    }
    let mut session = [0; 37];
    session[4..8].copy_from_slice(&10_000_i32.to_be_bytes());
    session[8..16].copy_from_slice(&7_i64.to_be_bytes());
    session[16..20].copy_from_slice(&16_i32.to_be_bytes());
    send(&mut stream, &session)?;
    loop {
        let request = receive(&mut stream)?;
        let word = |at: usize| i32::from_be_bytes(request[at..at + 4].try_into().unwrap());
        let (xid, code) = (word(0), word(4));
        match (code, attack) {
            (SYNC, Attack::EndlessFrame) => return send_for_ever(&mut stream, 0),
            (GET_DATA, Attack::EndlessAnswer) => return send_for_ever(&mut stream, xid),
            (ADD_WATCH, Attack::Flood) => {
                answer(&mut stream, xid, 0, &[])?;
                return flood(&mut stream);
            }
            (GET_CHILDREN, Attack::EndlessList) => answer(&mut stream, xid, 0, &i32::MAX.to_be_bytes())?,
            (SYNC, _) => answer(&mut stream, xid, 0, &string("/"))?,
            (EXISTS, _) => answer(&mut stream, xid, -101, &[])?,
            _ => answer(&mut stream, xid, 0, &[])?,
        }
    }
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or_default();
    // Hang up on anything else, such as the command `srvr`.
    if !(8..1 << 20).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = vec![0; length];
    stream.read_exact(&mut request)?;
    Ok(request)
}

fn send(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    stream.write_all(&i32::try_from(frame.len()).unwrap().to_be_bytes())?;
    stream.write_all(frame)
}

fn answer(stream: &mut TcpStream, xid: i32, error: i32, body: &[u8]) -> io::Result<()> {
    let header = [&xid.to_be_bytes()[..], &1_i64.to_be_bytes(), &error.to_be_bytes()].concat();
    send(stream, &[&header, body].concat())
}

fn string(text: &str) -> Vec<u8> {
    [&i32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

fn send_for_ever(stream: &mut TcpStream, xid: i32) -> io::Result<()> {
    stream.write_all(&i32::MAX.to_be_bytes())?;
    stream.write_all(&xid.to_be_bytes())?;
    let block = vec![0; 1 << 16];
    loop {
        stream.write_all(&block)?;
    }
}

fn flood(stream: &mut TcpStream) -> io::Result<()> {
    for number in 0_u64.. {
        let mut events = Vec::new();
        for event in 0..1000 {
            let path = string(&format!("/key/{}-{event}", number * 1000));
            // A notification: a node's data changed, in a connected session.
            let header =
                [&(-1_i32).to_be_bytes()[..], &(-1_i64).to_be_bytes(), &0_i32.to_be_bytes()].concat();
            let event = [&3_i32.to_be_bytes()[..], &3_i32.to_be_bytes(), &path].concat();
            events.extend(i32::try_from(header.len() + event.len()).unwrap().to_be_bytes());
            events.extend(header);
            events.extend(event);
        }
        stream.write_all(&events)?;
    }
    Ok(())
}

/// The most memory that the daemon has ever had, in MiB.
fn peak_of(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// A watch of a store with this attack, and one of a directory.
fn attacked(attack: Attack, watch_type: &str) -> Daemon {
    let url = format!("zookeeper://127.0.0.1:{}", serve(attack));
    let mut daemon =
        Daemon::prepare(&format!("[store.hostile]\nurl = \"{url}\"\nsession_timeout = \"4s\"\n"));
    let top = daemon.place.path().display().to_string();
    daemon.write(
        "w.toml",
        &format!(
            "[[watch]]\nname = \"hostile\"\nstore = \"hostile\"\nkey = \"/key\"\nwatch_type = \"{watch_type}\"\n\
             action = \"true\"\n\
             [[watch]]\nname = \"other\"\nkey = \"/other\"\naction = \"cat >{top}/other\"\n"
        ),
    );
    daemon.run();
    daemon
}

/// The daemon says what is wrong, serves the other store, and never has more than 200 MiB of memory.
fn withstands(attack: Attack, watch_type: &str, said: &str) {
    let daemon = attacked(attack, watch_type);
    until(format!("{attack:?}: {said}"), || {
        let watch = daemon.watch("hostile");
        (watch["unreachable"] == true && daemon.say(&["explain", "hostile"]).contains(said)).then_some(())
    });
    assert_eq!(daemon.watch("hostile")["converged"], false);
    for n in 0..50 {
        daemon.put("/other", n.to_string());
        daemon.until_file("other", |text| text == n.to_string());
    }
    let peak = peak_of(daemon.pid());
    println!("{attack:?}: at most {peak} MiB");
    assert!(peak < 200, "{attack:?}: {peak} MiB");
}

#[test]
fn a_session_of_two_gigabytes_is_not_read() {
    withstands(Attack::EndlessSession, "data", "at most 75497472 are read");
}

#[test]
fn an_unrequested_frame_of_two_gigabytes_closes_the_session() {
    withstands(Attack::EndlessFrame, "data", "at most 75497472 are read");
}

#[test]
fn an_answer_of_two_gigabytes_costs_the_watch_that_asked() {
    withstands(Attack::EndlessAnswer, "data", "at most 75497472 are read");
}

#[test]
fn two_billion_announced_children_take_no_memory() {
    withstands(Attack::EndlessList, "children", "insufficient buf");
}

#[test]
fn a_flood_of_events_closes_the_session() {
    withstands(Attack::Flood, "tree", "events");
}
