//! What the user says about data: flags, fields of JSON and environment variables.

use serde::{Deserialize, Serialize};

use super::Format;
use crate::error::Result;
use crate::kernel::Precision;

/// What the user says about the data in addition to its path: flags, fields of JSON and environment
/// variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct Hints {
    /// Read the files in this format, whatever their names are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Take this many numbers as a row, in packed files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "N")]
    pub dims: Option<usize>,
    /// Compute in this precision [default: that of the data; f64 for CSV].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_enum)]
    pub precision: Option<Precision>,
    /// Take the first line of a CSV file for the names of columns, or for a point; auto takes it for
    /// names if all of it is text, and refuses what may be either.
    #[serde(default, skip_serializing_if = "is_default")]
    #[arg(long, value_enum, default_value_t)]
    pub header: Header,
    /// Split the lines of CSV files at these characters [default: semicolons, tabs, commas or blanks,
    /// by the first line].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_enum)]
    pub separator: Option<SeparatorName>,
    /// Skip lines of CSV files that begin with this character [default: none].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "CHARACTER")]
    pub comment: Option<char>,
    /// Take these columns of CSV and Parquet files, by name or by number from 1, in this order
    /// [default: all].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "NAME,NAME")]
    pub columns: Option<ColumnNames>,
    /// Leave out this column, which identifies the points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "NAME")]
    pub id_column: Option<String>,
    /// Leave out this column, which has known labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "NAME")]
    pub label_column: Option<String>,
    /// Let points count by this column, whose numbers are not negative, instead of one each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "NAME")]
    pub weight_column: Option<String>,
    /// Refuse rows with missing values (empty, NA, NaN, null and the like), leave them out, or fill
    /// in the mean of the column.
    #[serde(default, skip_serializing_if = "is_default")]
    #[arg(long, value_enum, default_value_t)]
    pub missing: Missing,
}

impl Hints {
    /// Returns a flag that selects columns, if there is one.
    pub(super) fn flag_of_columns(&self) -> Option<&'static str> {
        let flags = [
            ("--columns", self.columns.is_some()),
            ("--id-column", self.id_column.is_some()),
            ("--label-column", self.label_column.is_some()),
            ("--weight-column", self.weight_column.is_some()),
        ];
        flags.into_iter().find(|(_, is_there)| *is_there).map(|(flag, _)| flag)
    }
}

#[cfg(test)]
impl Hints {
    /// Returns hints about nothing but the length of a row.
    pub(crate) const fn of_dims(dims: Option<usize>) -> Self {
        Self {
            format: None,
            dims,
            precision: None,
            header: Header::Auto,
            separator: None,
            comment: None,
            columns: None,
            id_column: None,
            label_column: None,
            weight_column: None,
            missing: Missing::Error,
        }
    }
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What the first line of a text file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// Names if it contains text and no number, otherwise a point.
    #[default]
    Auto,
    /// Names of columns.
    Yes,
    /// A point.
    No,
}

/// What is done about missing values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// They are refused.
    #[default]
    Error,
    /// Their rows are left out.
    Drop,
    /// They are replaced by the mean of their column.
    Mean,
}

/// The characters between the fields of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SeparatorName {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab character.
    Tab,
    /// One or more blanks or tabs.
    Blank,
}

/// Columns, by name or number, as on the command line: separated by commas. In JSON also a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ColumnNamesJson")]
pub struct ColumnNames(pub Vec<String>);

impl std::str::FromStr for ColumnNames {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_string()).collect();
        if names.contains(&String::new()) {
            return Err("expected names of columns, separated by commas");
        }
        Ok(Self(names))
    }
}

/// The forms that names have in JSON; a variable that is a number is one there, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum ColumnNamesJson {
    List(Vec<String>),
    Text(String),
    Number(u64),
}

impl From<ColumnNamesJson> for ColumnNames {
    fn from(names: ColumnNamesJson) -> Self {
        match names {
            ColumnNamesJson::List(names) => Self(names),
            ColumnNamesJson::Text(text) => {
                Self(text.split(',').map(|name| name.trim().to_string()).collect())
            }
            ColumnNamesJson::Number(number) => Self(vec![number.to_string()]),
        }
    }
}
