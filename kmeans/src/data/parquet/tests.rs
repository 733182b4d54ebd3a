//! Files of the crate's writer, in several row groups, are read as they were written.

use std::fs::File;
use std::path::PathBuf;

use ::parquet::basic::Compression;
use ::parquet::data_type::{DoubleType, FloatType, Int32Type, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use super::*;
use crate::data::{ColumnNames, DataSet};

const HINTS: Hints = Hints::of_dims(None);

const SCHEMA: &str = "message points {
    REQUIRED DOUBLE x;
    OPTIONAL FLOAT y;
    REQUIRED INT32 small (UINT_32);
    OPTIONAL INT64 large;
    REQUIRED INT64 at (TIMESTAMP(MICROS, true));
    OPTIONAL BYTE_ARRAY name (STRING);
}";

/// Rows of three groups; `y` of row 3 and `large` of row 5 are null.
pub(crate) fn write(folder: &Path, name: &str, compression: Compression) -> PathBuf {
    let path = folder.join(name);
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for rows in [0..4i32, 4..5, 5..10] {
        let mut group = writer.next_row_group().unwrap();
        let levels =
            |null: i32| -> Vec<i16> { rows.clone().map(|i| i16::from(i != null)).collect() };
        let there = |null: i32| rows.clone().filter(move |i| *i != null);
        let x: Vec<f64> = rows.clone().map(|i| f64::from(i) + 0.1).collect();
        column::<DoubleType>(&mut group, &x, None);
        let y: Vec<f32> = there(3).map(|i| i as f32 / 4.0).collect();
        column::<FloatType>(&mut group, &y, Some(&levels(3)));
        let small: Vec<i32> = rows.clone().map(|i| i - 1).collect();
        column::<Int32Type>(&mut group, &small, None);
        let large: Vec<i64> = there(5).map(|i| i64::from(i) << 40).collect();
        column::<Int64Type>(&mut group, &large, Some(&levels(5)));
        let at: Vec<i64> = rows.clone().map(i64::from).collect();
        column::<Int64Type>(&mut group, &at, None);
        let names = vec![::parquet::data_type::ByteArray::from("a"); at.len()];
        column::<::parquet::data_type::ByteArrayType>(&mut group, &names, Some(&levels(-1)));
        group.close().unwrap();
    }
    writer.close().unwrap();
    path
}

fn column<D: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[D::T],
    levels: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<D>().write_batch(values, levels, None).unwrap();
    column.close().unwrap();
}

fn columns(names: &str, missing: Missing) -> Hints {
    Hints { columns: Some(names.parse::<ColumnNames>().unwrap()), missing, ..HINTS }
}

/// Reads all rows, by one worker and by several.
fn read(path: &Path, hints: Hints) -> Result<Vec<f64>> {
    let data = DataSet::open(path, hints)?;
    let all = data.load::<f64>(data.share(0, 1))?;
    for parties in [2, 3, 7] {
        let shares =
            (0..parties).map(|party| data.load::<f64>(data.share(party, parties)).unwrap());
        let joined: Vec<u64> = shares.flat_map(|share| share.values).map(f64::to_bits).collect();
        assert_eq!(joined, all.values.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
    }
    Ok(all.values)
}

#[test]
fn columns_are_read_by_name_whatever_the_codec() {
    let folder = tempfile::tempdir().unwrap();
    let gzip = Compression::GZIP(Default::default());
    for (at, codec) in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, gzip].into_iter().enumerate()
    {
        let path = write(folder.path(), &format!("{at}.parquet"), codec);
        let x = |i: i32| f64::from(i) + 0.1;
        let expected: Vec<f64> =
            (0..10i32).flat_map(|i| [f64::from((i - 1).cast_unsigned()), x(i)]).collect();
        assert_eq!(read(&path, columns("small,x", Missing::Error)).unwrap(), expected);
        assert_eq!(read(&path, columns("1", Missing::Error)).unwrap()[9], x(9));
        let data = DataSet::open(&path, columns("x", Missing::Error)).unwrap();
        assert_eq!((data.points(), data.precision()), (Some(10), Precision::F64));
        let narrow = DataSet::open(&path, columns("y", Missing::Mean)).unwrap();
        assert_eq!(narrow.precision(), Precision::F32);
    }
}

#[test]
fn nulls_are_missing_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.parquet", Compression::SNAPPY);
    let refused = |names| read(&path, columns(names, Missing::Error)).unwrap_err().to_string();
    let expected = "a.parquet: row 4: column 2: \"null\" is a missing value; pass --missing drop";
    assert!(refused("x,y").contains(expected), "{}", refused("x,y"));
    assert!(refused("large").contains("row 6: column 1"), "{}", refused("large"));
    let kept: Vec<f64> = [0, 1, 2, 4, 6, 7, 8, 9].map(|i| f64::from(i) + 0.1).into();
    let dropped = read(&path, columns("x,y,large", Missing::Drop)).unwrap();
    assert_eq!(dropped.iter().copied().step_by(3).collect::<Vec<_>>(), kept);
    let filled = read(&path, columns("x,y", Missing::Mean)).unwrap();
    assert_eq!(filled.len(), 20);
    assert!(filled[7].is_nan() && filled.iter().filter(|x| x.is_nan()).count() == 1);
}

#[test]
fn what_is_not_numbers_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.parquet", Compression::SNAPPY);
    let refused = |hints| DataSet::open(&path, hints).unwrap_err().to_string();
    let name = refused(HINTS);
    assert!(name.contains("column \"at\" is Timestamp, not numbers; select others"), "{name}");
    let name = refused(columns("name", Missing::Error));
    assert!(name.contains("column \"name\" is String, not numbers"), "{name}");
    let none = refused(columns("z", Missing::Error));
    assert!(
        none.contains("no column \"z\"; the columns are x, y, small, large, at, name"),
        "{none}"
    );
    let text = folder.path().join("text.parquet");
    std::fs::write(&text, "x,y\n1,2\n3,4\n5,6\n7,8\n").unwrap();
    let text = DataSet::open(&text, HINTS).unwrap_err().to_string();
    assert!(text.contains("text.parquet: not a Parquet file that can be read"), "{text}");
    // By pyarrow.parquet.write_table(table, path, compression="zstd").
    let zstd = folder.path().join("zstd.parquet");
    std::fs::write(&zstd, include_bytes!("../../../tests/zstd.parquet")).unwrap();
    let zstd = DataSet::open(&zstd, columns("x", Missing::Drop)).unwrap_err().to_string();
    assert!(zstd.contains("compressed by ZSTD") && zstd.contains("with Snappy, gzip"), "{zstd}");
    let whole = std::fs::read(&path).unwrap();
    let cut = folder.path().join("cut.parquet");
    std::fs::write(&cut, &whole[..whole.len() - 9]).unwrap();
    let cut = DataSet::open(&cut, HINTS).unwrap_err().to_string();
    assert!(cut.contains("cut.parquet: not a Parquet file that can be read"), "{cut}");
}

#[test]
fn files_of_a_folder_are_joined_by_the_names_of_their_columns() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.parquet", Compression::SNAPPY);
    write(folder.path(), "b.parquet", Compression::UNCOMPRESSED);
    let hints = Hints { weight_column: Some("small".into()), ..columns("x", Missing::Error) };
    let data = DataSet::open(folder.path(), hints).unwrap();
    assert_eq!((data.points(), data.dims(), data.weighted()), (Some(20), 1, true));
    let points = data.load::<f64>(8..12).unwrap();
    assert_eq!(points.values, [8.1, 9.1, 0.1, 1.1]);
    assert_eq!(points.weights.unwrap(), [7.0, 8.0, 4_294_967_295.0, 0.0]);
}
