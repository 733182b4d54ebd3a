//! Views of replies.

use catena_client::{Client, Elements};
use catena_protocol::Reply;

use crate::peer::Peer;

#[test]
fn a_view_outlives_further_calls() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        for version in 0..20 {
            let asked = conn.request();
            let bytes = [u8::try_from(version).unwrap(); 3000];
            conn.reply(&asked, &Reply::Cell { version, bytes: Some(&bytes) });
        }
        let asked = conn.request();
        let elements = Elements::F64(&[0.5, -1.0, 4.0, 8.0]);
        conn.reply(&asked, &Reply::Vector { version: 3, columns: 2, elements: Some(elements) });
        let asked = conn.request();
        conn.reply(&asked, &Reply::Vector { version: 3, columns: 2, elements: None });
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let cell = client.cell("page");
    let views: Vec<_> = (0..20).map(|_| cell.get().unwrap()).collect();
    let vector = client.vector("weights").get().unwrap();
    assert!(client.vector("weights").get_if_newer(3).unwrap().is_none());
    for (version, view) in (0..).zip(&views) {
        assert_eq!(view.version(), version);
        assert_eq!(view[..], [u8::try_from(version).unwrap(); 3000]);
    }
    assert_eq!(vector.as_f64(), Some(&[0.5, -1.0, 4.0, 8.0][..]));
    assert_eq!((vector.rows(), vector.columns(), vector.version()), (2, 2, 3));
    assert_eq!(vector.as_i64(), None);
    drop((views, vector));
    client.close();
    peer.join();
}

#[test]
fn an_empty_cell_is_an_empty_view() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let asked = conn.request();
        conn.reply(&asked, &Reply::Cell { version: 0, bytes: Some(&[]) });
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    assert!(client.cell("page").get().unwrap().is_empty());
    client.close();
    peer.join();
}
