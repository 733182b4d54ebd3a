//! How the files of a data set were understood.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SeparatorName;
use super::csv;
use super::parts::{Part, PartLayout};
use crate::error::{Error, Result};

/// How the files of a data set were understood, for the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Number of files.
    pub files: u64,
    /// How many of them have no rows and were skipped.
    pub files_without_rows: u64,
    /// How many text files have a header.
    pub files_with_header: u64,
    /// How many text files have none.
    pub files_without_header: u64,
    /// Names of the coordinates, if there is a header.
    pub columns: Vec<String>,
    /// The name of the column of weights, if there is a header.
    #[serde(default)]
    pub weights: Option<String>,
    /// The separator of text files, if all have the same.
    #[serde(default)]
    pub separator: Option<SeparatorName>,
    /// Rows that were left out when the files were counted.
    pub rows_dropped: u64,
    /// Files and folders in the folder of the data that are not data, because their names begin with
    /// `.` or `_`, or because they are pipes or links to folders.
    #[serde(default)]
    pub skipped: Vec<String>,
}

impl Reading {
    /// Compares the headers of the parts with the first one, and brings their columns into its
    /// order.
    pub(super) fn note(&mut self, parts: &mut [Part]) -> Result<()> {
        for part in &mut *parts {
            let names = std::mem::take(&mut part.names);
            let path = part.path();
            let layout = match &mut part.layout {
                PartLayout::Csv(layout) => layout,
                PartLayout::Numbers(_) => continue,
                PartLayout::Parquet(layout) => {
                    if self.columns.is_empty() {
                        self.columns = names;
                    } else if names != self.columns {
                        layout.reorder(&order(&path, &self.columns, &names)?);
                    }
                    continue;
                }
            };
            let is_first = self.files_with_header + self.files_without_header == 0;
            let separator = Some(layout.separator_name());
            self.separator = if is_first || self.separator == separator { separator } else { None };
            if names.is_empty() {
                self.files_without_header += 1;
                continue;
            }
            self.files_with_header += 1;
            if self.columns.is_empty() {
                self.columns = names;
            } else if names != self.columns {
                layout.reorder(&order(&path, &self.columns, &names)?);
            }
        }
        Ok(())
    }
}

/// Returns where the expected columns are in a part.
fn order(path: &Path, expected: &[String], names: &[String]) -> Result<Vec<usize>> {
    let different = || Error::PartColumns {
        path: path.to_path_buf(),
        expected: csv::shown(expected),
        got: csv::shown(names),
    };
    let mut order = Vec::with_capacity(expected.len());
    for name in expected {
        let mut found = (0..names.len()).filter(|column| names[*column] == *name);
        let column = found.next().ok_or_else(different)?;
        // The order of two columns of the same name is unknown.
        if found.next().is_some() {
            return Err(different());
        }
        order.push(column);
    }
    Ok(order)
}
