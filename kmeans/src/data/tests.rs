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

const HINTS: Hints = Hints::of_dims(None);
const DIMS_2: Hints = Hints::of_dims(Some(2));

#[test]
fn csv_dialects() {
    let folder = Folder::new();
    let expected = vec![vec![1.0, -2.5], vec![3e2, 0.25]];
    for (at, text) in [
        "1,-2.5\n300,0.25\n",
        "x,y\n1,-2.5\n300,0.25",
        "\n\"x\";\"y\"\r\n1; -2.5\r\n\r\n3e2;0.25\r\n",
        "1\t-2.5\n+300\t.25\n\n",
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

/// What each file must not be read as: other data, without a word.
#[test]
fn text_is_not_read_as_other_data() {
    let folder = Folder::new();
    let read_as = |text: &str, hints: Hints| {
        let zipped = folder.file("a.csv.gz", gzip(text.as_bytes()));
        let plain = read(&folder.file("a.csv", text), hints.clone());
        let zipped = read(&zipped, hints);
        assert_eq!(plain.as_ref().ok(), zipped.as_ref().ok(), "{text:?}");
        plain.map_err(|error| error.to_string())
    };
    let some = |text| read_as(text, HINTS).unwrap();
    let none = |text, expected: &str| {
        let error = read_as(text, HINTS).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    };
    // Byte order marks.
    assert_eq!(some("\u{feff}1\n2\n"), [[1.0], [2.0]]);
    assert_eq!(some("\u{feff}x\n1\n2\n"), [[1.0], [2.0]]);
    let wide: Vec<u8> = "\u{feff}1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(error(&folder.file("w.csv", wide), HINTS).contains("is UTF-16; save it as UTF-8"));
    // Comments and missing values.
    none("#N/A,1\n2,3\n", "row 1 (line 1): column 1: \"#N/A\" is a missing value");
    none("1,2\n#N/A,3\n", "row 2 (line 2): column 1: \"#N/A\" is a missing value");
    none("1,2\n# note\n", "1 numbers, expected 2");
    none("1,2\n# note,3\n", "not a number; if such lines are comments, pass --comment '#'");
    none("NA,NA\n1,2\n", "row 1 (line 1): column 1: \"NA\" is a missing value");
    none("1\t2\n\t\n3\t4\n", "row 2 (line 2): column 1: \"\" is a missing value");
    none("1,2\n,\n3,4\n", "row 2 (line 2): column 1: \"\" is a missing value");
    none("1\t2\t\n", "column 3: \"\" is a missing value");
    let comments = Hints { comment: Some('#'), ..HINTS };
    assert_eq!(read_as("# a\n1,2\n# b\n3,4\n", comments).unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
    // Headers.
    none("0,1\n1.5,2.5\n", "pass --header yes or --header no");
    let header = |header| Hints { header, ..HINTS };
    assert_eq!(read_as("0,1\n1.5,2.5\n", header(Header::Yes)).unwrap(), [[1.5, 2.5]]);
    let two = [[0.0, 1.0], [1.5, 2.5]];
    assert_eq!(read_as("0,1\n1.5,2.5\n", header(Header::No)).unwrap(), two);
    let not = read_as("x,y\n1,2\n", header(Header::No)).unwrap_err();
    assert!(not.contains("row 1 (line 1): column 1: \"x\" is not a number"), "{not}");
    none(",x,y\n0,1,2\n1,,2\n", "row 2 (line 3): column 2");
    let both = "pass --header yes if the line is names, --header no if it is a point";
    for (text, place) in [
        ("1.5x\n2\n", "row 1 (line 1): column 1: \"1.5x\" is neither"),
        ("\nx,2y\n1,2\n", "row 1 (line 2): column 2: \"2y\" is neither"),
        ("NA,x\n1,2\n", "row 1 (line 1): column 1: \"NA\" is neither"),
    ] {
        none(text, place);
        none(text, both);
    }
    let names = "if the first line is the names of the columns, pass --header yes";
    for (text, place) in [
        ("1.5x,2\n1,2\n", "row 1 (line 1): column 1: \"1.5x\" is not a number"),
        ("nan,x\n1,2\n", "row 1 (line 1): column 2: \"x\" is not a number"),
        ("\nid,2020\n1,2\n", "row 1 (line 2): column 1: \"id\" is not a number"),
    ] {
        none(text, place);
        none(text, names);
    }
    none("nan,3\n1,2\n", "row 1 (line 1): column 1: \"nan\" is a missing value");
    none("1,5;2\n", "row 1 (line 1): column 1: \"1,5\" has a decimal comma");
    assert_eq!(read_as("1.5x\n2\n", header(Header::Yes)).unwrap(), [[2.0]]);
    let text_aside = Hints { id_column: Some("1".into()), ..HINTS };
    assert_eq!(read_as("r1,2\nr2,3\n", text_aside).unwrap(), [[2.0], [3.0]]);
    // Line ends.
    assert_eq!(some("1,2\r3,4\r5,6"), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    assert_eq!(some("x,y\r1,2\r3,4\r"), [[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(some("1\r2\r3\r"), [[1.0], [2.0], [3.0]]);
    none("1,2\n3,4\r5,6\n", "row 2 (line 2): a carriage return within the line");
    none("1\n2\r3\n", "row 2 (line 2): a carriage return within the line");
    // Quotes and decimal commas.
    assert_eq!(some("\"a, b\",\"c\"\"d\"\n\"1\", \"2\"\n3,4\n"), [[1.0, 2.0], [3.0, 4.0]]);
    none("1,\"2\n3\",4\n", "row 1 (line 1): a quoted field does not end on its line");
    none("1,2\n3,\"4\n5\"\n", "row 2 (line 2): a quoted field does not end on its line");
    none("1,5;2,5\n", "column 1: \"1,5\" has a decimal comma; write the numbers with a point");
    none("x\ty\n1,5\t2\n", "column 1: \"1,5\" has a decimal comma");
    none("\"1,5\",\"2\"\n", "column 1: \"1,5\" has a decimal comma");
    // Separators.
    let blank = Hints { separator: Some(SeparatorName::Blank), ..HINTS };
    assert!(read_as("1,2 3\n", blank).unwrap_err().contains("decimal comma"));
}

#[test]
fn columns_are_selected_by_name_in_all_parts() {
    let folder = Folder::new();
    folder.file("parts/a.csv", "id,x,y,kind\nr1,1,2,cat\nr2,3,4,dog\n");
    folder.file("parts/b.csv", "y;id;kind;x\n6;r3;cat;5\n");
    folder.file("parts/c.csv.gz", gzip(b"x\ty\tid\tkind\n"));
    let path = folder.0.path().join("parts");
    let columns = |columns: &str| Hints { columns: Some(columns.parse().unwrap()), ..HINTS };
    assert_eq!(read(&path, columns("x,y")).unwrap(), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    assert_eq!(read(&path, columns("y")).unwrap(), [[2.0], [4.0], [6.0]]);
    let others = Hints { id_column: Some("id".into()), label_column: Some("kind".into()), ..HINTS };
    assert_eq!(read(&path, others.clone()).unwrap(), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    let data = DataSet::open(&path, others.clone()).unwrap();
    let Reading { files, files_without_rows, files_with_header, columns: names, separator, .. } =
        data.reading();
    assert_eq!((*files, *files_without_rows, *files_with_header), (3, 1, 2));
    assert_eq!((&names[..], *separator), (&["x".to_string(), "y".to_string()][..], None));
    let message = error(&path.join("a.csv"), columns("x,z"));
    assert_eq!(message, "a.csv: there is no column \"z\"; the columns are id, x, y, kind");
    assert_eq!(
        error(&path.join("a.csv"), columns("x,2")),
        "a.csv: --columns selects column 2 twice"
    );
    folder.file("parts/d.csv", "x,w,id,kind\n7,8,r4,cat\n");
    let message = error(&path, others);
    assert!(message.ends_with("d.csv: its columns are x, w, but those of the first part are x, y; select common ones with --columns"), "{message}");
    let plain = folder.file("plain.csv", "1,2,3\n4,5,6\n");
    assert_eq!(read(&plain, columns("3,1")).unwrap(), [[3.0, 1.0], [6.0, 4.0]]);
    let message = error(&plain, columns("x"));
    assert!(
        message
            .ends_with("there is no column \"x\"; there is no header, and the columns are 1 to 3")
    );
    let twice = folder.file("twice.csv", "x,x\n1,2\n");
    assert!(
        error(&twice, columns("x"))
            .ends_with("several columns are named \"x\"; select columns by number")
    );
    assert_eq!(read(&twice, columns("2")).unwrap(), [[2.0]]);
}

#[test]
fn missing_values_are_left_out_or_kept_for_their_mean() {
    let folder = Folder::new();
    let text = "id,x,y\n,1,2\nb,,4\nc,5,NA\nd,7,8\n";
    let hints = |missing| Hints { missing, id_column: Some("id".into()), ..HINTS };
    for path in [folder.file("a.csv", text), folder.file("b.csv.gz", gzip(text.as_bytes()))] {
        assert_eq!(read(&path, hints(Missing::Drop)).unwrap(), [[1.0, 2.0], [7.0, 8.0]]);
        let data = DataSet::open(&path, hints(Missing::Drop)).unwrap();
        assert_eq!((data.points(), data.reading().rows_dropped), (Some(2), 2));
        let data = DataSet::open(&path, hints(Missing::Mean)).unwrap();
        let points = data.load::<f64>(0..4).unwrap();
        assert_eq!(points.missing, 2);
        assert!(points.values[2].is_nan() && points.values[5].is_nan());
    }
    let none = folder.file("none.csv", "x,y\n,1\n2,\n");
    assert!(
        error(&none, Hints { missing: Missing::Drop, ..HINTS })
            .starts_with("none.csv: all 2 rows have missing values")
    );
    let numbers: Vec<u8> = [1.0, f64::NAN].iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
    let packed = folder.file("a.f64", numbers);
    let data = DataSet::open(&packed, Hints { missing: Missing::Mean, ..DIMS_2 }).unwrap();
    assert_eq!(data.load::<f64>(0..1).unwrap().missing, 1);
}

#[test]
fn parts_without_rows_are_skipped() {
    let folder = Folder::new();
    folder.file("parts/a.csv", "");
    folder.file("parts/b.csv.gz", gzip(b""));
    folder.file("parts/c.csv", "\n\n");
    folder.file("parts/d.npy", "");
    folder.file("parts/e.csv", "x\n");
    folder.file("parts/f.csv.gz", "");
    folder.file("parts/g.csv", "x\n1\n2\n");
    let path = folder.0.path().join("parts");
    assert_eq!(read(&path, HINTS).unwrap(), [[1.0], [2.0]]);
    let data = DataSet::open(&path, HINTS).unwrap();
    assert_eq!((data.reading().files, data.reading().files_without_rows), (7, 6));
    folder.file("parts/h.csv", "# nothing but comments\n# and more\n");
    let comments = Hints { comment: Some('#'), ..HINTS };
    assert_eq!(read(&path, comments).unwrap(), [[1.0], [2.0]]);
}

#[test]
fn folders_in_folders_and_patterns_are_read() {
    let folder = Folder::new();
    for (name, value) in
        [("d/day=1/a.csv", "1"), ("d/day=2/a.csv", "2"), ("d/b.csv", "3"), ("d/day=2/x.txt", "4")]
    {
        folder.file(name, format!("{value}\n"));
    }
    folder.file("d/_temporary/c.csv", "9\n");
    folder.file("d/.cache/c.csv", "9\n");
    let values = |pattern: &str| -> Vec<f64> {
        read(&folder.0.path().join(pattern), HINTS).unwrap().into_iter().flatten().collect()
    };
    assert_eq!(values("d"), [3.0, 1.0, 2.0, 4.0]);
    assert_eq!(values("d/day=*/*.csv"), [1.0, 2.0]);
    assert_eq!(values("d/day=?"), [1.0, 2.0, 4.0]);
    assert!(
        error(&folder.0.path().join("*.npy"), HINTS).starts_with("*.npy: no such file, and no")
    );
    // What is literally there is no pattern.
    folder.file("[1].csv", "5\n");
    assert_eq!(values("[1].csv"), [5.0]);
}

#[test]
fn results_do_not_replace_or_become_data() {
    let folder = Folder::new();
    let path = folder.file("d/a.csv", "1\n");
    let output = |data: &Path, name: &str| {
        let result = DataSet::open(data, HINTS).unwrap().check_output(&folder.0.path().join(name));
        result.map_err(|error| error.to_string())
    };
    let parts = path.parent().unwrap();
    for name in ["d/a.csv", "d/../d/a.csv"] {
        assert!(output(&path, name).unwrap_err().ends_with("results must not replace it"));
        assert!(output(parts, name).unwrap_err().ends_with("results must not replace it"));
    }
    assert!(output(parts, "d/b.csv").unwrap_err().contains("the next run would take it for data"));
    output(parts, "d/_b.csv").unwrap();
    output(parts, "b.csv").unwrap();
    output(&path, "d/b.csv").unwrap();
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
        read(&path, hints.clone()).unwrap()
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
            "b.csv: row 2 (line 3): column 2: \"nan\" is a missing value; pass --missing drop to leave such rows out, or --missing mean",
        ),
        ("c.csv", b"1,2\n3,four\n", "c.csv: row 2 (line 2): column 2: \"four\" is not a number"),
        (
            "d.csv",
            b"1,2\n3,\n",
            "d.csv: row 2 (line 2): column 2: \"\" is a missing value; pass --missing drop to leave such rows out, or --missing mean",
        ),
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
            "cannot tell the format from the name; pass --format csv, npy, f32, f64 or parquet",
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
