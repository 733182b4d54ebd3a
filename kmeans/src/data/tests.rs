//! Round trips of every format, whole, gzipped and in parts. Every error names its file and row.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::generate::Recipe;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn npy(descr: &str, order: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let dictionary =
        format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(dictionary.len()).unwrap().to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(body);
    bytes
}

fn read(path: &Path, hints: Hints) -> Result<Vec<Vec<f64>>> {
    let data = DataSet::open(path, hints)?;
    let points = data.load::<f64>(0..data.points().unwrap())?;
    // All splits give the same rows.
    for parties in [2, 3, 7] {
        let shares = (0..parties).map(|party| data.load::<f64>(data.share(party, parties)));
        let joined: Vec<f64> = shares.flat_map(|share| share.unwrap().values).collect();
        assert_eq!(joined, points.values);
    }
    Ok(points.values.chunks_exact(points.dims).map(<[f64]>::to_vec).collect())
}

/// The error, without the folder's name.
fn error(path: &Path, hints: Hints) -> String {
    let message = read(path, hints).expect_err("the data is bad").to_string();
    message.replace(&format!("{}/", path.parent().unwrap().display()), "")
}

const HINTS: Hints = Hints { format: None, dims: None, precision: None };
const DIMS_2: Hints = Hints { dims: Some(2), ..HINTS };

#[test]
fn csv_dialects() {
    let folder = Folder::new();
    let expected = vec![vec![1.0, -2.5], vec![3e2, 0.25]];
    for (at, text) in [
        "1,-2.5\n300,0.25\n",
        "x,y\n1,-2.5\n300,0.25",
        "# made by hand\n\"x\";\"y\"\r\n1; -2.5\r\n\r\n3e2;0.25\r\n",
        "1\t-2.5\n# between\n+300\t.25\n\n",
        "  1   -2.5\n 300    0.25 \n",
        "\"1\",\"-2.5\"\n\"300\",\"0.25\"\n",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            read(&folder.file(&format!("{at}.csv"), text), HINTS).unwrap(),
            expected,
            "{text:?}"
        );
        let zipped = folder.file(&format!("{at}.csv.gz"), gzip(text.as_bytes()));
        assert_eq!(read(&zipped, HINTS).unwrap(), expected, "{text:?}");
    }
}

#[test]
fn csv_marks_lead_to_the_right_rows() {
    let folder = Folder::new();
    let path = folder.0.path().join("long.csv");
    let recipe = Recipe { points: 40_000, dims: 16, clusters: 3, spread: 1.0, seed: 4 };
    recipe.write(&path).unwrap();
    let data = DataSet::open(&path, HINTS).unwrap();
    let all = data.load::<f64>(0..40_000).unwrap();
    for start in [0, 1, 29_000, 31_234, 39_999] {
        let some = data.load::<f64>(start..40_000).unwrap();
        assert_eq!(some.row(39_999), all.row(39_999));
        assert_eq!(some.row(start), all.row(start));
        assert_eq!(some.rows() as u64, 40_000 - start);
    }
}

#[test]
fn npy_types() {
    let folder = Folder::new();
    let expected = vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]];
    let body = |f: &dyn Fn(u8) -> Vec<u8>| (1..=6).flat_map(f).collect::<Vec<u8>>();
    for (descr, body) in [
        ("'<f4'", body(&|x| f32::from(x).to_le_bytes().to_vec())),
        ("'<f8'", body(&|x| f64::from(x).to_le_bytes().to_vec())),
        ("'|u1'", body(&|x| vec![x])),
        ("'<i2'", body(&|x| i16::from(x).to_le_bytes().to_vec())),
        ("'<u4'", body(&|x| u32::from(x).to_le_bytes().to_vec())),
        ("'<i8'", body(&|x| i64::from(x).to_le_bytes().to_vec())),
    ] {
        let bytes = npy(descr, "False", "(3, 2)", &body);
        assert_eq!(read(&folder.file("a.npy", &bytes), HINTS).unwrap(), expected, "{descr}");
        assert_eq!(
            read(&folder.file("a.npy.gz", gzip(&bytes)), HINTS).unwrap(),
            expected,
            "{descr}"
        );
    }
    let column = npy("'|u1'", "True", "(3,)", &[7, 8, 9]);
    assert_eq!(read(&folder.file("b.npy", column), HINTS).unwrap(), [[7.0], [8.0], [9.0]]);
}

#[test]
fn packed_numbers() {
    let folder = Folder::new();
    let bytes: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let expected = [[1.0, 2.0], [3.0, 4.0]];
    assert_eq!(read(&folder.file("a.f32", &bytes), DIMS_2).unwrap(), expected);
    assert_eq!(read(&folder.file("a.f32.gz", gzip(&bytes)), DIMS_2).unwrap(), expected);
    let hints = Hints { format: Some(Format::F32), ..DIMS_2 };
    assert_eq!(read(&folder.file("a.bin", &bytes), hints).unwrap(), expected);
}

#[test]
fn parts_in_the_order_of_their_names() {
    let folder = Folder::new();
    folder.file("parts/b.csv", "3,4\n");
    folder.file("parts/a.csv.gz", gzip(b"x,y\n1,2\n"));
    folder.file("parts/c.npy", npy("'<f8'", "False", "(1, 2)", &[0; 16]));
    folder.file("parts/_SUCCESS", "");
    let path = folder.0.path().join("parts");
    assert_eq!(read(&path, HINTS).unwrap(), [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]);
    folder.file("parts/d.csv", "1,2,3\n");
    assert!(error(&path, HINTS).contains("d.csv: rows of 3 numbers, but the first part has 2"));
}

#[test]
fn generated_files_agree() {
    let folder = Folder::new();
    let recipe = Recipe { points: 50, dims: 3, clusters: 4, spread: 0.5, seed: 9 };
    let hints = Hints { dims: Some(3), ..HINTS };
    let read = |name: &str| {
        let path = folder.0.path().join(name);
        recipe.write(&path).unwrap();
        read(&path, hints).unwrap()
    };
    let exact = read("a.f64");
    for name in ["a.csv", "a.npy", "a.f32", "a.csv.gz", "a.npy.gz"] {
        let rows = read(name);
        assert_eq!(rows.len(), 50, "{name}");
        for (x, y) in rows.iter().flatten().zip(exact.iter().flatten()) {
            assert!((x - y).abs() < 1e-5, "{name}: {x} {y}");
        }
    }
}

#[test]
fn the_shipped_digits_are_all_there() {
    let digits = DataSet::digits(None).unwrap();
    assert_eq!((digits.points(), digits.dims()), (Some(1_797), 64));
    let points = digits.load::<f64>(0..1_797).unwrap();
    assert_eq!(points.values.iter().sum::<f64>(), 561_718.0);
}

#[test]
fn bad_rows_are_named() {
    let folder = Folder::new();
    for (name, bytes, message) in [
        (
            "a.csv",
            &b"x,y\n1,2\n3\n"[..],
            "a.csv: row 2 (line 3): 1 numbers, expected 2 as in the first row",
        ),
        (
            "b.csv",
            b"1,2\n\n3,nan\n",
            "b.csv: row 2 (line 3): column 2: NaN is not a finite number; clean the data first",
        ),
        ("c.csv", b"1,2\n3,four\n", "c.csv: row 2 (line 2): column 2: \"four\" is not a number"),
        ("d.csv", b"1,2\n3,\n", "d.csv: row 2 (line 2): column 2: \"\" is not a number"),
        (
            "e.csv",
            b"1,inf\n",
            "e.csv: row 1 (line 1): column 2: inf is not a finite number; clean the data first",
        ),
    ] {
        assert_eq!(error(&folder.file(name, bytes), HINTS), message);
        let zipped = format!("{name}.gz");
        assert_eq!(
            error(&folder.file(&zipped, gzip(bytes)), HINTS),
            message.replace(name, &zipped)
        );
    }
    let nan: Vec<u8> =
        [1.0, 2.0, 3.0, f64::NAN].iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
    let message = "row 2: column 2: NaN is not a finite number; clean the data first";
    assert_eq!(error(&folder.file("n.f64", &nan), DIMS_2), format!("n.f64: {message}"));
    let array = npy("'<f8'", "False", "(2, 2)", &nan);
    assert_eq!(error(&folder.file("n.npy", array), HINTS), format!("n.npy: {message}"));
}

#[test]
fn bad_files_are_named() {
    let folder = Folder::new();
    let array = |descr, order, shape| npy(descr, order, shape, &[0; 48]);
    let row = npy("'<f8'", "False", "(3, 2)", &[0; 40]);
    for (name, bytes, message) in [
        ("a.npy", b"not one".to_vec(), "not a valid .npy file: it ends within the header"),
        (
            "b.npy",
            array("'>f8'", "False", "(3, 2)"),
            "element type >f8 is not supported; save it with numpy as '<f4', '<f8' or a little-endian integer",
        ),
        (
            "c.npy",
            array("'<f8'", "True", "(3, 2)"),
            "the array is in Fortran order; save numpy.ascontiguousarray(array)",
        ),
        (
            "d.npy",
            array("'<f8'", "False", "(3, 1, 2)"),
            "the array has 3 dimensions; reshape it to (points, dims)",
        ),
        (
            "e.npy",
            array("[('x', '<f8')]", "False", "(3,)"),
            "element type [('x', '<f8')], 'fortran_order': False,  is not supported; save it with numpy as '<f4', '<f8' or a little-endian integer",
        ),
        ("f.npy", row, "ends before row 1; did it change while it was read?"),
        (
            "g.npy",
            array("'<f8'", "False", "(0, 2)"),
            "no points; a data set needs at least one row",
        ),
        ("a.csv", Vec::new(), "no points; a data set needs at least one row"),
        ("b.csv", b"x,y\n".to_vec(), "no points; a data set needs at least one row"),
        (
            "a.f32",
            vec![0; 12],
            "12 bytes are not a whole number of rows of 8 bytes; check --dims and --format",
        ),
        (
            "a.dat",
            vec![0; 16],
            "cannot tell the format from the name; pass --format csv, npy, f32 or f64",
        ),
    ] {
        assert_eq!(error(&folder.file(name, bytes), DIMS_2), format!("{name}: {message}"));
    }
    let packed = folder.file("b.f32", [0; 16]);
    assert_eq!(
        error(&packed, HINTS),
        "b.f32: packed files do not contain their shape; pass --dims N"
    );
    let missing = folder.0.path().join("missing.csv");
    assert!(error(&missing, HINTS).starts_with("missing.csv: No such file"));
    let empty = folder.0.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(error(&empty, HINTS).starts_with("empty: the folder contains no data files"));
}
