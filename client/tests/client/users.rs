//! Objects of user-defined types, against a real engine.

use std::time::Duration;

use catena_client::{Client, Error, Reply, Retry, Status, UserOp, UserType, user_type};
use catena_engine::rkyv::{Archive, Archived, Deserialize, Serialize};
use catena_engine::{BadSnapshot, Context, Engine, Object, Rejection};

/// A sequence of words without immediate repetitions.
#[derive(Default)]
struct Words {
    said: Vec<String>,
}

#[derive(Archive, Serialize)]
#[rkyv(crate = catena_client::rkyv)]
enum Ask {
    Say(Vec<String>),
    Last,
    Repeat { times: u32 },
    Panic,
}

#[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
#[rkyv(crate = catena_client::rkyv)]
struct Said {
    words: u64,
    last: Option<String>,
}

const BORING: Rejection = Rejection(7);

impl UserType for Words {
    const TYPE_ID: u32 = 3;
    const NAME: &'static str = "words";
    type Op = Ask;
    type Reply = Said;
}

/// The same type id with another reply type, as if client and engine were built from different
/// sources.
struct Misread;

impl UserType for Misread {
    const TYPE_ID: u32 = 3;
    const NAME: &'static str = "words";
    type Op = Ask;
    type Reply = Vec<Vec<String>>;
}

/// A type that the engine does not have.
struct Missing;

impl UserType for Missing {
    const TYPE_ID: u32 = 4;
    const NAME: &'static str = "missing";
    type Op = Ask;
    type Reply = Said;
}

impl Words {
    fn said(&self) -> Said {
        Said { words: self.said.len() as u64, last: self.said.last().cloned() }
    }
}

impl Object for Words {
    fn check(&self, op: &Archived<Ask>) -> Result<(), Rejection> {
        match op {
            ArchivedAsk::Say(words) if words.first().map(|word| word.as_str()) == self.last() => {
                Err(BORING)
            }
            ArchivedAsk::Panic => panic!("as it was told"),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, op: &Archived<Ask>, context: &mut Context) -> Said {
        match op {
            ArchivedAsk::Say(words) => {
                self.said.extend(words.iter().map(|word| word.as_str().to_owned()));
            }
            ArchivedAsk::Repeat { times } => {
                let last = self.last().unwrap_or_default().repeat(times.to_native() as usize);
                self.said.push(last);
            }
            ArchivedAsk::Last | ArchivedAsk::Panic => context.unchanged(),
        }
        self.said()
    }

    fn read(&self, op: &Archived<Ask>) -> Result<Said, Rejection> {
        match op {
            ArchivedAsk::Last => Ok(self.said()),
            _ => Err(Rejection::UNSUPPORTED),
        }
    }

    fn bytes(&self) -> u64 {
        self.said.iter().map(|word| 24 + word.len() as u64).sum()
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.said.join("\n").as_bytes());
    }

    fn restore(bytes: &[u8]) -> Result<Words, BadSnapshot> {
        let text = std::str::from_utf8(bytes).map_err(|_| BadSnapshot("text"))?;
        Ok(Words { said: text.lines().map(str::to_owned).collect() })
    }

    fn describe(&self) -> String {
        format!("{} words", self.said.len())
    }
}

impl Words {
    fn last(&self) -> Option<&str> {
        self.said.last().map(String::as_str)
    }
}

fn engine() -> (Engine, Client) {
    let engine = Engine::builder().cores(2).register::<Words>().start().unwrap();
    let client = Client::connect(engine.addresses()[0]).unwrap();
    (engine, client)
}

fn say(words: &[&str]) -> Ask {
    Ask::Say(words.iter().map(ToString::to_string).collect())
}

fn said(words: u64, last: &str) -> Said {
    Said { words, last: Some(last.to_owned()) }
}

#[test]
fn a_type_of_ones_own() {
    let (_engine, client) = engine();
    let words = client.object::<Words>("talk");
    assert_eq!(words.read(&Ask::Last).unwrap(), Said { words: 0, last: None });
    assert_eq!(words.update(&say(&["to", "be"])).unwrap(), said(2, "be"));
    let error = words.update(&say(&["be"])).unwrap_err();
    assert_eq!((error.rejection(), error.retry()), (Some(BORING.0), Retry::Never));
    assert!(
        error.to_string().contains("update of user object `talk`")
            && error.to_string().contains("refused with code 7"),
        "{error}"
    );
    assert_eq!(words.read(&Ask::Last).unwrap(), said(2, "be"), "a rejection changes nothing");
    assert_eq!(words.update(&say(&["or", "not"])).unwrap(), said(4, "not"));
    assert_eq!(words.clone().update(&Ask::Last).unwrap(), said(4, "not"));

    let read = words.read(&say(&["x"])).unwrap_err();
    assert_eq!(read.rejection(), Some(Rejection::UNSUPPORTED.0));
    for panicked in [words.update(&Ask::Panic), words.read(&Ask::Repeat { times: 1 })] {
        let error = panicked.unwrap_err();
        assert!(matches!(error.status(), Some(Status::Panicked | Status::Rejected)), "{error}");
    }
    assert_eq!(words.update(&Ask::Panic).unwrap_err().status(), Some(Status::Panicked));
    assert_eq!(words.read(&Ask::Last).unwrap(), said(4, "not"));
    assert!(words.delete().unwrap());
    assert_eq!(words.read(&Ask::Last).unwrap(), Said { words: 0, last: None });
}

#[test]
fn what_all_objects_have() {
    let (engine, client) = engine();
    let words = client.object::<Words>("talk");
    assert_eq!(words.inspect().unwrap(), None);
    words.update(&say(&["a", "b"])).unwrap();
    let inspection = words.inspect().unwrap().unwrap();
    assert_eq!((&*inspection.detail, &*inspection.name), ("words: 2 words", "talk"));
    let version = words.version().unwrap();
    words.update(&Ask::Last).unwrap();
    assert_eq!(words.version().unwrap(), version, "nothing has changed");
    let waited = std::thread::scope(|scope| {
        let address = engine.addresses()[0];
        let waiting = scope.spawn(move || {
            let client = Client::connect(address).unwrap();
            client.object::<Words>("talk").wait_newer(version, Duration::from_secs(30)).unwrap()
        });
        while words.inspect().unwrap().unwrap().waiters == 0 {}
        words.update(&say(&["c"])).unwrap();
        waiting.join().unwrap()
    });
    assert!(waited > version);
    assert_eq!(waited, words.version().unwrap());
}

#[test]
fn types_that_do_not_match() {
    let (_engine, client) = engine();
    let error = client.object::<Missing>("new").update(&Ask::Last).unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::UnknownType), Retry::Never));
    client.object::<Words>("talk").update(&say(&["a"])).unwrap();
    let error = client.object::<Missing>("talk").read(&Ask::Last).unwrap_err();
    assert_eq!(error.status(), Some(Status::Mismatch));
    let error = client.counter("talk").add(1).unwrap_err();
    assert_eq!(error.status(), Some(Status::WrongKind));
    let error = client.object::<Misread>("talk").update(&say(&["b"])).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    assert_eq!((error.status(), error.retry()), (Some(Status::BadBody), Retry::Never));
    assert_eq!(client.object::<Words>("talk").read(&Ask::Last).unwrap(), said(2, "b"), "done");
}

#[test]
fn a_reply_that_is_too_large_is_said_to_be_lost() {
    let (_engine, client) = engine();
    let words = client.object::<Words>("talk");
    words.update(&say(&["0123456789"])).unwrap();
    let error = words.update(&Ask::Repeat { times: 10_000 }).unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::TooLarge), Retry::Never));
    assert!(error.to_string().contains("it was executed"), "{error}");
    assert_eq!(words.read(&Ask::Last).unwrap().last.unwrap().len(), 100_000, "a read may");
    let error = words.update(&say(&[&"x".repeat(20 << 20)])).unwrap_err();
    assert_eq!(error.status(), Some(Status::TooLarge));
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[test]
fn pipelines_take_them_as_archives() {
    let (_engine, client) = engine();
    let words = client.object::<Words>("talk");
    let args: Vec<Vec<u8>> = (0..10)
        .map(|i| {
            let mut args = Vec::new();
            user_type::encode_args::<Words>(&say(&[&i.to_string()]), &mut args).unwrap();
            args
        })
        .collect();
    let mut pipeline = client.pipeline();
    for args in &args {
        pipeline.push(&words, UserOp::Update { type_id: Words::TYPE_ID, args });
    }
    let replies = pipeline.run().all_ok().unwrap();
    for i in 0..10 {
        let Ok(Reply::Value(Some(bytes))) = replies.get(i) else { panic!("a value") };
        let said = user_type::decode_reply::<Words>(bytes).unwrap();
        assert_eq!(said, self::said(i as u64 + 1, &i.to_string()));
    }
}

#[test]
fn many_clients_change_one_object_together() {
    let (engine, client) = engine();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let address = engine.addresses()[0];
            scope.spawn(move || {
                let client = Client::connect(address).unwrap();
                let words = client.object::<Words>("talk");
                for i in 0..100 {
                    words.update(&say(&[&format!("{worker}-{i}")])).unwrap();
                }
            });
        }
    });
    assert_eq!(client.object::<Words>("talk").read(&Ask::Last).unwrap().words, 400);
}
