//! The promises of the fixtures that other tests rely on.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::fixture::port::Port;
use crate::fixture::proxy::Proxy;

#[test]
fn a_started_or_healed_proxy_accepts_and_a_cut_one_refuses() {
    let target = Port::claim();
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, target.number())).unwrap();
    for _ in 0..20 {
        let proxy = Proxy::start(target.number());
        for _ in 0..20 {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
            let (_forwarded, _) = server.accept().unwrap();
            proxy.cut();
            client.read(&mut [0]).expect_err("an open connection is reset");
            TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect_err("a new one is refused");
            proxy.heal();
        }
    }
}

#[test]
fn a_port_in_use_is_not_claimed() {
    let port = Port::claim();
    assert!(Port::claim_number(port.number()).is_none(), "it is claimed");
    let number = port.number();
    let _server = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
    drop(port);
    assert!(Port::claim_number(number).is_none(), "a server listens");
}
