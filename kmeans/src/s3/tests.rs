//! Against a store that breaks off, refuses, and changes: the same rows as from files, for any
//! division of the bytes.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_location::{S3Settings, Secret};
use catena_s3_stand_in::{ACCESS_KEY, Fault, GetFault, SECRET_ACCESS_KEY, StandIn};
use flate2::Compression;
use flate2::write::GzEncoder;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::*;
use crate::data::{DataSet, Hints, Missing, ReadMeter, Share};
use crate::generate::Recipe;
use crate::output::OutputFile;
use crate::upload;

const BUCKET: &str = "points";
const HINTS: Hints = Hints::of_dims(None);

struct Fixture {
    stand_in: StandIn,
    endpoint: S3Endpoint,
}

impl Fixture {
    fn new() -> Self {
        let stand_in = StandIn::start(&[BUCKET]);
        let endpoint =
            S3Endpoint { endpoint_url: Some(stand_in.endpoint_url()), ..S3Endpoint::default() };
        let settings = S3Settings {
            access_key: Some(ACCESS_KEY.into()),
            secret_access_key: Some(Secret::new(SECRET_ACCESS_KEY)),
            endpoint_url: endpoint.endpoint_url.clone(),
            ..S3Settings::default()
        };
        S3Store::open_with(&endpoint, settings).unwrap();
        Self { stand_in, endpoint }
    }

    fn put(&self, key: &str, contents: impl AsRef<[u8]>) {
        self.stand_in.put(BUCKET, key, contents.as_ref().to_vec());
    }

    fn get(&self, key: &str) -> Vec<u8> {
        self.stand_in.contents(BUCKET, key).expect("the object exists").to_vec()
    }

    fn open(&self, key: &str, hints: Hints) -> Result<DataSet> {
        DataSet::open_at(&self.endpoint, &path(key), hints)
    }

    fn error(&self, key: &str, hints: Hints) -> String {
        let opened = self.open(key, hints);
        opened.and_then(|data| data.load::<f64>(data.share(0, 1))).unwrap_err().to_string()
    }
}

fn path(key: &str) -> PathBuf {
    PathBuf::from(format!("s3://{BUCKET}/{key}"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// All rows, as this many workers read them.
fn rows(data: &DataSet, parties: u32) -> Vec<f64> {
    let shares = (0..parties).map(|party| data.load::<f64>(data.share(party, parties)).unwrap());
    shares.flat_map(|points| points.values).collect()
}

fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SplitMix64::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes
}

#[test]
fn folders_hold_the_same_rows_as_on_disk() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe { points: 3_001, dims: 7, clusters: 3, spread: 1.0, seed: 2 };
    for (name, parts, counted) in [
        ("points.npy", 3, true),
        ("points.f32", 2, true),
        ("points.f64", 1, true),
        ("points.npy.gz", 3, true),
        ("points.f32.gz", 2, false),
        ("points.csv", 1, false),
        ("points.csv", 4, false),
        ("points.csv.gz", 3, false),
    ] {
        let hints = Hints { dims: Some(7), ..HINTS };
        let case = format!("{name}-{parts}");
        let near = folder.path().join(&case);
        fs::create_dir(&near).unwrap();
        recipe.write_parts(&near.join(name), parts, &S3Endpoint::default(), &mut |_| ()).unwrap();
        let far = path(&format!("{case}/{name}"));
        let mut made = 0;
        recipe.write_parts(&far, parts, &fixture.endpoint, &mut |rows| made += rows).unwrap();
        assert_eq!(made, 3_001);
        fixture.put(&format!("{case}/_SUCCESS"), "");
        fixture.put(&format!("{case}/_temporary/other.csv"), "1\n");

        let near = DataSet::open(&near, hints.clone()).unwrap();
        let far = fixture.open(&case, hints).unwrap();
        assert_eq!(far.points(), counted.then_some(3_001), "{case}");
        assert_eq!((far.dims(), far.precision()), (near.dims(), near.precision()), "{case}");
        assert!(far.is_shared() && !near.is_shared());
        let expected = rows(&near, 1);
        for parties in [1, 2, 5, 16] {
            assert!(rows(&far, parties) == expected, "{case}, {parties} parties");
        }
        let meter = ReadMeter::default();
        far.load_metered::<f64>(far.share(0, 1), &meter).unwrap();
        let most = far.bytes() + 4 * parts;
        assert!((far.bytes() * 9 / 10..=most).contains(&meter.bytes()), "{case}: {meter:?}");
    }
}

#[test]
fn every_line_is_read_by_one_worker() {
    let fixture = Fixture::new();
    let long = format!("7,{}8\n", "0".repeat(700));
    for text in [
        "1,2\n3,4\n5,6\n",
        "x,y\n1,2\n3,4",
        "\n\n x;y\r\n\r\n1;2\r\n3;4\r\n\r\n",
        "\u{feff}x,y\n1,2\n3,4\n",
        "\u{feff}1,2\n3,4\n",
        "1,2\r3,4\r5,6\r",
        "\"a\",\"b\"\"c\"\n1,\"2\"\n\"3\",4\n",
        "1 2\n",
        &long.repeat(5),
    ] {
        fixture.put("a/a.csv", text);
        fixture.put("a/b.csv.gz", gzip(text.as_bytes()));
        fixture.put("a/c.csv", text);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), text).unwrap();
        let expected = DataSet::open(&folder.path().join("a.csv"), HINTS).unwrap();
        let expected = rows(&expected, 1).repeat(3);
        let data = fixture.open("a/", HINTS).unwrap();
        for parties in 1..=u32::try_from(data.bytes().min(90)).unwrap() {
            assert!(rows(&data, parties) == expected, "{text:?}, {parties} parties");
        }
    }
}

#[test]
fn missing_rows_are_left_out_by_the_worker_that_has_them() {
    let fixture = Fixture::new();
    fixture.put("a/a.csv", "x,y\n1,2\n,3\n4,5\n6,NA\n\n7,8\n");
    fixture.put("a/b.csv", "y,x\n10,9\n1,\n");
    fixture.put("a/c.csv", "# only a comment\n");
    let hints = Hints { missing: Missing::Drop, comment: Some('#'), ..HINTS };
    let data = fixture.open("a", hints).unwrap();
    assert_eq!(data.reading().files_without_rows, 1);
    for parties in 1..=40 {
        let shares =
            (0..parties).map(|party| data.load::<f64>(data.share(party, parties)).unwrap());
        let (mut values, mut missing) = (Vec::new(), 0);
        shares.for_each(|share| {
            values.extend(share.values);
            missing += share.missing;
        });
        let expected = [1.0, 2.0, 4.0, 5.0, 7.0, 8.0, 9.0, 10.0];
        assert_eq!((&values[..], missing), (&expected[..], 3), "{parties} parties");
    }
}

#[test]
fn numbers_beside_text_are_shared_by_bytes_too() {
    let fixture = Fixture::new();
    let numbers: Vec<u8> = (0..40).flat_map(|x| f64::from(x).to_le_bytes()).collect();
    fixture.put("a/1.f64", &numbers);
    fixture.put("a/2.csv", "100,101\n102,103\n");
    fixture.put("a/3.f64.gz", gzip(&numbers));
    let data = fixture.open("a", Hints { dims: Some(2), ..HINTS }).unwrap();
    let forty = || (0..40).map(f64::from);
    let expected: Vec<f64> = forty().chain((100..104).map(f64::from)).chain(forty()).collect();
    for parties in 1..=64 {
        assert_eq!(rows(&data, parties), expected, "{parties} parties");
    }
}

#[test]
fn a_range_that_breaks_off_continues_where_it_broke() {
    let fixture = Fixture::new();
    let whole: Vec<f32> = (0..(11 << 20) / 4).map(|at| at as f32).collect();
    let contents: Vec<u8> = whole.iter().flat_map(|x| x.to_le_bytes()).collect();
    fixture.put("a.f32", &contents);
    let data = fixture.open("a.f32", Hints { dims: Some(1), ..HINTS }).unwrap();
    let rows = Share::Rows(0..whole.len() as u64);
    let faults = [
        GetFault::Cut(100_001),
        GetFault::Refuse(503),
        GetFault::Cut(0),
        GetFault::Refuse(500),
        GetFault::Cut(3 << 20),
        GetFault::Cut(1),
    ];
    fixture.stand_in.fail_gets(faults);
    let before = fixture.stand_in.gets();
    let read = data.load::<f32>(rows.clone()).unwrap();
    assert!(read.values == whole, "every byte once, in order");
    assert!(fixture.stand_in.gets() > before + 3, "there were faults");

    fixture.stand_in.fail_gets([GetFault::Cut(0); 100]);
    let error = data.load::<f32>(rows).unwrap_err().to_string();
    assert!(error.starts_with("s3://points/a.f32: cannot read it: "), "{error}");
}

#[test]
fn no_more_is_requested_than_fits() {
    let fixture = Fixture::new();
    let ranges = 3 * RANGES_AHEAD as u64;
    let contents = bytes(usize::try_from(RANGE_BYTES * ranges).unwrap());
    fixture.put("a", &contents);
    let store = S3Store::open(&fixture.endpoint).unwrap();
    let url = S3Url::of(&path("a")).unwrap().unwrap();
    let object = store.find(&url).unwrap().0.pop().unwrap();
    let mut stream = S3Reader::new(store, object, 0..u64::MAX);
    assert_eq!(fixture.stand_in.gets(), 0, "nothing is requested before the first read");
    let mut read = Vec::new();
    while read.is_empty() || read.len() < contents.len() {
        let piece = stream.fill().unwrap();
        let length = piece.len();
        read.extend_from_slice(piece);
        stream.consume(length);
        if read.len() == length {
            // A slow reader gives all requests time to be sent.
            while fixture.stand_in.gets() < RANGES_AHEAD as u64 {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(fixture.stand_in.gets(), RANGES_AHEAD as u64);
        }
    }
    assert!(stream.fill().unwrap().is_empty());
    assert!(read == contents);
    assert_eq!(fixture.stand_in.gets(), ranges);
}

#[test]
fn another_version_is_refused() {
    let fixture = Fixture::new();
    fixture.put("a.csv", "1,2\n");
    let data = fixture.open("a.csv", HINTS).unwrap();
    fixture.put("a.csv", "1,3\n");
    let error = data.load::<f64>(data.share(0, 1)).unwrap_err().to_string();
    assert_eq!(error, "s3://points/a.csv: the object was replaced while it was read; start again");
}

#[test]
fn objects_are_complete_or_missing() {
    let fixture = Fixture::new();
    for length in [0, 1, 8 << 20, (8 << 20) + 1, (50 << 20) + 12_345] {
        let contents = bytes(length);
        let mut out = OutputFile::create(&path("out"), &fixture.endpoint).unwrap();
        out.write_all(&contents).unwrap();
        out.finish().unwrap();
        assert!(fixture.get("out") == contents, "{length}");
    }
    let mut out = OutputFile::create(&path("half"), &fixture.endpoint).unwrap();
    out.write_all(&bytes(30 << 20)).unwrap();
    drop(out);
    assert_eq!(fixture.stand_in.contents(BUCKET, "half"), None);

    fixture.stand_in.fail_puts([Fault::Refuse(503), Fault::Drop]);
    let mut out = OutputFile::create(&path("late"), &fixture.endpoint).unwrap();
    out.write_all(&bytes(20 << 20)).unwrap();
    out.finish().unwrap();
    assert!(fixture.get("late") == bytes(20 << 20));

    fixture.stand_in.fail_puts([Fault::Refuse(403); 20]);
    let mut out = OutputFile::create(&path("never"), &fixture.endpoint).unwrap();
    let written = out.write_all(&bytes(90 << 20)).map_err(Error::io(Path::new("never")));
    let error = written.and_then(|()| out.finish()).unwrap_err().to_string();
    assert!(error.starts_with("s3://points/never: cannot write it: status 403"), "{error}");
}

#[test]
fn files_keep_their_names_in_folders() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    };
    let [a, b] = [file("a.csv", b"1\n"), file("parts/b.csv", b"2\n")];
    file("parts/c.csv", b"3\n");
    let parts = b.parent().unwrap().to_path_buf();
    let upload = |files: &[&PathBuf], to: &str| -> io::Result<Vec<String>> {
        let files: Vec<PathBuf> = files.iter().map(|file| file.to_path_buf()).collect();
        let before = fixture.stand_in.keys(BUCKET);
        let plan = upload::plan(&files, &path(to)).map_err(io::Error::other)?;
        upload::run(plan.transfers, &fixture.endpoint, &|_| ()).map_err(io::Error::other)?;
        let mut after = fixture.stand_in.keys(BUCKET);
        after.retain(|key| !before.contains(key));
        Ok(after)
    };
    assert_eq!(upload(&[&a], "one").unwrap(), ["one"]);
    assert_eq!(upload(&[&a], "two/").unwrap(), ["two/a.csv"]);
    assert_eq!(upload(&[&a, &b], "three").unwrap(), ["three/a.csv", "three/b.csv"]);
    assert_eq!(upload(&[&parts], "four").unwrap(), ["four/b.csv", "four/c.csv"]);
    assert_eq!(fixture.get("four/c.csv"), b"3\n");
    upload(&[&folder.path().join("none")], "five").unwrap_err();
}

#[test]
fn folders_in_folders_and_patterns_are_found() {
    let fixture = Fixture::new();
    for (key, value) in
        [("d/day=1/a.csv", "1"), ("d/day=2/a.csv", "2"), ("d/b.csv", "3"), ("d/day=2/x.txt", "4")]
    {
        fixture.put(key, format!("{value}\n"));
    }
    fixture.put("d/_temporary/c.csv", "9\n");
    let values = |key: &str| rows(&fixture.open(key, HINTS).unwrap(), 2);
    assert_eq!(values("d/"), [3.0, 1.0, 2.0, 4.0]);
    assert_eq!(values("d/day=*/*.csv"), [1.0, 2.0]);
    assert_eq!(values("d/*.csv"), [3.0]);
    assert!(fixture.error("d/*.npy", HINTS).contains("no data files"));
    let data = fixture.open("d/", HINTS).unwrap();
    let refused = |key: &str| data.check_output(&path(key)).unwrap_err().to_string();
    assert!(refused("d/b.csv").contains("results must not replace it"));
    assert!(refused("d/results/c.csv").contains("the next run would take it for data"));
    data.check_output(&path("results/c.csv")).unwrap();
    let one = fixture.open("d/b.csv", HINTS).unwrap();
    one.check_output(&path("d/c.csv")).unwrap();
}

#[test]
fn columns_of_parquet_are_read() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let snappy = ::parquet::basic::Compression::SNAPPY;
    let file = crate::data::write_parquet(folder.path(), "a.parquet", snappy);
    fixture.put("p/a.parquet", std::fs::read(file).unwrap());
    fixture.put("p/.hidden/deep/a.csv", "1\n");
    fixture.put("p/.hidden/deep/b.csv", "1\n");
    fixture.put("p/_SUCCESS", "");
    let of = |missing| Hints { columns: Some("x,y".parse().unwrap()), missing, ..HINTS };
    let dropped = fixture.open("p/", of(Missing::Drop)).unwrap();
    assert_eq!(dropped.points(), None);
    let x: Vec<f64> = rows(&dropped, 3).into_iter().step_by(2).collect();
    assert_eq!(x, [0, 1, 2, 4, 5, 6, 7, 8, 9].map(|i| f64::from(i) + 0.1));
    let filled = fixture.open("p/", of(Missing::Mean)).unwrap();
    assert_eq!(filled.points(), Some(10));
    let skipped = ["s3://points/p/.hidden", "s3://points/p/_SUCCESS"];
    assert_eq!(filled.reading().skipped, skipped);
    fixture.put("p/README.md", "Points.\n");
    assert!(fixture.error("p/", of(Missing::Mean)).contains("p/README.md: its name is not that"));
}

#[test]
fn errors_name_object_and_position() {
    let fixture = Fixture::new();
    fixture.put("a.csv", "1,2\n3\n");
    let ragged = "s3://points/a.csv: the line at byte 4: 1 numbers, expected 2 as in the first row";
    assert_eq!(fixture.error("a.csv", HINTS), ragged);
    fixture.put("b.csv.gz", gzip(b"x,y\n1,2\n3,four\n"));
    let four = "s3://points/b.csv.gz: the line at byte 8: column 2: \"four\" is not a number";
    assert_eq!(fixture.error("b.csv.gz", HINTS), four);
    fixture.put("c.f32", [0; 12]);
    let size = "s3://points/c.f32: 12 bytes are not a whole number of rows of 8 bytes; \
                check --dims and --format";
    assert_eq!(fixture.error("c.f32", Hints { dims: Some(2), ..HINTS }), size);
    fixture.put("d.f32.gz", gzip(&[0; 12]));
    let size = size.replace("c.f32", "d.f32.gz");
    assert_eq!(fixture.error("d.f32.gz", Hints { dims: Some(2), ..HINTS }), size);
    fixture.put("e/x.csv", "1,2\n");
    fixture.put("e/y.csv", "1,2,3\n");
    let dims = "s3://points/e/y.csv: rows of 3 numbers, but the first part has 2; \
                all parts of a data set must have the same length";
    assert_eq!(fixture.error("e", HINTS), dims);
    let none = "s3://points/none: no such object, and no data files below it; \
                names that begin with '.' or '_' are skipped";
    assert_eq!(fixture.error("none", HINTS), none);
    let other = DataSet::open_at(&fixture.endpoint, Path::new("s3://elsewhere/a"), HINTS);
    let other = other.unwrap_err().to_string();
    assert!(other.starts_with("s3://elsewhere/a: cannot list it: status 404, NoSuchBucket"));
    let folder = OutputFile::create(&path("a/"), &fixture.endpoint).unwrap_err().to_string();
    assert_eq!(folder, "s3://points/a/: expected the name of an object, got a folder");
}
