//! Bytes that are not a frame: refused with a reason, without an effect on other connections.

use std::net::Shutdown;

use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::{FrameKind, Status};

use crate::wire::{GET, RequestHeader, Wire, hello};
use crate::with_drivers;

#[test]
fn an_invalid_frame_ends_its_connection_and_no_other() {
    let get = RequestHeader::default().frame(GET);
    let changed = |at: usize, bytes: &[u8]| {
        let mut frame = get.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let bad = [
        (http.clone(), Status::BadMagic),
        (vec![0], Status::BadMagic),
        (vec![0xAA; 100_000], Status::BadMagic),
        (changed(2, &[9]), Status::BadVersion),
        (changed(4, &[1, 2, 3, 4]), Status::BadChecksum),
        (changed(40, &[1]), Status::BadChecksum),
        (changed(12, &(FRAME_BYTES_MAX + 16).to_le_bytes()), Status::BadLength),
        (changed(12, &u32::MAX.to_le_bytes()), Status::BadLength),
        (changed(12, &80_u32.to_le_bytes()), Status::BadLength),
        (changed(16, &u32::MAX.to_le_bytes()), Status::BadLength),
    ];
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        let mut other = Wire::open(address, 7);
        for (number, (bytes, status)) in (1..).zip(&bad) {
            // As the first frame, and after valid ones.
            let mut wire = Wire::silent(address);
            wire.send(bytes);
            assert_eq!(wire.receive().status(), *status);
            assert!(wire.next().is_none(), "{status:?} ends the connection");

            let mut wire = Wire::silent(address);
            wire.send(&[&hello(), &get, &bytes[..]].concat());
            assert_eq!(wire.receive().header.kind, FrameKind::Welcome);
            assert_eq!(wire.receive().status(), Status::Ok);
            assert_eq!(wire.receive().status(), *status);
            assert!(wire.next().is_none(), "{status:?} ends the connection");

            assert_eq!(other.add(7, number, "witness"), i64::try_from(number).expect("few"));
        }
    });
}

#[test]
fn half_a_frame_before_the_end_has_no_effect() {
    let get = RequestHeader::default().frame(GET);
    let large = {
        let mut header = get[..64].to_vec();
        header[12..16].copy_from_slice(&FRAME_BYTES_MAX.to_le_bytes());
        header[16..20].copy_from_slice(&(FRAME_BYTES_MAX - 64).to_le_bytes());
        header
    };
    with_drivers(|builder| {
        let engine = builder.start().expect("the engine starts");
        let address = engine.addresses()[0];
        for half in [&get[..0], &get[..1], &get[..40], &get[..63], &large] {
            let (mut wire, _) = Wire::welcomed(address);
            wire.send(half);
            wire.stream.shutdown(Shutdown::Write).expect("an open socket");
            assert!(wire.next().is_none(), "the engine hangs up");
        }
        let (mut wire, _) = Wire::welcomed(address);
        wire.send(&get);
        assert_eq!(wire.receive().status(), Status::Ok);
    });
}
