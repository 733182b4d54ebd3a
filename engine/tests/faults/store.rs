//! The record in S3: members are killed while the store loses replies, refuses requests, and carries
//! them out long after their timeout.

use std::time::Duration;

use catena_s3_stand_in::{Fault, StandIn};

use crate::cluster::{Cluster, Register};
use crate::load::Load;

#[test]
fn members_are_replaced_whatever_the_store_does() {
    let register = Register::Store(StandIn::start(&["faults"]));
    let mut cluster = Cluster::around(register, 3, None);
    let load = Load::start(&cluster.seeds(), 8, 2);
    load.await_more(200);
    let late = Duration::from_secs(4);
    for faults in [
        vec![],
        // A success whose reply is lost.
        vec![Fault::LoseReply],
        vec![Fault::Refuse(503), Fault::LoseReply],
        vec![Fault::Refuse(409), Fault::Drop],
        vec![Fault::Late(late)],
    ] {
        let chain = cluster.await_members(3).chain();
        let Register::Store(store) = cluster.register() else { unreachable!("it is a store") };
        store.fail_puts(faults.iter().copied());
        load.longest();
        let at = cluster.index_of(&chain[0]).unwrap();
        cluster.replace(at);
        load.await_more(200);
        println!("the store with {faults:?}: longest wait {:?}", load.longest());
    }
    cluster.await_members(3);
    println!("the record in a store: {:?}", load.finish(&cluster.seeds()));
}

/// Requests of clients do not use the store, so they are served without it.
#[test]
fn the_store_is_not_needed_while_no_member_fails() {
    let register = Register::Store(StandIn::start(&["faults"]));
    let cluster = Cluster::around(register, 3, None);
    cluster.await_spread();
    let load = Load::start(&cluster.seeds(), 8, 2);
    load.await_more(200);
    let Register::Store(store) = cluster.register() else { unreachable!("it is a store") };
    let (puts, refused) = (store.puts(), vec![Fault::Refuse(503); 1_000]);
    store.fail_puts(refused);
    std::thread::sleep(Duration::from_secs(3));
    load.await_more(200);
    assert_eq!(store.puts(), puts, "there was no write");
    println!("without writing to the store: {:?}", load.finish(&cluster.seeds()));
}
