//! Spans and events.

use std::io::Write;
use std::sync::{Arc, Mutex};

use catena_client::Client;
use catena_protocol::{Reply, Status};

use crate::peer::{Peer, fault};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn calls_are_spans_with_retries_and_lost_connections_as_events() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let add = conn.request();
        conn.refuse(&add, fault(Status::Busy, 1));
        let add = conn.next().unwrap();
        drop(conn);
        let mut conn = stage.accept();
        conn.expect_hello();
        conn.welcome(&stage.welcome);
        let (_, again) = conn.request_and_open();
        assert_eq!(again.header.number, add.header.number);
        conn.reply(&again, &Reply::Int(1));
        conn.serve();
    });
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // Of all tests in this process: whether a span is enabled is remembered for all threads.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let client = Client::connect(peer.address).unwrap();
    assert_eq!(client.counter("traced").add(1).unwrap(), 1);
    drop(client);
    peer.join();
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let span = "call{op=CounterAdd object=\"traced\"}: catena_client: ";
    let text: Vec<&str> = text.lines().filter(|line| line.contains("traced")).collect();
    let text = text.join("\n");
    for event in ["refused op=CounterAdd status=Busy tries=1", "the connection is lost"] {
        assert!(text.contains(&format!("{span}{event}")), "{event}: {text}");
    }
}
